"""Activations that a model spells out are read as what they are, and nothing else is."""

import math
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convert.errors import UnsupportedOpError
from convert.graph.semantics import run
from convert.reading.compounds import chains, grid, recognised
from convert.reading.tracing import trace


class Written(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(4, 5), nn.Linear(5, 2), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))


SPELLED_OUT = {
    "silu": (lambda x: x * torch.sigmoid(x), "silu"),
    "silu with exp": (lambda x: x / (1 + torch.exp(-x)), "silu"),
    "gelu": (lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), "gelu"),
    "gelu tanh": (lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), "gelu_tanh"),
    "mish": (lambda x: x * torch.tanh(F.softplus(x)), "mish"),
    "hard swish": (lambda x: x * F.relu6(x + 3) / 6, "hardswish"),
    "sigmoid": (lambda x: 1 / (1 + torch.exp(-x)), "sigmoid"),
    "softplus": (lambda x: torch.log(1 + torch.exp(x)), "softplus"),
    "steep softplus": (lambda x: torch.log(1 + torch.exp(2 * x)) / 2, "softplus"),
    "softsign": (F.softsign, "softsign"),
    "tanhshrink": (F.tanhshrink, "tanhshrink"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPELLED_OUT)
def test_it_is_read_as_one_curve(case):
    function, name = SPELLED_OUT[case]
    torch.manual_seed(0)
    module = Written(function).eval()
    traced = trace(module, (4,))
    assert [node.op.name for node in traced.graph.sites()] == [name]
    x = torch.randn(50, 4)
    with torch.no_grad():
        torch.testing.assert_close(run(traced.graph, x), module(x), atol=1e-4, rtol=1e-4)
    row = next(row for row in traced.coverage if row.fate == "approximated")
    assert "operations" in row.op


@pytest.mark.parametrize(
    "function", [lambda x: x * x, lambda x: x * torch.sigmoid(1.702 * x), lambda x: torch.tanh(x) * torch.sigmoid(x)]
)
def test_what_is_no_known_curve_is_refused(function):
    with pytest.raises(UnsupportedOpError, match="two data paths"):
        trace(Written(function).eval(), (4,))


def test_gating_between_two_layers_is_not_an_activation():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.a(x) * torch.sigmoid(self.b(x))

    with pytest.raises(UnsupportedOpError, match="two data paths"):
        trace(Gate().eval(), (4,))


def test_a_part_that_others_read_keeps_its_own_meaning():
    """The sigmoid in x sigmoid(x) is read by a layer as well: then the product stays a product, and is refused."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            x = self.a(x)
            gate = torch.sigmoid(x)
            return x * gate + self.b(gate)

    with pytest.raises(UnsupportedOpError, match="two data paths"):
        trace(Shared().eval(), (4,))


def test_chains_are_the_ways_from_one_value_to_another():
    found = {(part.source, part.names) for part in chains({"s": ["x"], "m": ["x", "s"], "t": ["m"], "u": ["t", "y"]})}
    assert found == {("x", ("s", "m")), ("x", ("s", "m", "t"))}


def test_long_chains_take_no_time():
    begin = time.perf_counter()
    count = sum(1 for _ in chains({f"n{i + 1}": [f"n{i}"] for i in range(5000)}))
    assert count == sum(min(i + 1, 12) - 1 for i in range(5000))
    assert time.perf_counter() - begin < 20


def test_values_that_are_no_curve_are_none():
    assert recognised(grid()) is None
    assert recognised(torch.full_like(grid(), math.nan)) is None
    assert recognised(grid()[:5]) is None
    assert recognised(F.softshrink(grid(), 0.3)) == ("softshrink", {"lambd": 0.3})
    assert recognised(F.elu(grid(), 0.7)) == ("elu", {"alpha": 0.7})
