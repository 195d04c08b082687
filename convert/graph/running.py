"""Functions of several values at once, for which there is no synapse and no neuron: softmax, layer norm, products.

In a spiking network they act on the running means of what they receive ("difference operators"; see
`convert.simulation.differences`), in floating point. A network with one of them is *hybrid*.

Each multiplies what it receives by a unit first: what one unit of its input is worth in the original's units, None
where that is 1. What it gives is in the original's units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "LayerNorm", "MatMul", "RunningOp", "Softmax", "layer_norm", "matrix_product", "softmax", "with_units",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Softmax:
    """y = exp(x) / sum exp(x) along an axis of the sample."""

    axis: int
    unit: Tensor | None = None


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """y = (x - mean) / sqrt(variance + epsilon) * weight + bias, over the last axes of a sample.

    `weight` and `bias` have the shape of those axes (Ba, Kiros and Hinton, arXiv 1607.06450, 2016).
    """

    weight: Tensor
    bias: Tensor
    epsilon: float
    unit: Tensor | None = None


@dataclass(frozen=True, eq=False)
class MatMul:
    """y = scale * A B of two inputs (..., n, k) and (..., k, m), both moving: the products of attention."""

    scale: float = 1.0
    unit: Tensor | None = None
    unit_right: Tensor | None = None


RunningOp = Softmax | LayerNorm | MatMul


def softmax(op: Softmax, x: Tensor) -> Tensor:
    """The value of `op` on a batch."""
    return torch.softmax(_in_units(x, op.unit), dim=op.axis + 1)


def layer_norm(op: LayerNorm, x: Tensor) -> Tensor:
    """The value of `op` on a batch."""
    return F.layer_norm(_in_units(x, op.unit), op.weight.shape, op.weight, op.bias, op.epsilon)


def matrix_product(op: MatMul, a: Tensor, b: Tensor) -> Tensor:
    """The value of `op` on two batches."""
    return op.scale * torch.matmul(_in_units(a, op.unit), _in_units(b, op.unit_right))


def with_units(op: RunningOp, units: Sequence[Tensor]) -> RunningOp:
    """`op` for inputs that come in these units."""
    kept = [None if bool((unit == 1).all()) else unit.double() for unit in units]
    return replace(op, unit=kept[0], unit_right=kept[1]) if isinstance(op, MatMul) else replace(op, unit=kept[0])


def _in_units(x: Tensor, unit: Tensor | None) -> Tensor:
    return x if unit is None else x * unit
