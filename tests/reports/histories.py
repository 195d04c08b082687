"""Runs of a history: the same case at one commit after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evaluate.records import Metric, Run


def at(run: Run, commit: str = "a", day: int = 1, **git: Any) -> Run:
    """`run`, made at a commit of forty times this letter on a day of November."""
    made = f"2026-11-{day:02d}T08:00:00+00:00"
    return replace(
        run, environment={**run.environment, "git": {"commit": commit * 40, "dirty": False, **git}, "time_utc": made}
    )


def small(number: int) -> Run:
    """A run as small as a run can be; another one for each number."""
    metric = Metric("snn.accuracy", number / 1000, "fraction", "higher", 1000)
    stamp = {"time_utc": f"2026-11-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}+00:00"}
    return Run(f"{number:08x}", {}, (metric,), {}, ({"name": "fc", "rate": 0.25},), {}, stamp)
