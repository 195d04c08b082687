"""run_case(): one case in a fresh process with as many threads as it asks for."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from evaluate.benchmarks.request import BenchmarkRequest, Case
from evaluate.errors import BenchmarkError, EvaluateError
from evaluate.isolation import Isolated, Progress, environment_with

__all__ = ["run_case"]


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
    try:
        with Isolated("evaluate.benchmarks.worker", environment_with(case.threads, os.environ)) as process:
            result: dict[str, Any] = process.ask(asked, progress)
    except EvaluateError as error:
        raise BenchmarkError(f"{case.label}: {error}") from error
    return result
