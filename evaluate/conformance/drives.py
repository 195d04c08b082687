"""The calibration that leaves one choice of thresholds, and layers with weights written as lists.

All numbers are dyadic, so neither float32 nor a lattice of 2^-14 rounds any of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["HALF", "calibration", "column", "linear", "row"]

HALF = 32
"""Samples of each of the two kinds."""


def calibration(off: Sequence[float] | Tensor, on: Sequence[float] | Tensor) -> Tensor:
    """Samples of two kinds in turn, `HALF` of each: what drives every neuron to 0, and what drives it to lam.

    >>> calibration([0.0], [1.0])[:3].tolist()
    [[0.0], [1.0], [0.0]]
    """
    pair = torch.stack([torch.as_tensor(kind, dtype=torch.float32) for kind in (off, on)])
    return pair.repeat(HALF, *[1] * (pair.ndim - 1))


def linear(weights: Sequence[Sequence[float]] | Tensor, bias: Sequence[float] | None = None) -> nn.Linear:
    """A linear layer with these weights, (outputs, inputs)."""
    weight = torch.as_tensor(weights, dtype=torch.float32)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def row(values: Sequence[float]) -> Tensor:
    """One sample of several inputs, (1, inputs)."""
    return torch.tensor([list(values)], dtype=torch.float32)


def column(values: Sequence[float]) -> Tensor:
    """Several samples of one input, (samples, 1)."""
    return torch.tensor([[value] for value in values], dtype=torch.float32)
