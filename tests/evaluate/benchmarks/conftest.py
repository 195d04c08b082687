"""A request and the record of one of its cases, as `measure_case` would write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from evaluate.benchmarks.request import BenchmarkRequest, Case

Record = Callable[[Case], dict[str, Any]]


@pytest.fixture
def asked() -> BenchmarkRequest:
    return BenchmarkRequest(("digits-relu",), (4, 8), (16,), (1,), 3, peers=(), command="python -m evaluate bench")


@pytest.fixture
def record_of() -> Record:
    """Rounds in which the ANN takes 2, 2.25 and 2.5 seconds, our engines 4 and 2 times that, a peer 10 times."""

    def contestant(factor: float, cores: float, **facts: Any) -> dict[str, Any]:
        wall = tuple(factor * second for second in (2.0, 2.25, 2.5))
        cpu = tuple(cores * second for second in wall)
        return {**facts, "wall_s": wall, "cpu_s": cpu, "calls": 1, "cores": cores}

    def record(case: Case) -> dict[str, Any]:
        found = {
            "ann": contestant(1.0, 1.0),
            "dense": contestant(4.0, 1.0, rate=0.1, populations_by_engine={"events": 0, "dense": 2}),
            "events": contestant(2.0, 1.0, rate=0.1, populations_by_engine={"events": 2, "dense": 0}),
            "spikingjelly": contestant(10.0, 1.0, rate=0.2, mode="single step", note="n", version="2.0.0",
                                       trials_s={"single step": 9.0}),
        }  # fmt: skip
        return asdict(case) | {
            "weights": "trained", "data": "digits", "width": None, "parameters": 100, "neurons": 30,
            "torch_threads": case.threads, "omp_wait_policy": None, "contestants": found,
            "refusals": {"sinabs": "sinabs leaves Tanh as it is"},
        }  # fmt: skip

    return record
