"""What a run says, read without assuming that it says everything.

A run without data has no accuracy, an old run has no baselines: a page tells what is there and names what
is not. So every look into the free-form parts of a run goes through this module, which answers an absent
or ill-typed field with nothing. Only the outer shape is checked, once, by `check()`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from evaluate.records import Metric, Run
from reports.errors import ReportError

__all__ = ["branch", "check", "checkout", "entries", "metric", "number", "plain", "sentences", "text"]

_ABSENT = "not in this run file; convert the model again to measure it"


def check(run: Run) -> None:
    """Refuse a run whose parts are not of the declared kind.

    Raises
    ------
    ReportError
        Names every such part at once.
    """
    offenders = [
        f"{name} is {type(getattr(run, name)).__name__}, expected an object"
        for name in ("case", "curves", "assumptions", "environment")
        if not isinstance(getattr(run, name), dict)
    ]
    offenders += [f"layers[{i}] is no object" for i, x in enumerate(run.layers) if not isinstance(x, dict)]
    offenders += [f"metrics[{i}] has a field of the wrong kind" for i, m in enumerate(run.metrics) if not _typed(m)]
    offenders += [f"notes[{i}] is no text" for i, note in enumerate(run.notes) if not isinstance(note, str)]
    if offenders:
        raise ReportError(f"run {run.id}: {'; '.join(offenders)}; convert the model again")


def _typed(metric: Metric) -> bool:
    """Whether the fields of `metric` are of their declared kinds."""
    numbers = (metric.value, metric.low, metric.high, metric.samples)
    texts = (metric.name, metric.unit, metric.better, metric.note)
    return all(n is None or isinstance(n, int | float) for n in numbers) and all(isinstance(t, str) for t in texts)


def metric(run: Run, name: str) -> Metric:
    """The metric called `name`, or one without a value that says that the run has none."""
    try:
        return run.metric(name)
    except KeyError:
        return Metric(name, None, "?", "neither", note=_ABSENT)


def checkout(run: Run) -> dict[str, Any]:
    """``commit`` and ``dirty`` of what a run is of: of the project that the command ran in, else of the code itself.

    A model and its settings live in a project; where there is none, what changes from run to run is the code.
    """
    return branch(run.environment, "project") or branch(run.environment, "git")


def branch(record: Any, *path: str) -> dict[str, Any]:
    """The object at `path` inside `record`; an empty one where there is none.

    >>> branch({"model": {"name": "mlp"}}, "model")
    {'name': 'mlp'}
    >>> branch({"model": None}, "model", "origin")
    {}
    """
    for key in path:
        record = record.get(key) if isinstance(record, Mapping) else None
    return dict(record) if isinstance(record, Mapping) else {}


def entries(record: Any, key: str) -> list[dict[str, Any]]:
    """The rows listed under `key`; those that are no objects are left out."""
    rows = record.get(key) if isinstance(record, Mapping) else None
    return [dict(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []


def sentences(record: Any, key: str) -> list[str]:
    """The lines of text under `key`; a single text counts as one line."""
    value = record.get(key) if isinstance(record, Mapping) else None
    if isinstance(value, str):
        value = [value]
    return [plain(line) for line in value if plain(line)] if isinstance(value, list | tuple) else []


def number(record: Any, key: str) -> float | None:
    """The finite number under `key`, else ``None``.

    >>> number({"rate": 0.25}, "rate"), number({"rate": "fast"}, "rate"), number({}, "rate")
    (0.25, None, None)
    """
    value = record.get(key) if isinstance(record, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond the floats
        return None


def text(record: Any, key: str, absent: str = "") -> str:
    """What stands under `key`, as one line of printable text."""
    value = record.get(key) if isinstance(record, Mapping) else None
    return plain(value) or absent


def plain(value: Any) -> str:
    r"""One line of printable text; control characters, line ends among them, become blanks.

    >>> plain("two\nlines\x1b[31m")
    'two lines [31m'
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value)
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
