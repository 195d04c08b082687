"""SynOps per joule: this network beside chips and biology, and processors that multiply, apart.

A peak MAC of a processor and a delivered synaptic event of a whole chip are different quantities, so they
stand in different panels. Shape tells the evidence behind a figure, fill tells its scope.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from evaluate.records import Run
from reports.canvas import BLACK, BLUE, GREEN, GREY, PURPLE, VERMILION, draw, literal, say_missing
from reports.fields import branch, entries, number, text
from reports.findings import network_efficiency, seed_line
from reports.quantities import joules, power_of_ten

__all__ = ["chips", "efficiency_png"]

_SHAPES = {"measured": "o", "simulated": "s", "vendor": "^", "derived": "D"}
_FILLS: dict[str, Literal["full", "none", "left"]] = {
    "all-in": "full",
    "per-term": "none",
    "marginal": "left",
}
_OTHER_SHAPE = "X"


def efficiency_png(run: Run) -> bytes:
    """The chart of SynOps per joule."""
    events, products = chips(run, "SynOp"), chips(run, "MAC")
    upper = len(events) + len(_own_rows(run)) + 1
    height = 2.8 + 0.235 * (upper + len(products))
    return draw(lambda figure: _paint(figure, run, upper, len(products)), 8.2, height)


def chips(run: Run, quantity: str) -> list[dict[str, Any]]:
    """The hardware rows of one quantity ("SynOp" or "MAC"), the most efficient first."""
    rows = entries(branch(run.assumptions, "baselines"), "hardware")
    kept = [row for row in rows if text(row, "quantity") == quantity and _value(row) > 0]
    return sorted(kept, key=lambda row: (-_value(row), text(row, "name")))


def _value(row: dict[str, Any]) -> float:
    """Operations per joule of a row; 0 where it gives none."""
    return number(row, "ops_per_joule") or 0.0


def _own_rows(run: Run) -> list[dict[str, Any]]:
    """The network of the run, a row for each model: all that it prices, and what one SynOp more costs."""
    rows = []
    for row in network_efficiency(run):
        spans = {scope: _rates(row[scope]) for scope in ("all_in", "marginal")}
        unsure = " (unverified)" if text(row, "unverified") else ""
        rows.append({**spans, "name": f"network, by {row['model']}{unsure}", "joules": number(row, "joules")})
    return rows


def _rates(span: dict[str, Any]) -> dict[str, Any]:
    """A span of a model under the names that a published row has."""
    keys = {"ops_per_joule": "value", "ops_per_joule_low": "low", "ops_per_joule_high": "high"}
    return {key: number(span, end) for key, end in keys.items()}


def _paint(figure: Figure, run: Run, upper: int, lower: int) -> None:
    """Both panels; the lower one only where there is something in it."""
    if upper <= 1 and not lower and seed_line(run) is None:
        say_missing(figure.subplots(), "SynOps/s/W: unmeasured, and no baselines in this run file")
        return
    heights = [rows + 0.6 for rows in (upper, lower) if rows]
    axes: list[Axes] = list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    span = _span(run)
    _events(axes[0], run, span)
    if lower:
        _products(axes[1], run, span)
    title = "SynOps per joule: this network as modelled (full star: all-in, open star: marginal), chips, biology"
    figure.suptitle(literal(title), x=0.01, ha="left", fontsize=10.5)
    figure.legend(handles=_legend(run), loc="outside lower center", ncols=5, columnspacing=1.4)


def _span(run: Run) -> tuple[float, float]:
    """1e6 to 1e16 operations per joule, wider by whole decades where a value asks for it."""
    values = [_value(row) for kind in ("SynOp", "MAC") for row in chips(run, kind)]
    logs = [6.0, 16.0, *(math.log10(value) for value in (*values, *_own_values(run)))]
    return 10.0 ** math.floor(min(logs)), 10.0 ** math.ceil(max(logs))


def _own_values(run: Run) -> list[float]:
    """SynOps per joule of the run's network, all there are."""
    found = (_value(row[scope]) for row in _own_rows(run) for scope in ("all_in", "marginal"))
    return [value for value in found if value > 0]


def _events(axes: Axes, run: Run, span: tuple[float, float]) -> None:
    """The panel of synaptic events, with the scale of joules on top."""
    names: list[str] = []
    for row in _own_rows(run):
        _own(axes, row, len(names), span[1])
        names.append(text(row, "name"))
    _biology(axes, run, len(names))
    names.append("biology: range, whiskers, estimates")
    _rows(axes, chips(run, "SynOp"), names, BLUE)
    _scale(axes, names, span, "SynOps per joule (= SynOps/s/W)")
    for label in axes.get_yticklabels()[: len(_own_rows(run))]:
        label.set_fontweight("bold")
    twin = axes.twiny()
    twin.set_xscale("log")
    twin.set_xlim(1 / span[0], 1 / span[1])
    twin.grid(False)
    twin.spines["top"].set_visible(True)
    twin.xaxis.set_major_locator(LogLocator(numticks=20))
    twin.xaxis.set_minor_locator(NullLocator())
    twin.xaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value).replace(".0 ", " ")))
    twin.set_xlabel("joules per SynOp")


