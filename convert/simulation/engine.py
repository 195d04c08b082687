"""The fast path: time folded into the batch, layer by layer, in blocks of steps.

A weighted layer sees the spikes of a block of steps as one batch, so it runs at the speed of a dense layer; only
the loop over time of a population is sequential. Constant inputs pass the first layer once. Sums of spikes are
exact in float32 (see `lattice.py`), and all that follows them is per neuron, so the result does not depend
on the batch, the block or the number of threads.

Every value has two lanes. `raw` is the network's response to the spikes of this very step; the read-out counts
those. `filtered` is what neurons receive: the same through the synaptic filter. Where only linear layers lie
between spikes and neuron, the filter is applied last, to the exact sums. In the differential code a decoder stands in
the place of the filter, and the read-out counts what is decoded: its mean over the steps is the last estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from convert.errors import GraphError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import apply
from convert.lattice import Carried, carried, fraction_bits
from convert.network import SpikingNetwork
from convert.neurons.leaky import decay
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.kernels import Decoder, Filter, Maximum, State, channels_last, scan
from convert.simulation.results import Simulation, check_request, read_out

__all__ = ["batch_within", "simulate"]

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
) -> Simulation:
    """Run `network` on a batch `x` for `steps` steps.

    Parameters
    ----------
    record : sequence of int, optional
        Steps at which spike counts are kept; the last one by default.
    seed, samples
        For Poisson input: the seed, and the number of each sample in its data set.

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
    run = _Run(network, x, steps, seed, range(len(x)) if samples is None else samples, device)
    totals, done = [], 0
    while done < steps:
        until = min(steps, done + _BLOCK, *[s for s in kept if s > done])
        totals.append(run.block(done, until))
        run.record(until, kept)
        done = until
    return run.result(read_out(torch.cat(totals), network), kept)


def batch_within(network: SpikingNetwork, bytes_allowed: int) -> int:
    """Samples that can be simulated at a time within a memory budget."""
    widest = max(int(torch.tensor(node.shape).prod()) for node in network.graph)
    return max(1, bytes_allowed // (widest * _BLOCK * 4 * 8))


@dataclass
class _Run:
    """One simulation in progress."""

    network: SpikingNetwork
    x: Tensor
    steps: int
    seed: int
    samples: Sequence[int]
    device: str
    graph: Graph = field(init=False)
    filters: dict[str, Filter | Decoder] = field(default_factory=dict)
    maxima: dict[str, Maximum] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)
    emitted: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, list[Tensor]] = field(default_factory=dict)
    total: Tensor | None = None

    def __post_init__(self) -> None:
        self.carried = carried(self.network.graph, self.network.spiking())
        self.graph = _typed(self.network.graph, self.carried, self.device)
        taus = {site.neuron.tau_syn_s for site in self.network.sites.values()}
        self.alpha = decay(self.network.dt_s, max(taus, default=0.0))
        self.decodes = self.network.code == "differential"
        self.poisson = self.network.input_code == "poisson"
        self.pools = _behind_max_pool(self.graph, set(self.network.sites))
        self.static = self._static_values()
        self.rest = self._rest_values() if self.alpha or self.decodes else {}
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

    def _rest_values(self) -> dict[str, Tensor]:
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

    def note(self, name: str, spikes: Tensor, signed: bool) -> None:
        """Add a block of spikes to the counts."""
        here = spikes.sum(0)  # multiples of a spike's least value, few enough to be exact in float32
        fired = (spikes.count_nonzero(0) if signed else here).sum(0).double()
        self.counts[name] = self.counts[name] + here if name in self.counts else here
        self.emitted[name] = self.emitted[name] + fired if name in self.emitted else fired

    def record(self, step: int, kept: tuple[int, ...]) -> None:
        """Keep the spike counts if `step` is one of `kept`."""
        if step in kept:
            for name, spikes in self.emitted.items():
                self.kept.setdefault(name, []).append(spikes.cpu())

    def result(self, output: Tensor, kept: tuple[int, ...]) -> Simulation:
        """What came out."""
        spikes = {name: torch.stack(values) for name, values in self.kept.items()}
        counts = {name: value.cpu() for name, value in self.counts.items()}
        return Simulation(output, spikes, counts, kept, self.network.dt_s)


class _Block:
    """The values of one block of steps."""

    def __init__(self, run: _Run, start: int, stop: int) -> None:
        self.run, self.steps = run, stop - start
        self.lanes: dict[tuple[str, str], Tensor] = {}
        if run.trains is not None:
            name = run.graph.input.name
            self.lanes["raw", name] = run.trains[start:stop]
            run.note(name, run.trains[start:stop], signed=True)

    def fire(self, node: Node) -> None:
        """Advance the population at `node` by the block."""
        site = self.run.network.sites[node.name]
        current = self.filtered(node.inputs[0])
        dtype = self._membrane_type(node, not site.neuron.on_lattice or site.neuron.tau_mem_s < float("inf"))
        before = self.run.states.get(node.name)
        state, spikes = scan(site, before, current, self.steps, self.run.network.dt_s, dtype)
        self.run.states[node.name] = state
        self.run.note(node.name, spikes, site.neuron.signed)
        self.lanes["raw", node.name] = spikes

    def _membrane_type(self, node: Node, inexact: bool) -> torch.dtype:
        """float32 where no sum over the whole run can leave it."""
        source = self.run.carried[node.inputs[0]]
        if inexact or self.run.alpha or self.run.decodes:
            return torch.float64
        initial = self.run.network.sites[node.name].initial
        of_start = fraction_bits(initial)
        bits = None if source.bits is None or of_start is None else max(source.bits, of_start)
        return Carried(bits, float(initial.abs().max()) + source.bound * (self.run.steps + 1)).dtype

    def raw(self, name: str) -> Tensor:
        """The response to the spikes of each step: (steps, batch, *shape), or (1, batch, *shape) if constant."""
        if name in self.run.static:
            return self.run.static[name][None]
        if ("raw", name) not in self.lanes:
            node = self.run.graph[name]
            self.lanes["raw", name] = self._applied(node, [self.raw(i) for i in node.inputs], "raw")
        return self.lanes["raw", name]

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
        dtype = torch.float64 if lane == "filtered" else self.run.carried[node.name].dtype
        folded = [value.flatten(0, 1).to(dtype) for value in inputs]
        return apply(_as(node, dtype).op, *folded).unflatten(0, inputs[0].shape[:2])

    def expanded(self, value: Tensor) -> Tensor:
        """`value` for every step of the block."""
        return value if value.shape[0] == self.steps else value.expand(self.steps, *value.shape[1:])


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


def _behind_max_pool(graph: Graph, sites: set[str]) -> set[str]:
    """Nodes with a max pool between them and the spikes they come from: the filter is already in front of it."""
    behind: set[str] = set()
    for node in graph:
        if node.name not in sites and (isinstance(node.op, ir.MaxPool) or behind & set(node.inputs)):
            behind.add(node.name)
    return behind
