"""The differential code: the engine against the reference, and both against exact arithmetic."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.semantics import run
from convert.network import threshold_balanced
from convert.neurons.differential import reciprocal
from convert.neurons.families import Law, takes_both_signs
from convert.normalisation.bounds import bounded_thresholds
from convert.normalisation.calibration import calibrate_biases, calibrate_potentials
from convert.normalisation.scaling import normalise
from convert.simulation import engine
from convert.simulation.engine import simulate
from convert.simulation.events.library import kernel
from convert.simulation.inputs import constant_current
from convert.simulation.module import SpikingModule
from convert.simulation.reference import simulate_reference
from convert.writing.nir import to_nir
from tests.oracles.conversions import fitted, folded, neurons
from tests.oracles.graphs import WORDS, grown
from tests.oracles.loops import differential_perceptron
from tests.oracles.networks import NETWORKS, samples

BOTH_SIGNS = ("tanh", "hard tanh", "max pool, overlapping")
NAMES = [name for name in NETWORKS if name not in BOTH_SIGNS]
FEW = ("mlp", "conv norm average", "residual", "max pool", "adaptive average")


def coded(name, levels=4, rule="mse"):
    graph = folded(name)
    x = samples(graph.input.shape, 64)
    law = Law(levels=levels, code="differential")
    return normalise(graph, fitted(graph, x, rule), neurons("if", law), 1e-3), x


def assert_same(a, b, exact=True):
    assert a.record == b.record
    for name in a.counts:
        assert torch.equal(a.counts[name].double(), b.counts[name].double()), name
        assert torch.equal(a.spikes[name].double(), b.spikes[name].double()), name
    torch.testing.assert_close(a.output, b.output, rtol=0 if exact else 1e-12, atol=0 if exact else 1e-12)


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_the_engine_spikes_as_the_reference(name, levels):
    network, x = coded(name, levels)
    assert network.code == "differential"
    got = simulate(network, x[:3], 37, record=(1, 5, 16, 20, 37))
    assert_same(got, simulate_reference(network, x[:3], 37, record=(1, 5, 16, 20, 37)), exact=False)
    assert all(float(v[-1].sum()) > 0 for v in got.spikes.values())


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from([w for w in WORDS if w != "tanh"]), min_size=2, max_size=9),
    seed=st.integers(0, 10**6), shape=st.sampled_from([(2, 5, 5), (2, 7)]), levels=st.sampled_from([1, 3]),
)  # fmt: skip
def test_random_networks_agree(words, seed, shape, levels):
    graph = fold(grown([*words, "relu"], seed, shape))
    if any(takes_both_signs(node.op) for node in graph.sites()):
        return
    lams = bounded_thresholds(graph, 0.0, 0.3, per_channel=True)
    network = normalise(graph, lams, neurons("if", Law(levels=levels, code="differential")), 1e-3)
    x = torch.rand((2, *shape), generator=torch.Generator().manual_seed(seed))
    assert_same(simulate(network, x, 20), simulate_reference(network, x, 20), exact=False)


@pytest.mark.parametrize("name", FEW)
def test_neither_batch_nor_block_matters(name, monkeypatch):
    network, x = coded(name)
    whole = simulate(network, x, 20)
    for size, start in ((1, 0), (3, 30)):
        part = simulate(network, x[start : start + size], 20)
        assert torch.equal(part.output, whole.output[:, start : start + size])
        for site, counts in part.counts.items():
            assert torch.equal(counts, whole.counts[site][start : start + size]), site
    for block in (1, 7, 64):
        monkeypatch.setattr(engine, "_BLOCK", block)
        assert_same(simulate(network, x, 20), whole)


@pytest.mark.parametrize("levels", [1, 4])
def test_a_perceptron_is_that_of_exact_arithmetic(levels):
    network, x = coded("mlp", levels)
    x, steps = constant_current(x[:4]), 30
    layers = [
        ([[Fraction(w) for w in row] for row in node.op.weight.double().tolist()],
         [Fraction(b) for b in node.op.bias.double().tolist()])
        for node in network.graph if isinstance(node.op, ir.Linear)
    ]  # fmt: skip
    neuron = next(iter(network.sites.values())).neuron
    values = [Fraction(v) for v in neuron.values]
    owed, gains = Fraction(neuron.v_threshold) * values[-1], [Fraction(reciprocal(t)) for t in range(1, steps + 1)]
    got = simulate(network, x, steps)
    scale = network.scales[network.graph.output].double()
    for i, sample in enumerate(x.tolist()):
        trains, outputs = differential_perceptron(layers, [Fraction(v) for v in sample], values, owed, gains)
        for name, population in zip(network.sites, trains, strict=True):
            assert got.counts[name][i].tolist() == [float(sum(train)) for train in population]
        course = torch.tensor([[float(v) for v in estimates] for estimates in outputs], dtype=torch.float64).T * scale
        # the mean of what is decoded is the last estimate, but for the table of 1 / t
        torch.testing.assert_close(got.output[:, i], course, rtol=1e-3, atol=1e-4)
        assert torch.equal(got.output[0, i], course[0])


@pytest.mark.parametrize("name", FEW)
def test_the_estimates_close_in_on_the_network(name):
    network, x = coded(name)
    expected, said = run(folded(name), x.double()), simulate(network, x, 256).output
    off = [float((said[t - 1] - expected).norm() / expected.norm()) for t in (4, 32, 256)]
    assert off[2] < off[1] < off[0]
    assert off[2] < 0.003


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "residual"])
def test_it_says_more_with_fewer_spikes_than_a_rate_does(name):
    network, x = coded(name)
    graph = folded(name)
    rated = normalise(graph, fitted(graph, x, "mse"), neurons("if", Law(levels=4)), 1e-3)
    expected = run(graph, x.double())
    coded_run, rated_run = (simulate(n, x, 64) for n in (network, rated))
    spikes = [sum(float(v[-1].sum()) for v in r.spikes.values()) for r in (coded_run, rated_run)]
    off = [float((r.output[-1] - expected).norm()) for r in (coded_run, rated_run)]
    assert spikes[0] < spikes[1] / 5
    assert off[0] < off[1]


@pytest.mark.parametrize("name", ["max pool", "max pool of the drive", "max pool after average"])
def test_a_max_pool_takes_the_maximum_of_the_estimates(name):
    network, x = coded(name)
    pool = next(n for n in network.graph if isinstance(n.op, ir.MaxPool))
    cut = network.graph.upstream(pool.name)
    before = type(network)(
        network.graph.upstream(pool.inputs[0]),
        {n.name: network.sites[n.name] for n in cut if n.name in network.sites},
        network.scales, network.dt_s, code="differential",
    )  # fmt: skip
    after = type(network)(
        network.graph.upstream(pool.name), before.sites, network.scales, network.dt_s, code="differential"
    )
    unscaled = simulate(before, x[:4], 25).output / network.scales[pool.inputs[0]]
    got = simulate(after, x[:4], 25).output / network.scales[pool.name]
    for t in (0, 3, 24):
        kernel = torch.nn.functional.max_pool2d if unscaled.ndim == 5 else torch.nn.functional.max_pool1d
        pooled = kernel(unscaled[t], pool.op.kernel, pool.op.stride, pool.op.padding)
        torch.testing.assert_close(got[t], pooled, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["conv norm average", "residual", "max pool"])
def test_every_step_of_the_module_is_the_engine_s(name):
    network, x = coded(name)
    engine_run = simulate(network, x[:4], 12, record=range(1, 13))
    module, state = SpikingModule(network), None
    emitted = {site: torch.zeros_like(v[0]).double() for site, v in engine_run.spikes.items()}
    for t in range(12):
        _, state = module(constant_current(x[:4]), state)
        for site in network.sites:
            emitted[site] += (state.spikes[site] != 0).sum(0)
            assert torch.equal(emitted[site], engine_run.spikes[site][t].double()), (site, t)
        torch.testing.assert_close(state.total / state.steps, engine_run.output[t], rtol=1e-12, atol=1e-12)


def test_thresholds_may_stand_in_the_neuron_instead_of_the_weights():
    graph, x = folded("mlp"), samples((8,), 64)
    lams = {k: replace(v, value=torch.exp2(v.value.log2().round())) for k, v in fitted(graph, x).items()}
    network = normalise(graph, lams, neurons("if", Law(levels=4, code="differential")), 1e-3)
    balanced = threshold_balanced(network)
    assert any(bool((s.quantum != 1).any()) for s in balanced.sites.values())
    assert_same(simulate_reference(balanced, x[:3], 20), simulate_reference(network, x[:3], 20), exact=False)


@pytest.mark.parametrize("calibrate", [calibrate_potentials, calibrate_biases])
@pytest.mark.parametrize("name", ["mlp", "conv norm average"])
def test_calibration_compares_estimates(name, calibrate):
    network, x = coded(name, levels=1)
    expected = run(folded(name), x.double())

    def off(network_):
        return float((simulate(network_, x, 8).output[-1] - expected).mean(0).abs().sum())

    assert off(calibrate(network, folded(name), x, 8)) < 0.7 * off(network)


def test_nir_has_no_such_neuron():
    with pytest.raises(ConfigError, match="--nir: got a network of differential code"):
        to_nir(coded("mlp")[0], "faithful")


def test_a_saturated_clamp_stays_at_its_ceiling():
    network, x = coded("relu6", rule="max")
    assert all(site.neuron.ceiling == 1.0 for site in network.sites.values())
    got = simulate(network, 50 * x[:3], 200)
    assert math.isfinite(float(got.output.abs().max()))
    expected = run(folded("relu6"), 50 * x[:3].double())
    assert float((got.output[-1] - expected).norm() / expected.norm()) < 1.0


@pytest.mark.skipif(kernel() is None, reason="the kernel was not built")
@pytest.mark.parametrize("name", FEW)
def test_synapses_may_run_by_events(name):
    network, x = coded(name)
    assert set(engine.engines_of(network, "events").values()) == {"dense"}  # the neurons
    assert_same(simulate(network, x[:5], 40, engine="events"), simulate(network, x[:5], 40, engine="dense"))
