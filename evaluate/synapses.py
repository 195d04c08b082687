"""Which synapses an element reaches, and what meets in a window: the geometry behind the counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Op
from convert.graph.semantics import apply

__all__ = ["fan_out", "summed"]


def fan_out(op: Op, in_shape: tuple[int, ...], zero: bool = False) -> Tensor:
    """Number of synapses that leave each input element of a weighted operation, of the shape of one sample.

    It is the gradient of the sum of the outputs with all weights one: each existing product counts once.

    Parameters
    ----------
    zero : bool
        Only those whose weight is zero.

    >>> fan_out(ir.Conv(torch.zeros(1, 1, 3), None, (1,), (1,), (1,)), (1, 4))
    tensor([[2., 3., 3., 2.]], dtype=torch.float64)
    """
    if isinstance(op, ir.Affine):
        counted = op.scale == 0 if zero else torch.ones_like(op.scale)
        return counted.double().expand(in_shape)
    if not isinstance(op, ir.WEIGHTED):
        raise TypeError(f"{type(op).__name__} has no synapses")
    counted = op.weight == 0 if zero else torch.ones_like(op.weight)
    if zero and not counted.any():
        return torch.zeros(in_shape, dtype=torch.float64)
    ones = replace(op, weight=counted.double(), bias=None)
    x = torch.zeros((1, *in_shape), dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (edges,) = torch.autograd.grad(apply(ones, x).sum(), x)
    return edges[0].detach()


def summed(op: Op, *parts: Tensor) -> Tensor:
    """`op` on single samples, with pooling as a count of what lies in each window.

    >>> summed(ir.AvgPool((2,), (1,), (0,)), torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 5.]])
    """
    batches = [part[None] for part in parts]
    if isinstance(op, ir.AvgPool):
        return apply(replace(op, divisor=1), *batches)[0]
    values = apply(op, *batches)[0]
    return values * _window_sizes(op, parts[0].shape) if isinstance(op, ir.AdaptiveAvgPool) else values


def _window_sizes(op: ir.AdaptiveAvgPool, shape: Sequence[int]) -> Tensor:
    """Elements in each window of adaptive pooling: from floor(i n / m) to ceil((i + 1) n / m)."""
    sizes = torch.ones(op.size, dtype=torch.float64)
    for axis, (n, m) in enumerate(zip(shape[-len(op.size) :], op.size, strict=True)):
        along = torch.tensor([-(-(i + 1) * n // m) - i * n // m for i in range(m)], dtype=torch.float64)
        sizes = sizes * along.reshape([-1 if i == axis else 1 for i in range(len(op.size))])
    return sizes
