"""The theorem of the exact mode, and everything that its simulation promises beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convert.errors import ConfigError, GraphError, InputShapeError
from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.semantics import run
from convert.network import SpikingNetwork
from convert.normalisation.quantisation import evened, quantise
from convert.simulation.asynchronous import Timing, simulate_exact_reference
from convert.simulation.engine import simulate
from convert.simulation.quiescence import Settled, certify, most_steps, quantised, simulate_exact
from convert.simulation.reference import simulate_reference
from tests.oracles.conversions import converted, fitted, folded
from tests.oracles.exact_graphs import stand, whole_numbers
from tests.oracles.graphs import WORDS, grown
from tests.oracles.networks import samples

TREES = 50
DEPTH = 32


def exact(graph: ir.Graph, x: Tensor, levels: int = 15) -> SpikingNetwork:
    even = evened(graph)
    return quantise(even, fitted(even, x), levels, 1e-3)


def differing_trees(network: SpikingNetwork, settled: Settled, expected: dict[str, np.ndarray]) -> int:
    """How many of the networks of a stand have a count or an output that is not the expected one."""
    bits = int(expected["output bits"])
    pairs = [(settled.counts[name][0].numpy(), expected[name]) for name in network.sites]
    pairs.append((settled.charge[0].numpy() * 2.0**bits, expected["output"]))
    return int(np.stack([(a != b).reshape(TREES, -1).any(1) for a, b in pairs]).any(0).sum())


def timing(seed: int) -> Timing:
    """Without delays, with them; all neurons at once, or some; in order, or in any."""
    dice = np.random.default_rng([seed, 1])
    return Timing(int(dice.integers(0, 5)), float(dice.choice([0.4, 0.8, 1.0])), bool(dice.random() < 0.8), seed)


def grow_and_compare(wirings: int) -> None:
    """Every tree of every stand, twice: in synchronous steps, and with delays and in any order."""
    for seed in range(wirings):
        network, x = stand(seed, TREES, depth=1 + seed % DEPTH)
        expected = whole_numbers(network, x)
        for settled in (simulate_exact(network, x), simulate_exact_reference(network, x, timing(seed))):
            assert differing_trees(network, settled, expected) == 0, f"stand {seed}"
            assert bool(settled.certified.all()), f"stand {seed}"


def test_a_quiescent_network_is_its_quantised_network() -> None:
    """2,000 random networks, 50 on each of 40 wirings, of 1 to 32 populations in a row."""
    grow_and_compare(40)


@pytest.mark.slow
def test_a_quiescent_network_is_its_quantised_network_a_hundred_thousand_times() -> None:
    grow_and_compare(2000)
