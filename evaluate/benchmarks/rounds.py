"""Interleaved rounds: every contestant is timed once a round, so that a machine that slows down slows all of them.

Round r begins with contestant r (modulo their number): none always runs in the wake of the same other one. A call that
is shorter than `SHORTEST_S` is repeated within one timing. Ratios are formed within a round, and their median is what
is reported.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["SHORTEST_S", "Clocks", "Timings", "interleave", "ratios"]

SHORTEST_S = 0.02
"""Least time of one timing: shorter ones are mostly the clock and the scheduler."""

_MOST_CALLS = 1000


@dataclass(frozen=True)
class Clocks:
    """What is read before and after: wall clock, and processor time of the whole process, both in seconds."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


@dataclass(frozen=True)
class Timings:
    """One contestant.

    Parameters
    ----------
    wall_s, cpu_s : tuple of float
        Seconds of one call, a value for each round.
    calls : int
        How often it was called in one timing.
    """

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    calls: int

    @property
    def cores(self) -> float:
        """Processor time over wall clock, its median: far below the threads asked for, something was in the way."""
        return median(c / w if w > 0 else 0.0 for c, w in zip(self.cpu_s, self.wall_s, strict=True))


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    clocks: Clocks | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Timings]:
    """Time every contestant once in each of `rounds` rounds, after two calls to warm up.

    Parameters
    ----------
    contestants : mapping of str to callable
        What is timed; a call is one pass over the batch.
    progress : callable
        Called with the name before each timing.
    """
    clocks = Clocks() if clocks is None else clocks
    calls = {}
    for name, run in contestants.items():
        run()
        calls[name] = _calls(_timed(run, 1, clocks)[0])
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            progress(name)
            taken[name].append(_timed(contestants[name], calls[name], clocks))
    return {
        name: Timings(tuple(w for w, _ in pairs), tuple(c for _, c in pairs), calls[name])
        for name, pairs in taken.items()
    }


def ratios(ours: Sequence[float], base: Sequence[float]) -> tuple[float, ...]:
    """One contestant's times over another's, round by round.

    >>> ratios([2.0, 6.0], [1.0, 2.0])
    (2.0, 3.0)
    """
    return tuple(a / b for a, b in zip(ours, base, strict=True))


def _calls(once_s: float) -> int:
    """Calls that fill the shortest timing."""
    return min(_MOST_CALLS, max(1, math.ceil(SHORTEST_S / once_s))) if once_s > 0 else _MOST_CALLS


def _timed(run: Callable[[], object], calls: int, clocks: Clocks) -> tuple[float, float]:
    """Wall clock and processor time of one call, the mean over `calls` in a row."""
    wall, cpu = clocks.wall(), clocks.cpu()
    for _ in range(calls):
        run()
    return (clocks.wall() - wall) / calls, (clocks.cpu() - cpu) / calls
