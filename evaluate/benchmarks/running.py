"""run_benchmark(): case after case, the run file on disk after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluate.benchmarks.assembling import assemble_benchmark
from evaluate.benchmarks.process import run_case
from evaluate.benchmarks.request import BenchmarkRequest, Case, cases
from evaluate.errors import BenchmarkError, RunFileError
from evaluate.isolation import Progress
from evaluate.records import BENCHMARK, Run, read_run, write_run

__all__ = ["Measure", "claim_folder", "run_benchmark"]

Measure = Callable[[Case, BenchmarkRequest, Progress], dict[str, Any]]
"""Measures one case; see `evaluate.benchmarks.process.run_case`."""


def claim_folder(folder: Path) -> Path:
    """`folder/run.json`, the folder made where there is none.

    Raises
    ------
    BenchmarkError
        It holds something other than an earlier benchmark, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise BenchmarkError(f"--out: {folder} is a file; expected a folder, new or written by an earlier benchmark")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not _is_ours(folder):
            raise BenchmarkError(f"--out: {folder} holds other files; expected a new folder, or one of a benchmark")
    except OSError as error:
        raise BenchmarkError(
            f"--out: {folder} cannot be written ({error.strerror}); name another with --out"
        ) from error
    return folder / "run.json"


def _is_ours(folder: Path) -> bool:
    try:
        return read_run(folder).case.get("kind") == BENCHMARK
    except RunFileError:
        return False


def run_benchmark(
    request: BenchmarkRequest,
    path: Path,
    begin: Callable[[int, int, Case], Progress] = lambda done, total, case: lambda what, n, of: None,
    measure: Measure = run_case,
) -> Run:
    """Measure every case of `request`; the run is written to `path` after each, so an interruption keeps the others.

    Parameters
    ----------
    begin : callable
        Called with the number of cases that are on disk, of all that were asked for, and the one that begins; what it
        returns is told of its progress.

    Raises
    ------
    BenchmarkError
        No case could be measured: the reasons. Where some could, the others are notes of the run.
    """
    asked = cases(request)
    records: list[dict[str, Any]] = []
    run = None
    for case in asked:
        try:
            records.append(measure(case, request, begin(0 if run is None else len(records), len(asked), case)))
        except BenchmarkError as error:
            records.append({"label": case.label, **asdict(case), "failed": str(error).removeprefix(f"{case.label}: ")})
        if any("failed" not in record for record in records):
            run = assemble_benchmark(request, records, len(asked))
            try:
                write_run(run, path)
            except OSError as error:
                raise BenchmarkError(f"--out: {path} cannot be written ({error.strerror})") from error
    if run is None:
        raise BenchmarkError("\n".join(f"{record['label']}: {record['failed']}" for record in records))
    return run
