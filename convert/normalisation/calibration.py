"""Calibration of spiking networks, layer by layer in depth order, on forward passes only (Li et al., ICML 2021).

After T steps the rate of a unit is off by e = mean(SNN rate) - mean(a / lam): it fired before it had seen enough, or
started late, or its inputs came unevenly. Each layer is corrected behind its corrected predecessors, in one of two
ways:

potential   V[0] = -T e quanta: one initial condition ("potential correction"). It gives back the charge that was
            missing at the start, so it fits every number of steps.
bias        b -= e quanta per step ("bias correction"). It fits the T for which it was found.

Neurons that all start alike fire together: in the first step those with half a quantum of drive or more, then for a
while nobody, and the next layer sees bursts instead of rates. In a network that has run for long, potentials are spread
evenly over a quantum. So starts are *staggered*: the neuron with number k of a population gets

    V[0] += width (frac(k phi) - 1/2),   phi = (sqrt(5) - 1) / 2,

on top of its correction. The multiples of the golden ratio are as evenly spread as can be, over all neurons and over
any run of neighbours (Weyl's equidistribution; Knuth, The Art of Computer Programming 3, section 6.4), so that what a
neuron receives is even from the first step on. Its price: a start shifts the neuron's count, up to half a quantum, so
where layers are many or rates are low it may cost more than it brings; `output_errors` tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import run
from convert.lattice import snap
from convert.network import SpikingNetwork, upstream
from convert.normalisation.scaling import GAIN
from convert.normalisation.statistics import channel_axis
from convert.simulation.engine import batch_within, simulate
from convert.simulation.relay import Relay

__all__ = ["Progress", "calibrate_biases", "calibrate_potentials", "centred_output", "output_errors", "staggered"]

_MEMORY = 64 << 20

_GOLDEN = (math.sqrt(5) - 1) / 2

Progress = Callable[[int], None]


def calibrate_potentials(
    network: SpikingNetwork,
    folded: Graph,
    x: Tensor,
    steps: int,
    progress: Progress | None = None,
    per_neuron: bool = False,
    width: float = 0.0,
) -> SpikingNetwork:
    """`network` with initial potentials chosen on samples `x`.

    Parameters
    ----------
    network : SpikingNetwork
        Normalised from `folded`.
    folded : Graph
        Its analog counterpart, node for node.
    x : Tensor (samples, *sample shape)
        Calibration samples.
    steps : int
        T, the steps after which rates and activations are compared.
    progress : callable, optional
        Called with the number of samples simulated; there are len(x) for each population.
    per_neuron : bool
        One potential for each neuron instead of each channel.
    width : float
        Quanta over which the starts of a population are staggered around that.
    """
    surplus = _Surplus(network, folded, x, steps, progress)
    for node in folded.sites():
        error = surplus.mean(network, node)
        error = error if per_neuron else _per_channel(folded, node, error)
        site = network.sites[node.name]
        initial = site.initial - error + staggered(node.shape, width)
        network = replace(network, sites={**network.sites, node.name: replace(site, initial=snap(initial))})
        surplus.settle(network, node)
    return network


def staggered(shape: tuple[int, ...], width: float) -> Tensor:
    """Starts of a population of neurons, in quanta, evenly spread over `width` around zero; zero without width."""
    if not width:
        return torch.zeros((), dtype=torch.float64)
    numbers = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
    return width * ((numbers * _GOLDEN) % 1 - 0.5)


def calibrate_biases(
    network: SpikingNetwork, folded: Graph, x: Tensor, steps: int, progress: Progress | None = None
) -> SpikingNetwork:
    """`network` with biases corrected for runs of `steps` steps, per channel; parameters as above.

    The correction goes into the layer of synapses before the population; through a residual sum, into the branch that
    ends in synapses, and through max pooling and gains, which commute with a shift. A population without such a layer
    keeps its error.
    """
    surplus = _Surplus(network, folded, x, steps, progress)
    for node in folded.sites():
        error = surplus.mean(network, node) * network.sites[node.name].threshold
        source = _synapses_before(network.graph, network.graph[node.name].inputs[0])
        if source is not None:
            shift = _per_channel(folded, node, error) / steps / network.scales[source.name]
            network = replace(network, graph=_shifted(network.graph, source, shift))
        surplus.settle(network, node)
    return centred_output(network, folded, x, steps)


def centred_output(network: SpikingNetwork, folded: Graph, x: Tensor, steps: int) -> SpikingNetwork:
    """`network` whose outputs have the ANN's mean after `steps` steps, value by value."""
    output = network.graph[network.graph.output]
    if not isinstance(output.op, ir.WEIGHTED):
        return network
    size, error = batch_within(network, _MEMORY), torch.zeros(output.shape, dtype=torch.float64)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        said = simulate(network, part, steps, samples=range(start, start + len(part))).output[-1]
        error += (said - run(folded, part.double())).sum(0)
    shift = error / len(x) / network.scales[output.name]
    return replace(network, graph=_shifted(network.graph, output, shift))


