"""The energy models side by side as a figure: joules of the spiking network over those of each form of the ANN.

Only ratios under one model stand on the axis; joules of different models are never compared.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from evaluate.records import Run
from reports.canvas import BLACK, BLUE, GREEN, VERMILION, literal
from reports.fields import branch, entries, number, text
from reports.quantities import significant

__all__ = ["paint_ratios", "priced"]

_RIVALS = (("ann", "over the dense ANN", "D", VERMILION), ("ann_sparse", "over the sparsity-aware ANN", "^", GREEN),
           ("quantised", "over the quantised ANN", "s", BLUE))  # fmt: skip


def priced(run: Run) -> list[dict[str, Any]]:
    """The records of the models that price an ANN."""
    found = entries(run.assumptions, "energy_models")
    return [record for record in found if number(branch(record, "ratio", "ann"), "value")]


def paint_ratios(axes: Axes, run: Run) -> None:
    """A row for each model, its range over prices as a line; left of 1 the spiking network costs less."""
    rows = priced(run)
    for place, record in enumerate(rows):
        for i, (key, label, marker, colour) in enumerate(_RIVALS):
            span = branch(record, "ratio", key)
            value, low, high = (number(span, end) for end in ("value", "low", "high"))
            if not value:
                continue
            y = place + 0.22 * (i - 1)
            if low and high and low < high:
                axes.plot((low, high), (y, y), color=colour, linewidth=1.2, alpha=0.7, zorder=2)
            shown = label if place == 0 else None
            axes.plot(value, y, color=colour, marker=marker, linestyle="none", label=shown, zorder=3)
    axes.axvline(1.0, color=BLACK, linewidth=1.0, linestyle=":", zorder=1)
    axes.set_xscale("log")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [literal(_name(record)) for record in rows], fontsize=8.5)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high, 2.0))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: significant(value, 1)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("joules of the SNN over those of the ANN (left of 1 it wins)")
    axes.legend(loc="best", fontsize=7.5)


def _name(record: dict[str, Any]) -> str:
    """The model, what it leaves out if that is memory, and whether it is unverified."""
    memory = "" if record.get("counts_memory", True) else " (no memory)"
    return f"{text(record, 'name')}{memory}{' (unverified)' if text(record, 'unverified') else ''}"
