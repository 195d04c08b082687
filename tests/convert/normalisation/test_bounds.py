import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.ir import Graph, Node
from convert.graph.semantics import run
from convert.normalisation.bounds import bounded_thresholds, bounds
from tests.oracles.conversions import folded
from tests.oracles.graphs import WORDS, Growing, grown
from tests.oracles.networks import NETWORKS


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
    ends=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-3.0, -0.5), (2.0, 2.5)]),
)
def test_no_input_leaves_the_bounds(words, seed, ends):
    low, high = ends
    graph = fold(grown(words, seed))
    known = bounds(graph, low, high)
    g = torch.Generator().manual_seed(seed)
    x = low + (high - low) * torch.rand((40, *graph.input.shape), generator=g, dtype=torch.float64)
    x[20:] = torch.where(x[20:] > (low + high) / 2, high, low)  # corners reach further than the inside

    def check(node, value):
        lower, upper = known[node.name]
        assert lower.shape == upper.shape == node.shape
        slack = 1e-9 * float(upper.abs().max() + lower.abs().max() + 1)
        assert bool((value >= lower - slack).all()), node.name
        assert bool((value <= upper + slack).all()), node.name

    run(graph, x, check)


@pytest.mark.parametrize("low", [-2.0, 0.0, 1.0])
def test_the_bound_of_one_layer_is_attained(low):
    growing = Growing((6,), seed=4)
    growing.linear(5)
    growing.append(ir.Relu())
    graph = growing.graph()
    weight, high = graph.nodes[1].op.weight, 3.0
    lower, upper = bounds(graph, low, high)["linear_1"]
    for k in range(5):
        best = torch.where(weight[k] > 0, high, low)[None].double()
        worst = torch.where(weight[k] > 0, low, high)[None].double()
        linear = Graph(graph.nodes[:2], "linear_1")
        assert float(run(linear, best)[0, k]) == pytest.approx(float(upper[k]))
        assert float(run(linear, worst)[0, k]) == pytest.approx(float(lower[k]))


def test_the_bound_of_one_convolution_is_attained_at_every_place():
    growing = Growing((2, 4, 4), seed=4)
    growing.conv()
    graph, conv = growing.graph(), growing.nodes[1].op
    _, upper = bounds(graph, -1.0, 1.0)[growing.head]
    for k in range(2):
        x = torch.zeros(1, 2, 4, 4).double()
        x[0, :, :3, :3] = torch.sign(conv.weight[k])  # the place (1, 1) sees the whole kernel
        assert float(run(graph, x)[0, k, 1, 1]) == pytest.approx(float(upper[k, 1, 1]))
    assert float(upper[0, 0, 0]) < float(upper[0, 1, 1])  # at the edge the padding takes part


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "neurons first"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_thresholds_are_positive_and_nothing_clips(name, per_channel):
    graph = folded(name)
    lams = bounded_thresholds(graph, 0.0, 1.0, per_channel)
    assert set(lams) == {n.name for n in graph.sites()}
    x = torch.rand((30, *graph.input.shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def check(node, value):
        if node.name in lams:
            lam = lams[node.name].value
            assert bool((lam > 0).all())
            assert bool((value <= lam * (1 + 1e-9)).all()), node.name
            assert lam.numel() in (1, value.shape[1])

    run(graph, x, check)


def test_dead_channels_are_counted_and_get_the_layer_s_threshold():
    shape = (3,)
    weight = torch.diag(torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64))
    nodes = (
        Node("input", ir.Input(shape), (), shape),
        Node("l", ir.Linear(weight), ("input",), shape),
        Node("act", ir.Relu(), ("l",), shape),
    )
    found = bounded_thresholds(Graph(nodes, "act"), 0.0, 4.0, per_channel=True)["act"]
    assert found.value.tolist() == [8.0, 8.0, 2.0]
    assert found.silent == 1
    dead = bounded_thresholds(Graph(nodes, "act"), -0.0, 0.0, per_channel=True)["act"]
    assert dead.value.tolist() == [1.0, 1.0, 1.0]
    assert dead.silent == 3


def test_activations_that_saturate_bound_themselves():
    shape = (2,)
    for op, lam in ((ir.Clamp(0.0, 6.0), [6.0, 6.0]), (ir.Tanh(), [1.0]), (ir.Clamp(-2.0, 2.0), [2.0])):
        nodes = (Node("input", ir.Input(shape), (), shape), Node("act", op, ("input",), shape))
        assert bounded_thresholds(Graph(nodes, "act"), 0.0, 99.0, True)["act"].value.tolist() == lam
    nodes = (Node("input", ir.Input(shape), (), shape), Node("act", ir.Clamp(0.0, 6.0), ("input",), shape))
    assert bounded_thresholds(Graph(nodes, "act"), 0.0, 1.5, True)["act"].value.tolist() == [1.5, 1.5]
