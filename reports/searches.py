"""search_text(), search_page(): what a search found, as a table for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from reports.markup import prose, table
from reports.quantities import joules, percent

__all__ = ["search_page", "search_text"]

Record = Mapping[str, Any]

_HOW = {
    "bound": "the cheapest point whose one-sided {confidence} bound keeps the goal",
    "estimate": "the cheapest point whose estimate keeps the goal: with {samples:,} samples no bound does",
    "none": "no point keeps the goal: this is the one with the smallest loss",
}


def search_text(record: Record) -> str:
    """The front, the choice and its confirmation, for the terminal."""
    headers, rows = _table(record)
    sides = ["left", *["right"] * (len(headers) - 1)]
    grid = tabulate(rows, headers, disable_numparse=True, colalign=sides)
    return "\n".join([_title(record), "", grid, "", *_findings(record), "", *_legend(record)]) + "\n"


def search_page(record: Record) -> str:
    """The same as Markdown."""
    headers, rows = _table(record)
    parts = [
        "# Search", prose(_title(record)), "## Pareto front", table(headers, rows), "## Result",
        "\n".join(f"- {prose(line)}" for line in _findings(record)), "## Reading the table",
        "\n".join(f"- {prose(line)}" for line in _legend(record)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _title(record: Record) -> str:
    return (
        f"{record['model']['name']}: {record['goal']}, least {record['minimise']}; {record['trials']} trials, "
        f"{len(record['points'])} points, fitted to {record['fit']['samples']:,} samples and compared on "
        f"{record['held_out']['samples']:,} others of the {record['held_out']['split']} split."
    )


def _table(record: Record) -> tuple[list[str], list[list[str]]]:
    headers = ["recipe", "made for", "thresholds", "read-out", "T", "loss", "bound", "agreement", "spikes/neuron",
               "bits/spike", "energy"]  # fmt: skip
    n = record["held_out"]["samples"]
    shown = list(record["front"])
    if record["chosen"] not in shown:
        shown.append(record["chosen"])
    return headers, [
        [
            point["recipe"] + (" *" if point == record["chosen"] else ""), str(point["for_steps"]),
            point["thresholds"], point["readout"], str(point["steps"]), _points(point["loss"], n),
            _points(point["loss_bound"], n), percent(point["agreement"], n).removesuffix(" %"),
            f"{point['spikes_per_neuron']:.2f}", f"{point['payload_bits']:.0f}", joules(point["energy_snn_j"]),
        ]
        for point in shown
    ]  # fmt: skip


def _points(fraction: float, n: int | None) -> str:
    return percent(fraction + 0.0, n).removesuffix(" %")


def _findings(record: Record) -> list[str]:
    chosen, found = record["chosen"], record["confirmed"]
    n, tested = record["held_out"]["samples"], _samples(record)
    why = _HOW[record["chosen_by"]].format(confidence=f"{100 * record['one_sided']:g} %", samples=n)
    split = record["data"].get("split") or "scored"
    measured = f"{_points(found['loss'], tested)} points on {tested:,} samples of the {split} split"
    bound = f"its 95 % interval reaches {_points(found['loss_bound'], tested)}"
    if not found["reached"]:
        verdict = f"Goal not reached: {measured} ({bound})."
    elif found["certain"]:
        verdict = f"Goal reached: {measured} ({bound})."
    else:
        verdict = f"Goal reached by the estimate only: {measured}, but {bound}."
    return [
        f"* Chosen: {chosen['recipe']}, made for {chosen['for_steps']} steps, thresholds {chosen['thresholds']}, "
        f"read out {chosen['readout']}, T = {chosen['steps']}: {why}.",
        f"Search: a loss of {_points(chosen['loss'], n)} points on {n:,} held-out calibration samples "
        f"(bound {_points(chosen['loss_bound'], n)}).",
        f"Confirmed once, with samples that the search never read. {verdict}",
    ]


def _samples(record: Record) -> int:
    metrics = record["confirmed"]["metrics"]
    name = "accuracy.difference" if record["against"] == "accuracy" else "agreement"
    return metrics[name]["samples"] or metrics["agreement"]["samples"]


def _legend(record: Record) -> list[str]:
    lost = {
        "accuracy": "loss: percentage points of accuracy below the ANN, both on the same samples; bound: Newcombe's "
        "paired interval, its upper end at one-sided {c}.",
        "agreement": "loss: percentage of samples that are answered unlike the ANN, no less than the accuracy that is "
        "lost; bound: the upper end of Wilson's interval at one-sided {c}.",
    }[record["against"]].format(c=f"{100 * record['one_sided']:g} %")
    return [
        "The front: points that no other one beats in loss or cost without being worse in the other.",
        lost,
        "The best of many trials looks better than it is: bounds are those of single points. If the ANN was trained "
        "on these samples, losses on new ones are larger. The confirmation has neither flaw.",
        "T: steps until the answer is read. Spikes of several bits count as one event each; energy is modelled, not "
        "measured.",
    ]
