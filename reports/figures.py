"""Two curves over the number of steps: what is kept, and what that costs."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from evaluate.records import Run
from reports import fits
from reports.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, draw, literal, say_missing
from reports.fields import branch, entries, metric, number
from reports.findings import energy_model
from reports.quantities import count, joules
from reports.ratios import paint_ratios, priced

__all__ = ["accuracy_png", "energy_png", "series"]

_Series = tuple[list[float], list[float]]


def accuracy_png(run: Run) -> bytes:
    """Accuracy and agreement against steps, with the ANN's accuracy and its interval."""
    return draw(lambda figure: _paint_accuracy(figure, run), 7.2, 4.5)


def energy_png(run: Run) -> bytes:
    """Accuracy (agreement, where there are no labels) against modelled energy: the frontier; below it all models."""
    rows = len(priced(run))
    return draw(lambda figure: _paint_energy(figure, run), 7.2, 4.3 if rows < 2 else 4.9 + 0.42 * rows)


def series(rows: list[dict[str, Any]], x: str, y: str, scale: float = 1.0) -> _Series:
    """The points of `rows` that have both fields, `x` ascending and positive, `y` times `scale`."""
    pairs = [(number(row, x), number(row, y)) for row in rows]
    points = sorted((a, b * scale) for a, b in pairs if a is not None and b is not None and a > 0)
    return [a for a, _ in points], [b for _, b in points]


def _paint_accuracy(figure: Figure, run: Run) -> None:
    """Curves at every step where they were recorded, markers at the steps that were asked for."""
    if fits.is_regression(run):
        _paint_fit(figure, run)
        return
    axes = figure.subplots()
    shown = [
        _curve(axes, run, "accuracy", "accuracy of the SNN", BLUE, "-", "o"),
        _curve(axes, run, "agreement", "agreement with the ANN", ORANGE, "--", "s"),
    ]
    if not any(shown):
        say_missing(axes, "accuracy and agreement over steps: unmeasured")
        return
    _ann_line(axes, run)
    _step_axis(axes, run)
    axes.set_ylabel("% of samples")
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.set_title("What is kept, over the number of steps")
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1.1)


def _paint_fit(figure: Figure, run: Run) -> None:
    """R2 of the SNN against the labels, and against the outputs of the ANN."""
    axes = figure.subplots()
    shown = [
        _curve(axes, run, "r2", "R2 of the SNN against the labels", BLUE, "-", "o", 1.0),
        _curve(axes, run, "r2_to_ann", "against the outputs of the ANN", ORANGE, "--", "s", 1.0),
    ]
    if not any(shown):
        say_missing(axes, "R2 over steps: unmeasured")
        return
    ann = metric(run, "ann.r2").value
    if ann is not None:
        axes.axhline(ann, color=BLACK, linestyle=":", linewidth=1.5, label="R2 of the ANN")
    cut = axes.get_ylim()[0] < -0.5
    axes.set_ylim(-0.5 if cut else None, None)
    _step_axis(axes, run)
    axes.set_ylabel("R2 (axis cut at -0.5)" if cut else "R2")
    axes.set_title("What is kept, over the number of steps")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1.1)


def _curve(
    axes: Axes, run: Run, field: str, label: str, colour: str, line: str, marker: str, scale: float = 100
) -> bool:
    """One curve; whether there was anything to draw."""
    asked = entries(run.curves, "steps")
    points = series(asked, "steps", field, scale)
    every = series(entries(run.curves, "anytime"), "steps", field, scale)
    if not points[0] and not every[0]:
        return False
    axes.plot(*(every if every[0] else points), color=colour, linestyle=line, zorder=3)
    axes.plot(*points, color=colour, linestyle="none", marker=marker, markeredgecolor="white", zorder=4)
    axes.plot([], [], color=colour, linestyle=line, marker=marker, markeredgecolor="white", label=label)
    for row in asked:
        steps, low, high = (number(row, key) for key in ("steps", f"{field}_low", f"{field}_high"))
        if steps is not None and low is not None and high is not None:
            axes.vlines(steps, 100 * low, 100 * high, color=colour, linewidth=1.1, alpha=0.75, zorder=2)
    return True


def _ann_line(axes: Axes, run: Run) -> None:
    """The accuracy of the ANN and its interval, across the axes."""
    ann = metric(run, "ann.accuracy")
    if ann.value is None:
        return
    axes.axhline(100 * ann.value, color=BLACK, linestyle=":", linewidth=1.5, label="accuracy of the ANN")
    if ann.low is not None and ann.high is not None:
        band: dict[str, Any] = {"color": GREY, "alpha": 0.18, "linewidth": 0, "label": "its 95 % interval"}
        axes.axhspan(100 * ann.low, 100 * ann.high, **band)


