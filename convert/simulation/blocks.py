"""One batch on its way through time: block by block of steps, layer by layer.

A weighted layer sees the spikes of a block of steps as one batch, so it runs at the speed of a dense layer; only
the loop over time of a population is sequential. Constant inputs pass the first layer once.

Every value has two lanes. `raw` is the network's response to the spikes of this very step; the read-out counts
those. `filtered` is what neurons receive: the same through the synaptic filter. Where only linear layers lie
between spikes and neuron, the filter is applied last, to the exact sums. In the differential code a decoder stands in
the place of the filter, and the read-out counts what is decoded: its mean over the steps is the last estimate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import apply
from convert.lattice import Carried, fraction_bits
from convert.network import Site, SpikingNetwork
from convert.simulation.differences import Difference
from convert.simulation.events.plan import Plan
from convert.simulation.events.planes import Planes, packed, pooled
from convert.simulation.events.populations import Population, Receiver
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.kernels import Decoder, Filter, Maximum, State, channels_last, scan, some
from convert.simulation.look_ahead import repairs, restarted
from convert.simulation.typed import behind_memory, in_type, prepared

__all__ = ["Kept", "Run", "needed"]

Kept = Planes | Tensor
"""The spikes of a population in a block of steps: planes, or (steps, batch, *shape)."""


@dataclass
class Run:
    """One simulation in progress.

    Parameters
    ----------
    steps : int
        The most that will be run.
    samples : sequence of int
        For Poisson input: the number of each sample in its data set.
    plan : Plan or None
        What the events engine takes over.
    trial : bool
        Whether this is the look-ahead of another run: populations are repaired one after the other, in one block.
    given : mapping
        Population -> what an earlier run has `kept` of it. It is not run again, nor is what is before it alone.
    """

    network: SpikingNetwork
    x: Tensor
    steps: int
    seed: int
    samples: Sequence[int]
    device: str
    plan: Plan | None
    trial: bool = False
    given: Mapping[str, Sequence[Kept]] = field(default_factory=dict)
    graph: Graph = field(init=False)
    populations: dict[str, Population] = field(default_factory=dict)
    filters: dict[str, Filter | Decoder] = field(default_factory=dict)
    maxima: dict[str, Maximum] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)
    emitted: dict[str, Tensor] = field(default_factory=dict)
    total: Tensor | None = None
    done: int = 0
    starts: dict[str, Tensor] = field(default_factory=dict)
    """Population -> potentials to start from, sample by sample, that a look-ahead has found; of all samples."""
    spent: dict[str, Tensor] = field(default_factory=dict)
    """Population -> (*shape): spikes that it took to find them."""
    kept: dict[str, list[Kept]] = field(default_factory=dict)
    """Population -> its spikes, block by block, of those that were entered here before the run."""
    blocks: int = 0

    def __post_init__(self) -> None:
        """Compute what does not depend on time."""
        self.carried, self.graph = prepared(self.network, self.device)
        self.synapse = self.network.synapse
        self.decodes = self.network.code == "differential"
        self.poisson = self.network.input_code == "poisson"
        self.pools = behind_memory(self.graph, set(self.network.sites))
        self.needed = needed(self.graph, self.given)
        self.firing = self.needed & set(self.network.sites)
        self.static = self._static_values()
        self.trains = self._trains() if self.poisson else None
        if self.network.look_ahead and not self.trial:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Try all samples, layer by layer, and start from what that has found."""
        steps = self.network.look_ahead
        first = Run(self.network, self.x, steps, self.seed, self.samples, self.device, None, trial=True)
        first.advance(steps)
        self.starts, self.spent = first.starts, first.emitted

    def site(self, name: str) -> Site:
        """The population `name`, with the starts of these samples."""
        site = self.network.sites[name]
        return replace(site, initial=self.starts[name]) if name in self.starts else site

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
            wanted = node.name in self.needed and node.name not in self.network.sites
            if wanted and all(name in known for name in node.inputs):
                known[node.name] = apply(in_type(node, torch.float64).op, *(known[name] for name in node.inputs))
        return known

    @cached_property
    def rest(self) -> dict[str, Tensor]:
        """The value of every node that is needed while nobody fires."""
        known = dict(self.static)
        batch = len(self.x)
        for node in self.graph:
            if node.name not in known and (node.name in self.needed or node.name in self.given):
                if node.name in self.network.sites or isinstance(node.op, ir.Input):
                    known[node.name] = torch.zeros((batch, *node.shape), dtype=torch.float64, device=self.device)
                else:
                    inputs = [known[name] for name in node.inputs]
                    known[node.name] = apply(in_type(node, torch.float64).op, *inputs)
        return known

    def fire(self, stop: int) -> _Block:
        """Run to step `stop`, for the spikes alone."""
        block = _Block(self, self.done, stop)
        for node in self.graph:
            if node.name in self.given:
                block.take(node.name, self.given[node.name][self.blocks])
            elif node.name in self.firing:
                block.fire(node)
        for name, kept in self.kept.items():
            kept.append(block.kept(name))
        self.done, self.blocks = stop, self.blocks + 1
        return block

    def advance(self, stop: int) -> Tensor:
        """Run to step `stop`: sums of the output up to each step since, (steps, batch, *output shape) in float64."""
        return self.read(self.fire(stop))

    def read(self, block: _Block) -> Tensor:
        """The sums of `advance`, of a block that has just been fired."""
        read = block.filtered if self.decodes else block.raw
        raw = block.expanded(read(self.graph.output)).double()
        total = torch.cumsum(raw, dim=0)
        total = total if self.total is None else total + self.total
        self.total = total[-1]
        return total.cpu()

    def leave(self, block: _Block, index: Tensor, at: Tensor, counted: bool) -> dict[str, Tensor]:
        """Let some samples go that were finished in the midst of a block: what they send after it never was.

        What they have emitted until then stays in the counts of `fired`; `keep` the others.

        Parameters
        ----------
        block : _Block
            The last one.
        index : Tensor (n,) of int64
            Their positions in the batch.
        at : Tensor (n,) of int64
            The last step of each.
        counted : bool

        Returns
        -------
        dict
            Population -> (n, *shape): as `counts`, until then, if `counted`; else nothing.
        """
        kept = at - (self.done - block.steps)
        found = {name: self._taken_back(name, block.raw(name), index, kept) for name in self.counts}
        for name, population in self.populations.items():
            if (sent := population.leave(index, kept, block.planes[name, None], counted)) is not None:
                found[name] = sent
        return {name: value.cpu() for name, value in found.items()} if counted else {}

    def _taken_back(self, name: str, spikes: Tensor, index: Tensor, kept: Tensor) -> Tensor:
        """The same for a dense population, from the spikes of the last block."""
        where, signed = index.to(self.device), name not in self.network.sites or self.network.sites[name].neuron.signed
        late = torch.arange(len(spikes))[:, None] >= kept
        tail = spikes[:, where] * late.reshape(*late.shape, *[1] * (spikes.ndim - 2)).to(self.device)
        values = tail.sum(0)
        self.emitted[name] = self.emitted[name] - _fired(tail, values, signed)
        return self.counts[name][where] - values

    def keep(self, index: Tensor) -> None:
        """Go on with some samples only.

        Parameters
        ----------
        index : Tensor of int64
            Their positions in the batch; the others have left, see `leave`.
        """
        self.x, self.samples = self.x[index], [self.samples[i] for i in index.tolist()]
        at = index.to(self.device)
        self.static = {name: channels_last(value[at]) for name, value in self.static.items()}
        self.__dict__.pop("rest", None)  # made again if it is asked for
        self.trains = None if self.trains is None else self.trains[:, at]
        self.counts = {name: value[at] for name, value in self.counts.items()}
        self.states = {name: some(state, at) for name, state in self.states.items()}
        self.total = None if self.total is None else self.total[at]
        for holder in (*self.filters.values(), *self.maxima.values(), *self.differences.values()):
            holder.keep(at)
        for population in self.populations.values():
            population.keep(at)

    def counted(self) -> dict[str, Tensor]:
        """Population -> (batch, *shape): sum of the values of the spikes of every neuron so far."""
        of_events = {name: population.counts() for name, population in self.populations.items()}
        return {name: value.cpu() for name, value in (self.counts | of_events).items()}

    def fired(self) -> dict[str, Tensor]:
        """Population -> (*shape): number of spikes so far, of all samples that there were."""
        of_events = {name: population.emitted() for name, population in self.populations.items()}
        known = self.emitted | of_events
        return {name: (value + self.spent.get(name, 0)).cpu() for name, value in known.items()}

    def population(self, name: str) -> Population | None:
        """The neurons of the site `name`, where the kernel runs them."""
        neurons = None if self.plan is None else self.plan.population(name)
        if neurons is None:
            return None
        if name not in self.populations:
            base = self.base(neurons.receiver) if neurons.receiver.drive.constant else None
            self.populations[name] = Population(neurons, base, len(self.x), self.steps)
        return self.populations[name]

    def base(self, receiver: Receiver) -> Tensor:
        """The drive of `receiver` without spikes: (neurons,), or (batch, *shape) where a constant input adds to it."""
        bias = receiver.drive.bias
        silent = not bool(bias.any())
        for name in receiver.drive.constant:
            value = self.static[name]
            if silent:
                bias, silent = value, False
            else:
                bias = (bias.reshape(-1, *[1] * (value.ndim - 2)) if bias.ndim == 1 else bias) + value
        return bias

    def note(self, name: str, spikes: Tensor, signed: bool) -> None:
        """Add a block of spikes to the counts."""
        here = spikes.sum(0)  # multiples of a spike's least value, few enough to be exact in float32
        fired = _fired(spikes, here, signed)
        self.counts[name] = self.counts[name] + here if name in self.counts else here
        self.emitted[name] = self.emitted[name] + fired if name in self.emitted else fired


