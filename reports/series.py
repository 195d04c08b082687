"""Histories: runs of one case in the order of their commits, and how each metric went.

Commits stand in the order in which they were first measured anywhere in the history, so a run that is repeated later
takes its place beside the first one. What repeats exactly is judged by its last value, a time by the median between two
change points, on the machine of the latest run alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median

from evaluate.records import Metric
from reports.changes import SHORTEST, exact_changes, timing_changes
from reports.evidence import typical
from reports.history import Entry

__all__ = [
    "BETTER",
    "MOVED",
    "SAME",
    "UNKNOWN",
    "WINDOW",
    "WORSE",
    "Case",
    "Change",
    "Series",
    "Status",
    "cases_of",
    "direction",
]

WINDOW = 10
"""Commits back that a status looks."""

Status = str
BETTER, WORSE, MOVED, SAME, UNKNOWN = "improved", "regressed", "changed", "unchanged", "not enough data"


@dataclass(frozen=True)
class Change:
    """From the level of the run at `start - 1` to that of the run at `start`, places in the case's order."""

    start: int
    before: int
    was: float | None
    now: float | None
    status: Status


@dataclass(frozen=True)
class Series:
    """One metric of one case.

    Parameters
    ----------
    metrics : tuple of Metric or None, shape (runs,)
        None where a run does not have it.
    values : tuple of float or None, shape (runs,)
        What each run counts by.
    changes : tuple of Change
    levels : tuple of (int, int, float)
        Of times: first and last run between two change points, and the median there.
    status : str
        The present level against that of `WINDOW` commits ago.
    previous : float or None
        At the commit before the last.
    present : float or None
        At the last commit.
    commits : int
        With a run that counts for the two.
    """

    metrics: tuple[Metric | None, ...]
    values: tuple[float | None, ...]
    changes: tuple[Change, ...]
    levels: tuple[tuple[int, int, float], ...]
    status: Status
    previous: float | None
    present: float | None
    commits: int

    @cached_property
    def metric(self) -> Metric:
        """The latest."""
        return next(metric for metric in reversed(self.metrics) if metric is not None)


@dataclass(frozen=True)
class Case:
    """All runs of one case, and its metrics in the order in which the runs name them."""

    name: str
    entries: tuple[Entry, ...]
    series: tuple[Series, ...]


def cases_of(entries: Sequence[Entry]) -> list[Case]:
    """The cases of a history, by name; one entry for each content."""
    first: dict[str, str] = {}
    for entry in entries:
        key = _commit(entry)
        first[key] = min(first.get(key, entry.made), entry.made)
    unique = {entry.content: entry for entry in entries}
    ordered = sorted(unique.values(), key=lambda e: (first[_commit(e)], _commit(e), e.made, e.content))
    found: dict[str, list[Entry]] = {}
    for entry in ordered:
        found.setdefault(entry.case, []).append(entry)
    return [_case(name, tuple(found[name])) for name in sorted(found)]


def _commit(entry: Entry) -> str:
    """What stands together on the axis of a history; a run without a commit stands alone."""
    return entry.commit or f"run {entry.content}"


def _case(name: str, entries: tuple[Entry, ...]) -> Case:
    columns: dict[str, dict[int, Metric]] = {}
    for i, entry in enumerate(entries):
        for metric in entry.metrics:
            columns.setdefault(metric.name, {}).setdefault(i, metric)
    series = (_series(entries, tuple(column.get(i) for i in range(len(entries)))) for column in columns.values())
    return Case(name, entries, tuple(series))


def direction(was: float | None, now: float | None, better: str) -> Status:
    """Whether the step from `was` to `now` is an improvement; a value that is gone is a loss.

    >>> direction(1.0, 2.0, "lower"), direction(None, 2.0, "lower"), direction(1.0, 1.0, "higher")
    ('regressed', 'improved', 'unchanged')
    """
    if was == now:
        return SAME
    if better not in ("higher", "lower"):
        return MOVED
    if was is None or now is None:
        return BETTER if was is None else WORSE
    return BETTER if (now > was) == (better == "higher") else WORSE