def output_errors(
    network: SpikingNetwork, folded: Graph, x: Tensor, steps: int, delays: Sequence[int], centred: bool = False
) -> list[Tensor]:
    """Of each sample the mean square of the difference of both networks' outputs after `steps` steps: one tensor for
    every delay of the read-out.

    Parameters
    ----------
    centred : bool
        Whether the mean difference of each value is left out, because `centred_output` will take it away.
    """
    size, at_once = batch_within(network, _MEMORY), replace(network, readout_delay=0)
    skipped = [min(delay, steps // 2) for delay in delays]
    found: list[list[Tensor]] = [[] for _ in delays]
    for start in range(0, len(x), size):
        part = x[start : start + size]
        said = simulate(at_once, part, steps, samples=range(start, start + len(part))).output
        meant = run(folded, part.double())
        for parts, d in zip(found, skipped, strict=True):
            before = d * said[d - 1] if d else 0.0  # a read-out says the mean of what has arrived since its delay
            parts.append((steps * said[-1] - before) / (steps - d) - meant)
    errors = [torch.cat(parts) for parts in found]
    return [(error - error.mean(0) if centred else error).square().flatten(1).mean(1) for error in errors]


class _Surplus:
    """Mean over the samples of spike count minus T a / lam, population by population, in depth order."""

    def __init__(
        self, network: SpikingNetwork, folded: Graph, x: Tensor, steps: int, progress: Progress | None
    ) -> None:
        self.folded, self.x, self.steps, self.progress = folded, x, steps, progress
        self.size = batch_within(network, _MEMORY)
        self.relay = Relay(x, steps, self.size)
        self.left = [node.name for node in folded.sites()]
        self.analog = {name: torch.zeros(folded[name].shape, dtype=torch.float64) for name in self.left}
        for part in x.split(self.size):
            run(folded, part.double(), self._add)

    def _add(self, node: Node, value: Tensor) -> None:
        if node.name in self.analog:
            self.analog[node.name] += value.sum(0)

    def mean(self, network: SpikingNetwork, node: Node) -> Tensor:
        """That of the population at `node`, of the shape of one sample."""
        threshold = network.sites[node.name].threshold
        if network.code == "differential":  # a train says its last estimate, not its sum
            sent = self.steps * self._said(upstream(network, node.name)) / threshold
        else:
            sent = self.relay.counts(network, node.name, self.progress)
        return (sent - self.steps * self.analog[node.name] / threshold) / len(self.x)

    def settle(self, network: SpikingNetwork, node: Node) -> None:
        """The population at `node` and what is before it stay as they are in `network`."""
        self.left.remove(node.name)
        if network.code != "differential":
            self.relay.keep(network, node.name, self.left)

    def _said(self, prefix: SpikingNetwork) -> Tensor:
        """Sum over the samples of the output after the last step."""
        total = torch.zeros(prefix.graph[prefix.graph.output].shape, dtype=torch.float64)
        for start in range(0, len(self.x), self.size):
            part = self.x[start : start + self.size]
            total += simulate(prefix, part, self.steps, samples=range(start, start + len(part))).output[-1].sum(0)
            if self.progress is not None:
                self.progress(len(part))
        return total


def _per_channel(folded: Graph, node: Node, error: Tensor) -> Tensor:
    axis = channel_axis(folded, node)
    others = [i for i in range(error.ndim) if i != axis]
    return error.mean(others, keepdim=True) if others else error


def _synapses_before(graph: Graph, name: str) -> Node | None:
    """The synapses whose bias shifts the node called `name` by as much in every element, or None."""
    node = graph[name]
    if isinstance(node.op, ir.WEIGHTED):
        return node
    if not isinstance(node.op, (ir.Add, ir.MaxPool)) and not node.place.endswith(GAIN):
        return None
    found = (_synapses_before(graph, source) for source in node.inputs if len(graph.consumers(source)) == 1)
    return next((source for source in found if source is not None), None)


def _shifted(graph: Graph, source: Node, shift: Tensor) -> Graph:
    """`graph` with `shift`, which varies over the channels of `source` only, taken from its bias."""
    op = source.op
    assert isinstance(op, (ir.Linear, ir.Conv))
    vector = shift.reshape(-1).expand(len(op.weight))
    bias = torch.zeros_like(vector) if op.bias is None else op.bias
    changed = replace(source, op=replace(op, bias=snap(bias - vector)))
    return Graph(tuple(changed if node.name == source.name else node for node in graph), graph.output)
