"""A run as rows, and back."""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

from sqlalchemy import Row

from evaluate.errors import RunFileError
from evaluate.records import Run, metric_of, parse_run
from reports.errors import DamagedStoreError, ReportError
from reports.fields import check
from reports.history import Entry, content_id, entry_of

__all__ = ["Packed", "entry_from", "entry_to_keep", "pack", "run_of"]

_TEXTS = ("content", "run", "case", "commit", "made", "network", "recipe", "neuron", "data")


class Packed(NamedTuple):
    """A run as one row of each table."""

    head: dict[str, Any]
    document: dict[str, Any]


def entry_to_keep(run: Run) -> Entry:
    """The entry of `run`; what has one can be packed.

    Raises
    ------
    ReportError
        It has parts that no JSON or no database can hold.
    """
    check(run)
    if not isinstance(run.id, str) or not run.id.isprintable():
        raise ReportError(f"run {run.id!r}: its id is no line of text; convert the model again")
    try:
        return entry_of(run)
    except (TypeError, ValueError, RecursionError) as error:
        raise ReportError(f"run {run.id}: cannot be kept ({error}); convert the model again") from error


def pack(run: Run) -> Packed:
    """The rows of `run`; raises what `entry_to_keep` raises."""
    entry = entry_to_keep(run)
    light = {"metrics": [vars(metric) for metric in entry.metrics], "layers": entry.layers,
             "machine": entry.machine}  # fmt: skip
    packed = zlib.compress(json.dumps(light, separators=(",", ":"), ensure_ascii=False).encode())
    head = {name: getattr(entry, name) for name in _TEXTS}
    document = zlib.compress(run.to_line().encode())
    return Packed({**head, "light": packed}, {"content": entry.content, "document": document})


def entry_from(row: Row[Any]) -> Entry:
    """The entry that a row of the table of runs makes.

    Raises
    ------
    DamagedStoreError
        Its metrics and layers cannot be read.
    """
    *texts, light = list(row)
    try:
        parts = json.loads(zlib.decompress(light))
        metrics, layers = tuple(metric_of(record) for record in parts["metrics"]), tuple(parts["layers"])
        machine = str(parts["machine"])
    except (zlib.error, ValueError, TypeError, KeyError) as error:
        raise _damaged(texts[0], str(error)) from error
    return Entry(**dict(zip(_TEXTS, texts, strict=True)), metrics=metrics, layers=layers, machine=machine)


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
