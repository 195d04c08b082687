r"""The exact mode: a network of counting neurons, run until nothing can fire, *is* its quantised network.

The input and every bias are injected once, in step 1; after that nothing arrives but spikes. A spike s = +1 or -1 of
a neuron delivers s w to each of its targets, once, after any time. Let S_i be the count of neuron i (the sum of its
spikes so far) and A_i its charge (all that has arrived). The neuron may fire as long as S_i differs from S*_i(A_i),
the level of its staircase, and then brings S_i one closer to it (`convert.neurons.counting`).

*Quiescent* means: no spike is under way, and no neuron can fire.

**Theorem.** A quiescent network holds S = Q(x), where Q is the quantised network: the same graph with every
activation replaced by its staircase, evaluated once, layer by layer (`quantised`). Charges, counts and outputs are
equal, bit for bit.

*Proof.* No neuron can fire, so S_i = S*_i(A_i) for every i. Every spike has arrived, so A_i = b_i + sum_j w_ij S_j +
(what the input adds): charge only adds up, and a sum of whole numbers times 2^-bits that fits into 53 bits does not
depend on the order or the time of its terms (`convert.simulation.capacity` checks that it fits). So
the counts solve the equations of the quantised network, S_i = S*_i(b_i + sum_j w_ij S_j + ...). The graph has no
cycle: in topological order the first neurons see the input alone, which is the same for both, and by induction
each later one sees the same counts and so the same charge. The solution is unique, and it is Q(x). For ReLU this
is the identity A - S in [-1/2, 1/2), or saturated, hence S = clip(floor(A + 1/2), 0, N).

The proof uses nothing about *when* spikes are sent or arrive. So it holds for any delays, any order of updates,
asynchronous hardware, and any acyclic graph: residual additions add charge, concatenation and padding wire it, average
pooling sums it. A max pool is no sum. It keeps the charge of each of its inputs and emits the growth of their
maximum (a difference operator): its outputs add up to the maximum of the charges, so once its inputs are at
rest its targets have what the quantised network's have, and the induction goes through it.

**Termination.** Take neurons in topological order. Once all the spikes that a neuron will ever receive have
arrived, S* stands still, and each of its spikes lowers |S* - S| by one. That is at most its span (the range of its
levels and 0), so it falls silent, and later neurons get no more from it. In synchronous updates without delay the last
spike of a neuron comes at most `span` steps after the last that it receives; `most_steps` adds that up along the
deepest path. Spikes are finite in number, so with finite delays, and neurons that are updated again and again,
every run ends.

**Certificate.** `simulate_exact` does not take the above on trust. When it stops it computes every charge anew, from
the counts, and asks each neuron whether it could fire, and whether the output is the one that has accumulated. A
sample for which no neuron can is certified; by the theorem its output is the quantised network's.

Sources of the parts: You et al., ICML 2024 ("SpikeZIP-TF", ST-BIF neurons run to equilibrium); Hu et al.,
IEEE TPAMI 2023 ("Fast-SNN", signed spikes and quantised activations). Staircases of any curve, the treatment of max
pooling, integer charge and the certificate are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from convert.errors import ConfigError, InputShapeError
from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply, run
from convert.lattice import Carried, carried
from convert.network import SpikingNetwork
from convert.neurons.counting import CountingNeuron
from convert.neurons.radix import RadixNeuron
from convert.simulation.capacity import capacity
from convert.simulation.inputs import constant_current
from convert.simulation.results import Settled

__all__ = ["certify", "check_exact", "most_steps", "quantised", "simulate_exact"]


def check_exact(network: SpikingNetwork, x: Tensor, code: str = "exact") -> dict[str, Carried]:
    """Refuse what the theorem does not cover; the lattice of every node.

    Parameters
    ----------
    code : {"exact", "radix"}

    Raises
    ------
    ConfigError
        A network of another code.
    InputShapeError
        Samples of another shape, that are not finite, or too large for exact sums.
    """
    if network.code != code:
        raise ConfigError(
            f"{code} mode: got a network of code {network.code!r}; expected {code!r}: convert with --recipe {code}, or "
            "use simulate"
        )
    if tuple(x.shape[1:]) != network.graph.input.shape:
        raise InputShapeError(
            f"the spiking network takes samples of shape {network.graph.input.shape}, got {tuple(x.shape[1:])}"
        )
    if not bool(torch.isfinite(x).all()):
        raise InputShapeError("input: NaN or infinite values in the samples; expected finite ones: clean the data")
    return capacity(network, float(x.abs().max()) + 1.0 if x.numel() else 1.0)


def most_steps(network: SpikingNetwork) -> int:
    """The steps within which every sample is quiescent in synchronous updates: spans along the deepest path."""
    longest: dict[str, int] = {}
    for node in network.graph:
        before = max((longest[name] for name in node.inputs), default=1)
        longest[node.name] = before + (_neuron(network, node).span if node.name in network.sites else 0)
    return max(longest.values())


@torch.no_grad()
def quantised(network: SpikingNetwork, x: Tensor, code: str = "exact") -> dict[str, Tensor]:
    """The quantised network in one dense pass: the value of each population and of the output, (batch, *shape).

    `code` is the network's, "exact" or "radix": both bring every population to the same level.

    Populations have counts, the output (if it is none) has a charge; times `network.scales` they are activations.
    """
    check_exact(network, x, code)
    known: dict[str, Tensor] = {}
    for node in network.graph:
        if isinstance(node.op, ir.Input):
            known[node.name] = constant_current(x)
        elif node.name in network.sites:
            neuron = network.sites[node.name].neuron
            assert isinstance(neuron, (CountingNeuron, RadixNeuron))  # SpikingNetwork has checked it
            known[node.name] = neuron.target(known[node.inputs[0]])
        else:
            known[node.name] = apply(node.op, *(known[name] for name in node.inputs))
    return {name: known[name] for name in {*network.sites, network.graph.output}}


@torch.no_grad()
def certify(network: SpikingNetwork, x: Tensor, counts: Mapping[str, Tensor], charge: Tensor) -> Tensor:
    """For each sample, whether no neuron can fire and `charge` is the output that `counts` make, (batch,)."""
    fine = torch.ones(len(x), dtype=torch.bool)
    inputs = {network.graph[name].inputs[0]: name for name in counts}
    drives: dict[str, Tensor] = {}

    def observe(node: Node, value: Tensor) -> None:
        if node.name in inputs:
            drives[node.name] = value

    output = run(network.graph, constant_current(x), observe, counts)
    for name in counts:
        node = network.graph[name]
        target = _neuron(network, node).target(drives[node.inputs[0]])
        fine &= (target == counts[name]).flatten(1).all(1)
    return fine & (output == charge).flatten(1).all(1)


@torch.no_grad()
def simulate_exact(
    network: SpikingNetwork, x: Tensor, trace: bool = False, record: Sequence[int] | None = None
) -> Settled:
    """Run the exact network on a batch `x` until it is quiescent.

    Every neuron is updated once in each step, and a spike reaches the next layer in the step in which it is fired.

    Parameters
    ----------
    trace : bool
        Also keep the read-out and the spikes after each step.
    record : sequence of int, optional
        For `trace`: keep the spikes up to these steps and those of the whole run, one row each, not of every step.

    Raises
    ------
    ConfigError, InputShapeError
        See `check_exact`.
    """
    known = check_exact(network, x)
    wave = _Wave(network, len(x), None if record is None else tuple(record))
    wave.run(constant_current(x))
    output = network.graph.output
    scale = network.scales[output]
    grown = torch.cat([wave.start[output][None], wave.trains[output].double()]).cumsum(0)
    charge = grown[-1]
    steps = torch.stack([torch.ones(len(x), dtype=torch.long), *wave.last.values()]).amax(0)
    settled = Settled(
        charge * scale, charge, known[output].bits or 0, steps, certify(network, x, wave.counts, charge),
        wave.counts, wave.spikes,
    )  # fmt: skip
    if not trace:
        return settled
    length = int(steps.max()) if len(x) else 0
    emitted = wave.emitted
    if record is None:
        emitted = {name: _held(value, length) for name, value in emitted.items()}
    return replace(settled, trace=_held(grown[1:] if len(grown) > 1 else grown, length) * scale, emitted=emitted)


def _held(values: Tensor, length: int) -> Tensor:
    """`values` of the first steps, and the last of them from then on."""
    values = values[:length]
    if not len(values):
        return values.new_zeros((length, *values.shape[1:]))
    return torch.cat([values, values[-1:].expand(length - len(values), *values.shape[1:])])


def _neuron(network: SpikingNetwork, node: Node) -> CountingNeuron:
    neuron = network.sites[node.name].neuron
    assert isinstance(neuron, CountingNeuron)  # SpikingNetwork has checked it
    return neuron


@dataclass
class _Wave:
    """All steps of one node after another: what a node sends depends on what its inputs sent, and on nothing else.

    A value is what stands there while nobody has fired (`start`, which arrives in step 1) and what spikes add in each
    step (`trains`). Those are sums of -1, 0 and 1 times weights, in float32 where it holds them exactly.
    """

    network: SpikingNetwork
    batch: int
    record: tuple[int, ...] | None = None
    start: dict[str, Tensor] = field(default_factory=dict)
    trains: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)
    spikes: dict[str, Tensor] = field(default_factory=dict)
    emitted: dict[str, Tensor] = field(default_factory=dict)
    last: dict[str, Tensor] = field(default_factory=dict)

    def run(self, current: Tensor) -> None:
        """Every node, in topological order; values are forgotten after their last use."""
        graph = self.network.graph
        types = carried(graph, self.network.spiking())
        uses = {name: i for i, node in enumerate(graph) for name in node.inputs}
        for i, node in enumerate(graph):
            if isinstance(node.op, ir.Input):
                self.start[node.name] = current
                self.trains[node.name] = current.new_zeros((0, *current.shape), dtype=torch.float32)
            elif node.name in self.network.sites:
                self._fire(node)
            else:
                self.start[node.name] = apply(node.op, *(self.start[name] for name in node.inputs))
                self.trains[node.name] = self._passed_on(node, types[node.name].dtype)
            for name in set(node.inputs):
                if uses[name] == i and name != graph.output:
                    del self.start[name], self.trains[name]

    def _fire(self, node: Node) -> None:
        """Step after step until the charge is at rest and the count has caught up with it."""
        neuron = _neuron(self.network, node)
        charge, train = self.start[node.inputs[0]].double().clone(), self.trains[node.inputs[0]]
        count, fired = torch.zeros_like(charge), []
        for t in range(len(train) + neuron.span + 1):
            if t < len(train):
                charge += train[t]
            spikes = torch.sign(neuron.target(charge) - count)
            if t >= len(train) and not bool(spikes.any()):
                break
            count += spikes
            fired.append(spikes.float())
        trains = torch.stack(fired) if fired else train[:0].reshape(0, *count.shape)
        active = trains.flatten(2).any(2)
        when = torch.arange(1, len(trains) + 1)[:, None] * active
        self.last[node.name] = when.amax(0) if len(trains) else torch.zeros(self.batch, dtype=torch.long)
        trains = trains[: int(self.last[node.name].max()) if self.batch else 0]
        self.start[node.name], self.trains[node.name] = torch.zeros_like(count), trains
        self.counts[node.name] = count
        size = trains.abs()
        self.spikes[node.name] = size.sum(0).double()
        upto = torch.cat([size.new_zeros((1, *count.shape[1:])), size.sum(1)]).double().cumsum(0)
        self.emitted[node.name] = upto[1:] if self.record is None else upto[self._rows(len(trains))]

    def _rows(self, steps: int) -> list[int]:
        """Of the values after 0, 1, ... `steps` steps: those that are recorded, and the last."""
        assert self.record is not None  # the caller has asked
        return [*(min(step, steps) for step in self.record), steps]

    def _passed_on(self, node: Node, dtype: torch.dtype) -> Tensor:
        """What the spikes of each step add to the value of a node without neurons."""
        trains = [self.trains[name] for name in node.inputs]
        length = max(map(len, trains))
        if not length:
            return torch.zeros((0, self.batch, *node.shape))
        if isinstance(node.op, ir.MaxPool):
            sums = torch.cat([self.start[node.inputs[0]][None], trains[0].double()]).cumsum(0)
            return apply(node.op, sums.flatten(0, 1)).unflatten(0, sums.shape[:2]).diff(dim=0)
        rows = [torch.cat([t, t.new_zeros((length - len(t), *t.shape[1:]))]).flatten(0, 1).to(dtype) for t in trains]
        return apply(_linear_part(node.op, dtype), *rows).unflatten(0, (length, self.batch))


def _linear_part(op: ir.Op, dtype: torch.dtype) -> ir.Op:
    """`op` without what it adds, its tensors of type `dtype`."""
    if isinstance(op, ir.WEIGHTED):
        return replace(op, weight=op.weight.to(dtype), bias=None)
    if isinstance(op, ir.Affine):
        return ir.Affine(op.scale.to(dtype), torch.zeros_like(op.shift, dtype=dtype))
    return op