def _series(entries: Sequence[Entry], metrics: tuple[Metric | None, ...]) -> Series:
    present = [i for i, metric in enumerate(metrics) if metric is not None]
    timing = any(metric.timing for metric in metrics if metric is not None)
    values = tuple((typical(m) if timing else m.value) if m else None for m in metrics)
    better = next(metrics[i].better for i in reversed(present))  # type: ignore[union-attr]
    return (_clocked if timing else _exact)(entries, metrics, values, present, better)


def _exact(
    entries: Sequence[Entry],
    metrics: tuple[Metric | None, ...],
    values: tuple[float | None, ...],
    at: list[int],
    better: str,
) -> Series:
    """Every other value, and every other unit, is a change."""
    units = [getattr(metrics[i], "unit", "") for i in at]
    starts = exact_changes([(values[i], unit) for i, unit in zip(at, units, strict=True)])
    changes = tuple(
        Change(at[s], at[s - 1], values[at[s - 1]], values[at[s]],
               MOVED if units[s] != units[s - 1] else direction(values[at[s - 1]], values[at[s]], better))
        for s in starts
    )  # fmt: skip
    ends = _ends([_commit(entries[i]) for i in at], at)
    reference = ends[max(0, len(ends) - 1 - WINDOW)]
    status = direction(values[reference], values[at[-1]], better) if len(ends) > 1 else UNKNOWN
    previous = values[ends[-2]] if len(ends) > 1 else None
    return Series(metrics, values, changes, (), status, previous, values[at[-1]], len(ends))


def _ends(commits: Sequence[str], at: Sequence[int]) -> list[int]:
    """The last run of each commit."""
    return [at[i] for i in range(len(at)) if i + 1 == len(at) or commits[i + 1] != commits[i]]


def _clocked(
    entries: Sequence[Entry],
    metrics: tuple[Metric | None, ...],
    values: tuple[float | None, ...],
    at: list[int],
    better: str,
) -> Series:
    """Change points on each machine for itself; the machine of the latest run decides the status."""
    changes: list[Change] = []
    levels: list[tuple[int, int, float]] = []
    status: Status = UNKNOWN
    timed = [i for i in at if values[i] is not None]
    latest = entries[timed[-1]].machine if timed else ""
    for machine in dict.fromkeys(entries[i].machine for i in timed):
        own = [i for i in timed if entries[i].machine == machine]
        found, parts = _steps(entries, values, own, better)
        changes += found
        levels += parts
        if machine == latest and len(own) >= SHORTEST:
            status = _clocked_status(entries, own, parts, better)
    own = [i for i in timed if entries[i].machine == latest]
    by_commit: dict[str, list[float]] = {}
    for i in own:
        by_commit.setdefault(_commit(entries[i]), []).append(values[i] or 0.0)
    middle = [median(rows) for rows in by_commit.values()]
    return Series(
        metrics, values, tuple(sorted(changes, key=lambda c: c.start)), tuple(levels), status,
        middle[-2] if len(middle) > 1 else None, middle[-1] if middle else None, len(middle),
    )  # fmt: skip


def _steps(
    entries: Sequence[Entry], values: Sequence[float | None], own: list[int], better: str
) -> tuple[list[Change], list[tuple[int, int, float]]]:
    """Change points and levels of one machine, whose runs are at `own`."""
    times = [value for i in own if (value := values[i]) is not None]
    cuts = [0, *timing_changes(times, [_commit(entries[i]) for i in own]), len(own)]
    levels = [(own[a], own[b - 1], median(times[a:b])) for a, b in pairwise(cuts)]
    changes = [
        Change(levels[k][0], levels[k - 1][1], levels[k - 1][2], levels[k][2],
               direction(levels[k - 1][2], levels[k][2], better))
        for k in range(1, len(levels))
    ]  # fmt: skip
    return changes, levels


def _clocked_status(
    entries: Sequence[Entry], own: Sequence[int], levels: Sequence[tuple[int, int, float]], better: str
) -> Status:
    ends = _ends([_commit(entries[i]) for i in own], own)
    reference = ends[max(0, len(ends) - 1 - WINDOW)]
    was = next(level for first, last, level in levels if first <= reference <= last)
    return direction(was, levels[-1][2], better)
