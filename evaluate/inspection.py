"""What would become of a model, as a table: the answer of python -m convert MODEL --check."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from convert.graph.readout import Head
from convert.reading.coverage import Coverage
from convert.reading.refusals import SUPPORTED

__all__ = ["Inspection"]

_WIDTHS = [26, 22, 12, 34, 46]


@dataclass(frozen=True)
class Inspection:
    """The coverage of a model, convertible or not.

    Parameters
    ----------
    model : dict
        Name, origin, format, hash and size.
    sample_shape : tuple of int or None
        The shape it was read with; None where that failed.
    coverage : tuple of Coverage
    heads : tuple of Head
        Its outputs; empty where it cannot be converted.
    problem : str
        Why it cannot be converted; empty where it can.
    """

    model: dict[str, Any]
    sample_shape: tuple[int, ...] | None
    coverage: tuple[Coverage, ...]
    heads: tuple[Head, ...]
    problem: str = ""

    @property
    def converts(self) -> bool:
        """Whether the model can be converted."""
        return not self.problem

    def as_record(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "model": self.model,
            "sample_shape": self.sample_shape,
            "converts": self.converts,
            "problem": self.problem,
            "outputs": [{"name": h.name, "shape": h.shape, "readout": h.readout} for h in self.heads],
            "coverage": [row.as_record() for row in self.coverage],
        }

    def to_json(self) -> str:
        """Indented JSON."""
        return json.dumps(self.as_record(), indent=1, ensure_ascii=False) + "\n"

    def to_text(self) -> str:
        """A table of every operation, and the verdict."""
        rows = [[row.place, row.op, row.fate, row.becomes, row.why] for row in self.coverage]
        headers = ["place", "operation", "fate", "becomes", "why / what to change"]
        table = tabulate(rows, headers, maxcolwidths=_WIDTHS, disable_numparse=True) if rows else ""
        return "\n".join(filter(None, (table, "", *self._verdict()))) + "\n"

    def _verdict(self) -> list[str]:
        fates = Counter(row.fate for row in self.coverage)
        lines = [f"Operations: {', '.join(f'{n} {fate}' for fate, n in sorted(fates.items()))}"] if fates else []
        if self.sample_shape is not None:
            lines.append(f"Samples: shape {self.sample_shape}")
        if self.heads:
            lines.append(f"Outputs: {'; '.join(map(_described, self.heads))}")
        short = self.problem if not fates["refused"] else f"{fates['refused']} operation(s) refused, see the table"
        if fates["hybrid"] and not fates["refused"]:
            kept = f"{fates['hybrid']} operation(s) stay floating-point functions at run time"
            if self.converts:
                return [*lines, f"It can be converted, as a hybrid network: {kept}."]
            short = f"{kept}, which has to be allowed: replace them, or pass --hybrid"
        verdict = "It can be converted." if self.converts else f"It cannot be converted: {short}"
        return [*lines, verdict, *([SUPPORTED] if fates["refused"] else [])]


def _described(head: Head) -> str:
    name = f"{head.name}: " if head.name else ""
    behind = "" if head.readout == "identity" else f", {head.readout} in the read-out"
    return f"{name}{head.width} value{'s' if head.width != 1 else ''}{behind}"
