"""front_svg(): accuracy against what it costs, every method and number of steps a point, the front numbered."""

from __future__ import annotations

from collections.abc import Sequence

from reports.boards import Board, Cost, Row, accuracy, front
from reports.fields import text
from reports.quantities import percent
from reports.vectors import Axis, Panel, decades, marker, nice_ticks, octaves

__all__ = ["front_svg", "shown_rows"]

_DEPTH = 0.05
"""Points more than this below the best are left out: there, nothing is kept."""

_OURS, _OTHERS = 0, 1


def front_svg(found: Board, network: str, cost: Cost) -> str:
    """The picture; empty where nothing has that cost."""
    rows = [row for row in found.of(network) if cost.of(row) is not None and accuracy(row) is not None]
    shown = shown_rows(rows, cost)
    if not shown:
        return ""
    panel = _panel(found, network, cost, shown)
    on = front(shown, cost)
    panel.line([(cost.of(row) or 0.0, _score(row)) for row in on], _OURS)
    panel.keys.append(('<line class="line s0" x1="0" x2="26" y1="0" y2="0"/>', "front"))
    for series, name, kind in ((_OURS, "ours", "ours"), (_OTHERS, "other converters", "peer")):
        points = [(cost.of(r) or 0.0, _score(r), _said(r, cost)) for r in shown if text(r, "kind") == kind]
        panel.marks(points, series)
        if points:
            panel.keys.append((marker(13, 0, series), name))
    for i, row in enumerate(on):
        x, y = panel.at(cost.of(row) or 0.0, _score(row))
        panel.parts.append(f'<text class="own" x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle">{i + 1}</text>')
    left_out = len(rows) - len(shown)
    below = f" {left_out} results more than {100 * _DEPTH:.0f} points below the best are left out." if left_out else ""
    return panel.svg(f"{network}: accuracy against {cost.label}",
                     "The front: " + "; ".join(_said(row, cost) for row in on) + "." + below)  # fmt: skip


def shown_rows(rows: Sequence[Row], cost: Cost) -> list[Row]:
    """Those that a figure shows: of known cost, and near the best."""
    known = [row for row in rows if cost.of(row) is not None and accuracy(row) is not None]
    top = max((_score(row) for row in known), default=0.0)
    return [row for row in known if _score(row) >= top - _DEPTH]


def _score(row: Row) -> float:
    value = accuracy(row)
    return value[0] if value is not None else 0.0


def _said(row: Row, cost: Cost) -> str:
    return (
        f"{text(row, 'method')}, T = {text(row, 'steps')}: {percent(_score(row))} for {cost.words(cost.of(row) or 0)}"
    )


def _panel(found: Board, network: str, cost: Cost, shown: list[Row]) -> Panel:
    values = [cost.of(row) or 0.0 for row in shown]
    low, high = min(v for v in values if v > 0) / 1.3, max(values) * 1.3
    ticks = decades(low, high) if cost.name != "latency" else octaves(low, high)
    names = (lambda v: cost.words(v).replace(".0 ", " ")) if cost.name != "latency" else (lambda v: f"{v:g}")
    ann = found.ann(network)
    ceiling = min(1.0, max(ann or 0.0, *map(_score, shown)) + 0.012)
    floor = max(0.0, min(_score(row) for row in shown) - 0.008)
    score = Axis(floor, ceiling, "accuracy", nice_ticks(floor, ceiling), lambda v: percent(v).replace(".0 %", " %"))
    panel = Panel(Axis(low, high, f"{cost.label}; left and up is better", ticks, names, True), score,
                  width=720, height=330)  # fmt: skip
    if ann is not None:
        panel.level(ann, "ANN")
    return panel
