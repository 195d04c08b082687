"""The stages of a conversion in one call, for tests of what comes after them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from torch import Tensor

from convert.graph.folding import fold
from convert.graph.ir import Graph, Op
from convert.network import SpikingNetwork
from convert.neurons.families import Law, make_neuron, time_constants
from convert.neurons.leaky import LeakyNeuron
from convert.normalisation.rules import Threshold, thresholds
from convert.normalisation.scaling import normalise
from convert.normalisation.statistics import observe
from convert.reading.tracing import trace
from tests.oracles.networks import network, samples


@cache
def folded(name: str, seed: int = 0) -> Graph:
    """The folded graph of a network of `tests.oracles.networks`."""
    return fold(trace(*network(name, seed)).graph)


def fitted(graph: Graph, x: Tensor, rule: str = "max", per_channel: bool = True) -> dict[str, Threshold]:
    """Thresholds of a folded graph on samples."""
    return thresholds(graph, observe(graph, x), rule, per_channel, percentile=99.0, steps=16)


def spiking(
    graph: Graph,
    x: Tensor,
    neuron: str = "if",
    rule: str = "max",
    per_channel: bool = True,
    input_code: str = "constant",
    input_scale: float = 1.0,
) -> SpikingNetwork:
    """The spiking network of a folded graph, thresholds from samples."""
    lams = fitted(graph, x, rule, per_channel)
    return normalise(graph, lams, neurons(neuron), 1e-3, input_code, input_scale)


def neurons(name: str, law: Law | None = None) -> Callable[[Op], LeakyNeuron]:
    """What `normalise` asks for the neurons of the given name."""
    tau_mem_s, tau_syn_s = time_constants(name, 20e-3, 2e-3)
    return partial(make_neuron, tau_mem_s=tau_mem_s, tau_syn_s=tau_syn_s, law=law)


def converted(name: str, neuron: str = "if", **options: object) -> tuple[SpikingNetwork, Tensor]:
    """The named network as spikes, and samples like those that it was fitted on."""
    graph = folded(name)
    x = samples(graph.input.shape, 64)
    return spiking(graph, x, neuron, **options), x  # type: ignore[arg-type]
