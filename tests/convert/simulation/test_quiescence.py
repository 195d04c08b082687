"""The theorem of the exact mode, and everything that its simulation promises beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor

from convert.errors import CalibrationError, ConfigError, GraphError, InputShapeError
from convert.graph.folding import fold
from convert.graph.ir import Graph
from convert.graph.semantics import run
from convert.network import SpikingNetwork, threshold_balanced
from convert.normalisation.quantisation import evened, quantise
from convert.simulation.asynchronous import Timing, simulate_exact_reference
from convert.simulation.engine import simulate
from convert.simulation.module import SpikingModule
from convert.simulation.quiescence import certify, most_steps, quantised, simulate_exact
from convert.simulation.reference import simulate_reference
from convert.simulation.results import Settled
from tests.oracles.conversions import converted, fitted, folded
from tests.oracles.exact_graphs import stand, whole_numbers
from tests.oracles.graphs import WORDS, grown
from tests.oracles.networks import samples

TREES = 50
DEPTH = 32


def exact(graph: Graph, x: Tensor, levels: int = 15) -> SpikingNetwork:
    even = evened(graph)
    return quantise(even, fitted(even, x), levels, 1e-3, float(x.abs().max()))


def named(name: str, levels: int = 15) -> tuple[SpikingNetwork, Tensor]:
    graph = folded(name)
    x = samples(graph.input.shape, 32)
    return exact(graph, x, levels), x


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


def test_the_random_networks_are_not_trivial() -> None:
    """They fire, correct themselves, wait for each other, and hold everything that the theorem names."""
    kinds: set[str] = set()
    corrected = slower = 0
    for seed in range(12):
        network, x = stand(seed, 10, depth=1 + seed % DEPTH)
        settled = simulate_exact(network, x)
        kinds |= {node.kind for node in network.graph}
        emitted = sum(float(value.sum()) for value in settled.spikes.values())
        corrected += emitted > sum(float(value.abs().sum()) for value in settled.counts.values())
        slower += int(simulate_exact_reference(network, x, Timing(4, 0.5, True)).steps) > int(settled.steps)
    assert {"Conv", "Add", "Concat", "MaxPool", "AvgPool", "Pad"} <= kinds
    assert corrected > 9
    assert slower > 9


@settings(max_examples=150)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), st.integers(0, 10**6), st.sampled_from([1, 4, 15]))
def test_every_operation_settles_at_its_quantised_value(words: list[str], seed: int, levels: int) -> None:
    graph = fold(grown([*words, "relu"], seed))
    x = torch.rand((3, 2, 6, 6), generator=torch.Generator().manual_seed(seed)) * 2 - 0.5
    try:
        network = exact(graph, x, levels)
    except (InputShapeError, CalibrationError):  # too many layers without neurons between them; a silent layer
        reject()
    expected = quantised(network, x)
    for settled in (simulate_exact(network, x), simulate_exact_reference(network, x, timing(seed))):
        assert bool(settled.certified.all())
        assert torch.equal(settled.charge, expected[network.graph.output])
        assert all(torch.equal(settled.counts[name], expected[name]) for name in network.sites)


@pytest.mark.parametrize("name", ["mlp", "residual", "tanh", "max pool, overlapping"])
def test_synchronous_steps_are_those_of_the_reference(name: str) -> None:
    network, x = named(name)
    fast, slow = simulate_exact(network, x[:6]), simulate_exact_reference(network, x[:6])
    assert torch.equal(fast.steps, slow.steps)
    assert torch.equal(fast.logits, slow.logits)
    for site in network.sites:
        assert torch.equal(fast.counts[site], slow.counts[site])
        assert torch.equal(fast.spikes[site], slow.spikes[site])


@pytest.mark.parametrize("name", ["mlp", "residual", "tanh", "max pool, overlapping"])
def test_more_levels_come_closer_to_the_network(name: str) -> None:
    graph = folded(name)
    x = samples(graph.input.shape, 32)
    expected = run(graph, x.double())
    errors = [float((simulate_exact(exact(graph, x, n), x).output - expected).abs().mean()) for n in (3, 31, 255)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 0.02 * float(expected.abs().mean())


@pytest.mark.parametrize("seed", range(12))
def test_no_sample_needs_more_than_the_most_steps(seed: int) -> None:
    network, x = stand(seed, 10, depth=1 + 2 * seed)
    assert int(simulate_exact(network, x).steps.max()) <= most_steps(network)


def test_the_most_steps_of_a_perceptron_are_its_levels_layer_by_layer() -> None:
    network, _ = named("mlp", levels=7)
    assert most_steps(network) == 1 + 7 * len(network.sites)


def test_the_certificate_is_computed_and_not_assumed() -> None:
    network, x = named("mlp")
    settled = simulate_exact(network, x)
    assert bool(certify(network, x, settled.counts, settled.charge).all())
    for site in network.sites:
        wrong = settled.counts[site].clone()
        wrong[3, 0] += 1
        told = certify(network, x, {**settled.counts, site: wrong}, settled.charge)
        assert told.logical_not().nonzero().flatten().tolist() == [3]
    charge = settled.charge.clone()
    charge[5, 1] += 2.0**-settled.bits
    assert certify(network, x, settled.counts, charge).logical_not().nonzero().flatten().tolist() == [5]


def test_a_network_that_is_stopped_early_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = named("mlp")
    span = type(next(iter(network.sites.values())).neuron).span
    assert bool(simulate_exact(network, x).certified.all())
    monkeypatch.setattr(type(next(iter(network.sites.values())).neuron), "span", property(lambda self: 2))
    assert not bool(simulate_exact(network, x).certified.all())
    monkeypatch.setattr(type(next(iter(network.sites.values())).neuron), "span", span)


@pytest.mark.parametrize("name", ["mlp", "max pool, overlapping"])
def test_a_sample_settles_the_same_in_any_batch(name: str) -> None:
    network, x = named(name)
    whole = simulate_exact(network, x)
    alone = [simulate_exact(network, x[i : i + 1]) for i in range(5)]
    assert torch.equal(whole.logits[:5], torch.cat([one.logits for one in alone]))
    assert torch.equal(whole.steps[:5], torch.cat([one.steps for one in alone]))


def test_an_empty_batch_is_at_rest() -> None:
    network, x = named("mlp")
    assert simulate_exact(network, x[:0], trace=True).output.shape[0] == 0


def test_the_trace_ends_where_the_network_rests() -> None:
    network, x = named("residual")
    settled = simulate_exact(network, x, trace=True)
    assert settled.trace is not None
    assert settled.emitted is not None
    assert len(settled.trace) == int(settled.steps.max())
    torch.testing.assert_close(settled.trace[-1], settled.output, rtol=0, atol=0)
    assert not torch.equal(settled.trace[2], settled.output)
    for site, spikes in settled.spikes.items():
        torch.testing.assert_close(settled.emitted[site][-1], spikes.sum(0), rtol=0, atol=0)
        assert bool((settled.emitted[site].diff(dim=0) >= 0).all())


def test_logits_are_whole_numbers_of_their_lattice() -> None:
    network, x = named("mlp")
    settled = simulate_exact(network, x)
    scale = network.scales[network.graph.output]
    torch.testing.assert_close(settled.logits * 2.0**-settled.bits * scale, settled.output, rtol=0, atol=0)
    assert settled.logits.dtype == torch.int64


def test_an_exact_network_is_not_simulated_for_a_number_of_steps() -> None:
    network, x = named("mlp")
    for attempt in (simulate, simulate_reference):
        with pytest.raises(ConfigError, match="simulate_exact"):
            attempt(network, x, 5)
    with pytest.raises(ConfigError, match="simulate_exact"):
        SpikingModule(network)


def test_what_the_theorem_does_not_cover_is_refused() -> None:
    network, x = named("mlp")
    rates, _ = converted("mlp")
    with pytest.raises(ConfigError, match="'rate'"):
        simulate_exact(rates, x)
    with pytest.raises(InputShapeError, match="samples of shape"):
        simulate_exact(network, x[:, :-1])
    with pytest.raises(InputShapeError, match="NaN"):
        simulate_exact(network, x * torch.nan)
    with pytest.raises(InputShapeError, match="bits of float64"):
        simulate_exact(network, x * 2.0**30)
    one = next(iter(network.sites))
    mixed = {**network.sites, one: next(iter(rates.sites.values()))}
    with pytest.raises(GraphError, match="exclude"):
        replace(network, sites=mixed)
    with pytest.raises(GraphError, match="quantum other than 1"):
        threshold_balanced(network)
