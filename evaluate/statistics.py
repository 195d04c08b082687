"""Intervals and tests for accuracies, single and paired; closed forms, no random numbers.

Sources: E. B. Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat.
Assoc. 22:209, 1927; R. G. Newcombe, Improved confidence intervals for the difference between binomial
proportions based on paired data, Stat. Med. 17:2635, 1998; Q. McNemar, Psychometrika 12:153, 1947; H. A. David and
H. N. Nagaraja, Order Statistics, 3rd ed., 2003, section 7.1 (the interval of a median).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from evaluate.errors import EvaluateError

__all__ = [
    "Interval",
    "PairedDifference",
    "bootstrap_interval",
    "describe",
    "mcnemar_p",
    "median_interval",
    "paired_difference",
    "wilson",
]


@dataclass(frozen=True)
class Interval:
    """A confidence interval ``low <= true value <= high``."""

    low: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """Accuracy of b minus accuracy of a, both measured on the same samples.

    Parameters
    ----------
    n : int
        Number of samples.
    correct_a, correct_b : int
        Samples that a, and that b, got right.
    only_a, only_b : int
        Discordant samples: right in one network only. ``only_b - only_a = correct_b - correct_a``.
    difference : float
        ``(correct_b - correct_a) / n``, a fraction.
    interval : Interval
        Newcombe's method 10, fractions.
    p_value : float
        Exact two-sided McNemar test of "no difference".
    """

    n: int
    correct_a: int
    correct_b: int
    only_a: int
    only_b: int
    difference: float
    interval: Interval
    p_value: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion.

    ``(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)``, ``p = successes/n``, z the normal quantile
    of the two-sided `confidence`. The limits lie in [0, 1] and are never both equal to p.

    >>> interval = wilson(81, 263)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.2553, 0.3662)
    """
    if not 0 <= successes <= n or n == 0 or not 0 < confidence < 1:
        raise EvaluateError(
            f"wilson: got {successes} of {n} at confidence {confidence}; expected 0 <= successes <= n, n > 0 "
            "and a confidence between 0 and 1; evaluate on at least one sample"
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, shrink = successes / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low, high, confidence)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """An interval of the median whatever the distribution: from the k-th smallest value to the k-th largest.

    It misses the median with probability ``2 P(Binomial(n, 1/2) < k)``; k is the largest for which that is at most
    ``1 - confidence``. Below six values not even the whole range reaches 95 %: then it is the range, and the
    interval's own `confidence` says what that is worth.

    >>> median_interval([5.0, 1.0, 2.0, 4.0, 3.0, 9.0, 7.0, 8.0, 6.0])
    Interval(low=2.0, high=8.0, confidence=0.9609375)
    >>> median_interval([2.0, 1.0, 4.0])
    Interval(low=1.0, high=4.0, confidence=0.75)
    """
    n, ordered = len(values), sorted(values)
    if n == 0 or not 0 < confidence < 1:
        raise EvaluateError(
            f"median_interval: got {n} values at confidence {confidence}; expected at least one and a confidence "
            "between 0 and 1; repeat the measurement"
        )
    k, outside = 1, 2 / 2**n
    while (wider := outside + 2 * math.comb(n, k) / 2**n) <= 1 - confidence:
        k, outside = k + 1, wider
    return Interval(ordered[k - 1], ordered[n - k], max(0.0, 1 - outside))


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value that discordant samples fall on either side like a fair coin.

    ``min(1, 2 sum_{i <= min(a, b)} C(a + b, i) / 2^(a + b))``, in integers. Conservative by design: the
    probability of p <= 0.05 is below 5 % when there is no difference.

    >>> round(mcnemar_p(12, 2), 4)
    0.0129
    """
    discordant = only_a + only_b
    term = tail = 1
    for i in range(min(only_a, only_b)):
        term = term * (discordant - i) // (i + 1)
        tail += term
    return min(1.0, float(2 * tail / (1 << discordant)))


def bootstrap_interval(only_a: int, only_b: int, n: int, confidence: float = 0.95) -> Interval:
    """Percentile interval of the paired bootstrap for accuracy(b) - accuracy(a), of infinitely many resamples.

    A resample draws n samples with replacement. Each adds -1, 0 or 1 to ``n D*`` with probabilities ``only_a / n``,
    ``1 - (only_a + only_b) / n`` and ``only_b / n``, so the distribution of ``n D*`` is the n-fold convolution of
    these three, found from the n-th power of their Fourier transform: no random numbers, no seed. Without discordant
    samples it is a single point, which says nothing; read Newcombe's interval then.

    Source: B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    >>> interval = bootstrap_interval(12, 2, 100)
    >>> interval.low, interval.high
    (-0.17, -0.03)
    """
    if min(only_a, only_b) < 0 or only_a + only_b > n or n < 1 or not 0 < confidence < 1:
        raise EvaluateError(
            f"bootstrap_interval: got {only_a} and {only_b} discordant of {n} samples at confidence {confidence}; "
            "expected counts that add up to at most n > 0; compare both networks on the same samples"
        )
    size = 2 * n + 1
    step = np.zeros(size)
    step[0], step[1], step[-1] = 1 - (only_a + only_b) / n, only_b / n, only_a / n
    chances = np.roll(np.fft.irfft(np.fft.rfft(step) ** n, size), n).clip(min=0.0)
    below = chances.cumsum() / chances.sum()
    ends = (int(np.searchsorted(below, q)) - n for q in ((1 - confidence) / 2, (1 + confidence) / 2))
    low, high = (end / n for end in ends)
    return Interval(low, high, confidence)


def paired_difference(
    correct_a: npt.NDArray[np.bool_], correct_b: npt.NDArray[np.bool_], confidence: float = 0.95
) -> PairedDifference:
    """Accuracy of b minus accuracy of a with interval and test.

    Newcombe's method 10 (square-and-add): Wilson limits ``l, u`` of both accuracies, joined by their
    correlation phi, whose numerator is pulled towards zero by n/2 where it is positive::

        low  = D - sqrt((b - l_b)^2 - 2 phi (b - l_b)(u_a - a) + (u_a - a)^2)
        high = D + sqrt((u_b - b)^2 - 2 phi (u_b - b)(a - l_a) + (a - l_a)^2)

    Parameters
    ----------
    correct_a, correct_b : bool array, shape (n,)
        Whether the network is right, same sample at the same place.

    Raises
    ------
    EvaluateError
        The arrays are empty, not boolean, or of different shapes.
    """
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0 or a.dtype != bool or b.dtype != bool:
        raise EvaluateError(
            f"paired_difference: got {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}; expected two "
            "bool arrays of one length > 0; compare both networks on the same samples"
        )
    both, only_a, only_b = int(np.sum(a & b)), int(np.sum(a & ~b)), int(np.sum(~a & b))
    n = int(a.size)
    interval = _square_and_add(both, only_a, only_b, n, confidence)
    difference = (only_b - only_a) / n
    p_value = mcnemar_p(only_a, only_b)
    return PairedDifference(n, both + only_a, both + only_b, only_a, only_b, difference, interval, p_value)


def _square_and_add(both: int, only_a: int, only_b: int, n: int, confidence: float) -> Interval:
    """Newcombe's method 10 for ``accuracy(b) - accuracy(a)`` from the counts of the 2 x 2 table."""
    a, b = (both + only_a) / n, (both + only_b) / n
    of_a, of_b = wilson(both + only_a, n, confidence), wilson(both + only_b, n, confidence)
    phi = _corrected_phi(both, only_a, only_b, n - both - only_a - only_b)

    def side(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    low = b - a - side(b - of_b.low, of_a.high - a)
    high = b - a + side(of_b.high - b, a - of_a.low)
    return Interval(max(-1.0, low), min(1.0, high), confidence)


def _corrected_phi(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Correlation of a 2 x 2 table; a positive numerator loses n/2, down to 0; an empty margin gives 0."""
    n = both + only_a + only_b + neither
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    numerator = float(both * neither - only_a * only_b)
    if numerator > 0:
        numerator = max(0.0, numerator - n / 2)
    return numerator / math.sqrt(product) if product else 0.0


def describe(difference: PairedDifference, network: str = "SNN") -> str:
    """The difference in words, in percentage points; `network` is what b was.

    An excluded loss is rounded up: the sentence never promises more than the interval does. Decimals follow
    from n: about as fine as one sample.
    """
    interval, n = difference.interval, difference.n
    decimals = max(1, math.ceil(math.log10(n / 100)))
    if interval.low <= 0 <= interval.high:
        unit = 10**decimals
        bound = math.ceil(round(-100 * interval.low * unit, 6)) / unit
        return f"no loss detectable at n = {n}; the interval excludes more than {bound:.{decimals}f} points"
    near, far = sorted((100 * abs(interval.low), 100 * abs(interval.high)))
    word = "lower" if difference.difference < 0 else "higher"
    points = 100 * abs(difference.difference)
    return (
        f"the {network} is {points:.{decimals}f} points {word} "
        f"({100 * interval.confidence:g} % interval {near:.{decimals}f} to {far:.{decimals}f})"
    )
