"""published_record(): accuracies as printed in the literature, from published.toml, each with its source."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from evaluate.errors import ConstantsError

__all__ = ["published_record"]

_FILE = Path(__file__).parent / "published.toml"
_NEEDED = ("method", "venue", "data", "network", "ann", "spike", "training", "accuracy", "source")


@cache
def published_record(path: Path = _FILE) -> list[dict[str, Any]]:
    """The rows of the table.

    Returns
    -------
    list of dict
        ``method``, ``venue``, ``data``, ``network``, ``ann`` (accuracy of the original in percent), ``spike`` (what
        one carries), ``training`` (none, or what was retrained), ``look_ahead`` (steps before the first, not counted in
        T), ``accuracy`` (T, as text -> percent), ``source``.

    Raises
    ------
    ConstantsError
        A row without one of these, above all without a source.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["figure"]
    for i, row in enumerate(rows):
        missing = [key for key in _NEEDED if not row.get(key)]
        if missing:
            raise ConstantsError(f"{path.name}: row {i + 1} lacks {', '.join(missing)}; every figure needs them all")
        row.setdefault("look_ahead", 0)
    return [dict(row) for row in rows]
