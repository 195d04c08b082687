"""Runs in forms for other programs: JSON, and CSV with one metric a row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from evaluate.records import Run
from reports.fields import branch, check, text

__all__ = ["csv_table", "json_list"]

_COLUMNS = (
    "run",
    "model",
    "data",
    "recipe",
    "metric",
    "value",
    "unit",
    "low",
    "high",
    "better",
    "samples",
    "timing",
    "note",
)


def json_list(runs: Sequence[Run]) -> str:
    """The run files as one list."""
    return json.dumps([json.loads(run.to_json()) for run in runs], indent=1, ensure_ascii=False) + "\n"


def csv_table(runs: Sequence[Run]) -> str:
    """Every metric of every run; a value that was not measured is an empty cell.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for run in runs:
        check(run)
        case = [text(branch(run.case, part), key) for part, key in
                (("model", "name"), ("data", "spec"), ("config", "recipe"))]  # fmt: skip
        for m in run.metrics:
            told = [m.name, m.value, m.unit, m.low, m.high, m.better, m.samples, m.timing, m.note]
            rows.writerow([_inert(cell) for cell in (run.id, *case, *told)])
    return out.getvalue()


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell
