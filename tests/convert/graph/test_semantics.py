from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.errors import GraphError, InputShapeError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import MEANING, apply, infer_shape, run
from tests.oracles.graphs import WORDS, Growing, grown


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_operation_has_a_meaning():
    forgotten = {op.__name__ for op in get_args(ir.Op)} - {op.__name__ for op in MEANING}
    assert not forgotten, f"MEANING lacks {sorted(forgotten)}"
    assert set(MEANING) <= set(get_args(ir.Op))


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(2, 6, 6), (1, 5, 7), (3, 8), (2, 9)]),
)
def test_inferred_shapes_are_the_real_ones(words, seed, shape):
    graph = grown(words, seed, shape)
    real = {}
    run(graph, random(2, *shape, seed=seed), observe=lambda node, value: real.update({node.name: tuple(value.shape)}))
    assert real == {node.name: (2, *node.shape) for node in graph}


@settings(max_examples=80, deadline=None)
@given(
    size=st.integers(1, 12), kernel=st.integers(1, 5), stride=st.integers(1, 4), padding=st.integers(0, 3),
    dilation=st.integers(1, 3), ceil=st.booleans(), op=st.sampled_from(["conv", "average", "max", "adaptive"]),
    rank=st.integers(1, 2),
)  # fmt: skip
def test_an_inferred_shape_is_the_real_one_or_both_refuse(size, kernel, stride, padding, dilation, ceil, op, rank):
    k, s, p, d = ((n,) * rank for n in (kernel, stride, padding, dilation))
    made = {
        "conv": ir.Conv(random(3, 2, *k), None, s, p, d),
        "average": ir.AvgPool(k, s, p, ceil),
        "max": ir.MaxPool(k, s, p, d, ceil),
        "adaptive": ir.AdaptiveAvgPool(k),
    }[op]
    shape = (2, *[size] * rank)
    try:
        real = tuple(apply(made, random(1, *shape)).shape[1:])
    except RuntimeError:
        with pytest.raises(GraphError, match=type(made).__name__):
            infer_shape(made, shape)
    else:
        assert infer_shape(made, shape) == real


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (ir.Linear(torch.ones(2, 3)), [(4,)]),
        (ir.Conv(torch.ones(2, 3, 3, 3), None, (1, 1), (0, 0), (1, 1)), [(2, 8, 8)]),
        (ir.Conv(torch.ones(2, 3, 3, 3), None, (1, 1), (0, 0), (1, 1)), [(3, 2, 2)]),
        (ir.BatchNorm(torch.ones(3), torch.ones(3), torch.ones(3), torch.ones(3), 1e-5), [(2, 8, 8)]),
        (ir.MaxPool((9, 9), (9, 9), (0, 0), (1, 1)), [(2, 8, 8)]),
        (ir.AvgPool((2, 2), (2, 2), (2, 2)), [(2, 8, 8)]),
        (ir.Add(), [(3,), (4,)]),
        (ir.Add(), [(3,)]),
        (ir.Add(), [(3,), (1,)]),
        (ir.Relu(), [(3,), (3,)]),
        (ir.Concat(0), [(2, 3, 3), (2, 4, 4)]),
        (ir.Concat(5), [(2, 3), (2, 3)]),
        (ir.Reshape((5,)), [(2, 3)]),
        (ir.Affine(torch.ones(3), torch.ones(3)), [(4,)]),
    ],
    ids=lambda v: v.__class__.__name__ if not isinstance(v, list) else "x".join(map(str, v)),
)
def test_shapes_that_do_not_fit_are_refused_with_the_operation_s_name(op, shapes):
    with pytest.raises(GraphError, match=f"{type(op).__name__} does not accept inputs of shape"):
        infer_shape(op, *shapes)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ir.Relu(), lambda x: x.clamp(min=0)),
        (ir.Clamp(0.0, 6.0), F.relu6),
        (ir.Clamp(-1.0, 1.0), F.hardtanh),
        (ir.Tanh(), torch.tanh),
        (ir.Identity(), lambda x: x),
        (ir.Affine(torch.tensor(2.0).double(), torch.tensor(-1.0).double()), lambda x: 2 * x - 1),
        (ir.Reshape((12, 2)), lambda x: x.reshape(5, 12, 2)),
        (ir.AvgPool((2,), (2,), (0,)), lambda x: F.avg_pool1d(x, 2)),
        (ir.AvgPool((2,), (2,), (0,), divisor=1), lambda x: 2 * F.avg_pool1d(x, 2)),
        (ir.AvgPool((3,), (2,), (1,), True, False), lambda x: F.avg_pool1d(x, 3, 2, 1, True, False)),
        (ir.MaxPool((3,), (2,), (1,), (1,)), lambda x: F.max_pool1d(x, 3, 2, 1)),
        (ir.AdaptiveAvgPool((3,)), lambda x: F.adaptive_avg_pool1d(x, 3)),
    ],
)
def test_an_operation_means_what_torch_calls_it(op, expected):
    x = 4 * random(5, 3, 8)
    torch.testing.assert_close(apply(op, x), expected(x))


