"""A sigmoid becomes a curve through zero and a constant in the layers behind it."""

import pytest
import torch
from torch import nn

from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.semantics import run
from convert.reading.tracing import trace

NETS = {
    "linear": (nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3)), (6,)),
    "two in a row": (nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Sigmoid(), nn.Linear(5, 3)), (6,)),
    "batch norm behind": (
        nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.BatchNorm1d(5), nn.Linear(5, 4), nn.ReLU()), (6,)),
    "conv with a border": (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(),
                                         nn.Flatten(), nn.Linear(48, 2)), (1, 6, 6)),
    "average pooling": (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
                                      nn.Linear(8, 2)), (1, 6, 6)),
    "max pooling": (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(),
                                  nn.Linear(8, 2)), (1, 6, 6)),
    "padded pooling": (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.AvgPool2d(3, 2, 1), nn.Flatten(),
                                     nn.Linear(8, 2)), (1, 6, 6)),
    "nothing behind": (nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Flatten(), nn.ReLU()), (6,)),
}  # fmt: skip


class Residual(nn.Module):
    """The sigmoid is read by a layer and by a sum."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = torch.sigmoid(self.a(x))
        return self.c(torch.relu(h + self.b(h)))


NETS["residual"] = (Residual(), (6,))


@pytest.mark.parametrize("case", NETS)
def test_it_computes_the_same(case):
    module, shape = NETS[case]
    graph = trace(module, shape).graph
    folded = fold(graph)
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(run(folded, x), run(fold_free(graph), x), rtol=1e-12, atol=1e-12)
    names = [node.op.name for node in folded.sites() if isinstance(node.op, ir.Curve)]
    assert set(names) == {"centred_sigmoid"}


def fold_free(graph):
    """`graph` in float64."""
    nodes = []
    for node in graph:
        doubled = {k: v.double() for k, v in ir.tensors(node.op).items()}
        nodes.append(ir.Node(node.name, type(node.op)(**{**vars(node.op), **doubled}), node.inputs, node.shape))
    return ir.Graph(tuple(nodes), graph.output)


@pytest.mark.parametrize("case", ["linear", "average pooling", "max pooling"])
def test_the_constant_ends_in_a_bias(case):
    module, shape = NETS[case]
    assert not any(isinstance(node.op, ir.Affine) for node in fold(trace(module, shape).graph))


def test_a_border_of_zeros_has_a_bias_of_its_own():
    module, shape = NETS["conv with a border"]
    (shift,) = [n.op.shift for n in fold(trace(module, shape).graph) if isinstance(n.op, ir.Affine)]
    assert shift.shape == (3, 4, 4)
    assert torch.equal(shift[:, 1, 1], shift[:, 2, 2])
    assert not torch.equal(shift[:, 0, 0], shift[:, 1, 1])
