"""Change points of one metric: where a history moved to another level.

What repeats exactly changes wherever its value does. A time needs evidence, since chance moves it every time: binary
segmentation by the largest standardised rank sum. With ranks R_1..R_n of n runs in order, a split after run k has

    Z_k = |R_1 + ... + R_k - k (n + 1) / 2| / sqrt(k (n - k) (n + 1 - ties) / 12)

and there is a change where max Z_k, over splits with at least `LEAST` runs on either side, exceeds the value that
one shuffled history in a thousand reaches (`critical`), where the medians are `EFFECT` apart, and, since a machine is
slow for a while and not for a run, where that still holds for Z sqrt((1 - r) / (1 + r)); r is the correlation of
neighbouring runs within the two parts, less its standard error. The same is then asked of either part.

Ranks do not see by how much a run is late, so the rate of false alarms depends on no distribution. Segmentation by
least squares (PELT with the usual penalty) finds changes in most unchanged histories with the tails that times have.

Sources: A. N. Pettitt, A non-parametric approach to the change-point problem, Appl. Stat. 28:126, 1979; L. Yu.
Vostrikova, Detecting "disorder" in multidimensional random processes, Sov. Math. Dokl. 24:55, 1981 (binary
segmentation); G. V. Bayley, J. M. Hammersley, The "effective" number of independent
observations, J. R. Stat. Soc. 8:184, 1946.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

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
    starts = np.ones(len(x), dtype=bool) if commits is None else _starts(commits)
    found: list[int] = []
    parts = [(0, len(x))]
    while parts:
        first, last = parts.pop()
        if split := _change(x[first:last], starts[first:last]):
            found.append(first + split)
            parts += [(first, first + split), (first + split, last)]
    return sorted(found)


def _starts(commits: Sequence[Any]) -> NDArray[np.bool_]:
    return np.array([i == 0 or commits[i] != commits[i - 1] for i in range(len(commits))], dtype=bool)


def largest(ranks: Numbers, starts: NDArray[np.bool_]) -> tuple[int, float]:
    """The split with the largest Z and that Z; (0, 0.0) where none is allowed."""
    n = len(ranks)
    k = np.arange(LEAST, n - LEAST + 1)
    k = k[starts[k]] if len(k) else k
    spread = float(((ranks - (n + 1) / 2) ** 2).sum())
    if not len(k) or not spread:
        return 0, 0.0
    # The variance of a sum of k ranks drawn without putting back; with ties the spread is smaller.
    z = np.abs(ranks.cumsum()[k - 1] - k * (n + 1) / 2) / np.sqrt(k * (n - k) / (n * (n - 1)) * spread)
    best = int(np.argmax(z))
    return int(k[best]), float(z[best])


def _change(x: Numbers, starts: NDArray[np.bool_]) -> int:
    """Where `x` moves, 0 where it does not."""
    if len(x) < SHORTEST:
        return 0
    split, z = largest(rankdata(x), starts)
    before, after = (float(np.median(part)) for part in (x[:split], x[split:])) if split else (0.0, 0.0)
    if abs(after - before) <= EFFECT * abs(before):
        return 0
    r = _persistence(x[:split], x[split:])
    return split if z * math.sqrt((1 - r) / (1 + r)) > critical(len(x)) else 0


def _persistence(*parts: Numbers) -> float:
    """Correlation of neighbouring ranks within the parts, less one standard error, between 0 and 0.95."""
    centred = np.concatenate([rankdata(part) / (len(part) + 1) - 0.5 for part in parts])
    whole = float((centred**2).sum())
    r = float((centred[1:] * centred[:-1]).sum()) / whole if whole else 0.0
    return min(0.95, max(0.0, r - 1 / math.sqrt(len(centred))))
