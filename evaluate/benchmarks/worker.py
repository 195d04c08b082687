"""The process of a case: `python -m evaluate.benchmarks.worker`, asked by `evaluate.benchmarks.process`.

A process of its own, because threads are chosen when torch starts: its idle workers spin, and whoever has once
computed with two threads is slowed down by the second one when he computes with one.
"""

from __future__ import annotations

from typing import Any

from evaluate.benchmarks.measuring import measure_case
from evaluate.benchmarks.request import BenchmarkRequest, Case
from evaluate.isolation import Progress, serve

__all__ = ["answer"]


def answer(asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The record of the case that is asked about."""
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in asked["request"].items()
    }
    return measure_case(Case(**asked["case"]), BenchmarkRequest(**options), progress)


if __name__ == "__main__":
    serve(answer)
