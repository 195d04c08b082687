"""One sample, spike by spike: a raster for each population, and under it the potential of one neuron."""

from __future__ import annotations

from html import escape
from typing import Any

from evaluate.records import Run
from reports.fields import entries, number, text
from reports.quantities import count
from reports.vectors import Axis, Panel, nice_ticks

__all__ = ["raster_section"]

_ROW = 13
"""Height of a neuron's row in the raster."""


def raster_section(run: Run) -> str:
    """What is shown of the first sample; empty where the run file holds nothing of it."""
    if not run.trace:
        return ""
    if reason := text(run.trace, "unmeasured"):
        return f'<p class="missing">Not shown: {escape(reason)}.</p>'
    steps = int(number(run.trace, "steps") or 0)
    rows = [row for row in entries(run.trace, "populations") if steps > 0]
    return "".join(_population(row, steps) for row in rows)


def _population(row: dict[str, Any], steps: int) -> str:
    """Heading, raster and trace of one population."""
    name, shown = text(row, "name", "population"), entries(row, "shown")
    said = f"{count(number(row, 'active') or 0)} of {count(number(row, 'neurons') or 0)} neurons fire"
    head = f"<h3>{escape(name)} <small>{said}</small></h3>"
    if not shown:
        return f'{head}<p class="missing">Silent on this sample.</p>'
    watched = next((neuron for neuron in shown if _numbers(neuron, "potential")), None)
    return head + _raster(name, shown, steps) + ("" if watched is None else _trace(name, row, watched, steps))


def _raster(name: str, shown: list[dict[str, Any]], steps: int) -> str:
    """One row a neuron, the busiest on top; a spike below zero is drawn in another colour and half as high."""
    height = 24 + 38 + _ROW * len(shown)
    panel = Panel(_steps(steps), Axis(0, len(shown), "neuron", (), str), height=height, top=24, bottom=38)
    for i, neuron in enumerate(shown):
        label, place = text(neuron, "index"), panel.at(0, len(shown) - i - 0.5)[1]
        panel.parts.append(f'<text class="tick" x="50" y="{place + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        panel.parts += [_tick(panel, step, place, steps) for step in _spikes(neuron)]
    most = len(_spikes(shown[0]))
    said = f"Spikes of {len(shown)} neurons over {steps} steps; the busiest shown fires {most} times"
    return panel.svg(f"Raster of {name}", said)


def _tick(panel: Panel, step: int, place: float, steps: int) -> str:
    x, up = panel.at(abs(step), 0)[0], step > 0
    paint, high = ("s0", 4.5) if up else ("s1", 2.5)
    wide = max(1.0, min(3.0, 320 / steps))
    box = f'x="{x - wide / 2:.1f}" y="{place - high:.1f}" width="{wide:.1f}" height="{2 * high:.1f}"'
    return f'<rect class="bar {paint}" {box}/>'


def _trace(name: str, row: dict[str, Any], neuron: dict[str, Any], steps: int) -> str:
    """The potential after each step, with the threshold and the spikes."""
    v, thresholds = _numbers(neuron, "potential"), _numbers(row, "v_thresholds")
    low, high = min(-0.5, *thresholds, *v), max(0.5, *thresholds, *v)
    room = 0.08 * (high - low)
    ends = low - room, high + room
    axis = Axis(*ends, "potential, in quanta", nice_ticks(*ends, 4), lambda value: f"{value:g}")
    panel = Panel(_steps(steps), axis, height=170)
    for i, v_threshold in enumerate(thresholds):
        panel.level(v_threshold, "" if i else "threshold")
    index = text(neuron, "index")
    panel.line([(t + 1, value) for t, value in enumerate(v)], 0, f"neuron {index}, after each step")
    panel.marks([(abs(s), v[abs(s) - 1], f"spike in step {abs(s)}") for s in _spikes(neuron) if abs(s) <= len(v)], 1)
    said = f"Membrane potential of neuron {index} over {steps} steps; marks are its {len(_spikes(neuron))} spikes"
    return panel.svg(f"Potential of a neuron of {name}", said)


def _steps(steps: int) -> Axis:
    return Axis(0, steps + 1, "step", [t for t in nice_ticks(1, steps, 9) if t == int(t)], lambda t: f"{t:g}")


def _spikes(neuron: dict[str, Any]) -> list[int]:
    found = neuron.get("spikes")
    return [s for s in found if isinstance(s, int) and s] if isinstance(found, list | tuple) else []


def _numbers(record: dict[str, Any], key: str) -> list[float]:
    found = record.get(key)
    return [float(v) for v in found if isinstance(v, int | float)] if isinstance(found, list | tuple) else []
