"""benchmark_text(): the ratios of a benchmark as a table for the terminal; pages are made by `python -m reports`."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from evaluate.benchmarks.contestants import ANN
from evaluate.records import Run

__all__ = ["benchmark_text"]


def benchmark_text(run: Run) -> str:
    """Cases as rows, contestants as columns; a cell is the median ratio to the ANN with its interval."""
    lines = run.curves["contestants"]
    names = list(dict.fromkeys(line["contestant"] for line in lines if line["contestant"] != ANN))
    by_case = {(line["case"], line["contestant"]): line for line in lines}
    rows = []
    for case in run.curves["cases"]:
        of = [by_case.get((case["label"], name), {}) for name in (ANN, *names)]
        rate = next((run.metric(line["metrics"]["rate"]).value for line in of[1:] if "metrics" in line), None)
        ann = run.metric(of[0]["metrics"]["seconds"]).value
        scaled = "" if case["threshold_scale"] == 1 else f", thresholds x{case['threshold_scale']:g}"
        name = case["network"] + (" *" if case["weights"] == "random" else "") + scaled
        rows.append(
            [name, case["steps"], case["batch"], case["threads"], "" if rate is None else f"{rate:.1%}",
             f"{1000 * (ann or 0.0):.3g} ms", *(_cell(run, line) for line in of[1:])]
        )  # fmt: skip
    headers = ["network", "T", "batch", "threads", "rate", "ANN", *names]
    sides = ["left", *["right"] * (len(headers) - 1)]
    refused = [f"{line['contestant']} on {line['case']}: {line['refused']}" for line in lines if "refused" in line]
    legend = [
        "Times over the ANN's forward pass (ANN: one pass over the batch), medians with intervals.",
        "rate: spikes per neuron and step of our network. *: random weights.",
    ]
    return "\n".join(
        [tabulate(rows, headers, disable_numparse=True, colalign=sides), "", *legend, *refused, *run.notes]
    )


def _cell(run: Run, line: dict[str, Any]) -> str:
    if "metrics" not in line:
        return "refused" if "refused" in line else ""
    found = run.metric(line["metrics"]["ratio"])
    return f"{found.value:.3g} ({found.low:.3g}-{found.high:.3g})"