def _own(axes: Axes, row: dict[str, Any], place: int, right: float) -> None:
    """Two stars for a model, full for all that it prices and open for the slope, and joules in words."""
    for scope, face in (("marginal", "white"), ("all_in", VERMILION)):
        if _value(row[scope]) > 0:
            _range(axes, row[scope], place, VERMILION)
            star: dict[str, Any] = {"marker": "*", "markersize": 14, "color": VERMILION, "markeredgecolor": BLACK}
            axes.plot(_value(row[scope]), place, **star, markerfacecolor=face, zorder=5)
    energy = number(row, "joules")
    if energy is not None:
        axes.text(right, place, f"{joules(energy)}/inference ", ha="right", va="center", fontsize=7.5, zorder=6)


def _biology(axes: Axes, run: Run, row: int) -> None:
    """The range of published estimates as a band with whiskers, the reference value as a line."""
    biology = branch(run.assumptions, "baselines", "biology")
    band, whiskers = (_ends(biology.get(key)) for key in ("band", "whiskers"))
    if band:
        axes.axvspan(*band, color=GREEN, alpha=0.10, linewidth=0, zorder=0)
        axes.plot(band, (row, row), color=GREEN, alpha=0.55, linewidth=9, solid_capstyle="butt", zorder=2)
    if whiskers:
        axes.plot(whiskers, (row, row), color=GREEN, linewidth=1.3, marker="|", markersize=11, zorder=2)
    estimates = [value for entry in entries(biology, "rows") if (value := number(entry, "ops_per_joule"))]
    axes.plot(estimates, [row] * len(estimates), "|", color=BLACK, markersize=6, zorder=3)
    line = seed_line(run)
    if line:
        axes.axvline(line[0], color=PURPLE, linestyle="--", linewidth=1.6, zorder=1)
        where: dict[str, Any] = {"rotation": 90, "ha": "left", "va": "bottom", "fontsize": 7.5, "color": BLACK}
        below = axes.get_xaxis_transform()
        axes.text(1.25 * line[0], 0.01, literal(f"{line[1]}, see the footnote"), transform=below, **where)


def _ends(value: Any) -> tuple[float, float] | None:
    """Two positive numbers, or nothing."""
    pair = dict(zip(("low", "high"), value, strict=False)) if isinstance(value, list | tuple) else value
    low, high = number(pair, "low"), number(pair, "high")
    return (low, high) if low and high and low > 0 and high > 0 else None


def _products(axes: Axes, run: Run, span: tuple[float, float]) -> None:
    """The panel of processors that multiply and accumulate."""
    names: list[str] = []
    _rows(axes, chips(run, "MAC"), names, GREY)
    _scale(axes, names, span, "MACs per joule")
    axes.set_facecolor("#f5f5f5")
    axes.set_title(
        "Another quantity: peak MACs, not SynOps: nothing to compare",
        fontsize=9.5,
        pad=5,
    )


def _rows(axes: Axes, rows: list[dict[str, Any]], names: list[str], colour: str) -> None:
    """One marker a row, below the rows that have `names`, which grow."""
    for entry in rows:
        _range(axes, entry, len(names), colour)
        axes.plot(
            _value(entry), len(names), color=colour, markerfacecoloralt="white", markeredgecolor=colour,
            marker=_SHAPES.get(text(entry, "evidence"), _OTHER_SHAPE),
            fillstyle=_FILLS.get(text(entry, "scope"), "none"), zorder=4,
        )  # fmt: skip
        names.append(text(entry, "name", "unnamed"))


def _range(axes: Axes, row: dict[str, Any], place: int, colour: str) -> None:
    """The range of a value, where the row gives one."""
    low, high = number(row, "ops_per_joule_low"), number(row, "ops_per_joule_high")
    if low and high and 0 < low < high:
        axes.plot((low, high), (place, place), color=colour, linewidth=1.3, alpha=0.7, zorder=3)


def _scale(axes: Axes, names: list[str], span: tuple[float, float], label: str) -> None:
    """Names from top to bottom, decades from left to right."""
    axes.set_xscale("log")
    axes.set_xlim(*span)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [literal(name) for name in names], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(LogLocator(numticks=20))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def _legend(run: Run) -> list[Line2D]:
    """What shapes, fills and lines mean."""
    style: dict[str, Any] = {"linestyle": "none", "color": GREY, "markerfacecoloralt": "white"}
    shapes = [Line2D([], [], marker=shape, label=name, **style) for name, shape in _SHAPES.items()]
    fills = [Line2D([], [], marker="o", **style, label=name, fillstyle=fill) for name, fill in _FILLS.items()]
    line = seed_line(run)
    label = literal(f"{line[1]} {power_of_ten(line[0])}") if line else ""
    fills.append(Line2D([], [], color=PURPLE, linestyle="--" if line else "none", linewidth=1.6, label=label))
    titles = [Line2D([], [], linestyle="none", label=title) for title in ("shape: evidence", "fill: scope")]
    rows = zip((titles[0], *shapes), (titles[1], *fills), strict=True)
    return [key for column in rows for key in column]
