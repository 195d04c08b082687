"""Evidence for a change: sample by sample for answers, pair by pair for times.

Sources: Q. McNemar, Psychometrika 12:153, 1947 (exact form: a sign test of the discordant samples); F. Wilcoxon,
Individual comparisons by ranking methods, Biometrics Bull. 1:80, 1945; J. L. Hodges, E. L. Lehmann, Estimates of
location based on rank tests, Ann. Math. Stat. 34:598, 1963 (the pseudo-median).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from evaluate.records import Metric, Run, unpack_bits
from reports.fields import number, text

__all__ = ["Flips", "Ratio", "flips", "paired_ratio", "typical"]

_BITS = {"snn.accuracy": "snn_right", "ann.accuracy": "ann_right", "agreement": "agree"}


@dataclass(frozen=True)
class Flips:
    """Samples that changed sides between base and head, and the exact McNemar test of "as many either way"."""

    lost: int
    won: int
    p_value: float


def flips(name: str, base: Run, head: Run) -> Flips | None:
    """Sample by sample what the metric `name` counts; None where a run does not hold it.

    Raises
    ------
    RunFileError
        The bits of a run are damaged.
    """
    from scipy.stats import binomtest  # a second to import: not for commands that compare nothing

    key = _BITS.get(name, "")
    counts = [number(run.samples, "count") for run in (base, head)]
    packed = [text(run.samples, key) for run in (base, head)]
    if not key or not all(packed) or counts[0] is None or counts[0] != counts[1]:
        return None
    before, after = (unpack_bits(bits, int(counts[0])) for bits in packed)
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    won = sum(b and not a for a, b in zip(before, after, strict=True))
    return Flips(lost, won, float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0)


@dataclass(frozen=True)
class Ratio:
    """Head over base, larger is worse: pseudo-median, its 95 % interval, one-sided p of "not worse"."""

    pairs: int
    value: float
    low: float
    high: float
    p_value: float


def paired_ratio(base: Sequence[float], head: Sequence[float], better: str = "lower") -> Ratio:
    """The effect of a change on a positive quantity, from pairs taken in turn.

    d_i = log(head_i / base_i), negated where higher is better. The effect is exp of the median of the Walsh averages
    (d_i + d_j) / 2, i <= j; its interval are their order statistics K + 1 from either end, where K is the largest for
    which P(W <= K) <= 2.5 % under the normal approximation of the signed-rank statistic
    W: K = n(n+1)/4 - 1.96 sqrt(n(n+1)(2n+1)/24). The test is Wilcoxon's, one-sided.

    >>> ratio = paired_ratio([1.0] * 8, [1.2, 1.21, 1.19, 1.2, 1.22, 1.18, 1.2, 1.2])
    >>> round(ratio.value, 2), ratio.p_value < 0.01
    (1.2, True)
    """
    from scipy.stats import wilcoxon  # likewise

    sign = -1.0 if better == "higher" else 1.0
    d = [sign * math.log(b / a) for a, b in zip(base, head, strict=True)]
    n = len(d)
    walsh = sorted((d[i] + d[j]) / 2 for i in range(n) for j in range(i, n))
    cut = max(0, math.floor(n * (n + 1) / 4 - 1.96 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24)))
    method = "exact" if n <= 50 and len({abs(x) for x in d} - {0.0}) == n else "approx"
    p = float(wilcoxon(d, alternative="greater", method=method).pvalue) if any(d) else 1.0
    return Ratio(n, math.exp(median(walsh)), math.exp(walsh[cut]), math.exp(walsh[-1 - cut]), p)


def typical(metric: Metric | None) -> float | None:
    """What a time counts by: the median of its observations, else its value."""
    return None if metric is None else median(metric.observations) if metric.observations else metric.value
