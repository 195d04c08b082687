"""How well numbers fit: R2 and RMSE with intervals; closed forms, no random numbers.

Intervals are those of the delta method: a score is a smooth function of means over the samples, so its standard
error is that of the mean of its influence g, and the interval is score -+ z sd(g) / sqrt(n) (A. W. van der Vaart,
Asymptotic Statistics, Cambridge 1998, chapter 3). They are approximate below about 30 samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluate.errors import EvaluateError

__all__ = ["Estimate", "r2", "r2_curve", "r2_difference", "rmse"]

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval, which is None for a single sample."""

    value: float
    low: float | None
    high: float | None


def rmse(predicted: Floats, truth: Floats) -> Estimate:
    """Root of the mean squared error over samples and outputs, in the unit of the outputs.

    >>> rmse(np.array([[1.0], [3.0]]), np.array([[0.0], [3.0]])).value ** 2
    0.5000000000000001
    """
    _check(predicted, truth)
    squares = ((predicted - truth) ** 2).mean(axis=1)
    mean = _with_interval(float(squares.mean()), squares)
    low, high = (None if end is None else math.sqrt(max(0.0, end)) for end in (mean.low, mean.high))
    return Estimate(math.sqrt(mean.value), low, high)


def r2(predicted: Floats, truth: Floats) -> Estimate | None:
    """R2 = mean over outputs of 1 - sum (y - p)^2 / sum (y - mean y)^2; None where the truth never varies.

    1 is exact, 0 is as good as the mean of the truth, below 0 is worse. Outputs whose truth is constant are left out.
    """
    _check(predicted, truth)
    parts = _influence(predicted, truth)
    return None if parts is None else _with_interval(*parts)


def r2_difference(first: Floats, second: Floats, truth: Floats) -> Estimate | None:
    """R2 of `second` minus R2 of `first`, paired: both on the same samples."""
    _check(first, truth)
    _check(second, truth)
    a, b = _influence(first, truth), _influence(second, truth)
    return None if a is None or b is None else _with_interval(b[0] - a[0], b[1] - a[1])


def r2_curve(predicted: Floats, truth: Floats) -> Floats | None:
    """R2 after every step, shape (steps,), for predictions (n, steps, outputs)."""
    spread = ((truth - truth.mean(axis=0)) ** 2).mean(axis=0)
    varies = spread > 0
    if not varies.any():
        return None
    errors = ((predicted - truth[:, None]) ** 2).mean(axis=0)
    return np.asarray((1 - errors[:, varies] / spread[varies]).mean(axis=1))


def _influence(predicted: Floats, truth: Floats) -> tuple[float, Floats] | None:
    """R2 and the influence of each sample on it."""
    errors, spread = (predicted - truth) ** 2, (truth - truth.mean(axis=0)) ** 2
    varies = spread.mean(axis=0) > 0
    if not varies.any():
        return None
    errors, spread = errors[:, varies], spread[:, varies]
    lost = errors.mean(axis=0) / spread.mean(axis=0)
    influence = -((errors - lost * spread) / spread.mean(axis=0)).mean(axis=1)
    return float((1 - lost).mean()), influence


def _with_interval(value: float, influence: Floats) -> Estimate:
    n = len(influence)
    if n < 2:
        return Estimate(value, None, None)
    half = NormalDist().inv_cdf(0.975) * float(influence.std(ddof=1)) / math.sqrt(n)
    return Estimate(value, value - half, value + half)


def _check(predicted: Floats, truth: Floats) -> None:
    if predicted.shape != truth.shape or truth.ndim != 2 or not truth.size:
        raise EvaluateError(
            f"regression: got predictions {list(predicted.shape)} and targets {list(truth.shape)}; expected both "
            "(n, outputs) with n > 0; compare the same samples"
        )
