import math

import pytest
import torch

from convert.errors import ConfigError, InputShapeError
from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.semantics import apply, run
from convert.lattice import fraction_bits
from convert.normalisation.quantisation import evened, quantise
from convert.normalisation.rules import Threshold
from convert.simulation.quiescence import quantised
from tests.oracles.conversions import fitted, folded
from tests.oracles.graphs import grown
from tests.oracles.networks import samples


def exact(graph, x, levels=15):
    return quantise(graph, fitted(graph, x), levels, 1e-3, float(x.abs().max()))


def fake_quantised(graph, x, lams, levels):
    """The quantised network in floating point: every activation rounded to its levels, weights as they are."""
    values = {}
    for node in graph:
        if isinstance(node.op, ir.Input):
            values[node.name] = x.double()
        else:
            value = apply(node.op, *(values[name] for name in node.inputs))
            if node.name in lams:
                theta = lams[node.name] / levels
                value = theta * torch.floor(value / theta + 0.5).clamp(-levels, levels)
            values[node.name] = value
    return values[graph.output]


@pytest.mark.parametrize("name", ["mlp", "relu6", "tanh", "hard tanh", "conv norm average", "residual", "concat"])
def test_it_is_the_network_with_rounded_activations(name):
    """Up to the lattice: a weight moves by 2^-15 at most, so few levels differ and the output hardly."""
    graph = evened(folded(name))
    x = samples(graph.input.shape, 48)
    lams = {n: t.value for n, t in fitted(graph, x).items()}
    network = exact(graph, x)
    got = quantised(network, x)[network.graph.output] * network.scales[network.graph.output]
    expected = fake_quantised(graph, x, lams, 15)
    close = (got - expected).abs() < 0.002 * expected.abs().max()
    assert float(close.double().mean()) > 0.95


def test_a_threshold_of_the_highest_level_is_lam():
    graph = folded("mlp")
    x = samples(graph.input.shape, 32)
    lams = fitted(graph, x)
    network = exact(graph, x, levels=7)
    for name, site in network.sites.items():
        torch.testing.assert_close(site.threshold * 7, lams[name].value, rtol=1e-12, atol=0)
        assert site.neuron.levels == tuple(range(8))


def test_everything_lies_on_the_lattice():
    network = exact(folded("conv norm average"), samples(folded("conv norm average").input.shape, 16))
    for node in network.graph:
        for tensor in ir.tensors(node.op).values():
            assert fraction_bits(tensor) <= 14


WORDS = ["adaptive odd", "average without padding", "padded average", "adaptive even", "average"]


@pytest.mark.parametrize("word", WORDS)
def test_evened_pooling_is_the_same_function_without_windows_that_differ(word):
    graph = fold(grown(["conv", "relu", word, "conv", "relu"], 3, (2, 7, 5) if "even" not in word else (2, 6, 6)))
    even = evened(graph)
    x = torch.rand((4, *graph.input.shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(run(even, x), run(graph, x))
    for node in even:
        assert not isinstance(node.op, ir.AdaptiveAvgPool)
        if isinstance(node.op, ir.AvgPool):
            assert node.op.divisor or (
                not node.op.ceil_mode and (node.op.count_include_pad or not any(node.op.padding))
            )


def chain(layers, seed=0):
    """So many linear layers in a row without an activation between them, and one at the end."""
    generator = torch.Generator().manual_seed(seed)
    shape = (16,)
    nodes = [ir.Node("input", ir.Input(shape), (), shape)]
    for i in range(layers):
        weight = torch.randn(16, 16, generator=generator, dtype=torch.float64) / 4
        nodes.append(ir.Node(f"linear{i}", ir.Linear(weight), (nodes[-1].name,), shape))
    nodes.append(ir.Node("relu", ir.Relu(), (nodes[-1].name,), shape))
    return ir.Graph(tuple(nodes), "relu")


@pytest.mark.parametrize(("layers", "coarser"), [(1, False), (2, True), (4, True)])
def test_layers_without_neurons_between_them_share_the_bits(layers, coarser):
    graph = chain(layers)
    network = quantise(graph, {"relu": Threshold(torch.ones(1, dtype=torch.float64), "max")}, 15, 1e-3, 1.0)
    bits = [fraction_bits(node.op.weight) for node in network.graph if isinstance(node.op, ir.Linear)]
    assert (min(bits) < 14) == coarser
    assert sum(bits) + 16 <= 52


def test_too_many_layers_without_neurons_are_refused_by_name():
    with pytest.raises(InputShapeError, match=r"linear.*bits of float64"):
        quantise(chain(40), {"relu": Threshold(torch.ones(1, dtype=torch.float64), "max")}, 15, 1e-3, 1e6)


def test_no_levels_are_refused():
    graph = folded("mlp")
    with pytest.raises(ConfigError, match="--levels: got 0"):
        exact(graph, samples(graph.input.shape, 8), levels=0)


def test_the_quantum_of_a_curve_is_one_number():
    graph = folded("tanh")
    network = exact(graph, samples(graph.input.shape, 8), levels=15)
    for site in network.sites.values():
        assert site.threshold.flatten().tolist() == [pytest.approx(1 / 15)]
        assert site.neuron.thresholds[-1] == pytest.approx(15 * math.atanh(14.5 / 15), abs=2.0**-13)
