"""What a spiking network tends to as it runs on: the network that it was converted from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.graph.folding import fold
from convert.graph.semantics import run
from convert.simulation.engine import simulate
from tests.oracles.conversions import converted, folded, spiking
from tests.oracles.graphs import WORDS, grown
from tests.oracles.networks import NETWORKS, samples

LINEAR_WORDS = [w for w in WORDS if w not in ("tanh", "hardtanh")]


def errors(network, graph, x, steps, **options):
    """Mean absolute and mean signed error of the read-out, relative to the output's spread, at each of `steps`."""
    expected = run(graph, x.double())
    output = simulate(network, x, max(steps), **options).output
    spread = float(expected.std())
    differences = [output[t - 1] - expected for t in steps]
    return [float(d.abs().mean()) / spread for d in differences], [float(d.mean()) / spread for d in differences]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_error_of_an_if_network_vanishes_with_the_number_of_steps(name, per_channel):
    network, x = converted(name, "if", per_channel=per_channel)
    absolute, _ = errors(network, folded(name), x, (8, 64, 512))
    if name == "neurons first":  # constant input straight into neurons: exact whenever T x is near a whole number
        assert absolute[0] > absolute[2]
    else:
        assert absolute[0] > 2 * absolute[1] > 4 * absolute[2]
    assert absolute[2] < 0.04


@settings(max_examples=25, deadline=None)
@given(words=st.lists(st.sampled_from(LINEAR_WORDS), min_size=1, max_size=8), seed=st.integers(0, 10**6))
def test_the_error_of_a_random_if_network_falls(words, seed):
    graph = fold(grown(["conv", *words, "conv", "relu"], seed))
    x = torch.rand((8, *graph.input.shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    try:
        network = spiking(graph, x)
    except ValueError as silent:
        assert "no neuron was active" in str(silent)
        return
    absolute, _ = errors(network, graph, x, (16, 1024))
    assert absolute[1] < max(absolute[0] / 3, 0.01)


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "residual", "concat", "max pool"])
def test_a_leaky_network_comes_close_and_stays_there(name):
    network, x = converted(name, "seed")
    absolute, _ = errors(network, folded(name), x, (4, 256, 512))
    assert absolute[1] < 0.25 * absolute[0]
    assert absolute[2] < 1.1 * absolute[1] + 0.01


@pytest.mark.parametrize("neuron", ["if", "seed"])
def test_the_identity_path_of_a_residual_carries_the_right_scale(neuron):
    """Were its gain forgotten, the sum would be off by the ratio of two thresholds, at any number of steps."""
    network, x = converted("residual", neuron)
    absolute, signed = errors(network, folded("residual"), x, (512,))
    assert absolute[0] < {"if": 0.02, "seed": 0.08}[neuron]
    assert abs(signed[0]) < {"if": 0.02, "seed": 0.08}[neuron]


@pytest.mark.parametrize("neuron", ["if", "seed"])
@pytest.mark.parametrize(
    "name", ["max pool", "max pool, overlapping", "max pool of the drive", "max pool after average", "max pool 1d"]
)
def test_max_pooling_does_not_drift_upwards(name, neuron):
    """The maximum of spike trains would exceed the maximum of their rates; that of accumulated drive does not."""
    network, x = converted(name, neuron)
    graph = folded(name)
    pooled = [n.name for n in graph.sites() if graph[n.inputs[0]].kind == "MaxPool"] or [n.name for n in graph.sites()]
    values = {}
    run(graph, x.double(), lambda node, value: values.update({node.name: value}))
    surplus = []
    for steps in (64, 256, 1024):
        counts = simulate(network, x, steps).counts
        rates = [counts[n].double() / steps - values[n] / network.sites[n].threshold for n in pooled]
        surplus.append(max(float(r.mean()) for r in rates))
    assert surplus[2] < {"if": 0.003, "seed": 0.02}[neuron]
    assert surplus[2] <= surplus[0] + 0.002


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "residual", "tanh", "max pool"])
def test_poisson_input_tends_to_the_same_network(name):
    network, x = converted(name, "if", input_code="poisson")
    absolute, _ = errors(network, folded(name), x[:16], (16, 2000))
    assert absolute[1] < 0.25 * absolute[0]
    assert absolute[1] < 0.1


def test_the_scale_of_a_poisson_input_is_undone():
    network, x = converted("mlp", "if", input_code="poisson", input_scale=2.0)
    absolute, _ = errors(network, folded("mlp"), 2 * x[:16], (2000,))
    assert absolute[0] < 0.2  # twice the calibrated range: some neurons saturate
    absolute, _ = errors(network, folded("mlp"), x[:16], (2000,))
    assert absolute[0] < 0.1


@pytest.mark.parametrize("name", ["tanh", "hard tanh", "relu6"])
@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
def test_activations_that_saturate_are_followed_far_into_saturation(name, neuron):
    graph = folded(name)
    x = {"tanh": 8, "hard tanh": 6, "relu6": 40}[name] * (samples(graph.input.shape, 64) - 0.5)
    values = []
    run(graph, x.double(), lambda node, value: values.append(value) if node is graph.sites()[0] else None)
    top = {"tanh": 0.95, "hard tanh": 1.0, "relu6": 6.0}[name]
    assert 0.02 < float((values[0] >= top).double().mean()) < 0.6
    absolute, _ = errors(spiking(graph, x, neuron), graph, x, (8, 512))
    assert absolute[1] < 0.05
    assert absolute[1] < 0.5 * absolute[0]
