"""The fast path: time folded into the batch, layer by layer, in blocks of steps.

A weighted layer sees the spikes of a block of steps as one batch, so it runs at the speed of a dense layer; only
the loop over time of a population is sequential. Constant inputs pass the first layer once. Sums of spikes are
exact in float32 (see `lattice.py`), and all that follows them is per neuron, so the result does not depend
on the batch, the block or the number of threads. Hybrid networks are the exception: their floating-point functions
(`differences.py`) are not exact, so there the result is the same up to the rounding of float64.

Every value has two lanes. `raw` is the network's response to the spikes of this very step; the read-out counts
those. `filtered` is what neurons receive: the same through the synaptic filter. Where only linear layers lie
between spikes and neuron, the filter is applied last, to the exact sums. In the differential code a decoder stands in
the place of the filter, and the read-out counts what is decoded: its mean over the steps is the last estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from convert.errors import ConfigError, GraphError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import apply
from convert.lattice import Carried, carried, fraction_bits
from convert.network import Site, SpikingNetwork
from convert.neurons.leaky import decay
from convert.simulation.differences import Difference
from convert.simulation.events.library import kernel
from convert.simulation.events.plan import Plan, plan_of
from convert.simulation.events.planes import Planes, packed, pooled
from convert.simulation.events.populations import Population, Receiver
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.kernels import Decoder, Filter, Maximum, State, channels_last, scan
from convert.simulation.look_ahead import repairs, restarted
from convert.simulation.results import Simulation, check_request, read_out

__all__ = ["ENGINES", "batch_within", "engines_of", "kernel_is_missing", "simulate"]

ENGINES = ("auto", "dense", "events")
"""By events wherever the kernel was built and can; by dense layers; by events, or not at all."""

_BLOCK = 16
"""Steps that are folded into the batch at a time: spikes of a block should stay in the cache."""


@torch.no_grad()
def simulate(
    network: SpikingNetwork,
    x: Tensor,
    steps: int,
    record: Sequence[int] | None = None,
    seed: int = 0,
    samples: Sequence[int] | None = None,
    device: str = "cpu",
    engine: str = "auto",
) -> Simulation:
    """Run `network` on a batch `x` for `steps` steps.

    Parameters
    ----------
    record : sequence of int, optional
        Steps at which spike counts are kept; the last one by default.
    seed, samples
        For Poisson input: the seed, and the number of each sample in its data set.
    engine : {"auto", "dense", "events"}
        How: with "auto" and "events", layers that have the form of `convert.simulation.events.wiring` are computed from
        their spikes, the others densely. The spikes are the same.

    Returns
    -------
    Simulation
        The same spikes as `simulate_reference`.

    Raises
    ------
    ConfigError, InputShapeError
        See `check_request`.
    GraphError
        A quantum other than 1: the types in which sums are exact are chosen for weight-normalised networks.
    """
    kept = check_request(network, x, steps, None if record is None else tuple(record))
    if other := [name for name, site in network.sites.items() if not bool((site.quantum == 1).all())]:
        raise GraphError(
            f"{', '.join(other)}: quantum other than 1; the engine runs weight-normalised networks: "
            "run the network as normalise() made it, or use simulate_reference"
        )
    plan = _plan(network, engine, device)
    run = _Run(network, x, steps, seed, range(len(x)) if samples is None else samples, device, plan)
    if network.look_ahead:
        run.look_ahead()
    totals, done = [], 0
    while done < steps:
        until = min(steps, done + (_BLOCK if plan is None else _EVENTS_BLOCK), *[s for s in kept if s > done])
        totals.append(run.block(done, until))
        run.record(until, kept)
        done = until
    return run.result(read_out(torch.cat(totals), network), kept)


def _plan(network: SpikingNetwork, engine: str, device: str) -> Plan | None:
    """What the events engine takes over, None where all is dense."""
    if engine not in ENGINES:
        raise ConfigError(f"--engine: got {engine!r}; expected one of {', '.join(ENGINES)}")
    if network.look_ahead:  # starts of its own for each sample, which the kernel does not have
        return None
    plan = plan_of(network) if engine != "dense" and device == "cpu" else None
    if engine == "events" and plan is None:
        why = "it runs on the processor" if device != "cpu" else "its kernel was not built: no compiler when installing"
        raise ConfigError(f"--engine: got events, but {why}; use auto or dense, or install again with a C++ compiler")
    return plan


_EVENTS_BLOCK = 32
"""The same where spikes are bits."""


_EVENTS_BYTES = 64
"""Of a neuron's state, its spikes in a block and what they are pooled to."""


