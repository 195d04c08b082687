"""Published constants as data: the value as printed, its scope and evidence, and who printed it.

A constant is written down in the unit of its source and converted here, so that a reader can compare a row
of the TOML with the paper at a glance, and nobody converts by hand.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evaluate.errors import ConstantsError
from evaluate.traces import named

__all__ = ["EVIDENCE", "MARKS", "QUANTITIES", "SCOPES", "UNITS", "Constant", "read_constants"]

UNITS: dict[str, tuple[float, str]] = {
    "J": (1.0, "J"),
    "mJ": (1e-3, "J"),
    "uJ": (1e-6, "J"),
    "nJ": (1e-9, "J"),
    "pJ": (1e-12, "J"),
    "fJ": (1e-15, "J"),
    "SynOps/s/W": (1.0, "1/J"),
    "GSOPS/W": (1e9, "1/J"),
    "MAC/J": (1.0, "1/J"),
    "W": (1.0, "W"),
    "mW": (1e-3, "W"),
    "spikes/synapse": (1.0, "1"),
}
"""Unit as printed -> (factor, SI unit). Joules are per `quantity`; 1/J is `quantity` per joule."""

SCOPES = {
    "per-term": "one operation alone",
    "all-in": "everything that the source counts, divided by the operations",
    "marginal": "slope: one operation more, at constant everything else",
}
EVIDENCE = {
    "measured": "measured on silicon or on a running system",
    "simulated": "simulated before there was silicon",
    "vendor": "stated by the maker",
    "derived": "calculated from other figures, or estimated by the source",
    "seed": "a starting value of this project without a primary source",
}
MARKS = {
    "seen": "read in the source, or in a public table or file that names it",
    "second-hand": "quoted, with its place, by somebody who states to have read the source",
    "derived": "calculated here from figures that are seen or second-hand",
}
QUANTITIES = (
    "SynOp", "MAC", "add", "multiply", "memory access", "threshold", "static power", "neuron update", "spike",
)  # fmt: skip

_CLOSED_SETS: dict[str, tuple[str, ...]] = {
    "unit_as_printed": tuple(UNITS),
    "scope": tuple(SCOPES),
    "evidence": tuple(EVIDENCE),
    "mark": tuple(MARKS),
    "quantity": QUANTITIES,
}


@dataclass(frozen=True)
class Constant:
    """One published number.

    Parameters
    ----------
    name : str
        Unique in its table.
    quantity : str
        What is counted, one of `QUANTITIES`. A ``MAC`` and a ``SynOp`` are different things: never one axis.
    value_as_printed : float
        In `unit_as_printed`.
    unit_as_printed : str
        A key of `UNITS`.
    scope, evidence, mark : str
        Keys of `SCOPES`, `EVIDENCE` and `MARKS`.
    source : str
        The citation.
    low, high : float or None
        Range in `unit_as_printed`, where the source prints one.
    group : str
        What kind of machine, for a chart.
    process : str
        Of semiconductors, e.g. ``28 nm``.
    note : str
        Conditions of the measurement, doubts.
    """

    name: str
    quantity: str
    value_as_printed: float
    unit_as_printed: str
    scope: str
    evidence: str
    mark: str
    source: str
    low: float | None = None
    high: float | None = None
    group: str = ""
    process: str = ""
    note: str = ""

    @property
    def si_value(self) -> float:
        """The value in `si_unit`, traced to this row."""
        return named(self.value_as_printed * UNITS[self.unit_as_printed][0], self.name, self.si_unit)

    @property
    def si_unit(self) -> str:
        """``J`` per operation, operations ``1/J``, ``W`` or ``1``."""
        return UNITS[self.unit_as_printed][1]

    @property
    def joules_per_op(self) -> float:
        """Joules per operation, whichever way round the source prints it.

        Raises
        ------
        ConstantsError
            The constant is a power or a pure number.
        """
        if self.si_unit not in ("J", "1/J"):
            raise ConstantsError(
                f"{self.name}: unit is {self.unit_as_printed!r}; expected joules per operation or its inverse"
            )
        return self.si_value if self.si_unit == "J" else named(1 / float(self.si_value), self.name, "J")

    @property
    def ops_per_joule(self) -> float:
        """Operations per joule, which is operations per second and watt: SynOps/s/W for a SynOp."""
        return 1 / self.joules_per_op


def read_constants(path: Path) -> tuple[Constant, ...]:
    """The rows ``[[constant]]`` of the TOML file at `path`.

    Raises
    ------
    ConstantsError
        Naming the file and every faulty row: a missing, unknown or ill-typed field, a value outside its
        range, a word outside the closed sets, a name used twice.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("constant", [])
    except (OSError, ValueError) as error:
        raise ConstantsError(f"{path.name}: cannot be read ({error}); expected TOML with [[constant]]") from error
    faults = [f"row {i} ({row.get('name', 'no name')}): {f}" for i, row in enumerate(rows, 1) for f in _faults(row)]
    names = [row.get("name") for row in rows]
    faults += [f"name {name!r} is used twice" for name in sorted({str(n) for n in names if names.count(n) > 1})]
    if faults or not rows:
        raise ConstantsError(f"{path.name}: {'; '.join(faults) or 'no [[constant]]'}; correct the table")
    return tuple(Constant(**row) for row in rows)


def _faults(row: dict[str, Any]) -> list[str]:
    """Everything wrong with one row."""
    known = {field.name for field in fields(Constant)}
    optional = {"low", "high", "group", "process", "note"}
    numeric = {"value_as_printed", "low", "high"}
    faults = [f"{key} is missing" for key in sorted(known - optional) if row.get(key) in (None, "")]
    faults += [f"{key} is unknown" for key in sorted(set(row) - known)]
    for key, words in _CLOSED_SETS.items():
        if key in row and row[key] not in words:
            faults.append(f"{key} is {row[key]!r}; expected one of {', '.join(words)}")
    for key in sorted(known & set(row)):
        if key in numeric and not _is_positive(row[key]):
            faults.append(f"{key} is {row[key]!r}; expected a positive number")
        elif key not in numeric and not isinstance(row[key], str):
            faults.append(f"{key} is {row[key]!r}; expected text")
    return faults or _misordered(row)


def _misordered(row: dict[str, Any]) -> list[str]:
    """A complaint unless ``low <= value <= high``, as far as they are given."""
    value = row["value_as_printed"]
    if row.get("low", value) <= value <= row.get("high", value):
        return []
    return [f"value {value} lies outside low {row.get('low')} .. high {row.get('high')}"]


def _is_positive(value: Any) -> bool:
    """Whether `value` is a finite number above zero; True is no number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
