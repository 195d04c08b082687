import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.errors import CalibrationError, InputShapeError
from convert.graph import ir
from convert.graph.folding import fold, rebuild
from convert.graph.ir import Graph, Node
from convert.graph.semantics import run
from convert.lattice import snap
from convert.normalisation.statistics import BINS, LayerStats, channel_axis, observe
from convert.reading.tracing import trace
from tests.oracles.networks import network, samples


def raw(graph, x):
    """Every site's values, channels first: name -> (channels, values)."""
    kept = {}

    def keep(node, value):
        if node in graph.sites():
            kept[node.name] = value.movedim(channel_axis(graph, node) + 1, 0).flatten(1).double()

    run(graph, x.double(), keep)
    return kept


def folded(name):
    return fold(trace(*network(name)).graph)


def exact(stats):
    return {n: (s.low, s.high, s.exponent, s.histogram, s.values, s.samples) for n, s in stats.items()}


def assert_identical(a, b):
    assert a.keys() == b.keys()
    for name in a:
        for x, y in zip(exact(a)[name], exact(b)[name], strict=True):
            assert torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y, name


def on_lattice(graph, bits=8):
    """`graph` with coarse weights, on which sums are exact in whatever order a matrix product takes them."""
    nodes = []
    for node in graph:
        coarse = {k: snap(v, bits) for k, v in ir.tensors(node.op).items()}
        nodes.append(replace(node, op=replace(node.op, **coarse)) if coarse else node)
    return Graph(tuple(nodes), graph.output)


