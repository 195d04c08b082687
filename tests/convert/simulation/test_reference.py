import math

import pytest
import torch

from convert.graph.semantics import run
from convert.simulation.reference import simulate_reference
from tests.oracles.conversions import converted, folded
from tests.oracles.loops import perceptron_counts


@pytest.mark.parametrize(
    ("neuron", "tau_mem", "tau_syn"), [("if", math.inf, 0.0), ("lif", 20.0, 0.0), ("seed", 20.0, 2.0)]
)
@pytest.mark.parametrize("rule", ["max", "mse"])
def test_a_perceptron_spikes_as_its_equations_say(neuron, tau_mem, tau_syn, rule):
    """The oracle against an oracle of its own: loops over numbers."""
    network, x = converted("mlp", neuron, rule=rule)
    linear = [n.op for n in network.graph if n.kind == "Linear"]
    layers = [(op.weight.tolist(), op.bias.tolist()) for op in linear]
    got = simulate_reference(network, x[:3], 50)
    for k, sample in enumerate(torch.round(x[:3].double() * 2**16) / 2**16):
        counts, readout = perceptron_counts(layers, sample.tolist(), 50, tau_mem, tau_syn)
        for site, expected in zip(network.sites, counts, strict=True):
            assert got.counts[site][k].tolist() == expected
        scale = network.scales[network.graph.output]
        torch.testing.assert_close(got.output[-1, k], torch.tensor(readout).double() / 50 * scale)


def test_the_output_is_the_mean_read_out_so_far_in_the_original_s_units():
    network, x = converted("ends with neurons")
    result = simulate_reference(network, x[:4], 30, record=range(1, 31))
    (last,) = [n for n in network.sites if n == network.graph.output]
    lam = network.sites[last].threshold
    torch.testing.assert_close(result.output[-1], result.counts[last] / 30 * lam)
    per_step = result.output * torch.arange(1, 31).reshape(-1, 1, 1) / lam
    emitted = torch.diff(per_step, dim=0)
    assert bool(((emitted - emitted.round()).abs() < 1e-9).all())
    torch.testing.assert_close(emitted.sum((1, 2)).double(), torch.diff(result.spikes[last].sum(1)).double())


@pytest.mark.parametrize("name", ["mlp", "residual", "tanh"])
def test_the_counts_are_signed_and_the_spikes_are_not(name):
    network, x = converted(name)
    result = simulate_reference(network, x[:4], 20)
    for site, counts in result.counts.items():
        assert bool((result.spikes[site][-1] >= counts.sum(0).abs()).all())
        if not network.sites[site].neuron.signed:
            assert torch.equal(result.spikes[site][-1], counts.sum(0))
            assert float(counts.min()) >= 0


def test_a_network_without_an_activation_range_to_leave_is_exact_in_the_limit():
    network, x = converted("mlp", "if")
    expected = run(folded("mlp"), x.double())
    got = simulate_reference(network, x, 2000).output[-1]
    assert float((got - expected).abs().max()) < 0.01 * float(expected.abs().max())
