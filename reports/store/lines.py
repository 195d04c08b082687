"""A store as lines of JSON, one run a line and the oldest first: for other programs, and to live in git."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluate.records import atomic_file
from reports.errors import ReportError
from reports.store.store import Store

__all__ = ["write_lines"]


def write_lines(store: Store, path: Path, progress: Callable[[int], None] = lambda n: None) -> int:
    """Write every run of `store` to `path` at one stroke, and count them.

    The order is that of time, then of the keys: the same runs give the same bytes, and later runs are new lines at
    the end.

    Raises
    ------
    ReportError
        The file cannot be written, or the store not be read.
    """
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            for run in store.runs():
                file.write(run.to_line().encode() + b"\n")
                count += 1
                progress(1)
    except OSError as error:
        raise ReportError(f"{path}: cannot be written ({error.strerror}); name another file") from error
    return count
