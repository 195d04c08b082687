from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.errors import GraphError
from convert.graph import ir
from convert.graph.semantics import apply, run
from convert.lattice import Carried
from convert.network import Site, rescaled, threshold_balanced
from convert.neurons.leaky import LeakyNeuron
from convert.normalisation.calibration import calibrate_potentials
from convert.normalisation.rules import Threshold
from convert.normalisation.scaling import normalise
from convert.simulation.engine import simulate
from convert.simulation.reference import simulate_reference
from tests.oracles.conversions import converted, fitted, folded, neurons, spiking
from tests.oracles.graphs import Growing
from tests.oracles.networks import NETWORKS, samples

STEPS = 24


def assert_same_trains(a, b, x, exact=True):
    """Equal counts of every neuron, and equal totals after every step."""
    runs = [simulate_reference(n, x, STEPS, record=range(1, STEPS + 1), seed=3) for n in (a, b)]
    for name in a.sites:
        assert torch.equal(runs[0].counts[name], runs[1].counts[name]), name
        assert torch.equal(runs[0].spikes[name], runs[1].spikes[name]), name
    torch.testing.assert_close(runs[1].output, runs[0].output, rtol=0 if exact else 1e-9, atol=0 if exact else 1e-9)
    return runs[0]


@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
@pytest.mark.parametrize("name", ["mlp", "conv norm average", "max pool", "residual", "tanh", "conv1d", "relu6"])
@settings(max_examples=4, deadline=None)
@given(exponents=st.lists(st.integers(-4, 4), min_size=16, max_size=16))
def test_threshold_balancing_gives_the_same_spike_trains(neuron, name, exponents):
    """Thresholds that are powers of two: both networks compute in floating point without any rounding between them."""
    graph, x = folded(name), samples(folded(name).input.shape, 3)
    lams = {}
    for node, lam in fitted(graph, x).items():
        if lam.rule.startswith("fixed"):
            lams[node] = lam
            continue
        powers = torch.tensor(exponents, dtype=torch.float64)[: lam.value.numel()].reshape(lam.value.shape)
        lams[node] = Threshold(torch.exp2(lam.value.log2().round() + powers / 4 // 1), "power of two")
    network = normalise(graph, lams, neurons(neuron), 1e-3)
    recorded = assert_same_trains(network, threshold_balanced(network), x)
    assert sum(float(v[-1].sum()) for v in recorded.spikes.values()) > 0


@pytest.mark.parametrize("neuron", ["lif", "seed"])
@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "neurons first"])
def test_threshold_balancing_gives_the_same_spike_trains_for_any_thresholds(neuron, name):
    network, x = converted(name, neuron)
    assert_same_trains(network, threshold_balanced(network), x[:4], exact=False)


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "max pool of the input", "neurons first", "residual"])
@pytest.mark.parametrize("scale", [1.0, 2.0, 0.7])
def test_threshold_balancing_keeps_poisson_input(name, scale):
    network, x = converted(name, "seed", input_code="poisson", input_scale=scale)
    assert_same_trains(network, threshold_balanced(network), x[:4] * scale, exact=False)


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "residual"])
def test_threshold_balancing_keeps_calibrated_potentials(name):
    network, x = converted(name, "seed")
    network = calibrate_potentials(network, folded(name), x[:16], 8)
    assert any(bool(site.initial.any()) for site in network.sites.values())
    assert_same_trains(network, threshold_balanced(network), x[:4], exact=False)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_balanced_network_has_the_weights_of_the_original(name):
    """W and b as they were, up to the lattice of the normalised network; the threshold moves into the quantum."""
    network, x = converted(name, "lif")
    balanced, original = threshold_balanced(network), folded(name)
    for node in original:
        if isinstance(node.op, ir.WEIGHTED):
            for key, tensor in ir.tensors(node.op).items():
                found = ir.tensors(balanced.graph[node.name].op)[key]
                out, source = network.scales[node.name].max(), network.scales[network.graph[node.name].inputs[0]].min()
                rounding = 2.0**-15 * out / (source if key == "weight" else 1.0)
                assert float((found - tensor).abs().max()) <= float(rounding) * (1 + 1e-9)
    for site, lam in ((s, network.sites[n].threshold) for n, s in balanced.sites.items()):
        assert torch.equal(site.quantum, lam)
    expected = run(original, x.double())
    assert float((run(balanced.graph, x.double()) - expected).abs().max()) < 0.005 * float(expected.abs().max())
    assert all(bool((s == 1).all()) for s in balanced.scales.values())