def _fired(spikes: Tensor, sums: Tensor, signed: bool) -> Tensor:
    """Number of spikes among values (steps, batch, *shape), whose sums over the steps are known, of each neuron.

    Unsigned values are numbers of spikes: 0 or 1, or the length of a burst.
    """
    numbers = spikes.sign().abs_().sum(0) if signed else sums  # count_nonzero takes three times as long
    return numbers.sum(0, dtype=torch.float64)


class _Block:
    """The values of one block of steps."""

    def __init__(self, run: Run, start: int, stop: int) -> None:
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
        inexact = not site.neuron.on_lattice or site.neuron.tau_mem_s < float("inf")
        dtype = self._membrane_type(node, site.initial, inexact)
        before = self.run.states.get(node.name)
        state, spikes = scan(site, before, current, self.steps, self.run.network.dt_s, dtype, self.run.plan is not None)
        self.run.states[node.name] = state
        self.run.note(node.name, spikes, site.neuron.signed)
        self.lanes["raw", node.name] = spikes

    def take(self, name: str, kept: Kept) -> None:
        """The spikes of a population that an earlier run has kept."""
        if isinstance(kept, Planes):
            self.planes[name, None] = kept
        else:
            self.lanes["raw", name] = kept.float()

    def kept(self, name: str) -> Kept:
        """The spikes of a population, in as little room as holds them."""
        if (name, None) in self.planes:
            return self.planes[name, None]
        spikes = self.lanes["raw", name]
        smaller = (spikes.to(kind) for kind in (torch.int8, torch.float16))
        return next((small for small in smaller if torch.equal(small.to(spikes.dtype), spikes)), spikes)

    def _membrane_type(self, node: Node, initial: Tensor, inexact: bool) -> torch.dtype:
        """float32 where no sum over the whole run can leave it."""
        source = self.run.carried[node.inputs[0]]
        if inexact or self.run.synapse.alpha or self.run.decodes:
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
        if name in run.static or not (run.synapse.alpha or run.decodes):
            return self.raw(name)
        if ("filtered", name) not in self.lanes:
            node = run.graph[name]
            if name in run.pools:
                value = self._applied(node, [self.filtered(i) for i in node.inputs], "filtered")
            else:
                if name not in run.filters:
                    rest = run.rest[name]
                    run.filters[name] = Decoder(rest) if run.decodes else Filter(run.synapse, rest)
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
        return apply(in_type(node, dtype).op, *folded).unflatten(0, inputs[0].shape[:2])

    def expanded(self, value: Tensor) -> Tensor:
        """`value` for every step of the block."""
        return value if value.shape[0] == self.steps else value.expand(self.steps, *value.shape[1:])


def needed(graph: Graph, given: Collection[str] = ()) -> set[str]:
    """The nodes that have to be computed for the output where the spikes of `given` are known."""
    waiting, seen = [graph.output], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in given:
            seen.add(name)
            waiting += graph[name].inputs
    return seen
