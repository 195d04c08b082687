"""Interleaving and ratios, by a clock that the test moves."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from evaluate.benchmarks.rounds import SHORTEST_S, Clocks, Timings, interleave, ratios


class Machine:
    """Calls take the time that the test says, and leave a trace."""

    def __init__(self) -> None:
        self.now = self.used = 0.0
        self.trace: list[str] = []

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.now, lambda: self.used)

    def contestant(self, name: str, *seconds: float, cores: float = 1.0) -> Callable[[], None]:
        """Takes these seconds in turn, the last ones for ever."""
        calls = iter([*seconds, *[seconds[-1]] * 10_000])

        def run() -> None:
            took = next(calls)
            self.trace.append(name)
            self.now += took
            self.used += took * cores

        return run


def test_every_round_times_every_contestant_once_and_begins_with_another() -> None:
    machine, told = Machine(), []
    contestants = {name: machine.contestant(name, 1.0) for name in "abc"}
    interleave(contestants, 4, machine.clocks(), told.append)
    warm_up = list("aabbcc")
    assert machine.trace == [*warm_up, *"abc", *"bca", *"cab", *"abc"]
    assert told == [*"abc", *"bca", *"cab", *"abc"]


def test_timings_are_in_the_order_of_the_rounds() -> None:
    machine = Machine()
    contestants = {"a": machine.contestant("a", 9, 9, 1, 2, 3), "b": machine.contestant("b", 9, 9, 4, 5, 6, cores=2)}
    found = interleave(contestants, 3, machine.clocks())
    assert found["a"].wall_s == (1, 2, 3) and found["b"].wall_s == (4, 5, 6)
    assert found["b"].cpu_s == (8, 10, 12) and found["b"].cores == 2
    assert ratios(found["b"].wall_s, found["a"].wall_s) == (4.0, 2.5, 2.0)


def test_short_calls_are_repeated_within_a_timing_and_count_as_one() -> None:
    machine = Machine()
    found = interleave({"a": machine.contestant("a", SHORTEST_S / 4)}, 2, machine.clocks())["a"]
    assert found.calls == 4 and machine.trace.count("a") == 2 + 2 * 4
    assert found.wall_s == pytest.approx((SHORTEST_S / 4, SHORTEST_S / 4))


def test_a_call_that_the_clock_does_not_see_is_not_repeated_for_ever() -> None:
    machine = Machine()
    found = interleave({"a": machine.contestant("a", 0.0)}, 1, machine.clocks())["a"]
    assert found.calls == 1000 and found.wall_s == (0.0,) and math.isfinite(found.cores)


def test_a_slow_machine_slows_a_whole_round_and_leaves_its_ratios() -> None:
    machine = Machine()
    slow = {"ann": machine.contestant("ann", 1, 1, 1, 10, 1), "ours": machine.contestant("ours", 2, 2, 2, 20, 2)}
    found = interleave(slow, 3, machine.clocks())
    assert ratios(found["ours"].wall_s, found["ann"].wall_s) == (2, 2, 2)


def test_ratios_of_different_rounds_are_refused() -> None:
    with pytest.raises(ValueError):
        ratios([1.0, 2.0], [1.0])


def test_cores_is_a_median() -> None:
    assert Timings((1.0, 1.0, 1.0), (0.5, 1.0, 0.9), 1).cores == 0.9