def test_a_balanced_network_with_poisson_input_is_in_units_of_the_input():
    network, x = converted("mlp", input_code="poisson", input_scale=4.0)
    balanced = threshold_balanced(network)
    assert all(bool((s == 4).all()) for s in balanced.scales.values())
    expected = run(folded("mlp"), x.double())
    assert float((4 * run(balanced.graph, x.double() / 4) - expected).abs().max()) < 0.005 * float(expected.abs().max())


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_engine_refuses_a_balanced_network(per_channel):
    """It is made for quantum 1, and must not return something else for another quantum."""
    network, x = converted("mlp", "lif", per_channel=per_channel)
    with pytest.raises(GraphError, match=r"^relu, relu_1: quantum other than 1.*simulate_reference"):
        simulate(threshold_balanced(network), x[:4], STEPS)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_rescaled_weights_take_divided_inputs_and_give_multiplied_outputs(groups, bias):
    growing = Growing((4, 5, 5), 0)
    growing.conv(groups=groups)
    conv = growing.nodes[-1].op
    conv = replace(conv, bias=conv.bias if bias else None)
    g = torch.Generator().manual_seed(1)
    source, target = (0.5 + torch.rand((n, 1, 1), generator=g, dtype=torch.float64) for n in (4, conv.weight.shape[0]))
    x = torch.randn((2, 4, 5, 5), generator=g, dtype=torch.float64)
    got = apply(rescaled(conv, source, target), x / source)
    torch.testing.assert_close(got, apply(conv, x) * target)
    linear = ir.Linear(growing.random(3, 4), growing.random(3) if bias else None)
    s, t = source.flatten(), target.flatten()[:1].expand(3)
    torch.testing.assert_close(apply(rescaled(linear, s, t), x[..., 0, 0] / s), apply(linear, x[..., 0, 0]) * t)


def site(value=1.0):
    one = torch.ones(())
    return Site(LeakyNeuron(), torch.as_tensor(value), one, one)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sites": {}}, "must be the same"),
        ({"sites": {"relu": site(), "relu_1": site(), "more": site()}}, "more"),
        ({"sites": {"relu": site(0.0), "relu_1": site()}}, "relu: got a threshold or quantum that is not positive"),
        (
            {"sites": {"relu": site(), "relu_1": site([1.0, -1.0])}},
            "relu_1: got a threshold or quantum that is not positive",
        ),
        (
            {"sites": {"relu": site(), "relu_1": site(float("nan"))}},
            "relu_1: got a threshold or quantum that is not positive",
        ),
        ({"sites": {"relu": site(), "relu_1": site(float("inf"))}}, "relu_1: got .* that is not finite"),
        ({"input_code": "morse"}, "'morse'; expected one of constant, poisson"),
        ({"dt_s": 0.0}, "dt is 0.0 s"),
        ({"dt_s": float("nan")}, "dt is nan s"),
        ({"dt_s": float("inf")}, "dt is inf s"),
        (
            {"sites": {"relu": site(), "relu_1": site([1.0, 1.0])}},
            r"relu_1: got .* of shape \(2,\) that .* does not fit",
        ),
        ({"scales": {}}, "input, linear, relu, linear_1, relu_1, linear_2: got no scale"),
    ],
)
def test_a_network_whose_parts_do_not_belong_together_is_refused(change, said):
    network, _ = converted("mlp")
    with pytest.raises(GraphError, match=said):
        replace(network, **change)


def test_a_network_knows_its_neurons_and_who_spikes():
    network, _ = converted("conv norm average")
    assert network.neuron_count() == 4 * 36 + 4
    assert network.spiking() == dict.fromkeys(network.sites, Carried(0, 1.0))
    poisson = spiking(folded("tanh"), samples((8,), 8), input_code="poisson")
    assert poisson.spiking() == dict.fromkeys(("input", *poisson.sites), Carried(0, 1.0))