def kernel_is_missing(engine: str, device: str) -> bool:
    """Whether all is dense only because the events kernel was not built."""
    return engine == "auto" and device == "cpu" and kernel() is None


def engines_of(network: SpikingNetwork, engine: str = "auto", device: str = "cpu") -> dict[str, str]:
    """Which engine runs each population: "events" or "dense"."""
    plan = _plan(network, engine, device)
    return {name: "dense" if plan is None or plan.population(name) is None else "events" for name in network.sites}


def batch_within(network: SpikingNetwork, bytes_allowed: int, engine: str = "auto", device: str = "cpu") -> int:
    """Samples that can be simulated at a time within a memory budget."""
    engines = engines_of(network, engine, device)
    if engines and set(engines.values()) == {"events"}:
        neurons = sum(math.prod(network.graph[name].shape) for name in network.sites)
        return max(1, bytes_allowed // (neurons * _EVENTS_BYTES))
    widest = max(int(torch.tensor(node.shape).prod()) for node in network.graph)
    return max(1, bytes_allowed // (widest * max(_BLOCK, network.look_ahead) * 4 * 8))


@dataclass
class _Run:
    """One simulation in progress."""

    network: SpikingNetwork
    x: Tensor
    steps: int
    seed: int
    samples: Sequence[int]
    device: str
    plan: Plan | None
    graph: Graph = field(init=False)
    populations: dict[str, Population] = field(default_factory=dict)
    filters: dict[str, Filter | Decoder] = field(default_factory=dict)
    maxima: dict[str, Maximum] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)
    emitted: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, list[Tensor]] = field(default_factory=dict)
    starts: dict[str, Tensor] = field(default_factory=dict)
    """Population -> potentials that a look-ahead found, (batch, *shape)."""
    spent: dict[str, Tensor] = field(default_factory=dict)
    """Population -> spikes of the look-ahead, summed over the batch."""
    trial: bool = False
    total: Tensor | None = None

    def __post_init__(self) -> None:
        self.carried, self.graph = _prepared(self.network, self.device)
        taus = {site.neuron.tau_syn_s for site in self.network.sites.values()}
        self.alpha = decay(self.network.dt_s, max(taus, default=0.0))
        self.decodes = self.network.code == "differential"
        self.poisson = self.network.input_code == "poisson"
        self.pools = _behind_memory(self.graph, set(self.network.sites))
        self.static = self._static_values()
        self.trains = self._trains() if self.poisson else None

    def _trains(self) -> Tensor:
        scale = float(self.network.scales[self.graph.input.name].flatten()[0])
        trains = poisson_spikes(self.x, scale, self.steps, self.seed, self.samples)
        return channels_last(trains.flatten(0, 1)).unflatten(0, trains.shape[:2]).to(self.device)

    def _static_values(self) -> dict[str, Tensor]:
        """Nodes that depend on a constant input only, once: (batch, *shape) in float64."""
        known: dict[str, Tensor] = {}
        if self.poisson:
            return known
        known[self.graph.input.name] = channels_last(constant_current(self.x).to(self.device))
        for node in self.graph.nodes[1:]:
            if node.name not in self.network.sites and all(name in known for name in node.inputs):
                known[node.name] = apply(_as(node, torch.float64).op, *(known[name] for name in node.inputs))
        return known

    def look_ahead(self) -> None:
        """Try all samples, layer by layer, and start from what that has found."""
        ahead = self.network.look_ahead
        first = _Run(self.network, self.x, ahead, self.seed, self.samples, self.device, None, trial=True)
        first.block(0, ahead)
        self.starts, self.spent = first.starts, first.emitted

    def site(self, name: str) -> Site:
        """The population `name`, with the starts of this batch."""
        site = self.network.sites[name]
        return replace(site, initial=self.starts[name]) if name in self.starts else site

    @cached_property
    def rest(self) -> dict[str, Tensor]:
        """Every node's value while nobody fires."""
        known = dict(self.static)
        batch = len(self.x)
        for node in self.graph:
            if node.name not in known:
                silent = node.name in self.network.sites or isinstance(node.op, ir.Input)
                zeros = torch.zeros((batch, *node.shape), dtype=torch.float64, device=self.device)
                inputs = [known[name] for name in node.inputs]
                known[node.name] = zeros if silent else apply(_as(node, torch.float64).op, *inputs)
        return known

    def block(self, start: int, stop: int) -> Tensor:
        """Sums of the output up to each of the steps start+1 .. stop, (steps, batch, *output shape) in float64."""
        block = _Block(self, start, stop)
        for node in self.graph:
            if node.name in self.network.sites:
                block.fire(node)
        read = block.filtered if self.decodes else block.raw
        raw = block.expanded(read(self.graph.output)).double()
        total = torch.cumsum(raw, dim=0)
        total = total if self.total is None else total + self.total
        self.total = total[-1]
        return total.cpu()

    def population(self, name: str) -> Population | None:
        """The neurons of the site `name`, where the kernel runs them."""
        receiver = None if self.plan is None else self.plan.population(name)
        if receiver is None:
            return None
        if name not in self.populations:
            self.populations[name] = Population(
                receiver, self.network.sites[name], self.base(receiver), len(self.x), self.steps, self.network.dt_s
            )
        return self.populations[name]

    def base(self, receiver: Receiver) -> Tensor:
        """The drive of `receiver` without spikes: (neurons,), or (batch, *shape) where a constant input adds to it."""
        bias = receiver.drive.bias
        for name in receiver.drive.constant:
            value = self.static[name]
            bias = (bias.reshape(-1, *[1] * (value.ndim - 2)) if bias.ndim == 1 else bias) + value
        return bias

    def note(self, name: str, spikes: Tensor, signed: bool) -> None:
        """Add a block of spikes to the counts."""
        here = spikes.sum(0)  # multiples of a spike's least value, few enough to be exact in float32
        # unsigned values are numbers of spikes: 0 or 1, or the length of a burst
        fired = (spikes.count_nonzero(0) if signed else here).sum(0).double()
        self.counts[name] = self.counts[name] + here if name in self.counts else here
        self.emitted[name] = self.emitted[name] + fired if name in self.emitted else fired

    def record(self, step: int, kept: tuple[int, ...]) -> None:
        """Keep the spike counts if `step` is one of `kept`."""
        if step in kept:
            self.emitted |= {name: population.emitted() for name, population in self.populations.items()}
            for name, spikes in self.emitted.items():
                known = spikes + self.spent[name] if name in self.spent else spikes
                self.kept.setdefault(name, []).append(known.cpu())

    def result(self, output: Tensor, kept: tuple[int, ...]) -> Simulation:
        """What came out."""
        spikes = {name: torch.stack(values) for name, values in self.kept.items()}
        self.counts |= {name: population.counts() for name, population in self.populations.items()}
        counts = {name: value.cpu() for name, value in self.counts.items()}
        return Simulation(output, spikes, counts, kept, self.network.dt_s)