def spread(shape, count):
    """Samples whose sizes span four decades, on a lattice."""
    x = samples(shape, count)
    return snap(x * torch.logspace(-3, 1, count).reshape(-1, *[1] * len(shape)), 12)


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "max pool", "residual", "hard tanh"])
def test_the_result_does_not_depend_on_batch_size_or_order(name):
    graph, x = on_lattice(folded(name)), spread(network(name)[1], 50)
    whole = observe(graph, x, batch=50)
    shuffled = x[torch.randperm(50, generator=torch.Generator().manual_seed(0))]
    for other in (observe(graph, x, batch=1), observe(graph, x, batch=7), observe(graph, shuffled, batch=3),
                  observe(graph, x.flip(0), batch=11)):  # fmt: skip
        assert_identical(whole, other)
        for n, s in other.items():
            torch.testing.assert_close(s.mean, whole[n].mean, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(s.variance, whole[n].variance, rtol=1e-9, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(
        st.floats(-1e6, 1e6, width=32) | st.floats(-1.0, 1.0, width=32) | st.just(0.0), min_size=1, max_size=60
    ),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
def test_a_histogram_that_grew_is_the_one_over_the_final_range(values, cuts):
    x = torch.tensor(values, dtype=torch.float64)[:, None]
    stats, edges = LayerStats.empty(1, 0), sorted({0, len(values), *(min(c, len(values)) for c in cuts)})
    for start, stop in pairwise(edges):
        stats.update(x[start:stop])
    top = max(values)
    exponent = int(stats.exponent)
    assert top < 2.0**exponent
    if top >= 2.0**-40:
        assert top >= 2.0 ** (exponent - 1)  # the smallest power that holds the maximum
    counted = [v for v in values if v >= 0]
    expected, _ = np.histogram(counted, bins=BINS, range=(0, 2.0**exponent))
    assert np.array_equal(stats.histogram[0].numpy(), expected)
    assert (float(stats.low), float(stats.high)) == (min(values), top)


@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv norm average", "residual", "hard tanh"])
def test_statistics_are_those_of_numpy(name):
    graph, x = folded(name), samples(network(name)[1], 20)
    stats = observe(graph, x)
    drives = {n.inputs[0] for n in graph.sites()}
    assert set(stats) == {graph.input.name, *(n.name for n in graph.sites())} | drives
    for site, values in raw(graph, x).items():
        s, v = stats[site], values.numpy()
        assert s.samples == 20
        assert s.values == v.shape[1]
        np.testing.assert_array_equal(s.low.numpy(), v.min(1))
        np.testing.assert_array_equal(s.high.numpy(), v.max(1))
        np.testing.assert_allclose(s.mean.numpy(), v.mean(1), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(s.variance.numpy(), v.var(1), rtol=1e-9, atol=1e-12)
        for c in range(len(v)):
            top = 2.0 ** int(s.exponent[c])
            expected, _ = np.histogram(v[c][v[c] >= 0], bins=BINS, range=(0, top))
            np.testing.assert_array_equal(s.histogram[c].numpy(), expected)


def test_the_input_is_among_the_statistics():
    graph, x = folded("conv norm average"), samples((1, 6, 6), 20) - 0.5
    stats = observe(graph, x)[graph.input.name]
    assert float(stats.low) == float(x.min())
    assert float(stats.high) == float(x.max())


def test_memory_depends_on_channels_and_not_on_samples():
    few, many = LayerStats.empty(3, 0), LayerStats.empty(3, 0)
    few.update(torch.ones(1, 3, 4, 4))
    many.update(torch.ones(500, 3, 4, 4))
    assert [t.shape for t in vars(few).values() if isinstance(t, torch.Tensor)] == [
        t.shape for t in vars(many).values() if isinstance(t, torch.Tensor)
    ]


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**-45, 1.0, 2.0**60])
def test_values_of_any_size_are_counted(scale):
    stats = LayerStats.empty(1, 0)
    stats.update(torch.tensor([[0.25], [0.5], [1.0]], dtype=torch.float64) * scale)
    assert float(stats.histogram.sum()) == 3
    assert float(stats.high) == scale


@pytest.mark.parametrize(
    ("words", "shape", "axis"),
    [(["conv"], (3, 5, 5), 0), (["linear"], (7,), 0), (["tokens"], (4, 6), 1), ([], (3, 5, 5), 0),
     (["conv", "flat"], (3, 5, 5), 0), (["conv", "pool"], (3, 6, 6), 0), (["tokens", "gain"], (4, 6), 1),
     (["conv", "last"], (3, 5, 5), 2), (["conv", "last", "last"], (3, 5, 5), 1), (["tokens", "swap"], (4, 6), 0),
     (["last"], (3, 5, 5), 2)],
)  # fmt: skip
def test_channels_are_the_last_axis_after_a_linear_layer_and_the_first_else(words, shape, axis):
    ops = {
        "conv": ir.Conv(torch.ones(2, 3, 1, 1), None, (1, 1), (0, 0), (1, 1)), "linear": ir.Linear(torch.ones(2, 7)),
        "tokens": ir.Linear(torch.ones(5, 6)), "flat": ir.Reshape((50,)), "pool": ir.AvgPool((2, 2), (2, 2), (0, 0)),
        "gain": ir.Affine(torch.ones(1), torch.ones(1)), "last": ir.Permute((1, 2, 0)), "swap": ir.Permute((1, 0)),
    }  # fmt: skip
    nodes, last = [Node("input", ir.Input(shape), (), shape)], "input"
    for i, word in enumerate(words):
        nodes.append(Node(f"{word}_{i}", ops[word], (last,), ()))
        last = f"{word}_{i}"
    nodes.append(Node("relu", ir.Relu(), (last,), ()))
    graph = rebuild(nodes, "relu")
    assert channel_axis(graph, graph["relu"]) == axis


def test_nothing_to_calibrate_on_is_refused():
    with pytest.raises(CalibrationError, match="got 0 samples"):
        observe(folded("mlp"), torch.zeros(0, 8))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_are_refused(value):
    x = torch.zeros(3, 8)
    x[2, 5] = value
    with pytest.raises(CalibrationError, match="NaN or infinite"):
        observe(folded("mlp"), x)


def test_samples_of_another_shape_are_refused():
    with pytest.raises(InputShapeError):
        observe(folded("mlp"), torch.zeros(3, 9))


def test_progress_counts_samples():
    seen = []
    observe(folded("mlp"), torch.zeros(25, 8), batch=10, progress=seen.append)
    assert seen == [10, 10, 5]


def test_whole_numbers_are_samples_too():
    x = (samples((8,), 10) * 255).to(torch.uint8)
    graph = folded("mlp")
    assert_identical(observe(graph, x), observe(graph, x.double()))


def test_no_activation_of_a_flat_graph_is_forgotten():
    graph = Graph((Node("input", ir.Input((3,)), (), (3,)), Node("r", ir.Relu(), ("input",), (3,))), "r")
    stats = observe(graph, torch.tensor([[-1.0, 0.0, 2.0], [-3.0, 0.5, 1.0]]))["r"]
    assert stats.high.tolist() == [0.0, 0.5, 2.0]
    assert stats.low.tolist() == [0.0, 0.0, 1.0]
    assert stats.mean.tolist() == [0.0, 0.25, 1.5]
    assert stats.variance.tolist() == [0.0, 0.0625, 0.25]
    assert stats.bin_width.tolist()[1:] == [1 / BINS, 4 / BINS]
