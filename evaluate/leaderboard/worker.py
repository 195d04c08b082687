"""The process that measures units: `python -m evaluate.leaderboard.worker`; and a unit measured in this process.

What the methods of one network share, its samples and the statistics of its activations, is kept until the next network
comes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from evaluate.contenders.methods import METHODS
from evaluate.isolation import Progress, serve
from evaluate.leaderboard.cells import Cell
from evaluate.leaderboard.ours import measure_ours
from evaluate.leaderboard.peers import measure_peer
from evaluate.leaderboard.request import LeaderboardRequest, Unit
from evaluate.preparation import Shared

__all__ = ["Measurer", "answer"]


@dataclass(eq=False)
class Measurer:
    """Measures units of one leaderboard, one after the other."""

    network: str = ""
    shared: Shared = field(default_factory=Shared)

    def measure(self, unit: Unit, request: LeaderboardRequest, progress: Progress) -> list[Cell]:
        """The cells of `unit`, each with ``cpu_s``: its share of the processor time."""
        if unit.network != self.network:
            self.network, self.shared = unit.network, Shared()
        stages: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            stages[stage] = stages.get(stage, 0) + done
            progress(stage, stages[stage], total)

        begin = time.process_time()
        cells = (measure_peer if unit.method in METHODS else measure_ours)(unit, request, report, self.shared)
        took = (time.process_time() - begin) / len(cells)
        return [{**cell, "cpu_s": round(took, 2)} for cell in cells]


_MEASURER = Measurer()


def answer(question: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The cells of a unit."""
    request = LeaderboardRequest(**_tuples(question["request"]))
    return {"cells": _MEASURER.measure(Unit(**_tuples(question["unit"])), request, progress)}


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}


if __name__ == "__main__":
    serve(answer)
