"""What a converter must convert, or refuse by name: passed on silently it is another network, or none that spikes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from evaluate.conformance.contract import Check
from evaluate.conformance.drives import calibration, column, linear

__all__ = ["HONESTY_CHECKS"]

_T = 16
_COUNTS = tuple(range(_T + 1))
_INPUTS = column([k / 8 - 1 for k in range(_T + 1)])


class _Functional(nn.Module):
    """ReLU as a function instead of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.read = linear([[1.0]]), linear([[1.0]])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.read(torch.relu(self.first(x)))
        return out


def _curve(activation: Callable[[], nn.Module], name: str) -> Check:
    """A neuron of one sign or two has at most three values in a step; an analog activation has one for each input."""
    return Check(
        f"{name} spikes", "left in floating point it is the ANN under another name, with an ANN's accuracy",
        lambda: nn.Sequential(linear([[2.0]]), activation(), linear([[1.0]])), calibration([-1.0], [1.0]), _INPUTS, 8,
        levels=3, refusal=True,
    )  # fmt: skip


def _broken() -> nn.Module:
    layer = linear([[1.0]])
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    return nn.Sequential(layer, nn.ReLU(), linear([[1.0]]))


HONESTY_CHECKS = (
    Check("functional ReLU", "found by module type alone, torch.relu stays analog and nobody is told",
          _Functional, calibration([0.0], [1.0]), column([k / _T for k in _COUNTS]), _T, (_COUNTS,), (0.0, 1.0)),
    _curve(nn.Tanh, "tanh"),
    _curve(nn.GELU, "GELU"),
    Check("nothing to convert", "a network without activations has no neurons: whoever reports on it reports on an ANN",
          lambda: nn.Sequential(linear([[1.0]]), linear([[1.0]])), calibration([0.0], [1.0]), column([0.5]), _T,
          refusal=True),
    Check("weights that are not numbers", "chance accuracy, hours later",
          _broken, calibration([0.0], [1.0]), column([0.5]), _T, refusal=True),
    Check("no calibration samples", "thresholds from nothing: right only for who needs no samples",
          lambda: nn.Sequential(linear([[1.0]]), nn.ReLU(), linear([[1.0]])), torch.zeros(0, 1), column([0.5, 1.0]),
          _T, ((8, 16),), refusal=True),
)  # fmt: skip
"""In the order of the table."""