@pytest.mark.parametrize("kernel", [2, 3, 7, 13, 25, 41, 55])
@pytest.mark.parametrize("rank", [1, 2])
def test_sum_pooling_of_spikes_is_exact_in_float32(kernel, rank):
    """Half-finished sums are whole numbers; a division that is undone again would leave some of them beside it."""
    line = (torch.arange(kernel)[None] < torch.arange(kernel + 1)[:, None]).float()[:, None, :]
    spikes = line if rank == 1 else line[:, :, None, :]
    window = (kernel,) if rank == 1 else (1, kernel)
    summed = apply(ir.AvgPool(window, window, (0,) * rank, divisor=1), spikes)
    assert torch.equal(summed.flatten(), torch.arange(kernel + 1).float())


def test_run_is_torch_on_a_whole_network():
    growing = Growing((2, 6, 6), seed=3)
    for word in ("conv", "norm", "relu", "max"):
        growing.grow(word)
    growing.classify()
    graph, x = growing.graph(), random(4, 2, 6, 6)
    conv, norm, linear = (graph.nodes[i].op for i in (1, 2, 6))
    h = F.conv2d(x, conv.weight, conv.bias, padding=1)
    h = F.batch_norm(h, norm.mean, norm.variance, norm.weight, norm.bias, eps=1e-5)
    expected = F.linear(F.max_pool2d(F.relu(h), 2).flatten(1), linear.weight, linear.bias)
    torch.testing.assert_close(run(graph, x), expected)


def test_run_takes_the_place_of_named_values_and_shows_every_node():
    graph = grown(["conv", "relu"], seed=0)
    seen = []
    relu = next(n for n in graph if n.kind == "Relu")
    out = run(
        graph, random(2, 2, 6, 6), lambda n, v: seen.append(n.name), {relu.name: torch.zeros(2, 2, 6, 6).double()}
    )
    assert seen == [n.name for n in graph]
    assert torch.allclose(out, graph.nodes[-1].op.bias.expand(2, -1))


def test_run_returns_a_value_that_later_nodes_also_read():
    graph = grown(["conv", "relu", "conv"], seed=0, outputs=None)
    middle = Graph(graph.nodes, graph.nodes[2].name)
    x = random(2, 2, 6, 6)
    assert torch.equal(run(middle, x), run(Graph(graph.nodes[:3], graph.nodes[2].name), x))


@pytest.mark.parametrize("shape", [(3,), (4, 1), (4, 4)])
def test_samples_of_another_shape_are_refused(shape):
    graph = Graph((Node("input", ir.Input((4,)), (), (4,)),), "input")
    with pytest.raises(InputShapeError, match=r"takes samples of shape \(4,\), got"):
        run(graph, torch.zeros(2, *shape))
