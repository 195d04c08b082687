"""A leaderboard read from its run: which networks, methods and steps, the cell of each, and the fronts.

A front holds what nothing else beats: no other method and number of steps is at least as accurate for less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evaluate.records import LEADERBOARD, Run
from reports.fields import branch, entries, number, text
from reports.quantities import joules

__all__ = ["COSTS", "Board", "Cost", "Row", "accuracy", "board", "front", "is_leaderboard", "ratio_to_ann"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """What accuracy is paid with.

    Parameters
    ----------
    name, label : str
        For a heading, and for an axis.
    of : callable
        Row -> the cost, None where it is unmeasured.
    words : callable
        A cost for people.
    """

    name: str
    label: str
    of: Callable[[Row], float | None]
    words: Callable[[float], str]


def is_leaderboard(run: Run) -> bool:
    """Whether `run` tells of many networks and methods."""
    return text(run.case, "kind") == LEADERBOARD


@dataclass(frozen=True)
class Board:
    """What is in the run: only cells that are there, in the order in which they were asked for."""

    run: Run
    rows: list[Row]
    steps: list[int]

    def networks(self) -> list[str]:
        """Names."""
        return list(dict.fromkeys(text(row, "network") for row in self.rows))

    def of(self, network: str) -> list[Row]:
        """Its measured cells."""
        return [row for row in self.rows if text(row, "network") == network and "refused" not in row]

    def methods(self, network: str, kind: str = "") -> list[str]:
        """Those that ran, of one `kind` or of all."""
        return list(dict.fromkeys(text(r, "method") for r in self.of(network) if kind in ("", text(r, "kind"))))

    def cell(self, network: str, method: str, steps: int) -> Row | None:
        """One cell, None where there is none."""
        return next((r for r in self.of(network) if r.get("method") == method and r.get("steps") == steps), None)

    def tops(self, network: str) -> list[tuple[str, list[Row | None]]]:
        """For each group the most accurate cell at each T; of equals, that with the fewest spikes.

        The groups: our recipes, those of them whose neurons send one spike of one bit in a step at most, and the other
        converters; without those of which nothing ran.
        """
        ours = [row for row in self.of(network) if text(row, "kind") == "ours"]
        groups = {
            "ours": ours,
            "ours, one bit a step": [r for r in ours if number(r, "payload_bits") == number(r, "largest") == 1],
            "others": [row for row in self.of(network) if text(row, "kind") == "peer"],
        }
        return [(title, [_top(rows, t) for t in self.steps]) for title, rows in groups.items() if rows]

    def last(self, network: str, method: str) -> Row:
        """The cell of the most steps."""
        return max((r for r in self.of(network) if r.get("method") == method), key=lambda r: number(r, "steps") or 0)

    def refusals(self) -> list[tuple[str, str, str, bool]]:
        """(network, method, message, whether it would have gone on without a word), each once."""
        found = ((text(r, "network"), text(r, "method"), text(r, "refused"), r.get("silent") is True)
                 for r in self.rows if "refused" in r)  # fmt: skip
        return list(dict.fromkeys(found))

    def ann(self, network: str) -> float | None:
        """Accuracy of the original."""
        return next((value for r in self.of(network) if (value := _first(r, "ann_accuracy")) is not None), None)

    def samples(self, network: str) -> int | None:
        """Test samples."""
        n = next((number(r, "samples") for r in self.of(network)), None)
        return None if n is None else int(n)


def board(run: Run) -> Board:
    """The leaderboard in `run`."""
    steps = branch(run.case, "config").get("steps")
    asked = [int(t) for t in steps] if isinstance(steps, list) else []
    rows = [row for row in entries(run.curves, "cells") if text(row, "network") and text(row, "method")]
    return Board(run, rows, asked)


def _top(rows: Sequence[Row], steps: int) -> Row | None:
    at = [row for row in rows if number(row, "steps") == steps and accuracy(row)]
    return max(at, key=lambda r: ((accuracy(r) or (0.0,))[0], -(number(r, "spikes_per_neuron") or 0)), default=None)


def _first(row: Row, key: str) -> float | None:
    """The value of a triple of value, low, high."""
    triple = row.get(key)
    return number({"x": triple[0]}, "x") if isinstance(triple, list) and triple else None


def accuracy(row: Row | None) -> tuple[float, float, float] | None:
    """(value, low, high), None where it is unmeasured."""
    triple = (row or {}).get("accuracy")
    whole = isinstance(triple, list) and len(triple) == 3 and all(isinstance(x, int | float) for x in triple)
    return (float(triple[0]), float(triple[1]), float(triple[2])) if whole and triple else None


def ratio_to_ann(row: Row) -> float | None:
    """Modelled energy over that of the dense ANN."""
    own, ann = _first(row, "energy_j"), _first(row, "energy_ann_j")
    return own / ann if own is not None and ann else None


COSTS = (
    Cost("modelled energy", "modelled energy per inference", lambda row: _first(row, "energy_j"), joules),
    Cost("latency", "latency in steps, layer after layer, look-ahead counted", lambda row: number(row, "latency_steps"),
         lambda value: f"{value:,.0f} steps"),
)  # fmt: skip
"""One front for each."""


def front(rows: Sequence[Row], cost: Cost) -> list[Row]:
    """The rows that nothing beats, from the cheapest to the most accurate."""
    known = [(c, a[0], row) for row in rows if (c := cost.of(row)) is not None and (a := accuracy(row)) is not None]
    found: list[Row] = []
    best = -1.0
    for _, value, row in sorted(known, key=lambda each: (each[0], -each[1])):
        if value > best:
            best = value
            found.append(row)
    return found
