import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.ir import Graph, Node
from convert.graph.semantics import run
from tests.oracles.graphs import WORDS, Growing, grown


def assert_folds(graph: Graph) -> Graph:
    """`fold(graph)` computes the same, and has nothing left of what folding removes."""
    folded = fold(graph)
    x = torch.randn((5, *graph.input.shape), generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    expected, got = run(graph, x), run(folded, x)
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= 1e-9 * max(1.0, float(expected.abs().max()))
    assert not any(isinstance(n.op, (ir.Identity, ir.BatchNorm)) for n in folded)
    kind = {n.name: n.op for n in folded}
    behind = [n for n in folded if isinstance(n.op, ir.MaxPool) and isinstance(kind[n.inputs[0]], ir.ACTIVATIONS)]
    assert not behind, f"{[n.name for n in behind]} still pool spikes"
    assert folded.input.shape == graph.input.shape
    return folded


def kinds(graph: Graph) -> list[str]:
    return [n.kind for n in graph]


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(2, 6, 6), (2, 9), (1, 4, 8)]),
    outputs=st.sampled_from([None, 3]),
)
@example(["conv", "relu", "remember", "max", "add"], 0, (2, 6, 6), 3)
@example(["conv", "relu", "max", "max"], 0, (2, 6, 6), 3)
@example(["conv", "remember", "norm", "add"], 0, (2, 6, 6), 3)
@example(["conv", "norm", "norm", "gain"], 0, (2, 6, 6), 3)
@example(["drop", "drop"], 0, (2, 6, 6), None)
def test_folding_keeps_the_function(words, seed, shape, outputs):
    assert_folds(grown(words, seed, shape, outputs))


@settings(max_examples=30, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=10), seed=st.integers(0, 10**6))
def test_folding_twice_changes_nothing_more(words, seed):
    once = fold(grown(words, seed))
    twice = fold(once)
    assert [(n.name, n.kind, n.inputs, n.shape) for n in twice] == [(n.name, n.kind, n.inputs, n.shape) for n in once]
    for a, b in zip(once, twice, strict=True):
        assert all(torch.equal(v, ir.tensors(b.op)[k]) for k, v in ir.tensors(a.op).items())


@pytest.mark.parametrize(
    ("shape", "words", "left"),
    [
        ((2, 6, 6), ["conv", "norm", "relu"], ["Input", "Conv", "Relu"]),
        ((2, 8), ["conv", "norm", "relu"], ["Input", "Conv", "Relu"]),
        ((2, 6, 6), ["conv", "norm", "gain", "norm", "relu"], ["Input", "Conv", "Relu"]),
        ((2, 6, 6), ["conv", "drop", "norm", "drop", "relu"], ["Input", "Conv", "Relu"]),
        ((2, 6, 6), ["norm", "conv", "relu"], ["Input", "Affine", "Conv", "Relu"]),
        ((2, 6, 6), ["conv", "relu", "norm"], ["Input", "Conv", "Relu", "Affine"]),
        ((2, 6, 6), ["conv", "plane gain", "relu"], ["Input", "Conv", "Affine", "Relu"]),
        ((2, 6, 6), ["conv", "relu", "max"], ["Input", "Conv", "MaxPool", "Relu"]),
        ((2, 6, 6), ["conv", "tanh", "max", "overlapping max"], ["Input", "Conv", "MaxPool", "MaxPool", "Tanh"]),
        ((2, 6, 6), ["conv", "relu", "max", "norm"], ["Input", "Conv", "MaxPool", "Relu", "Affine"]),
        ((2, 6, 6), ["conv", "relu", "adaptive even"], ["Input", "Conv", "Relu", "AvgPool"]),
        ((2, 5, 5), ["conv", "relu", "adaptive odd"], ["Input", "Conv", "Relu", "AdaptiveAvgPool"]),
        # the activation has another reader: it stays, and the pool gets neurons of its own
        ((2, 6, 6), ["conv", "relu", "remember", "overlapping max", "add"],
         ["Input", "Conv", "Relu", "MaxPool", "Relu", "Add"]),
        # the convolution has two readers: its norm must not reach the other one
        ((2, 6, 6), ["conv", "remember", "norm", "add", "relu"], ["Input", "Conv", "Affine", "Add", "Relu"]),
    ],
)  # fmt: skip
def test_folding_gives_the_form_that_becomes_spikes(shape, words, left):
    assert kinds(assert_folds(grown(words, 5, shape, outputs=None))) == left


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_goes_into_a_linear_layer(bias):
    growing = Growing((7,), seed=1)
    growing.linear(5, bias)
    growing.norm()
    folded = assert_folds(growing.graph())
    assert kinds(folded) == ["Input", "Linear"]
    linear, norm = growing.nodes[1].op, growing.nodes[2].op
    gain = norm.weight / torch.sqrt(norm.variance + norm.epsilon)
    torch.testing.assert_close(folded["linear_1"].op.weight, linear.weight * gain[:, None])
    before = linear.bias if bias else torch.zeros(5).double()
    torch.testing.assert_close(folded["linear_1"].op.bias, (before - norm.mean) * gain + norm.bias)


def test_a_norm_over_channels_stays_out_of_a_linear_layer_over_another_axis():
    growing = Growing((3, 4), seed=1)
    growing.linear(3)
    growing.norm()
    assert kinds(assert_folds(growing.graph())) == ["Input", "Linear", "Affine"]


def test_an_affine_map_that_makes_the_value_larger_stays_out_of_the_layer():
    growing = Growing((2, 5), seed=1)
    growing.append(ir.Conv(growing.random(1, 2, 1), None, (1,), (0,), (1,)))
    growing.append(ir.Affine(growing.random(3, 1), growing.random(3, 1)))
    folded = assert_folds(growing.graph())
    assert folded.nodes[-1].shape == (3, 5)


def test_a_layer_that_is_the_output_keeps_its_value_for_the_outside():
    graph = grown(["conv", "norm", "relu"], 0, outputs=None)
    conv = graph.nodes[1].name
    folded = assert_folds(Graph(graph.nodes, conv))
    assert folded.output == conv


def test_an_activation_that_is_the_output_stays_when_it_is_pooled_as_well():
    graph = grown(["conv", "relu", "max"], 0, outputs=None)
    assert assert_folds(Graph(graph.nodes, graph.nodes[2].name)).output == graph.nodes[2].name


def test_moved_pools_find_a_free_name():
    start = Node("input", ir.Input((1, 4)), (), (1, 4))
    pool = ir.MaxPool((2,), (2,), (0,), (1,))
    nodes = (
        start,
        Node("p_drive", ir.Relu(), ("input",), (1, 4)),
        Node("p", pool, ("p_drive",), (1, 2)),
    )
    assert kinds(assert_folds(Graph(nodes, "p"))) == ["Input", "MaxPool", "Relu"]


def test_folding_leaves_its_argument_alone_and_works_in_float64():
    graph = grown(["conv", "norm", "relu", "max"], 0)
    halves = Graph(tuple(_single(n) for n in graph), graph.output)
    before = {n.name: {k: v.clone() for k, v in ir.tensors(n.op).items()} for n in halves}
    folded = fold(halves)
    assert all(torch.equal(v, ir.tensors(halves[n].op)[k]) for n, ts in before.items() for k, v in ts.items())
    assert {t.dtype for n in folded for t in ir.tensors(n.op).values()} == {torch.float64}


def _single(node: Node) -> Node:
    op = type(node.op)(**{k: v.float() if isinstance(v, torch.Tensor) else v for k, v in vars(node.op).items()})
    return Node(node.name, op, node.inputs, node.shape, node.place)
