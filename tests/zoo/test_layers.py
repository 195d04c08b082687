import pytest
import torch

from convert import trace
from convert.graph import ir
from zoo.layers import QuantisedClip


@pytest.mark.parametrize(("levels", "lam"), [(1, 1.0), (4, 0.7), (8, 3.0)])
def test_qcfs_is_its_formula_in_training_and_after(levels, lam):
    layer, x = QuantisedClip(levels, lam), torch.randn(2000) * lam
    expected = lam / levels * torch.floor(x * levels / lam + 0.5).clamp(0, levels)
    torch.testing.assert_close(layer.train()(x), expected)
    torch.testing.assert_close(layer.eval()(x), expected)


def test_gradients_of_qcfs_are_those_of_the_straight_through_formula():
    layer, x = QuantisedClip(4, 1.3), torch.randn(500, requires_grad=True)
    weights = torch.randn(500)
    layer(x).backward(weights)
    z, lam = x.detach().clone().requires_grad_(), torch.tensor(1.3, requires_grad=True)
    u = torch.clamp(z / lam, 0, 1) * 4 + 0.5
    ((u + (u.floor() - u).detach()) / 4 * lam).backward(weights)
    torch.testing.assert_close(x.grad, z.grad)
    torch.testing.assert_close(layer.lam.grad, lam.grad)


def test_the_reader_recognises_qcfs_with_its_levels():
    traced = trace(torch.nn.Sequential(torch.nn.Linear(4, 4), QuantisedClip(4, 0.9)).eval(), (4,))
    (op,) = [node.op for node in traced.graph.sites()]
    assert isinstance(op, ir.Staircase)
    assert (op.levels, float(op.threshold)) == (4, pytest.approx(0.9))
