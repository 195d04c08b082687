"""make_leaderboard(): unit by unit, each result on disk at once; those that are there already are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import zoo
from evaluate.contenders.methods import METHODS
from evaluate.errors import LeaderboardError, RunFileError
from evaluate.isolation import Progress
from evaluate.leaderboard.assembling import assemble_leaderboard
from evaluate.leaderboard.cells import Cell, Cells
from evaluate.leaderboard.request import LeaderboardRequest, Unit
from evaluate.leaderboard.worker import Measurer
from evaluate.records import LEADERBOARD, Run, read_run, write_run
from evaluate.suites.pools import Begin, Here, Outcome

__all__ = ["Pool", "UnitQuestion", "Watch", "claim", "make_leaderboard", "workers"]

_WORKER = "evaluate.leaderboard.worker"

Place = tuple[str, str, int]
"""Network, method, steps."""


class Pool(Protocol):
    """Measures units, as `evaluate.suites.pools.Pool` answers questions."""

    @property
    def limit_s(self) -> float | None:
        """Seconds after which a unit is given up; None: never."""

    def outcomes(self, questions: Sequence[UnitQuestion], begin: Begin) -> Iterator[tuple[int, Outcome]]:
        """Every unit once, by its number, in the order in which they end."""


class Watch(Protocol):
    """Is told how it goes on."""

    def known(self, cells: int, of: int) -> None:
        """So many cells are on disk."""

    def begin(self, number: int, label: str) -> Progress:
        """A unit begins."""

    def end_unit(self, number: int, unit: Unit, failure: str) -> None:
        """It has ended; `failure` says why it has no answer."""


def claim(folder: Path) -> Path:
    """`folder/run.json`, the folder made where there is none.

    Raises
    ------
    LeaderboardError
        It holds something other than an earlier leaderboard, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise LeaderboardError(
            f"--out: {folder} cannot be written ({error.strerror}); name another with --out"
        ) from error
    if found and "cells" not in found and not _is_ours(folder):
        raise LeaderboardError(f"--out: {folder} holds other files; expected a new folder, or one of a leaderboard")
    return folder / "run.json"


def _is_ours(folder: Path) -> bool:
    try:
        return read_run(folder).case.get("kind") == LEADERBOARD
    except RunFileError:
        return False


def make_leaderboard(request: LeaderboardRequest, path: Path, watch: Watch, pool: Pool | None = None) -> Run:
    """Measure what is not on disk yet, and write the run file to `path`; an interruption writes it as far as it goes.

    Parameters
    ----------
    watch : Watch
        Is told how it goes on.
    pool : Pool, optional
        Where units are measured, such as `workers`; by default in this process.

    Raises
    ------
    zoo.ZooError
        Weights or data are missing.
    LeaderboardError
        A file cannot be written, or a unit is refused as a whole.
    """
    for network in request.networks:
        zoo.open_dataset(zoo.load(network).data)  # a missing data set is said before hours of work, not after
    cells, units = Cells(path.parent, request), tuple(request.units())
    pool = pool or _Here()
    rows = {(unit.network, unit.method, t): cell for unit in units for t in unit.steps
            if (cell := cells.read(unit.network, unit.method, t, pool.limit_s)) is not None}  # fmt: skip
    asked = [(unit.network, unit.method, t) for unit in units for t in unit.steps]
    watch.known(len(rows), len(asked))
    try:
        for cell in _measured(request, units, rows, watch, pool):
            rows[cell["network"], cell["method"], cell["steps"]] = cell
            cells.write(cell)
    except OSError as error:
        raise LeaderboardError(f"--out: {path.parent} cannot be written ({error.strerror})") from error
    finally:
        if rows:
            run = assemble_leaderboard(request, [rows[place] for place in asked if place in rows], len(asked))
            write_run(run, path)
    return run


def _measured(
    request: LeaderboardRequest, units: Sequence[Unit], known: Collection[Place], watch: Watch, pool: Pool
) -> Iterator[Cell]:
    """The cells that are not known, in the order in which they come."""
    questions = []
    for unit in units:
        if missing := tuple(t for t in unit.steps if (unit.network, unit.method, t) not in known):
            questions.append(UnitQuestion(replace(unit, steps=missing), request))
    for number, outcome in pool.outcomes(questions, lambda n: watch.begin(n, questions[n].unit.label)):
        unit = questions[number].unit
        if outcome.failure == "refused":
            raise LeaderboardError(f"{unit.label}: {outcome.message}")
        found = _without_answer(unit, outcome, pool) if outcome.answer is None else outcome.answer["cells"]
        watch.end_unit(number, unit, outcome.message)
        yield from found


def _without_answer(unit: Unit, outcome: Outcome, pool: Pool) -> list[Cell]:
    """What died, or took too long, is a result."""
    kind = "peer" if unit.method in METHODS else "ours"
    said: Cell = {"network": unit.network, "method": unit.method, "kind": kind, "refused": outcome.message}
    if outcome.failure == "late":
        said["late_s"] = pool.limit_s
    return [{**said, "steps": t} for t in unit.steps]


def workers(jobs: int, limit_s: float) -> Here:
    """So many processes of one thread each; a unit that takes longer is not finished."""
    return Here(jobs, 1, _WORKER, limit_s)


@dataclass(frozen=True)
class UnitQuestion:
    """A unit of a leaderboard for a worker."""

    unit: Unit
    request: LeaderboardRequest
    folder: None = None

    def as_record(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"unit": asdict(self.unit), "request": self.request.as_record()}


class _Here:
    """In this process: no other is started, and nothing ends a unit."""

    limit_s = None

    def outcomes(self, questions: Sequence[UnitQuestion], begin: Begin) -> Iterator[tuple[int, Outcome]]:
        """As `evaluate.suites.pools.Pool`."""
        measurer = Measurer()
        for number, question in enumerate(questions):
            yield number, Outcome({"cells": measurer.measure(question.unit, question.request, begin(number))})
