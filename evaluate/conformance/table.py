"""conformance_table() and conformance_line(): the result for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

__all__ = ["conformance_line", "conformance_table"]

_COLOURS = {"pass": "green", "fail": "red", "refused": "yellow", "not offered": "dim"}


def conformance_table(record: Mapping[str, Any]) -> Table:
    """Check by check: the verdict, what was expected, what came, and why it matters."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for title, ratio in (("verdict", None), ("check", 3), ("expected", 4), ("got", 4), ("why it matters", 6)):
        table.add_column(title, ratio=ratio, overflow="fold", no_wrap=ratio is None)
    table.expand = True
    for row in record["checks"]:
        verdict = Text(row["verdict"], style=_COLOURS[row["verdict"]])
        got = "as expected" if row["got"] == row["expected"].partition(";")[0] else row["got"]
        table.add_row(verdict, *(Text(words) for words in (row["name"], row["expected"], got, row["why"])))
    return table


def conformance_line(record: Mapping[str, Any]) -> str:
    """The score in one line."""
    score = record["score"]
    asked = sum(score.values()) - score["not offered"]
    version = f" {record['version']}" if record["version"] else ""
    others = [f"{score[verdict]} {verdict}" for verdict in ("fail", "refused", "not offered") if score[verdict]]
    return f"{record['contender']}{version}: {score['pass']} of {asked} checks pass{''.join(f', {o}' for o in others)}"
