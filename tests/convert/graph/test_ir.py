import math

import pytest
import torch

from convert.errors import GraphError, NonFiniteWeightError
from convert.graph import ir
from convert.graph.ir import Graph, Node

START = Node("input", ir.Input((4,)), (), (4,))


def linear(name, source, weight=None):
    return Node(name, ir.Linear(torch.eye(4) if weight is None else weight), (source,), (4,), f"layers.{name}")


@pytest.mark.parametrize(
    ("nodes", "output", "named"),
    [
        ((START, linear("a", "input"), linear("a", "input")), "a", "a: two nodes of this name"),
        ((START, linear("a", "b"), linear("b", "input")), "b", r"a: inputs \['b'\] are not earlier nodes"),
        ((START, linear("a", "a")), "a", r"a: inputs \['a'\]"),
        ((START, linear("a", "nowhere")), "a", r"a: inputs \['nowhere'\]"),
        ((linear("a", "input"),), "a", r"a: inputs \['input'\]"),
        ((Node("a", ir.Relu(), (), (4,)),), "a", "exactly one Input"),
        ((START, Node("second", ir.Input((4,)), (), (4,))), "input", "second: a graph has exactly one Input"),
        ((START, linear("a", "input")), "b", "output 'b' is not a node; nodes: a, input"),
        ((), "a", "output 'a' is not a node"),
    ],
)
def test_a_graph_whose_parts_do_not_fit_is_refused_by_name(nodes, output, named):
    with pytest.raises(GraphError, match=named):
        Graph(nodes, output)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_names_its_layer_and_how_many(value):
    weight = torch.eye(4)
    weight[1, 2] = value
    with pytest.raises(NonFiniteWeightError, match=r"layers\.b\.weight \(1 of 16\)"):
        Graph((START, linear("a", "input"), linear("b", "a", weight)), "b")


def test_all_tensors_that_are_not_finite_are_named_at_once():
    bad = torch.full((4, 4), math.nan)
    norm = ir.BatchNorm(torch.zeros(4), torch.tensor([1.0, math.inf, 1, 1]), torch.ones(4), torch.ones(4), 1e-5)
    with pytest.raises(NonFiniteWeightError) as caught:
        Graph((START, linear("a", "input", bad), Node("n", norm, ("a",), (4,))), "n")
    assert "layers.a.weight (16 of 16)" in str(caught.value)
    assert "n.variance (1 of 4)" in str(caught.value)


def test_a_graph_finds_its_parts():
    relu = Node("r", ir.Relu(), ("a",), (4,))
    add = Node("sum", ir.Add(), ("a", "r"), (4,))
    graph = Graph((START, linear("a", "input"), relu, add), "sum")
    assert graph.input is START
    assert [n.name for n in graph] == ["input", "a", "r", "sum"]
    assert graph["r"] is relu
    assert [n.name for n in graph.consumers("a")] == ["r", "sum"]
    assert graph.consumers("sum") == ()
    assert graph.sites() == (relu,)
    assert graph.parameter_count() == 16
    assert (relu.kind, add.kind) == ("Relu", "Add")
    with pytest.raises(KeyError, match="nobody"):
        graph["nobody"]


def test_tensors_of_an_operation_leave_out_what_is_absent():
    assert list(ir.tensors(ir.Linear(torch.eye(2)))) == ["weight"]
    assert list(ir.tensors(ir.Conv(torch.ones(1, 1, 3), torch.ones(1), (1,), (0,), (1,)))) == ["weight", "bias"]
    assert ir.tensors(ir.Relu()) == {}
