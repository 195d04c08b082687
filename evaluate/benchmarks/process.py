"""run_case(): one case in a fresh process with as many threads as it asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from evaluate.benchmarks.measuring import Progress
from evaluate.benchmarks.request import BenchmarkRequest, Case
from evaluate.errors import BenchmarkError

__all__ = ["environment_for", "run_case"]

_ROOT = Path(__file__).resolve().parents[2]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LAST_LINES = 3


def environment_for(case: Case, around: Mapping[str, str]) -> dict[str, str]:
    """The environment `around` with the threads of `case`, and with this tree first on the path."""
    path = os.pathsep.join(filter(None, (str(_ROOT), around.get("PYTHONPATH"))))
    return {**around, **dict.fromkeys(_THREADS, str(case.threads)), "PYTHONPATH": path}


def run_case(
    case: Case, request: BenchmarkRequest, progress: Progress = lambda what, done, total: None
) -> dict[str, Any]:
    """The record of `case`, see `measure_case`.

    Raises
    ------
    BenchmarkError
        The network cannot be measured, with the reason; or the process died.
    """
    asked = {"case": asdict(case), "request": asdict(request)}
    # A session of its own: Ctrl-C reaches this process, which ends the other one and keeps what is finished.
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as errors:
        question.write(json.dumps(asked).encode())
        question.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", "evaluate.benchmarks.worker"], stdin=question, stdout=subprocess.PIPE, stderr=errors,
            text=True, encoding="utf-8", env=environment_for(case, os.environ), start_new_session=True,
        ) as child:  # fmt: skip
            try:
                record = _answer(child, progress)
                status = child.wait()
            finally:
                child.kill()
        if record is None:
            raise BenchmarkError(f"{case.label}: the process ended with status {status}: {_end_of(errors)}")
    if "refused" in record:
        raise BenchmarkError(f"{case.label}: {record['refused']}")
    result: dict[str, Any] = record["result"]
    return result


def _answer(child: subprocess.Popen[str], progress: Progress) -> dict[str, Any] | None:
    """Pass reports on, and return the last message; None where there is none."""
    assert child.stdout is not None  # it is a pipe
    for line in child.stdout:
        message: dict[str, Any] = json.loads(line)
        if "what" not in message:
            return message
        progress(message["what"], message["done"], message["total"])
    return None


def _end_of(errors: IO[bytes]) -> str:
    """The last lines of standard error, as one."""
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return " ".join(" ".join(lines[-_LAST_LINES:]).split()) or "it said nothing"
