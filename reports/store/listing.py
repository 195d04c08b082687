"""A history as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from evaluate.records import Metric
from reports.fields import plain
from reports.history import Entry
from reports.quantities import quantity

__all__ = ["SHORT", "listing"]

SHORT = 10
"""Characters of a key that are shown."""

_HEADLINES = (
    ("score", ("snn.accuracy", "snn.r2")),
    ("agreement", ("agreement",)),
    ("spikes", ("spikes.per_neuron",)),
    ("SynOps", ("synops.per_inference",)),
    ("energy", ("energy.snn_j",)),
)


def listing(entries: Sequence[Entry]) -> str:
    """One line for each entry; what a run does not have stays empty."""
    headers = ["run", "commit", "made (UTC)", *(name for name, _ in _HEADLINES), "case"]
    sides = ["left", "left", "left", *("right" for _ in _HEADLINES), "left"]
    rows = [_row(entry) for entry in entries]
    return str(tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=sides if rows else None))


def _row(entry: Entry) -> list[str]:
    found = {metric.name: metric for metric in entry.metrics}
    numbers = [_shown([found[name] for name in names if name in found]) for _, names in _HEADLINES]
    made = entry.made.removesuffix("+00:00").replace("T", " ")[:16]
    return [entry.content[:SHORT], entry.commit[:8], made, *numbers, plain(entry.case)]


def _shown(metrics: Sequence[Metric]) -> str:
    """The first that has a value, without the unit that the head of the column implies."""
    metric = next((metric for metric in metrics if metric.value is not None), None)
    if metric is None or metric.value is None:
        return ""
    return quantity(metric.value, metric.unit, metric.samples).removesuffix(" spikes").removesuffix(" SynOps")