class _Block:
    """The values of one block of steps."""

    def __init__(self, run: _Run, start: int, stop: int) -> None:
        self.run, self.steps = run, stop - start
        self.lanes: dict[tuple[str, str], Tensor] = {}
        self.planes: dict[tuple[str, str | None], Planes] = {}
        if run.trains is not None:
            name = run.graph.input.name
            self.lanes["raw", name] = run.trains[start:stop]
            run.note(name, run.trains[start:stop], signed=True)

    def fire(self, node: Node) -> None:
        """Advance the population at `node` by the block."""
        population = self.run.population(node.name)
        if population is not None:
            self.planes[node.name, None] = population.run(self.spikes_for(population.receiver), self.steps)
            return
        current = self.filtered(node.inputs[0])
        if self.run.trial and repairs((plain := self.run.network.sites[node.name]).neuron):
            self.run.starts[node.name] = restarted(plain.neuron, plain.initial, current, self.steps)
        site = self.run.site(node.name)
        dtype = self._membrane_type(
            node, site.initial, not site.neuron.on_lattice or site.neuron.tau_mem_s < float("inf")
        )
        before = self.run.states.get(node.name)
        state, spikes = scan(site, before, current, self.steps, self.run.network.dt_s, dtype)
        self.run.states[node.name] = state
        self.run.note(node.name, spikes, site.neuron.signed)
        self.lanes["raw", node.name] = spikes

    def _membrane_type(self, node: Node, initial: Tensor, inexact: bool) -> torch.dtype:
        """float32 where no sum over the whole run can leave it."""
        source = self.run.carried[node.inputs[0]]
        if inexact or self.run.alpha or self.run.decodes:
            return torch.float64
        of_start = fraction_bits(initial)
        bits = None if source.bits is None or of_start is None else max(source.bits, of_start)
        return Carried(bits, float(initial.abs().max()) + source.bound * (self.run.steps + 1)).dtype

    def spikes_for(self, receiver: Receiver) -> dict[tuple[str, str | None], Planes]:
        """What the connections of `receiver` see, as bit planes."""
        assert self.run.plan is not None  # it made the receiver
        for connection in receiver.drive.connections:
            source, pool = connection.source, connection.pool
            if (source, None) not in self.planes:
                self.planes[source, None] = packed(self.raw(source), *self.run.plan.emitted[source])
            if (source, pool) not in self.planes:
                node = self.run.graph[pool or source]
                assert isinstance(node.op, ir.AvgPool)  # by the walk that found it
                self.planes[source, pool] = pooled(self.planes[source, None], node.op, node.shape)
        return self.planes

    def raw(self, name: str) -> Tensor:
        """The response to the spikes of each step: (steps, batch, *shape), or (1, batch, *shape) if constant."""
        if name in self.run.static:
            return self.run.static[name][None]
        if ("raw", name) not in self.lanes:
            self.lanes["raw", name] = self._raw(self.run.graph[name])
        return self.lanes["raw", name]

    def _raw(self, node: Node) -> Tensor:
        if (node.name, None) in self.planes:
            return self.planes[node.name, None].unpacked()
        receiver = None if self.run.plan is None else self.run.plan.layer(node.name)
        if receiver is None:
            return self._applied(node, [self.raw(i) for i in node.inputs], "raw")
        drives = receiver.drives(self.spikes_for(receiver), len(self.run.x), self.steps)
        base = self.run.base(receiver)
        drives += base.reshape(-1, *[1] * (drives.ndim - 3)) if base.ndim == 1 else base
        return drives.to(self.run.carried[node.name].dtype)

    def filtered(self, name: str) -> Tensor:
        """The same through the synaptic filter."""
        run = self.run
        if name in run.static or not (run.alpha or run.decodes):
            return self.raw(name)
        if ("filtered", name) not in self.lanes:
            node = run.graph[name]
            if name in run.pools:
                value = self._applied(node, [self.filtered(i) for i in node.inputs], "filtered")
            else:
                if name not in run.filters:
                    rest = run.rest[name]
                    run.filters[name] = Decoder(rest) if run.decodes else Filter(run.alpha, rest)
                value = run.filters[name](self.raw(name))
            self.lanes["filtered", name] = value
        return self.lanes["filtered", name]

    def _applied(self, node: Node, inputs: list[Tensor], lane: str) -> Tensor:
        """The value of `node` on blocks, folded into one batch."""
        inputs = [self.expanded(value) for value in inputs]
        if isinstance(node.op, ir.MaxPool):
            key = lane + node.name
            if key not in self.run.maxima:
                self.run.maxima[key] = Maximum(node.op, inputs[0][0])
            return self.run.maxima[key](inputs[0])
        if isinstance(node.op, ir.RUNNING):
            return self.run.differences.setdefault(lane + node.name, Difference(node.op))(inputs)
        dtype = torch.float64 if lane == "filtered" else self.run.carried[node.name].dtype
        folded = [value.flatten(0, 1).to(dtype) for value in inputs]
        return apply(_as(node, dtype).op, *folded).unflatten(0, inputs[0].shape[:2])

    def expanded(self, value: Tensor) -> Tensor:
        """`value` for every step of the block."""
        return value if value.shape[0] == self.steps else value.expand(self.steps, *value.shape[1:])


