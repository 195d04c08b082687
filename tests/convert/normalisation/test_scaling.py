from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.ir import Graph
from convert.graph.semantics import run
from convert.lattice import BITS, snap
from convert.normalisation.rules import RULES, Threshold
from convert.normalisation.scaling import normalise
from convert.normalisation.statistics import channel_axis
from convert.simulation.engine import simulate
from tests.oracles.conversions import converted, fitted, folded, neurons, spiking
from tests.oracles.graphs import WORDS, Growing, grown
from tests.oracles.networks import NETWORKS, samples


def two_layers(seed=0):
    growing = Growing((6,), seed)
    growing.linear(8)
    growing.append(ir.Relu())
    growing.linear(4)
    return growing.graph()


def with_ops(graph, ops):
    return Graph(tuple(replace(n, op=ops.get(n.name, n.op)) for n in graph), graph.output)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15, deadline=None)
@given(exponents=st.lists(st.integers(-6, 6), min_size=8, max_size=8), seed=st.integers(0, 10))
def test_rescaled_channels_leave_the_spike_trains_as_they_are(rule, exponents, seed):
    """W1 and b1 times 2^k, W2 times 2^-k: the same function, other activations, the same spikes."""
    graph, x = two_layers(seed), 4 * samples((6,), 24, seed=seed) - 2  # so wide that no channel is silent
    factor = torch.exp2(torch.tensor(exponents, dtype=torch.float64))
    first, second = graph["linear_1"].op, graph["linear_3"].op
    scaled = with_ops(graph, {
        "linear_1": ir.Linear(first.weight * factor[:, None], first.bias * factor),
        "linear_3": ir.Linear(second.weight / factor, second.bias),
    })  # fmt: skip
    a, b = (spiking(g, x, "seed", rule) for g in (graph, scaled))
    assert torch.equal(b.sites["relu_2"].threshold, a.sites["relu_2"].threshold * factor)
    for node in a.graph:
        assert all(torch.equal(t, ir.tensors(b.graph[node.name].op)[k]) for k, t in ir.tensors(node.op).items())
    runs = [simulate(s, x.float(), 30, record=range(1, 31)) for s in (a, b)]
    assert torch.equal(runs[0].spikes["relu_2"], runs[1].spikes["relu_2"])
    assert runs[0].spikes["relu_2"].sum() > 0
    assert torch.equal(runs[0].output, runs[1].output)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_normalised_network_is_complete_and_lies_on_the_lattice(name, rule, per_channel):
    network, _ = converted(name, "seed", rule=rule, per_channel=per_channel)
    graph = folded(name)
    assert set(network.sites) == {n.name for n in graph.sites()}
    assert set(network.scales) == {n.name for n in network.graph}
    assert network.graph.output == graph.output
    for site in network.sites.values():
        assert bool((site.threshold > 0).all())
        assert float(site.quantum) == 1.0
        assert float(site.initial) == 0.0
    for node in network.graph:
        assert bool((network.scales[node.name] > 0).all())
        for tensor in ir.tensors(node.op).values():
            assert tensor.dtype == torch.float64
            assert torch.equal(snap(tensor), tensor), node.name
    assert not any(isinstance(n.op, (ir.Identity, ir.BatchNorm)) for n in network.graph)


def in_original_units(network, x):
    """The normalised graph as an analog network: every value times the scale of its node, name by name."""
    values = {}
    x = x / network.scales[network.graph.input.name]

    def keep(node, value):
        values[node.name] = value * network.scales[node.name]

    saturated = {n: torch.ones(()).double() for n in network.sites}
    nodes = [replace(n, op=_activation(n, network)) if n.name in saturated else n for n in network.graph]
    run(Graph(tuple(nodes), network.graph.output), x, keep)
    return values


def _activation(node, network):
    """The analog activation in units of its threshold: tanh(x) stays, clamp(0, 6) becomes clamp(0, 6 / lam)."""
    if isinstance(node.op, ir.Clamp):
        lam = float(network.sites[node.name].threshold.max())
        return ir.Clamp(node.op.low / lam, node.op.high / lam)
    return node.op


