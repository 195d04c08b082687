"""leaderboard_text(): accuracies of a leaderboard for the terminal; the page is made by `python -m reports`."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from evaluate.records import Run

__all__ = ["leaderboard_text"]


def leaderboard_text(run: Run) -> str:
    """Networks one after the other: methods as rows, steps as columns, what refused below."""
    rows = run.curves["cells"]
    config = run.case["config"]
    parts = [_of_network(name, [r for r in rows if r["network"] == name], config["steps"])
             for name in config["networks"]]  # fmt: skip
    legend = "Accuracy in %. *: the best of its column; +: not told from it by a paired test (McNemar, 5 %)."
    took = f"Results: {len(rows):,}, in {run.environment.get('cpu_s', 0.0) / 60:,.0f} minutes of one core."
    return "\n\n".join([*filter(None, parts), legend, took, *run.notes])


def _of_network(name: str, rows: list[dict[str, Any]], steps: list[int]) -> str:
    measured = [row for row in rows if "refused" not in row]
    methods = dict.fromkeys(row["method"] for row in measured)
    by_place = {(row["method"], row["steps"]): row for row in measured}
    table = [[m, *(_cell(by_place.get((m, t))) for t in steps)] for m in methods]
    refused = {row["method"]: row["refused"] for row in rows if "refused" in row and row["method"] not in methods}
    said = [f"{method}: {message}" for method, message in refused.items()]
    if not measured:
        return "\n".join([f"{name}: nothing ran", *said])
    ann = measured[0]["ann_accuracy"][0]
    of_ann = "" if ann is None else f"; the ANN is right on {100 * ann:.1f} %"
    title = f"{name}, {measured[0]['samples']:,} samples{of_ann}"
    text = tabulate(table, ["method", *(f"T={t}" for t in steps)], disable_numparse=True,
                    colalign=["left", *["right"] * len(steps)])  # fmt: skip
    return "\n".join([title, text, *said])


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["accuracy"][0] is None:
        return ""
    mark = "*" if row.get("best") else "+" if row.get("as_good") else " "
    return f"{100 * row['accuracy'][0]:.1f}{mark}"
