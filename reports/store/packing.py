"""A run as rows, and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from evaluate.errors import RunFileError
from evaluate.records import Run, metric_of, parse_run
from reports.errors import DamagedStoreError, ReportError
from reports.fields import check
from reports.history import Entry, content_id, entry_of

__all__ = ["entries_of", "rows_of", "run_of"]

_TEXTS = ("content", "run", "case", "commit", "made", "network", "recipe", "neuron", "data")


def rows_of(run: Run) -> dict[str, list[dict[str, Any]]]:
    """The rows of `run` by table.

    Raises
    ------
    ReportError
        It has parts that no JSON can hold.
    """
    check(run)
    try:
        entry = entry_of(run)
        document = zlib.compress(run.to_line().encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ReportError(f"run {run.id}: cannot be kept ({error}); convert the model again") from error
    head = {name: getattr(entry, name) for name in _TEXTS}
    return {
        "runs": [{**head, "document": document}],
        "metrics": [
            {**vars(metric), "observations": json.dumps(metric.observations), "content": entry.content, "position": i}
            for i, metric in enumerate(entry.metrics)
        ],
        "layers": [
            {"content": entry.content, "position": i, "row": json.dumps(row)} for i, row in enumerate(entry.layers)
        ],
    }


def entries_of(runs: Iterable[Row[Any]], metrics: Iterable[Row[Any]], layers: Iterable[Row[Any]]) -> list[Entry]:
    """The entries that rows of the three tables make."""
    values: dict[str, list[Any]] = {}
    for content, _, *row, observations in map(tuple, metrics):
        names = ("name", "value", "unit", "better", "samples", "low", "high", "note", "timing")
        record = {**dict(zip(names, row, strict=True)), "observations": json.loads(observations)}
        values.setdefault(content, []).append(metric_of(record))
    parts: dict[str, list[Any]] = {}
    for content, _, row in map(tuple, layers):
        parts.setdefault(content, []).append(json.loads(row))
    return [
        Entry(
            **dict(zip(_TEXTS, texts, strict=True)),
            metrics=tuple(values.get(texts[0], ())),
            layers=tuple(parts.get(texts[0], ())),
        )
        for texts in map(tuple, runs)
    ]


def run_of(content: str, document: bytes) -> Run:
    """The run that was kept under `content`.

    Raises
    ------
    DamagedStoreError
        It is not what was added.
    """
    try:
        run = parse_run(zlib.decompress(document), f"run {content[:12]}")
        if content_id(run) == content:
            return run
    except (zlib.error, RunFileError) as error:
        raise _damaged(content, str(error)) from error
    raise _damaged(content, "its hash is another")


def _damaged(content: str, why: str) -> DamagedStoreError:
    return DamagedStoreError(f"run {content[:12]}: is not what was added ({why}); restore a copy or import an export")