_PREPARED: WeakKeyDictionary[SpikingNetwork, dict[str, tuple[dict[str, Carried], Graph]]] = WeakKeyDictionary()


def _prepared(network: SpikingNetwork, device: str) -> tuple[dict[str, Carried], Graph]:
    """What each node carries, and the graph in the types that this needs; kept as long as the network lives."""
    made = _PREPARED.setdefault(network, {})
    if device not in made:
        known = carried(network.graph, network.spiking())
        made[device] = known, _typed(network.graph, known, device)
    return made[device]


def _as(node: Node, dtype: torch.dtype) -> Node:
    """`node` with its tensors in `dtype`."""
    tensors = ir.tensors(node.op)
    if all(tensor.dtype == dtype for tensor in tensors.values()):
        return node
    return replace(node, op=replace(node.op, **{k: v.to(dtype) for k, v in tensors.items()}))  # type: ignore[arg-type]


def _typed(graph: Graph, known: dict[str, Carried], device: str) -> Graph:
    """Each node's tensors in the type that its sums need, on the device."""
    nodes = []
    for node in graph:
        typed = _as(node, known[node.name].dtype)
        moved = {name: channels_last(tensor.to(device)) for name, tensor in ir.tensors(typed.op).items()}
        nodes.append(replace(typed, op=replace(typed.op, **moved)) if moved else typed)  # type: ignore[arg-type]
    return Graph(tuple(nodes), graph.output)


def _behind_memory(graph: Graph, sites: set[str]) -> set[str]:
    """Nodes with a max pool or a difference operator between them and their spikes: the filter stands before it."""
    behind: set[str] = set()
    for node in graph:
        if node.name not in sites and (isinstance(node.op, (ir.MaxPool, *ir.RUNNING)) or behind & set(node.inputs)):
            behind.add(node.name)
    return behind