def _step_axis(axes: Axes, run: Run) -> None:
    """Steps in powers of two, with a margin of half an octave, named in steps and milliseconds."""
    rows = entries(run.curves, "steps") + entries(run.curves, "anytime")
    found = [steps for row in rows if (steps := number(row, "steps")) and steps > 0]
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(found) / 1.3, max(found) * 1.3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    dt_ms = number(branch(run.case, "config"), "dt_ms")
    each = f" of {dt_ms:g} ms" if dt_ms is not None else ""
    axes.set_xlabel(f"steps{each} (markers: steps asked for)")


def _paint_energy(figure: Figure, run: Run) -> None:
    """The frontier of the spiking network, a point for each form of the ANN; where several models price it, all."""
    models = len(priced(run))
    if models < 2:
        axes = figure.subplots()
    else:
        axes, below = figure.subplots(2, 1, height_ratios=(3.4, 0.5 * models))
        paint_ratios(below, run)
    rows = entries(run.curves, "steps")
    field, title, scale = _kept(run, rows)
    labelled = field in ("accuracy", "r2")
    x, y = series(rows, "energy_snn_j", field, scale)
    if not x:
        say_missing(axes, "accuracy and agreement against modelled energy: unmeasured")
        return
    label = "SNN, at the steps written"
    axes.plot(x, y, color=BLUE, marker="o", markeredgecolor="white", label=label, zorder=3)
    _name_steps(axes, rows, field, scale)
    _ann_points(axes, run, labelled, scale)
    axes.set_xscale("log")
    axes.margins(x=0.08, y=0.12)
    _energy_axis(axes)
    axes.set_xlabel(literal(f"energy per inference, modelled by {energy_model(run)}"))
    axes.set_ylabel(title)
    if fits.is_regression(run) and axes.get_ylim()[0] < -0.5:
        axes.set_ylim(-0.5, None)
    axes.set_title("What is kept, over what it costs (up and to the left is better)")
    axes.legend(loc="best", fontsize=8) if models > 1 else figure.legend(loc="outside lower center", ncols=3)


def _kept(run: Run, rows: list[dict[str, Any]]) -> tuple[str, str, float]:
    """What is drawn as kept: field, title of the axis and factor; with labels if there are any."""
    if fits.is_regression(run):
        labelled = bool(series(rows, "energy_snn_j", "r2")[0])
        return ("r2", "R2", 1.0) if labelled else ("r2_to_ann", "R2 against the outputs of the ANN", 1.0)
    if series(rows, "energy_snn_j", "accuracy")[0]:
        return "accuracy", "accuracy, % of samples", 100.0
    return "agreement", "agreement with the ANN, % of samples", 100.0


def _name_steps(axes: Axes, rows: list[dict[str, Any]], field: str, scale: float) -> None:
    """Write the number of steps below and right of each point, where a rising curve never is."""
    for row in rows:
        steps, x, y = number(row, "steps"), number(row, "energy_snn_j"), number(row, field)
        if steps is not None and x and y is not None:
            axes.annotate(
                count(steps), (x, scale * y), (4, -13), textcoords="offset points", color=BLUE, annotation_clip=True
            )


def _ann_points(axes: Axes, run: Run, labelled: bool, scale: float) -> None:
    """The ANN, dense and sparsity-aware; without labels it agrees with itself on every sample."""
    ann = metric(run, "ann.r2" if fits.is_regression(run) else "ann.accuracy")
    height = ann.value if labelled else 1.0
    forms = (
        ("energy.ann_j", "ANN, dense", "D", VERMILION),
        ("energy.ann_sparse_j", "ANN, sparsity-aware", "^", GREEN),
    )
    for name, label, marker, colour in forms:
        energy = metric(run, name).value
        if energy and energy > 0 and height is not None:
            at = (energy, scale * height)
            axes.plot(*at, color=colour, marker=marker, markersize=9, linestyle="none", label=label, zorder=4)
            axes.axvline(energy, color=colour, linewidth=0.9, linestyle=":", zorder=1)


def _energy_axis(axes: Axes) -> None:
    """At least a factor of two and a half; more values between the decades where the range is short."""
    low, high = axes.get_xlim()
    if high / low < 2.5:
        centre = math.sqrt(low * high)
        low, high = centre / 1.6, centre * 1.6
        axes.set_xlim(low, high)
    subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0) if high / low < 10 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=subs if high / low < 200 else (1.0,), numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value).replace(".0 ", " ")))
    axes.xaxis.set_minor_formatter(NullFormatter())
