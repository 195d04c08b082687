"""make_leaderboard(): unit after unit, each result on disk at once; those that are there already are left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import zoo
from evaluate.contenders.methods import METHODS
from evaluate.errors import LeaderboardError, RunFileError
from evaluate.job import Report
from evaluate.leaderboard.assembling import assemble_leaderboard
from evaluate.leaderboard.cells import Cell, Cells
from evaluate.leaderboard.ours import measure_ours
from evaluate.leaderboard.peers import measure_peer
from evaluate.leaderboard.request import LeaderboardRequest, Unit
from evaluate.records import LEADERBOARD, Run, read_run, write_run

__all__ = ["Begin", "claim", "make_leaderboard"]

Begin = Callable[[int, int, Unit], Report]
"""Called with the units done, how many there are, and the one that begins; what it returns is told of its progress."""


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


def make_leaderboard(
    request: LeaderboardRequest,
    path: Path,
    begin: Begin = lambda done, total, unit: lambda stage, n, of: None,
) -> Run:
    """Measure what is not on disk yet, and write the run file to `path`; an interruption writes it as far as it goes.

    Raises
    ------
    zoo.ZooError
        Weights or data are missing.
    LeaderboardError
        A file cannot be written.
    """
    for network in request.networks:
        zoo.open_dataset(zoo.load(network).data)  # a missing data set is said before hours of work, not after
    cells, units = Cells(path.parent, request), tuple(request.units())
    rows: list[Cell] = []
    try:
        for done, unit in enumerate(units):
            rows += _known_or_measured(unit, request, cells, begin(done, len(units), unit))
    except OSError as error:
        raise LeaderboardError(f"--out: {path.parent} cannot be written ({error.strerror})") from error
    finally:
        if rows:
            run = assemble_leaderboard(request, rows, sum(len(unit.steps) for unit in units))
            write_run(run, path)
    return run


def _known_or_measured(unit: Unit, request: LeaderboardRequest, cells: Cells, report: Report) -> list[Cell]:
    known = [cells.read(unit.network, unit.method, steps) for steps in unit.steps]
    found = [cell for cell in known if cell is not None]
    if len(found) == len(unit.steps):
        return found
    found = (measure_peer if unit.method in METHODS else measure_ours)(unit, request, report)
    for cell in found:
        cells.write(cell)
    return found
