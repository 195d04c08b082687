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
from evaluate.traces import Traced, named, total

__all__ = ["Estimate", "Moments", "r2", "r2_curve", "r2_difference", "rmse"]

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval, which is None for a single sample."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Moments:
    """What a score is made of; small enough for a run file, from which `estimate` finds the score again.

    Parameters
    ----------
    kind : {"rmse", "r2", "r2_difference"}
    errors : tuple of float
        Mean squared error of each output; of the first predictions for a difference.
    variances : tuple of float
        Of the truth, of each output that varies; empty for an RMSE.
    others : tuple of float
        Mean squared errors of the second predictions; for a difference.
    influence_sd : float or None
        Standard deviation over the samples of their influence; None for a single sample.
    n : int
        Samples.
    """

    kind: str
    errors: tuple[float, ...]
    variances: tuple[float, ...]
    others: tuple[float, ...]
    influence_sd: float | None
    n: int

    def estimate(self) -> Estimate:
        """The score with its interval::

        rmse = sqrt(mean(errors)),  r2 = mean(1 - errors / variances),  difference = mean((errors - others) / variances)
        interval = score -+ 1.96 influence_sd / sqrt(n), of the square for the rmse
        """
        value = self._value()
        if self.influence_sd is None:
            found = Estimate(value, None, None)
        else:
            half = NormalDist().inv_cdf(0.975) * self.influence_sd / math.sqrt(self.n)
            found = Estimate(value, float(value) - half, float(value) + half)
        return _rooted(found) if self.kind == "rmse" else found

    def _value(self) -> float:
        errors, others = ([named(e, f"{what} of output {i}") for i, e in enumerate(values)] for what, values in (
            ("mean squared error", self.errors), ("mean squared error of the SNN", self.others)))  # fmt: skip
        spreads = [named(v, f"variance of output {i}") for i, v in enumerate(self.variances)]
        if self.kind == "rmse":
            parts: list[float] = [*errors]
        elif self.kind == "r2":
            parts = [1 - e / v for e, v in zip(errors, spreads, strict=True)]
        else:
            parts = [(e - o) / v for e, o, v in zip(errors, others, spreads, strict=True)]
        return total(parts) / named(len(parts), "outputs")


def rmse(predicted: Floats, truth: Floats) -> Moments:
    """Root of the mean squared error over samples and outputs, in the unit of the outputs.

    >>> rmse(np.array([[1.0], [3.0]]), np.array([[0.0], [3.0]])).estimate().value ** 2
    0.5000000000000001
    """
    _check(predicted, truth)
    squares = (predicted - truth) ** 2
    return Moments("rmse", _numbers(squares.mean(axis=0)), (), (), _sd(squares.mean(axis=1)), len(truth))


def r2(predicted: Floats, truth: Floats) -> Moments | None:
    """R2 = mean over outputs of 1 - sum (y - p)^2 / sum (y - mean y)^2; None where the truth never varies.

    1 is exact, 0 is as good as the mean of the truth, below 0 is worse. Outputs whose truth is constant are left out.
    """
    _check(predicted, truth)
    parts = _influence(predicted, truth)
    if parts is None:
        return None
    return Moments("r2", _numbers(parts[0]), _numbers(parts[1]), (), _sd(parts[2]), len(truth))


def r2_difference(first: Floats, second: Floats, truth: Floats) -> Moments | None:
    """R2 of `second` minus R2 of `first`, paired: both on the same samples."""
    _check(first, truth)
    _check(second, truth)
    a, b = _influence(first, truth), _influence(second, truth)
    if a is None or b is None:
        return None
    return Moments("r2_difference", _numbers(a[0]), _numbers(a[1]), _numbers(b[0]), _sd(b[2] - a[2]), len(truth))


def r2_curve(predicted: Floats, truth: Floats) -> Floats | None:
    """R2 after every step, shape (steps,), for predictions (n, steps, outputs)."""
    spread = ((truth - truth.mean(axis=0)) ** 2).mean(axis=0)
    varies = spread > 0
    if not varies.any():
        return None
    errors = ((predicted - truth[:, None]) ** 2).mean(axis=0)
    return np.asarray((1 - errors[:, varies] / spread[varies]).mean(axis=1))


def _influence(predicted: Floats, truth: Floats) -> tuple[Floats, Floats, Floats] | None:
    """Errors and variances of the outputs that vary, and the influence of each sample on R2."""
    errors, spread = (predicted - truth) ** 2, (truth - truth.mean(axis=0)) ** 2
    varies = spread.mean(axis=0) > 0
    if not varies.any():
        return None
    errors, spread = errors[:, varies], spread[:, varies]
    lost = errors.mean(axis=0) / spread.mean(axis=0)
    influence = -((errors - lost * spread) / spread.mean(axis=0)).mean(axis=1)
    return errors.mean(axis=0), spread.mean(axis=0), influence


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _sd(influence: Floats) -> float | None:
    return float(influence.std(ddof=1)) if len(influence) > 1 else None


def _rooted(mean: Estimate) -> Estimate:
    """The root of a mean square and of the ends of its interval."""
    low, high = (None if end is None else math.sqrt(max(0.0, end)) for end in (mean.low, mean.high))
    square = mean.value
    return Estimate(Traced(math.sqrt(square), operation="sqrt", parts=(square,)), low, high)


def _check(predicted: Floats, truth: Floats) -> None:
    if predicted.shape != truth.shape or truth.ndim != 2 or not truth.size:
        raise EvaluateError(
            f"regression: got predictions {list(predicted.shape)} and targets {list(truth.shape)}; expected both "
            "(n, outputs) with n > 0; compare the same samples"
        )
