from typing import get_args

import pytest

from convert.errors import NoNeuronError, UnsupportedOpError
from convert.graph import ir
from convert.reading.coverage import Coverage, check, describe_node
from convert.reading.refusals import SUPPORTED
from convert.reading.tracing import trace
from tests.oracles.networks import network

FINE = Coverage("0", "linear.default", "exact linear", "synapses")


@pytest.mark.parametrize("kind", get_args(ir.Op), ids=lambda k: k.__name__)
def test_every_operation_has_a_fate(kind):
    op = kind.__new__(kind)
    row = describe_node("here", "name", op)
    assert row.fate != "refused"
    assert row.becomes


@pytest.mark.parametrize("kind", ir.ACTIVATIONS, ids=lambda k: k.__name__)
def test_activations_become_neurons(kind):
    row = describe_node("here", "name", kind.__new__(kind))
    assert row.fate == "converted"
    assert "neurons" in row.becomes


def test_every_refused_row_is_listed():
    rows = [FINE, Coverage("1", "gelu", "refused", "", "no"), Coverage("7", "softmax", "refused", "", "nor this")]
    with pytest.raises(UnsupportedOpError) as caught:
        check(rows, "net.pt", has_neurons=False)
    assert str(caught.value).splitlines() == [
        "net.pt: 2 operation(s) cannot be converted:", "  1: gelu: no", "  7: softmax: nor this", SUPPORTED,
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
