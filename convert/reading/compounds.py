"""Activations that a file spells out: x sigmoid(x) for SiLU, x / (1 + |x|) for softsign, x - tanh(x), and others.

A part of a network is a function of one number where elementwise operations and single constants lead from one value
to another. Such a part is computed on a grid and compared with the curves that have a neuron; where it is one of
them to within 1e-5, it is read as that activation, however it was written. Nothing is guessed: the grid reaches from
-12 to 12 in steps of 1/64, and the whole network is compared with the original afterwards. A part that rounds is
compared with the staircase of networks trained for few steps (QCFS).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.graph.curves import evaluate

__all__ = ["Part", "chains", "grid", "recognised", "staircase"]

_MOST = 12
"""No activation takes more operations."""

_TOLERANCE = 1e-5

_MOST_LEVELS = 256
"""Of a staircase."""


def grid() -> Tensor:
    """Where a part is compared with the curves."""
    return torch.arange(-12.0, 12.0, 1 / 64, dtype=torch.float32)


@dataclass(frozen=True)
class Part:
    """Operations that lead from one value to another.

    Parameters
    ----------
    source : str
        The value they start from.
    names : tuple of str
        The values they make, in order; the last one is the result.
    """

    source: str
    names: tuple[str, ...]


def chains(inputs: Mapping[str, Sequence[str]]) -> Iterator[Part]:
    """Parts of two operations or more, the last results first and for each the longest first.

    Parameters
    ----------
    inputs : mapping
        Elementwise operation -> the values on the data path that it reads, in topological order.
    """
    at = {name: i for i, name in enumerate(inputs)}
    reached: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, sources in inputs.items():
        known = [{source: ()} | reached.get(source, {}) for source in set(sources)]
        shared = set.intersection(*(set(k) for k in known)) if known else set()
        for root in shared:
            used = {n for k in known for n in k[root]} | {name}
            if len(used) <= _MOST:
                reached.setdefault(name, {})[root] = tuple(sorted(used, key=at.__getitem__))
    for name in reversed(list(reached)):
        for root, names in sorted(reached[name].items(), key=lambda item: -len(item[1])):
            if len(names) > 1:
                yield Part(root, names)


def recognised(values: Tensor) -> tuple[str, dict[str, float | str]] | None:
    """The ATen activation with these values on the grid, and its arguments; None where there is none.

    >>> recognised(grid() * torch.sigmoid(grid()))
    ('silu', {})
    """
    x = grid().double()
    y = values.double()
    if y.shape != x.shape or not bool(torch.isfinite(y).all()):
        return None
    for operator, arguments, curve, parameters in _candidates(x, y):
        if float((evaluate(curve, parameters, x) - y).abs().max()) < _TOLERANCE:
            return operator, arguments
    return None


def staircase(value: Callable[[Tensor], Tensor | None]) -> tuple[float, int] | None:
    """(lam, L) of lam / L min(max(floor(L x / lam + 1/2), 0), L), where `value` is that function; else None.

    It is compared in the middle of every level and close to both sides of every jump.

    >>> staircase(lambda x: 0.5 * torch.floor(x / 0.5 + 0.5).clamp(0, 4))
    (2.0, 4)
    """
    far = value(torch.tensor([-1e6, 0.0, 1e6]))
    if far is None or not bool(torch.isfinite(far).all()) or float(far[:2].abs().max()) > 0 or float(far[2]) <= 0:
        return None
    lam = float(far[2])
    seen = value(torch.linspace(0, lam, 64 * _MOST_LEVELS + 1))
    lowest = None if seen is None or not bool((seen > 0).any()) else float(seen[seen > 0].min())
    levels = 0 if lowest is None else round(lam / lowest)
    if not 1 <= levels <= _MOST_LEVELS:
        return None
    step = lam / levels
    edges = (torch.arange(levels, dtype=torch.float64) + 0.5) * step
    middles = torch.arange(-levels, 2 * levels + 1, dtype=torch.float64) * step
    points = torch.cat([edges - 1e-3 * step, edges + 1e-3 * step, middles])
    expected = step * torch.floor(points / step + 0.5).clamp(0, levels)
    got = value(points.float())
    return None if got is None or float((got - expected).abs().max()) > 1e-4 * step else (lam, levels)


_Candidate = tuple[str, dict[str, float | str], str, tuple[float, ...]]

_PLAIN: tuple[_Candidate, ...] = (
    ("silu", {}, "silu", ()),
    ("gelu", {"approximate": "none"}, "gelu", ()),
    ("gelu", {"approximate": "tanh"}, "gelu_tanh", ()),
    ("hardswish", {}, "hardswish", ()),
    ("mish", {}, "mish", ()),
    ("sigmoid", {}, "sigmoid", ()),
    ("log_sigmoid", {}, "log_sigmoid", ()),
    ("softsign", {}, "softsign", ()),
    ("tanhshrink", {}, "tanhshrink", ()),
    ("selu", {}, "selu", ()),
)


def _candidates(x: Tensor, y: Tensor) -> Iterator[_Candidate]:
    """The curves that it may be, with the numbers that its values suggest."""
    yield from _PLAIN
    middle = float(y[len(y) // 2])
    if middle > 0:
        beta = round(math.log(2) / middle, 4)
        yield "softplus", {"beta": beta, "threshold": 20.0}, "softplus", (beta, 20.0)
    if -16 < float(y[0]) < 0:
        alpha = round(-float(y[0]), 4)
        yield "elu", {"alpha": alpha}, "elu", (alpha,)
    bound = float(x[-1] - y[-1])
    if bound > 0:
        yield "softshrink", {"lambd": round(bound, 4)}, "softshrink", (round(bound, 4),)
