"""comparison_text(), comparison_page(): several recipes on one network, as a table for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from reports.markup import prose, table
from reports.quantities import percent

__all__ = ["comparison_page", "comparison_text"]

Record = Mapping[str, Any]


_ONE = (
    "A recipe that fits its thresholds to a number of steps was made for one of them (--for-steps) and only read out "
    "at the others."
)
_EACH = (
    "Each number is of a network of its own, whose thresholds and starts were fitted to those steps (--for-steps each)."
)

_THETA = (
    "The activation that one spike in every step means, in the original's units, for each number of steps: the median "
    "of the layer's channels, and their range where they differ. Beside this page each network is a file of its own, "
    "named after its steps."
)


def comparison_text(record: Record) -> str:
    """The table, and what did not run, for the terminal."""
    headers, rows = _table(record)
    sides = ["left", *["right"] * (len(headers) - 1)]
    lines = [_title(record), "", tabulate(rows, headers, disable_numparse=True, colalign=sides)]
    lines += [f"{row['recipe']}: did not run: {row['failed']}" for row in record["rows"] if "failed" in row]
    return "\n".join([*lines, "", *_legend(record)]) + "\n"


def comparison_page(record: Record) -> str:
    """The same as Markdown, with the source of each recipe and where it departs from it."""
    headers, rows = _table(record)
    sources = [
        [row["recipe"], prose(row["source"]), prose(row["differs"] or "nothing known")]
        for row in record["rows"]
        if "failed" not in row
    ]
    failed = [f"- {row['recipe']}: {prose(row['failed'])}" for row in record["rows"] if "failed" in row]
    parts = [
        "# Recipes compared", _title(record), table(headers, rows),
        *_thresholds(record),
        *([] if not failed else ["## Did not run", "\n".join(failed)]),
        "## Reading the table", "\n".join(f"- {line}" for line in _legend(record)),
        "## Recipes", table(["recipe", "after", "departs from it"], sources),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _thresholds(record: Record) -> list[str]:
    """theta(T) of each recipe that was fitted to several numbers of steps."""
    parts = []
    for row in record["rows"]:
        cells: dict[str, dict[int, str]] = {}
        for found in row.get("thresholds", ()):
            low, middle, high = (found[f"threshold_{part}"] for part in ("low", "median", "high"))
            alone = low == high
            text = f"{middle:.4g}" if alone else f"{middle:.4g} ({low:.4g} to {high:.4g})"
            cells.setdefault(found["layer"], {})[found["steps"]] = text
        if cells:
            headers = ["layer", *(f"T={t}" for t in record["steps"])]
            rows = [[layer, *(by.get(t, "") for t in record["steps"])] for layer, by in cells.items()]
            parts += [f"## Thresholds of {row['recipe']}", _THETA, table(headers, rows)]
    return parts


def _title(record: Record) -> str:
    model, data = record["case"]["model"], record["case"]["data"]
    of_ann = "" if record["ann"] is None else f"; the ANN is right on {percent(record['ann'], record['samples'])}"
    return f"{model['name']} on {record['samples']:,} samples ({data.get('spec') or 'noise'}){of_ann}."


def _table(record: Record) -> tuple[list[str], list[list[str]]]:
    steps = record["steps"]
    headers = [
        "recipe",
        *(f"T={t}" for t in steps),
        "agreement",
        "spikes/neuron",
        "bits/spike",
        "latency",
        "look-ahead",
        "calibration",
    ]
    return headers, [_cells(row, record["samples"]) for row in record["rows"] if "failed" not in row]


def _cells(row: Record, n: int | None) -> list[str]:
    last = row["curve"][-1]
    samples = f"{row['calibration_samples']:,}"
    if row["simulated_samples"]:
        samples += f" + {row['simulated_samples']:,} simulated"
    seconds = row["convert_seconds"]
    return [
        row["recipe"], *(_share(point["accuracy"], n) for point in row["curve"]), _share(last["agreement"], n),
        "unmeasured" if last["spikes_per_neuron"] is None else f"{last['spikes_per_neuron']:.2f}",
        f"{row['payload_bits']:.0f}", f"{row['sequential_latency_steps']}", f"{row['look_ahead_steps']}",
        samples if seconds is None else f"{samples}, {seconds:.0f} s",
    ]  # fmt: skip


def _share(value: float | None, n: int | None) -> str:
    return "unmeasured" if value is None else percent(value, n).removesuffix(" %")


def _legend(record: Record) -> list[str]:
    last = record["steps"][-1]
    return [
        "T=n: accuracy after n steps. " + (_EACH if record.get("each") else _ONE),
        "Accuracies and agreement in percent.",
        f"agreement, spikes/neuron: after {last} steps. Spikes of several bits are counted as one event each: multiply "
        "by bits/spike before comparing. Every spike of a burst, and every digit that is one, is a spike of its own.",
        f"latency: {last} steps, or those until an exact network is at rest, plus one for each further layer of "
        "neurons on the longest path, where layers run one after the other, plus the look-ahead. In a radix code "
        "layers follow each other, a period each: no step of T = n before the last period has an answer.",
        "look-ahead: steps for which samples were tried before the first step, layer by layer; T=n does not contain "
        "them. Where it is 0, each step uses only what arrived before it.",
        "calibration: samples whose activations were observed, those simulated to correct the network, and the time.",
    ]