@pytest.mark.parametrize("per_channel", [True, False])
@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), seed=st.integers(0, 10**6))
@example(["conv", "relu", "refolded", "average"], 0)
@example(["conv", "relu", "refolded", "overlapping max"], 0)
@example(["conv", "relu", "refolded", "adaptive odd"], 0)
@example(["conv", "relu", "refolded", "padded average"], 0)
@example(["conv", "relu", "refolded", "border", "conv"], 0)
@example(["conv", "relu", "refolded", "cropped", "conv"], 0)
@example(["conv", "relu", "refolded", "rolled border", "conv"], 0)
@example(["conv", "relu", "channels last", "cropped", "tanh"], 0)
@example(["conv", "relu", "remember", "conv", "relu", "add", "refolded", "average"], 0)
def test_every_node_carries_its_value_in_units_of_its_scale(per_channel, words, seed):
    """Before spikes: normalising changes units and rounds to the lattice, nothing else."""
    graph = fold(grown([*words, "relu"], seed))
    x = torch.rand((8, *graph.input.shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    lams = {}
    for i, node in enumerate(graph.sites()):  # any positive thresholds will do, but a clamp's reach must be uniform
        shape = [1] * len(node.shape)
        varies = per_channel and isinstance(node.op, ir.Relu)
        if varies:
            shape[channel_axis(graph, node)] = -1
        count = node.shape[channel_axis(graph, node)] if varies else 1
        value = torch.linspace(0.5, 1.5 + i, count, dtype=torch.float64)
        lams[node.name] = Threshold(
            (value if isinstance(node.op, ir.Relu) else torch.ones(1).double()).reshape(shape), ""
        )
    network = normalise(graph, lams, neurons("if"), 1e-3)
    got, largest = in_original_units(network, x), []

    def check(node, value):
        largest.append(float(value.abs().max()) + 1)
        # every weighted layer rounds each of its weights to half a step of the lattice, in units of its scale
        torch.testing.assert_close(got[node.name], value, rtol=0.03, atol=0.03 * max(largest))

    run(graph, x, check)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_normalising_keeps_the_analog_function_of_every_network(name, per_channel):
    network, x = converted(name, per_channel=per_channel)
    expected = run(folded(name), x.double())
    got = in_original_units(network, x.double())[network.graph.output]
    assert float((got - expected).abs().max()) < 0.005 * float(expected.abs().max())


def test_poisson_input_is_in_units_of_its_scale():
    network, x = converted("mlp", input_code="poisson", input_scale=4.0)
    assert float(network.scales["input"]) == 4.0
    got = in_original_units(network, x.double())[network.graph.output]
    expected = run(folded("mlp"), x.double())
    assert float((got - expected).abs().max()) < 0.005 * float(expected.abs().max())
    assert float(converted("mlp", input_scale=4.0)[0].scales["input"]) == 1.0


def test_the_identity_path_of_a_residual_gets_the_gain_between_its_scales():
    network, _ = converted("residual")
    gains = [n for n in network.graph if isinstance(n.op, ir.Affine)]
    assert len(gains) == 2
    for gain in gains:
        source, reader = gain.inputs[0], network.graph.consumers(gain.name)[0]
        ratio = network.sites[source].threshold / network.scales[reader.name]
        assert float((gain.op.scale - ratio).abs().max()) <= 2.0**-BITS
        assert not gain.op.shift.any()


def test_average_pooling_becomes_a_sum_of_spikes():
    network, _ = converted("conv norm average")
    (pool,) = [n for n in network.graph if isinstance(n.op, ir.AvgPool)]
    assert pool.op.divisor == 1
    source = network.scales[pool.inputs[0]]
    assert torch.equal(network.scales[pool.name], source / 4)


def test_large_weights_make_the_lattice_coarser_so_that_sums_stay_exact():
    growing = Growing((6,), 0)
    growing.linear(8)
    growing.append(ir.Relu())
    growing.append(ir.Linear(1e3 * growing.random(4, 8)))
    growing.append(ir.Relu())
    growing.linear(2)
    graph = growing.graph()
    lams = fitted(graph, samples((6,), 16))
    tiny = {**lams, "relu_4": Threshold(lams["relu_4"].value * 1e-3, "max")}
    network = normalise(graph, tiny, neurons("if"), 1e-3)
    weight = network.graph["linear_3"].op.weight
    assert not torch.equal(snap(weight, 8), weight)
    assert torch.equal(snap(weight, 13), weight)
    assert float(weight.abs().sum(1).max()) * 2**14 > 2**24


def test_a_threshold_for_each_unit_of_a_flattened_layer_reaches_the_next_weights():
    network, _ = converted("strided")
    site = network.sites["relu"]
    assert site.threshold.shape == (4, 1, 1)
    flat = network.scales[next(n.name for n in network.graph if n.kind == "Reshape")]
    assert torch.equal(flat.reshape(4, 9), site.threshold.reshape(4, 1).expand(4, 9))
