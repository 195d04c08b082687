"""Change points neither cry wolf nor sleep: rates measured on simulated times, exact values changed exactly."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from reports.changes import EFFECT, LEAST, SHORTEST, critical, exact_changes, largest, timing_changes
from tests.reports.planted import late


def times(rng: random.Random, runs: int, persistence: float = 0.0, jump: float = 1.0, after: int = 0) -> list[float]:
    """Times on a machine whose state wanders by 2 %, with late runs; `after` at the end take `jump` times as long."""
    state, found = 0.0, []
    for i in range(runs):
        state = persistence * state + rng.gauss(0, 0.02 * math.sqrt(1 - persistence**2))
        found.append(math.exp(state) * late(rng) * (jump if i >= runs - after else 1.0))
    return found


def test_exact_values_change_wherever_they_differ() -> None:
    assert exact_changes([5.0, 5.0, 5.0 + 1e-15, None, None, 5.0]) == [2, 3, 5]
    assert exact_changes([]) == exact_changes([1]) == []


@pytest.mark.parametrize("runs", [14, 48, 256])
def test_the_critical_value_is_what_one_shuffled_history_in_a_thousand_reaches(runs: int) -> None:
    rng, count = np.random.default_rng(1), 6000
    free = np.ones(runs, dtype=bool)
    found = [largest(rng.permutation(runs) + 1.0, free)[1] for _ in range(count)]
    beyond = sum(z > critical(runs) for z in found)
    assert beyond <= 15  # 6 are expected; more than 15 come once in 2,000 times
    assert critical(4096) >= critical(1024) > critical(14)


def test_unchanged_times_raise_few_alarms() -> None:
    rng = random.Random(5)
    alarms = {phi: sum(bool(timing_changes(times(rng, 60, phi))) for _ in range(300)) for phi in (0.0, 0.5, 0.8)}
    assert alarms[0.0] <= 2 and alarms[0.5] <= 3 and alarms[0.8] <= 9, alarms


@pytest.mark.parametrize(("jump", "after", "least"), [(1.2, 8, 0.4), (1.2, 20, 0.85), (1.1, 20, 0.75), (0.8, 20, 0.85)])
def test_a_change_is_found_at_its_commit(jump: float, after: int, least: float) -> None:
    rng = random.Random(6)
    hits = [
        any(abs(k - (60 - after)) <= 2 for k in timing_changes(times(rng, 60, 0.0, jump, after))) for _ in range(60)
    ]
    assert sum(hits) >= least * len(hits), sum(hits)


def test_two_changes_are_both_found() -> None:
    rng, both = random.Random(7), 0
    for _ in range(40):
        found = timing_changes(times(rng, 30) + [1.3 * t for t in times(rng, 20)] + times(rng, 30))
        both += len(found) == 2 and abs(found[0] - 30) <= 2 and abs(found[1] - 50) <= 2
    assert both >= 34


def test_what_is_no_evidence() -> None:
    step = [1.0 + i / 1e6 for i in range(20)] + [1.04 + i / 1e6 for i in range(20)]
    assert EFFECT == 0.05 and timing_changes(step) == []
    assert timing_changes([1.0] * (SHORTEST - 1 - LEAST) + [2.0] * LEAST) == []
    assert timing_changes([1.0] * 40) == timing_changes([]) == []
    assert timing_changes([1.0] * 20 + [9.0] + [1.0] * 20) == []


def test_a_change_lies_between_commits() -> None:
    rng = random.Random(8)
    x = times(rng, 20) + [1.5 * t for t in times(rng, 20)]
    assert timing_changes(x, [i // 4 for i in range(40)]) == [20]
    assert timing_changes(x, ["one"] * 40) == []
