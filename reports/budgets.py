"""What a metric may lose: a TOML file of budgets, one for each pattern of names.

::

    [timing]                    # of metrics that came from a clock
    pairs = 8                   # re-runs of each side, taken in turn
    alpha = 0.01                # of the signed-rank test
    allowed = 0.05              # relative change that does not matter
    blind = 0.25                # a change that a "pass" must exclude

    [[metric]]                  # the first pattern that fits decides
    pattern = "energy.*"
    relative = 0.01             # allowed loss, as a part of the base's value
    absolute = 0.0              # or in the metric's unit; the larger of both holds
    better = "lower"            # in place of the metric's own direction
    evidence = "exact"          # or "paired": McNemar's test decides whether a loss is more than these samples
    ignore = false

    [[trade]]                   # a cost that buys something
    gain = "snn.accuracy"
    at_least = 0.005
    cost = "energy.*"
    at_most_relative = 0.1
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from evaluate.records import Metric
from reports.errors import ReportError

__all__ = ["Allowance", "Budgets", "Timing", "Trade", "read_budgets"]

_T = TypeVar("_T")
_CHOICES = {"better": ("", "higher", "lower", "neither"), "evidence": ("exact", "paired")}


@dataclass(frozen=True)
class Timing:
    """When a change of a time counts: effect and evidence, both."""

    pairs: int = 8
    alpha: float = 0.01
    allowed: float = 0.05
    blind: float = 0.25


@dataclass(frozen=True)
class Allowance:
    """What metrics of one pattern may lose."""

    pattern: str = "*"
    absolute: float = 0.0
    relative: float = 0.0
    better: str = ""
    evidence: str = "exact"
    alpha: float = 0.05
    ignore: bool = False

    def loss(self, base: float) -> float:
        """The largest loss that passes, in the unit of the metric."""
        return max(self.absolute, self.relative * abs(base))


@dataclass(frozen=True)
class Trade:
    """A loss of `cost` of at most `at_most_relative` is fine where `gain` improves by `at_least`, in its unit."""

    gain: str
    at_least: float
    cost: str
    at_most_relative: float


@dataclass(frozen=True)
class Budgets:
    """All of a file."""

    timing: Timing = Timing()
    metrics: tuple[Allowance, ...] = ()
    trades: tuple[Trade, ...] = ()

    def of(self, metric: Metric) -> Allowance:
        """The first that fits `metric`; nothing may be lost where none does.

        >>> Budgets().of(Metric("snn.accuracy", 0.5, "fraction", "higher")).loss(0.5)
        0.0
        """
        return next((a for a in self.metrics if fnmatchcase(metric.name, a.pattern)), Allowance())


def read_budgets(path: Path) -> Budgets:
    """The budgets in the file at `path`.

    Raises
    ------
    ReportError
        Missing, no TOML, unknown keys, or values of the wrong kind; all of them at once.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be read ({error.strerror}); expected a TOML file of budgets; name one with --budgets"
        ) from error
    except ValueError as error:
        raise ReportError(f"{path}: no TOML ({error}); see python -m reports gate --help") from error
    wrong = [f"unknown table {key}" for key in record if key not in ("timing", "metric", "trade")]
    timing = _typed(Timing, record.get("timing", {}), "timing", wrong)
    metrics = [_typed(Allowance, row, f"metric {i + 1}", wrong) for i, row in _rows(record, "metric", wrong)]
    trades = [_typed(Trade, row, f"trade {i + 1}", wrong) for i, row in _rows(record, "trade", wrong)]
    if wrong:
        raise ReportError(f"{path}: {'; '.join(wrong)}; expected timing, metric and trade as in the README")
    return Budgets(timing or Timing(), tuple(a for a in metrics if a), tuple(t for t in trades if t))


def _rows(record: dict[str, Any], key: str, wrong: list[str]) -> list[tuple[int, Any]]:
    """The tables under `key`."""
    rows = record.get(key, [])
    if isinstance(rows, list):
        return list(enumerate(rows))
    wrong.append(f"{key}: got one table, expected [[{key}]]")
    return []


def _typed(kind: type[_T], row: Any, where: str, wrong: list[str]) -> _T | None:
    """`row` as a `kind`; what is wrong with it goes into `wrong`."""
    if not isinstance(row, dict):
        wrong.append(f"{where}: got no table")
        return None
    known = {f.name: str(f.type) for f in fields(kind)}  # type: ignore[arg-type]
    found = [f"{where}.{key} is unknown, expected {', '.join(known)}" for key in row if key not in known]
    found += [f"{where}.{key}: got {row[key]!r}, expected {known[key]}" for key in row
              if key in known and not _fits(row[key], known[key])]  # fmt: skip
    found += [f"{where}.{key}: got {row[key]!r}, expected one of {choices}" for key, choices in _CHOICES.items()
              if key in row and row[key] not in choices]  # fmt: skip
    wrong += found
    try:
        return None if found else kind(**row)
    except TypeError as error:
        wrong.append(f"{where}: {str(error).rpartition('__() ')[2]}")
        return None


def _fits(value: Any, kind: str) -> bool:
    """Whether a TOML value is of the declared kind; no budget is below zero."""
    if kind in ("int", "float"):
        return (
            isinstance(value, (int,) if kind == "int" else (int, float)) and not isinstance(value, bool) and value >= 0
        )
    return isinstance(value, bool if kind == "bool" else str)
