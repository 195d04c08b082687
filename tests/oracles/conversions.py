"""The stages of a conversion in one call, for tests of what comes after them."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from convert.graph.folding import fold
from convert.graph.ir import Graph
from convert.network import SpikingNetwork
from convert.neurons.families import time_constants
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
    return normalise(graph, lams, *time_constants(neuron, 20e-3, 2e-3), 1e-3, input_code, input_scale)


def converted(name: str, neuron: str = "if", **options: object) -> tuple[SpikingNetwork, Tensor]:
    """The named network as spikes, and samples like those that it was fitted on."""
    graph = folded(name)
    x = samples(graph.input.shape, 64)
    return spiking(graph, x, neuron, **options), x  # type: ignore[arg-type]
