"""Attention is read however it is written, wherever the code puts the batch."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convert.errors import UnsupportedOpError
from convert.graph.semantics import apply, run
from convert.reading.arrangement import arranged, fitting, piece
from convert.reading.calls import Refusal
from convert.reading.layouts import Layout
from convert.reading.models import open_model
from convert.reading.tracing import trace
from tests.oracles.transformers import FORMS, Attention, Encoder

NETS = {form: (Attention(form), (4, 8)) for form in FORMS}
NETS |= {f"encoder {'with' if token else 'without'} token": (Encoder(token), (1, 14, 14)) for token in (True, False)}


def kinds(graph):
    return [node.kind for node in graph]


def assert_same(traced, module, shape):
    x = torch.randn((5, *shape), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = torch.cat([module(part) for part in x.split(1)])
    torch.testing.assert_close(run(traced.graph, x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_a_module_is_read(name):
    module, shape = NETS[name]
    traced = trace(module, shape)
    assert kinds(traced.graph).count("MatMul") == 2 and kinds(traced.graph).count("Softmax") == 1
    assert {row.op.partition(".")[0] for row in traced.coverage if row.fate == "hybrid"} <= {
        "softmax", "matmul", "layer_norm", "scaled_dot_product_attention", "bmm", "baddbmm",
    }  # fmt: skip
    assert_same(traced, module, shape)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, in run_decompositions
@pytest.mark.parametrize("name", ["unbind", "chunk", "baked in", "tokens first", "encoder with token"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("decomposed", [False, True])
def test_a_file_of_torch_export_is_read(name, batch, decomposed, tmp_path):
    module, shape = NETS[name]
    program = torch.export.export(module.eval(), (torch.zeros(batch, *shape),), strict=False)
    torch.export.save(program.run_decompositions() if decomposed else program, tmp_path / "net.pt2")
    traced = open_model(tmp_path / "net.pt2").traced(shape)
    assert kinds(traced.graph).count("MatMul") == 2
    assert_same(traced, module, shape)


def test_a_product_of_samples_of_different_numbers_is_refused():
    class Mixing(nn.Module):
        def forward(self, x):
            return F.relu(x.reshape(-1, 4) @ x.reshape(-1, 4).T)

    with pytest.raises(UnsupportedOpError, match="batch"):
        trace(Mixing(), (2, 4))


def test_fixed_values_beside_the_data_stay_in_their_places():
    class Framed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Parameter(torch.arange(6.0).reshape(1, 2, 3))
            self.last = nn.Parameter(-torch.ones(1, 1, 3))

        def forward(self, x):
            both = [part.expand(len(x), -1, -1) for part in (self.first, self.last)]
            return F.relu(torch.cat([both[0], x, both[1]], 1))

    module = Framed()
    assert_same(trace(module, (2, 3)), module, (2, 3))


@pytest.mark.parametrize("dim", [1, 2, 3, (1, 2), (1, 3), (-1, -3)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_a_mean_over_any_axes_of_a_sample_is_read(dim, keepdim):
    class Mean(nn.Module):
        def forward(self, x):
            return F.relu(x).mean(dim, keepdim)

    assert_same(trace(Mean(), (2, 3, 4)), Mean(), (2, 3, 4))


@pytest.mark.parametrize("batch", [1, 5])
def test_a_layout_follows_views_and_permutations(batch):
    """(tokens, batch x heads, width) as torch's attention makes it, on numbered values."""
    x = torch.arange(batch * 3 * 4.0).reshape(batch, 3, 4)
    layout = Layout.of(x.shape, batch)
    tensor, ours = x, x

    def applied(found, moved):
        nonlocal layout, tensor, ours
        layout, ops = found
        tensor = moved
        for op in ops:
            ours = apply(op, ours)
        assert layout.shape == tuple(tensor.shape) and layout.sample == tuple(ours.shape[1:])
        assert math.prod(layout.sample) == 12

    applied(layout.permuted([1, 0, 2]), tensor.permute(1, 0, 2))
    assert not layout.is_usual or batch == 1
    applied(layout.viewed((3, batch * 2, 2)), tensor.reshape(3, batch * 2, 2))
    applied(layout.permuted([1, 0, 2]), tensor.permute(1, 0, 2))
    applied(layout.viewed((batch, 2, 3, 2)), tensor.reshape(batch, 2, 3, 2))
    assert layout.is_usual
    assert torch.equal(ours, tensor)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [("permute", {"dims": [0, 0, 1]}), ("permute", {"dims": None}), ("select", {"dim": "x", "index": 0}),
     ("select", {"dim": 1}), ("slice", {"dim": 1, "start": 0, "end": 9, "step": 0}), ("narrow", {"dim": 0, "start": 1,
     "length": 2}), ("slice", {"dim": 1, "start": 3, "end": 1, "step": 1})],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(operator, arguments):
    with pytest.raises(Refusal), fitting():
        arranged(operator, arguments, Layout.of((6, 3, 4), 6), (6, 3, 4))


def test_pieces_that_are_not_there_are_refused():
    for arguments, index in (({"dim": 1, "chunks": 2}, 2), ({"dim": 1, "chunks": 0}, 0), ({"dim": 0, "chunks": 2}, 0)):
        with pytest.raises(Refusal), fitting():
            piece("chunk", arguments, Layout.of((6, 3, 4), 6), index)


def test_a_view_that_tears_the_batch_apart_has_no_layout():
    assert Layout.of((6, 4), 6).viewed((3, 8)) is None
    assert Layout.of((6, 4), 6).viewed((4, 6)) is None
