"""What a page reads of one case: its runs, and every metric's history with change points and layers.

What most runs share, a value and its texts or a layer table, is written once and pointed at.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from evaluate.records import Metric
from reports.fields import number, plain, text
from reports.history import Entry
from reports.movement import WORK, moves
from reports.quantities import interval, quantity, reading, shift
from reports.series import BETTER, MOVED, SAME, UNKNOWN, WORSE, Case, Change, Series, direction

__all__ = ["CODE", "STATUSES", "case_record", "moved"]

STATUSES = (WORSE, BETTER, MOVED, SAME, UNKNOWN)
CODE = {status: i for i, status in enumerate(STATUSES)}
_SPARKS = 40
_LAYER = ("rate", *(key for key, _ in WORK))

Row = list[Any]


def _row(case: Case, series: Series) -> Row:
    """Status, last value, its interval, change since the commit before and at the last change point, sparkline."""
    last, metric = series.changes[-1] if series.changes else None, series.metric
    unjudged = metric.timing or series.commits < 2
    way = UNKNOWN if unjudged else direction(series.previous, series.present, metric.better)
    before = [CODE[way], shift(series.previous, series.present, metric.unit) if series.commits > 1 else "first commit"]
    moved = [last.start, CODE[last.status], shift(last.was, last.now, metric.unit)] if last else None
    where = [plain(case.entries[last.start].commit), plain(case.entries[last.start].made)] if last else []
    step = [*moved, *where] if moved else None
    return [CODE[series.status], _say(metric, series.present), _texts(metric)[4], before, step, _spark(case, series)]


def _spark(case: Case, series: Series) -> list[int | None]:
    """The last values of the commits, from 0 to 100."""
    last: dict[str, float | None] = {}
    for entry, metric, value in zip(case.entries, series.metrics, series.values, strict=True):
        if metric is not None:
            last[entry.commit or entry.content] = value
    values = list(last.values())[-_SPARKS:]
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return [None if v is None else round(100 * (v - low) / (high - low)) if high > low else 50 for v in values]


@lru_cache(maxsize=100_000)
def _texts(metric: Metric) -> tuple[Hashable, ...]:
    """Value, what people read, interval as numbers and as text, and why there is no value."""
    why = "" if metric.value is not None else plain(metric.note)
    value, low, high = (None if x is None else float(x) for x in (metric.value, metric.low, metric.high))
    return value, reading(metric).strip("*"), low, high, interval(metric).strip("*"), why


def _say(metric: Metric, value: float | None) -> str:
    if metric.value == value:
        return str(_texts(metric)[1])
    return reading(replace(metric, value=value, note=metric.note or "not measured")).strip("*")


def case_record(case: Case, place: dict[str, int]) -> dict[str, Any]:
    """Everything about a case."""
    machine, layer = _Distinct(), _Distinct()
    runs = [
        [plain(e.content)[:16], plain(e.commit), plain(e.made), machine.place(e.machine), layer.place(_layers(e))]
        for e in case.entries
    ]
    return {"runs": runs, "machines": [plain(name) for name in machine.rows], "layers": layer.rows, "columns": _LAYER,
            "metrics": [_series(case, series, place) for series in case.series]}  # fmt: skip


class _Distinct:
    """Values in the order of their first appearance, each once."""

    def __init__(self) -> None:
        self.rows: list[Hashable] = []
        self._places: dict[Hashable, int] = {}

    def place(self, row: Hashable) -> int:
        """Where `row` stands."""
        if row not in self._places:
            self._places[row] = len(self.rows)
            self.rows.append(row)
        return self._places[row]


def _layers(entry: Entry) -> tuple[Hashable, ...]:
    """Name and counts of each layer."""
    return tuple((text(row, "name"), *(number(row, key) for key in _LAYER)) for row in entry.layers)


def _series(case: Case, series: Series, place: dict[str, int]) -> dict[str, Any]:
    """The history of one metric: distinct values, which run has which, change points, levels of times."""
    level = _Distinct()
    at = [
        -1 if m is None else level.place(_texts(m if m.value == v else replace(m, value=v)))
        for m, v in zip(series.metrics, series.values, strict=True)
    ]
    metric = series.metric
    levels = [[first, last, value, quantity(value, metric.unit)] for first, last, value in series.levels]
    return {"metric": place[metric.name], "unit": plain(metric.unit), "better": plain(metric.better),
            "note": plain(metric.note), "row": _row(case, series), "values": level.rows, "at": at,
            "levels": levels, "changes": [_change(case, series, change) for change in series.changes]}  # fmt: skip


def _change(case: Case, series: Series, change: Change) -> Row:
    """First run after it, last run before it, direction, both levels and the difference, what moved."""
    before, after = case.entries[change.before], case.entries[change.start]
    was, now = (series.metrics[i] or series.metric for i in (change.before, change.start))
    return [change.start, change.before, CODE[change.status], _say(was, change.was), _say(now, change.now),
            shift(change.was, change.now, now.unit), moved(before, after)]  # fmt: skip


def moved(before: Entry, after: Entry) -> list[str]:
    """The layer that moved most, and the sentence about it; nothing where none did."""
    found = moves(before.layers, after.layers)
    return [found[0].layer, str(found[0])] if found else []
