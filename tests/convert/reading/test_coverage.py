from typing import get_args

import pytest

from convert.errors import NoNeuronError, UnsupportedOpError
from convert.graph import ir
from convert.reading.coverage import Coverage, check, describe_node
from convert.reading.refusals import SUPPORTED
from convert.reading.tracing import trace
from tests.oracles.networks import network

FINE = Coverage("0", "linear.default", "exact linear", "synapses")


def example(kind):
    return ir.Curve("silu") if kind is ir.Curve else kind.__new__(kind)


@pytest.mark.parametrize("kind", get_args(ir.Op), ids=lambda k: k.__name__)
def test_every_operation_has_a_fate(kind):
    row = describe_node("here", "name", example(kind))
    assert row.fate != "refused"
    assert row.becomes


@pytest.mark.parametrize("kind", ir.ACTIVATIONS, ids=lambda k: k.__name__)
def test_activations_become_neurons(kind):
    row = describe_node("here", "name", example(kind))
    assert row.fate == ("approximated" if kind is ir.Curve else "converted")
    assert "neurons" in row.becomes


def test_a_curve_says_how_far_its_table_is_off():
    assert describe_node("1", "gelu", ir.Curve("gelu")).why == "a table of 260 straight pieces, off by at most 3e-05"
    assert "1/2 goes into the next bias" in describe_node("1", "sigmoid", ir.Curve("sigmoid")).why
    assert "exact" in describe_node("1", "softshrink", ir.Curve("softshrink", (0.5,))).why


def test_every_refused_row_is_listed():
    rows = [FINE, Coverage("1", "glu", "refused", "", "no"), Coverage("7", "softmax", "refused", "", "nor this")]
    with pytest.raises(UnsupportedOpError) as caught:
        check(rows, "net.pt", has_neurons=False)
    assert str(caught.value).splitlines() == [
        "net.pt: 2 operation(s) cannot be converted:", "  1: glu: no", "  7: softmax: nor this", SUPPORTED,
    ]  # fmt: skip


def test_no_neurons_are_refused_and_neurons_pass():
    with pytest.raises(NoNeuronError, match=r"operations: linear\.default"):
        check([FINE], "net.pt", has_neurons=False)
    check([FINE], "net.pt", has_neurons=True)


def test_rows_are_plain_json():
    rows = trace(*network("conv norm average")).coverage
    assert rows[0].as_record() == {
        "place": "0", "op": "conv2d", "fate": "exact linear", "becomes": "synapses",
        "why": "acts on the analog input: computed once for a sample, not on spikes (on spikes with --input poisson)",
    }  # fmt: skip
    assert [row.place for row in rows] == ["0", "1", "2", "3", "4", "5", "6", "7", "8"]
