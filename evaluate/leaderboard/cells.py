"""One result on disk: a file of its own, named after a hash of all that determines it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import zoo
from convert.recipes import RECIPES
from evaluate.contenders.methods import METHODS
from evaluate.contenders.peers import peer_version
from evaluate.environment import code_version
from evaluate.leaderboard.request import LeaderboardRequest
from evaluate.records import content_hash, write_atomically

__all__ = ["Cell", "Cells"]

SCHEMA = "ann2spike.cell/1"

Cell = dict[str, Any]
"""Plain JSON; see `evaluate.leaderboard.ours.measure_ours`."""


class Cells:
    """The results in ``folder/cells``.

    A change of the code, of the weights, of a library, of the samples or of the method gives another name, so what is
    found is what would be measured. Steps and networks beside it do not matter: a larger leaderboard takes over what a
    smaller one has measured.
    """

    def __init__(self, folder: Path, request: LeaderboardRequest) -> None:
        self.folder, self.request = folder / "cells", request
        self.software = code_version()
        self.weights = {name: zoo.load(name).sha256 for name in request.networks}
        self.folder.mkdir(parents=True, exist_ok=True)

    def key(self, network: str, method: str, steps: int) -> str:
        """What the file of this cell is called."""
        peer = METHODS.get(method)
        return content_hash({
            "schema": SCHEMA, "network": network, "weights": self.weights[network], "method": method, "steps": steps,
            "limit": self.request.limit, "calibration": self.request.calibration_samples, "seed": self.request.seed,
            "options": RECIPES[method].config(steps).as_record() if peer is None else peer.source,
            "version": peer and peer_version(peer.distribution), "software": self.software,
        })[:20]  # fmt: skip

    def read(self, network: str, method: str, steps: int, limit_s: float | None = None) -> Cell | None:
        """The cell, None where it is not there, cannot be read, or was given up after less than `limit_s`."""
        try:
            found = json.loads(self._path(network, method, steps).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            return None
        return None if "late_s" in found and (limit_s is None or found["late_s"] < limit_s) else found

    def write(self, cell: Cell) -> None:
        """Keep `cell`."""
        path = self._path(cell["network"], cell["method"], cell["steps"])
        content = json.dumps({"schema": SCHEMA, **cell}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(path, content.encode())

    def _path(self, network: str, method: str, steps: int) -> Path:
        return self.folder / f"{network}.{method}.T{steps}.{self.key(network, method, steps)}.json"
