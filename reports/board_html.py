"""leaderboard_html(): the leaderboard as one file that needs no other and runs no script."""

from __future__ import annotations

from typing import Any

from evaluate.records import Run
from reports.board_charts import front_svg, shown_rows
from reports.boards import COSTS, Board, Cost, Row, accuracy, board, front
from reports.fields import branch, check, entries, number, sentences, text
from reports.leaderboard import PUBLISHED, cost_headers, costs, published_rows, refused_rows
from reports.quantities import percent, points
from reports.templating import html_template

__all__ = ["leaderboard_html"]

_LOSSES = (0.005, 0.01, 0.02, 0.05)
"""Losses against the ANN, as fractions, up to which a cell has one shade after the other."""

_MAIN, _REST = (1, 2, 3, 5, 6), (0, 4, 7, 8, 9, 10)
"""Costs that stand beside the accuracies, and those behind a fold."""

_GROUPS = {"ours": "recipes of this project", "peer": "other converters"}


def leaderboard_html(run: Run) -> str:
    """The page.

    Raises
    ------
    ReportError
        The run has parts of the wrong kind.
    """
    check(run)
    found = board(run)
    headers, rows = published_rows(run)
    context = {
        "networks": [_network(found, name, i) for i, name in enumerate(found.networks())],
        "steps": found.steps,
        "overview": [_summary(found, name, i) for i, name in enumerate(found.networks())],
        "main_headers": [cost_headers()[i] for i in _MAIN],
        "rest_headers": [cost_headers()[i] for i in _REST],
        "refused": refused_rows(found),
        "published": {"headers": headers, "rows": rows, "said": PUBLISHED},
        "methods": entries(run.assumptions, "methods"),
        "how": sentences(run.assumptions, "method"),
        "notes": run.notes,
        "command": text(run.case, "command"),
        "made": _made(run),
        "limits": [f"{100 * loss:g}" for loss in _LOSSES],
    }
    return f"{html_template('leaderboard.html.j2').render(context)}\n"


def _made(run: Run) -> list[tuple[str, str]]:
    """Where and with what it was measured."""
    packages, peers = branch(run.environment, "packages"), branch(run.environment, "peers")
    rows = [("processor", text(run.environment, "processor")), ("python", text(run.environment, "python")),
            *((name, text(packages, name)) for name in ("torch", "ann2spike")),
            *((name, text(peers, name)) for name in peers), ("commit", text(branch(run.environment, "git"), "commit")),
            ("measured", text(run.environment, "time_utc")), ("processor time", _minutes(run))]  # fmt: skip
    return [(name, value) for name, value in rows if value]


def _minutes(run: Run) -> str:
    seconds = number(run.environment, "cpu_s")
    return f"{seconds / 60:,.0f} min of one core, in all" if seconds else ""


def _summary(found: Board, network: str, place: int) -> dict[str, Any]:
    """The best at each T, group by group."""
    n, ann = found.samples(network), found.ann(network)
    lines = [
        {"title": title, "cells": [{**_cell(found, network, row), "method": text(row or {}, "method")} for row in tops]}
        for title, tops in found.tops(network)
    ]
    return {"name": network, "id": f"n{place}", "ann": "" if ann is None else percent(ann, n).removesuffix(" %"),
            "lines": lines}  # fmt: skip


def _network(found: Board, network: str, place: int) -> dict[str, Any]:
    """All that the template shows of a network."""
    n, ann = found.samples(network), found.ann(network)
    groups = [
        {
            "title": title,
            "rows": [_row(found, network, method) for method in methods],
            "versions": ", ".join(
                dict.fromkeys(filter(None, (text(found.last(network, m), "version") for m in methods)))
            ),
        }
        for kind, title in _GROUPS.items()
        if (methods := found.methods(network, kind))
    ]
    return {
        "name": network, "id": f"n{place}", "ann": "unmeasured" if ann is None else percent(ann, n),
        "samples": "" if n is None else f"{n:,}", "groups": groups, "tile": _tile(found, network),
        "fronts": [_front(found, network, cost) for cost in COSTS if front(found.of(network), cost)],
    }  # fmt: skip


def _tile(found: Board, network: str) -> tuple[str, str]:
    """The fewest steps at which a method is within half a point of the ANN, and which."""
    ann, n = found.ann(network), found.samples(network)
    near = [r for r in found.of(network) if ann is not None and (a := accuracy(r)) and a[0] >= ann - 0.005 - 1e-9]
    if not near:
        return "not reached", "within half a point of the ANN"
    first = min(near, key=lambda r: (number(r, "steps") or 0, -(accuracy(r) or (0.0,))[0],
                                     number(r, "spikes_per_neuron") or 0))  # fmt: skip
    value = accuracy(first)
    said = "" if value is None else f"{text(first, 'method')}: {percent(value[0], n)}"
    return f"T = {text(first, 'steps')}", f"{said}, within half a point of the ANN"


def _row(found: Board, network: str, method: str) -> dict[str, Any]:
    last = found.last(network, method)
    all_costs = costs(last)
    return {"method": method, "last": text(last, "steps"),
            "main": [all_costs[i] for i in _MAIN], "rest": [all_costs[i] for i in _REST],
            "cells": [_cell(found, network, found.cell(network, method, t)) for t in found.steps]}  # fmt: skip


def _cell(found: Board, network: str, row: Row | None) -> dict[str, str]:
    """Accuracy with interval, its mark, and the shade of its loss."""
    value, n, ann = accuracy(row), found.samples(network), found.ann(network)
    if row is None or value is None:
        return {"value": "", "span": "", "mark": "", "shade": "", "title": ""}
    shown, low, high = (percent(x, n).removesuffix(" %") for x in value)
    loss = 0.0 if ann is None else ann - value[0]
    shade = next((i for i, most in enumerate(_LOSSES) if loss <= most + 1e-9), len(_LOSSES))
    mark = "best" if row.get("best") is True else "alike" if row.get("as_good") is True else ""
    title = "" if ann is None else f"{points(-loss, n)} against the ANN"
    return {"value": shown, "span": f"{low} to {high}", "mark": mark, "shade": f"q{shade}", "title": title}


def _front(found: Board, network: str, cost: Cost) -> dict[str, Any]:
    n = found.samples(network)
    rows = [[text(r, "method"), text(r, "steps"), percent((accuracy(r) or (0.0,))[0], n), cost.words(cost.of(r) or 0.0)]
            for r in front(shown_rows(found.of(network), cost), cost)]  # fmt: skip
    return {"name": cost.name, "figure": front_svg(found, network, cost), "rows": rows}
