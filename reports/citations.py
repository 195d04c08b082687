"""Published numbers as tables, each with its scope, its evidence and its source."""

from __future__ import annotations

from typing import Any

from evaluate.records import Run
from reports.fields import branch, entries, number, text
from reports.markup import cell, table
from reports.quantities import joules, power_of_ten

__all__ = ["biology", "constants", "hardware"]


def constants(run: Run) -> str:
    """The prices of all energy models, as printed in their sources; of an older run, those of its one model."""
    rows = entries(run.assumptions, "energy_constants") or entries(branch(run.assumptions, "energy"), "constants")
    return _cited(["constant", "value"], [([text(row, "name"), _printed(row)], row) for row in rows])


def hardware(rows: list[dict[str, Any]], unit: str, kind: str = "device") -> str:
    """Devices with their citations, in `unit` per joule and back."""
    headers = [kind, f"{unit}s per joule", f"joules per {unit}"]
    return _cited(headers, [([text(row, "name"), *_rate(row)], row) for row in rows])


def biology(run: Run) -> str:
    """Published estimates of what a synaptic event costs in a brain."""
    rows = entries(branch(run.assumptions, "baselines", "biology"), "rows")
    return hardware(rows, "SynOp", "estimate")


def _cited(headers: list[str], rows: list[tuple[list[str], dict[str, Any]]]) -> str:
    """A table with scope, evidence and the number of the source, and the numbered sources below it."""
    sources = {source: str(n) for n, source in enumerate(dict.fromkeys(_source(row) for _, row in rows), 1)}
    origins = ([text(row, "scope"), text(row, "evidence"), sources[_source(row)]] for _, row in rows)
    cells = [[*first, *last] for (first, _), last in zip(rows, origins, strict=True)]
    grid = table([*headers, "scope", "evidence", "source"], cells)
    return "\n".join([grid, "", *(f"{n}. {cell(source)}" for source, n in sources.items())]) if rows else ""


def _source(row: dict[str, Any]) -> str:
    """The citation of a row, what is to be known about its number, and how it came to us."""
    parts = (text(row, "source", "no source").rstrip("."), text(row, "note").rstrip("."))
    mark = text(row, "mark").replace("second-hand", "second-hand, *unverified*")
    return ". ".join(filter(None, parts)) + (f" ({mark})." if mark else ".")


def _printed(row: dict[str, Any]) -> str:
    """The value of a constant as its source prints it, with its unit."""
    value = text(row, "value_as_printed") or text(row, "value")
    return f"{value} {text(row, 'unit_as_printed') or text(row, 'unit')}"


def _rate(row: dict[str, Any]) -> list[str]:
    """Operations per joule as published, and joules per operation, its reciprocal."""
    rate = number(row, "ops_per_joule")
    return [power_of_ten(rate, 3), joules(1 / rate, 3)] if rate else ["", ""]
