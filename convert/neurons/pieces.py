"""pieces(): a curve as straight pieces, close enough that no number of steps in use can tell the difference.

Intervals are halved until the chord is within 2^-15 of the curve; beyond the last break the curve follows its
asymptote. A rate over T steps is a multiple of 1 / T, so 3e-5 is invisible up to thousands of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from convert.graph.curves import evaluate

__all__ = ["TOLERANCE", "Pieces", "pieces"]

TOLERANCE = 2.0**-15
"""Largest distance between a chord and the curve."""

_LARGEST = 2.0**20
"""No asymptote is looked for beyond."""

_SAMPLES = 33
_FARTHER = (1.5, 2.0, 3.0, 8.0)

_Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pieces:
    """Between breaks k - 1 and k, f(x) = rises[k] x + offsets[k].

    Parameters
    ----------
    error : float
        Largest distance from the curve, measured between the outer breaks and as far again beyond them.
    """

    breaks: tuple[float, ...]
    rises: tuple[float, ...]
    offsets: tuple[float, ...]
    error: float


@lru_cache(maxsize=64)
def pieces(name: str, parameters: tuple[float, ...] = ()) -> Pieces:
    """The curve called `name` in straight pieces.

    >>> pieces("softshrink", (0.5,)).breaks
    (-0.5, 0.5)
    """
    if name in ("softshrink", "hardshrink"):  # exact, and the second one jumps
        bound = parameters[0]
        offset = bound if name == "softshrink" else 0.0
        return Pieces((-bound, bound), (1.0, 0.0, 1.0), (offset, 0.0, -offset), 0.0)

    def f(x: Tensor) -> Tensor:
        return evaluate(name, parameters, x)

    low, high = -_reach(f, -1.0), _reach(f, 1.0)
    breaks = torch.tensor([low, 0.0, high], dtype=torch.float64)
    while len(wide := _wide(f, breaks)):
        breaks = torch.cat([breaks, wide]).sort().values
    at = f(breaks)
    rises = [_slope(f, low, 2 * low), *(torch.diff(at) / torch.diff(breaks)).tolist(), _slope(f, high, 2 * high)]
    anchors = [0, *range(len(breaks))]  # every piece passes through the curve at one of its ends
    offsets = [float(at[i]) - rise * float(breaks[i]) for rise, i in zip(rises, anchors, strict=True)]
    made = Pieces(tuple(breaks.tolist()), tuple(rises), tuple(offsets), 0.0)
    return Pieces(made.breaks, made.rises, made.offsets, _distance(made, f, breaks))


def _at(f: _Function, x: float) -> float:
    return float(f(torch.tensor([x], dtype=torch.float64)))


def _slope(f: _Function, a: float, b: float) -> float:
    """Of the chord from a to b, without the last digits of what is flat or the identity."""
    slope = (_at(f, b) - _at(f, a)) / (b - a)
    return float(round(slope)) if abs(slope - round(slope)) < TOLERANCE / abs(b) else slope


def _reach(f: _Function, sign: float) -> float:
    """The least power of two beyond which the curve follows a straight line."""
    reach = 1.0
    while reach < _LARGEST:
        rise = _slope(f, sign * reach, 2 * sign * reach)
        start = _at(f, sign * reach)
        if all(abs(start + rise * sign * reach * (k - 1) - _at(f, sign * reach * k)) < TOLERANCE for k in _FARTHER):
            return reach
        reach *= 2
    return reach


def _wide(f: _Function, breaks: Tensor) -> Tensor:
    """The middles of the pieces whose chord is too far from the curve."""
    left, right = breaks[:-1, None], breaks[1:, None]
    share = torch.linspace(0, 1, _SAMPLES, dtype=torch.float64)
    chord = f(left) + (f(right) - f(left)) * share
    far = (chord - f(left + (right - left) * share)).abs().amax(1) > TOLERANCE
    return ((left + right) / 2)[far, 0]


def _distance(made: Pieces, f: _Function, breaks: Tensor) -> float:
    """The largest distance between the pieces and the curve."""
    edges = torch.cat([breaks[:1] * 2, breaks, breaks[-1:] * 2])
    share = torch.linspace(0, 1, 4 * _SAMPLES, dtype=torch.float64)
    x = (edges[:-1, None] + torch.diff(edges)[:, None] * share).flatten()
    k = torch.bucketize(x, breaks, right=True)
    rises, offsets = (torch.tensor(part, dtype=torch.float64) for part in (made.rises, made.offsets))
    return float((rises[k] * x + offsets[k] - f(x)).abs().max())
