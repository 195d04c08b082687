"""Change points of one metric: where a history moved to another level.

What repeats exactly changes wherever its value does. A time needs evidence, since chance moves it every time. With
ranks R_1..R_n of n runs in order, a split after run k has

    Z_k = |R_1 + ... + R_k - k (n + 1) / 2| / sqrt(k (n - k) s / (n (n - 1))),    s = sum (R_i - (n + 1) / 2)^2

1. Candidates: the largest Z_k over splits with `LEAST` runs on either side, where it reaches `_LOOSE` of what one
   shuffled history in a thousand reaches (`critical`); then the same in either part (binary segmentation).
2. Each is moved to where the distances to the medians of its two neighbours are smallest: ranks tell that there is a
   change better than where.
3. The weakest goes, one at a time, until each that is left separates medians `EFFECT` apart and has, among its two
   neighbours, Z sqrt((1 - r) / (1 + r)) > `critical`. A machine is slow for a while and not for a run: r is the
   correlation of neighbouring runs within the parts, less its standard error.

Ranks do not see by how much a run is late, so the rate of false alarms depends on no distribution. Segmentation by
least squares (PELT with the usual penalty) finds changes in most unchanged histories with the tails that times have.

Sources: A. N. Pettitt, A non-parametric approach to the change-point problem, Appl. Stat. 28:126, 1979; L. Yu.
Vostrikova, Detecting "disorder" in multidimensional random processes, Sov. Math. Dokl. 24:55, 1981 (binary
segmentation); G. V. Bayley, J. M. Hammersley, The "effective" number of independent observations, J. R. Stat. Soc.
8:184, 1946.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EFFECT", "LEAST", "SHORTEST", "critical", "exact_changes", "largest", "timing_changes"]

LEAST = 5
"""Runs on either side of a change."""

SHORTEST = 14
"""Runs below which no order of them is rare enough."""

EFFECT = 0.05
"""Smallest relative change of a time that counts."""

_RUNS = (14, 16, 20, 24, 32, 48, 64, 128, 256, 512, 1024, 4096)
_CRITICAL = (3.098, 3.254, 3.382, 3.488, 3.626, 3.767, 3.860, 4.056, 4.072, 4.110, 4.200, 4.300)
"""99.9th percentiles of max Z_k over shuffled runs, simulated; a test repeats it."""

_LOOSE = 0.6
"""A short change hides among what is around it; the last test is on its own neighbours, and strict."""

Numbers = NDArray[np.float64]


def exact_changes(values: Sequence[Hashable]) -> list[int]:
    """Where a value differs from the one before.

    >>> exact_changes([1, 1, 2, 2, None, 2])
    [2, 4, 5]
    """
    return [i for i in range(1, len(values)) if values[i] != values[i - 1]]


def critical(runs: int) -> float:
    """What max Z_k of so many runs exceeds by chance once in a thousand times."""
    return float(np.interp(math.log(runs), np.log(_RUNS), _CRITICAL))


def timing_changes(values: Sequence[float], commits: Sequence[Any] | None = None) -> list[int]:
    """Where a time moved to another level: indices of the first run after each change.

    Parameters
    ----------
    values : sequence of float, shape (runs,)
        One time a run, in order.
    commits : sequence, shape (runs,), optional
        A change lies between two commits, never among the runs of one; by default every run is its own.
    """
    x = np.asarray(values, dtype=float)
    if len(x) < SHORTEST:
        return []
    starts = np.ones(len(x), dtype=bool) if commits is None else _starts(commits)
    cuts = _settled(x, starts, [0, *_candidates(x, starts), len(x)])
    while len(cuts) > 2:
        r = _persistence([x[a:b] for a, b in pairwise(cuts)])
        margins = [_margin(x[a:k], x[k:b], r) for a, k, b in zip(cuts, cuts[1:], cuts[2:], strict=False)]
        weakest = int(np.argmin(margins))
        if margins[weakest] > 0:
            break
        del cuts[weakest + 1]
    return cuts[1:-1]


def _starts(commits: Sequence[Any]) -> NDArray[np.bool_]:
    return np.array([i == 0 or commits[i] != commits[i - 1] for i in range(len(commits))], dtype=bool)


def _allowed(starts: NDArray[np.bool_]) -> NDArray[np.int_]:
    """The splits of a part whose runs may begin a commit at `starts`."""
    k = np.arange(LEAST, max(LEAST, len(starts) - LEAST + 1))
    return k[starts[k]] if len(k) else k


def largest(ranks: Numbers, starts: NDArray[np.bool_]) -> tuple[int, float]:
    """The split with the largest Z and that Z; (0, 0.0) where none is allowed."""
    k = _allowed(starts)
    if not len(k):
        return 0, 0.0
    z = _z(ranks, k)
    best = int(np.argmax(z))
    return int(k[best]), float(z[best])


def _z(ranks: Numbers, k: NDArray[np.int_]) -> Numbers:
    """Z of each split `k`; the variance is that of a sum of k ranks drawn without putting back, ties and all."""
    n = len(ranks)
    spread = float(((ranks - (n + 1) / 2) ** 2).sum())
    apart = np.abs(ranks.cumsum()[k - 1] - k * (n + 1) / 2)
    return apart / np.sqrt(k * (n - k) / (n * (n - 1)) * spread) if spread else np.zeros(len(k))


def _ranks(x: Numbers) -> Numbers:
    from scipy.stats import rankdata  # a second to import: not for commands that compare nothing

    return np.asarray(rankdata(x), dtype=float)


def _candidates(x: Numbers, starts: NDArray[np.bool_]) -> list[int]:
    found: list[int] = []
    parts = [(0, len(x))]
    while parts:
        first, last = parts.pop()
        split, z = largest(_ranks(x[first:last]), starts[first:last])
        if split and z > _LOOSE * critical(max(SHORTEST, last - first)):
            found.append(first + split)
            parts += [(first, first + split), (first + split, last)]
    return sorted(found)


def _settled(x: Numbers, starts: NDArray[np.bool_], cuts: list[int]) -> list[int]:
    """`cuts`, each where |x - median before| + |x - median after| is smallest between its neighbours; twice over."""
    for i in 2 * list(range(1, len(cuts) - 1)):
        first, last = cuts[i - 1], cuts[i + 1]
        before, after = np.median(x[first : cuts[i]]), np.median(x[cuts[i] : last])
        cost = (np.abs(x[first:last] - before) - np.abs(x[first:last] - after)).cumsum()
        k = _allowed(starts[first:last])
        cuts[i] = first + int(k[np.argmin(cost[k - 1])])
    return cuts


def _margin(before: Numbers, after: Numbers, r: float) -> float:
    """By how much the evidence for a change between two parts is beyond what is asked; -inf for too small a change."""
    old, new, n = float(np.median(before)), float(np.median(after)), len(before) + len(after)
    if n < SHORTEST or abs(new - old) <= EFFECT * abs(old):
        return -math.inf
    z = _z(_ranks(np.concatenate((before, after))), np.array([len(before)]))
    return float(z[0]) * math.sqrt((1 - r) / (1 + r)) - critical(n)


def _persistence(parts: Sequence[Numbers]) -> float:
    """Correlation of neighbouring ranks within the parts, less one standard error, between 0 and 0.95."""
    centred = np.concatenate([_ranks(part) / (len(part) + 1) - 0.5 for part in parts])
    whole = float((centred**2).sum())
    r = float((centred[1:] * centred[:-1]).sum()) / whole if whole else 0.0
    return min(0.95, max(0.0, r - 1 / math.sqrt(len(centred))))
