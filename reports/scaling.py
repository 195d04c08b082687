"""How the time over the ANN's grows with steps, batch, width and firing rate: one curve for each contestant.

A curve joins the cases of a benchmark that agree in all but one of these; it takes three of them at least.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from evaluate.records import Run
from reports.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, draw, literal
from reports.fields import branch, entries, metric, number, text
from reports.quantities import count

__all__ = ["AXES", "Point", "curves", "rate_of", "scaling_png"]

AXES = {
    "steps": "steps T",
    "batch": "samples in a batch",
    "width": "neurons in a hidden layer",
    "rate": "spikes per neuron and step, %",
}
"""What is varied, as the axis names it."""

_FEWEST = 3
_LOOKS = {"dense": (BLUE, "o"), "events": (VERMILION, "s"), "spikingjelly": (GREEN, "^"), "sinabs": (PURPLE, "D")}
_OTHERS = (ORANGE, "v")


@dataclass(frozen=True, order=True)
class Point:
    """A case on a curve: the median ratio and its interval."""

    x: float
    ratio: float
    low: float
    high: float


def curves(run: Run, axis: str) -> dict[str, dict[str, list[Point]]]:
    """What the curves agree in -> contestant -> points, ascending."""
    lines = entries(run.curves, "contestants")
    groups: dict[str, dict[str, list[Point]]] = {}
    for case in entries(run.curves, "cases"):
        x = rate_of(run, case) if axis == "rate" else number(case, axis)
        if x is None:
            continue
        for line in lines:
            if text(line, "case") == text(case, "label"):
                found = metric(run, text(branch(line, "metrics"), "ratio"))
                if found.value is not None and found.low is not None and found.high is not None:
                    point = Point(100 * x if axis == "rate" else x, found.value, found.low, found.high)
                    groups.setdefault(_others(case, axis), {}).setdefault(text(line, "contestant"), []).append(point)
    long = {
        title: {name: sorted(points) for name, points in each.items() if len({p.x for p in points}) >= _FEWEST}
        for title, each in groups.items()
    }
    return {title: each for title, each in long.items() if each}


def rate_of(run: Run, case: dict[str, Any]) -> float | None:
    """Spikes per neuron and step of our network: that of the first contestant that has one and is no peer."""
    for line in entries(run.curves, "contestants"):
        if text(line, "case") == text(case, "label") and not text(line, "version"):
            rate = metric(run, text(branch(line, "metrics"), "rate")).value
            if rate is not None:
                return rate
    return None


def scaling_png(run: Run, axis: str) -> bytes:
    """One panel for each group of `curves`, on logarithmic axes."""
    found = curves(run, axis)
    rows = -(-len(found) // 2)
    return draw(lambda figure: _paint(figure, found, axis), 4.2 * min(2, len(found)) + 0.4, 3.4 * rows + 0.5)


def _others(case: dict[str, Any], axis: str) -> str:
    """The quantities of `case` that a curve over `axis` holds."""
    name = text(case, "network")
    width = number(case, "width")
    if axis == "width" and width is not None:
        name = re.sub(rf"(?<=-){width:.0f}(?=-)", "N", name)
    held = {"steps": "T", "batch": "batch", "threads": "threads"}
    parts = [name, *(f"{short}={count(number(case, key) or 0)}" for key, short in held.items() if key != axis)]
    scale = number(case, "threshold_scale")
    if axis != "rate" and scale not in (None, 1):
        parts.append(f"thresholds x{scale:g}")
    return ", ".join(parts)


def _paint(figure: Figure, groups: dict[str, dict[str, list[Point]]], axis: str) -> None:
    columns = min(2, len(groups))
    grid = figure.subplots(-(-len(groups) // columns), columns, squeeze=False).flatten()
    for axes, (title, group) in zip(grid, groups.items(), strict=False):
        for name, points in group.items():
            _curve(axes, name, points)
        axes.axhline(1, color=BLACK, linestyle=":", linewidth=1.2)
        _log_axes(axes, axis, sorted({point.x for points in group.values() for point in points}))
        axes.set_title(literal(title), fontsize=9)
    for axes in grid[len(groups) :]:
        axes.set_axis_off()
    handles = {label: handle for axes in grid for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=max(1, len(handles)))


def _curve(axes: Axes, name: str, points: list[Point]) -> None:
    """Medians with their intervals."""
    colour, marker = _LOOKS.get(name, _OTHERS)
    x, y = [p.x for p in points], [p.ratio for p in points]
    axes.plot(x, y, color=colour, marker=marker, markeredgecolor="white", label=literal(name), zorder=3)
    axes.vlines(x, [p.low for p in points], [p.high for p in points], color=colour, linewidth=1.1, alpha=0.75)


def _log_axes(axes: Axes, axis: str, values: list[float]) -> None:
    """Plain numbers on both axes; below, those that were measured."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if axis == "rate" else FixedLocator(values))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        each.set_minor_locator(NullLocator())
    axes.set_xlabel(AXES[axis])
    axes.set_ylabel("time / ANN's forward pass", color=GREY)
