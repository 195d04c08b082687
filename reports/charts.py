"""What a page shows of one run, or of several: curves over steps and joules, and SynOps per joule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from evaluate.records import Run
from reports import fits
from reports.efficiency import chips
from reports.fields import branch, entries, metric, number, text
from reports.figures import series
from reports.findings import seed_line
from reports.quantities import count, joules, percent, power_of_ten
from reports.vectors import Axis, Panel, decades, marker, nice_ticks, octaves

__all__ = ["accuracy_svg", "efficiency_svg", "energy_svg"]

Curve = list[tuple[float, float]]

_Row = tuple[str, float | None, float | None, float | None, int]
"""Name, value, low, high, whether it is a network of ours."""

_RIVALS = {"dense ANN": 3, "sparsity-aware ANN": 2}
"""Their marks: shapes in the colour of the text."""


def accuracy_svg(runs: Sequence[Run], names: Sequence[str], description: str) -> str:
    """What is kept, over steps: of one run the agreement as well, of several one curve each."""
    shown = [(i, key, name) for i, (key, name) in enumerate(_kept(runs[0]))] if len(runs) == 1 else []
    curves = [(i, runs[0], key, name) for i, key, name in shown]
    curves = curves or [(i, run, _kept(run)[0][0], name) for i, (run, name) in enumerate(zip(runs, names, strict=True))]
    drawn = [(i, name, _curve(run, "anytime", key), _curve(run, "steps", key)) for i, run, key, name in curves]
    drawn = [row for row in drawn if row[2] or row[3]]
    if not drawn:
        return _nothing("accuracy and agreement over steps: unmeasured")
    points = [p for _, _, every, asked in drawn for p in (*every, *asked)]
    panel = Panel(_steps(runs, [x for x, _ in points]), _score(runs, [y for _, y in points]))
    reference = metric(runs[0], "ann.r2" if fits.is_regression(runs[0]) else "ann.accuracy")
    anns = {metric(run, reference.name).value for run in runs}
    if reference.value is not None and len(anns) == 1:
        panel.level(reference.value, "ANN, 95 % interval", reference.low, reference.high)
    for i, name, every, asked in drawn:
        panel.line(every or asked, i, name)
        panel.marks([(x, y, f"{name}, {count(x)} steps: {panel.y.name(y)}") for x, y in asked], i)
    return panel.svg("What is kept, over steps", description)


def energy_svg(runs: Sequence[Run], names: Sequence[str], description: str) -> str:
    """What is kept against modelled joules: the curve of each run, and the ANN with and without its zeros."""
    curves, rivals = [], []
    for i, (run, name) in enumerate(zip(runs, names, strict=True)):
        key = next((k for k, _ in _kept(run) if _curve(run, "steps", k)), "accuracy")
        curves.append((i, name, sorted(zip(*series(entries(run.curves, "steps"), "energy_snn_j", key), strict=True))))
        ann = metric(run, "ann.r2" if key == "r2" else "ann.accuracy").value
        for place, what in (("ann", "dense ANN"), ("ann_sparse", "sparsity-aware ANN")):
            energy = metric(run, f"energy.{place}_j").value
            if energy and energy > 0 and ann is not None:
                rivals.append((energy, ann, what))
    points = [p for _, _, curve in curves for p in curve] + [(x, y) for x, y, _ in rivals]
    if not any(curve for _, _, curve in curves):
        return _nothing("accuracy over modelled energy: unmeasured")
    low, high = min(x for x, _ in points) / 1.3, max(x for x, _ in points) * 1.3
    joule = Axis(low, high, "modelled energy per inference; left and up is better", decades(low, high), _joule, True)
    panel = Panel(joule, _score(runs, [y for _, y in points]))
    for i, name, curve in curves:
        panel.line(curve, i, name if len(runs) > 1 else "SNN, one point for each number of steps")
        panel.marks([(x, y, f"{name}: {panel.y.name(y)} for {joules(x)}") for x, y in curve], i)
    for x, y, what in dict.fromkeys(rivals):
        said = f"{what}: {panel.y.name(y)} for {joules(x)}"
        panel.parts.append(marker(*panel.at(x, y), _RIVALS[what], 5.0, said, "rival"))
    panel.keys += [(marker(13, 0, _RIVALS[what], 5.0, "", "rival"), what)
                   for what in dict.fromkeys(w for _, _, w in rivals)]  # fmt: skip
    return panel.svg("What is kept, over modelled energy", description)


def efficiency_svg(runs: Sequence[Run], names: Sequence[str], description: str) -> str:
    """SynOps per joule: each network, the range of biology, and chips, one a row."""
    own = ((n, metric(run, "efficiency.synops_per_s_per_w")) for run, n in zip(runs, names, strict=True))
    rows: list[_Row] = [(n, m.value, m.low, m.high, 1) for n, m in own if m.value]
    rows += [(text(row, "name"), number(row, "ops_per_joule"), number(row, "ops_per_joule_low"),
              number(row, "ops_per_joule_high"), 0) for row in chips(runs[0], "SynOp")]  # fmt: skip
    values = [v for _, *ends, _ in rows for v in ends if v]
    if not values:
        return _nothing("SynOps/s/W: unmeasured, and no baselines in this run file")
    low, high = (10.0 ** f(math.log10(v)) for f, v in ((math.floor, min(values)), (math.ceil, max(values))))
    band = branch(runs[0].assumptions, "baselines", "biology").get("band")
    ticks = [10.0**e for e in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    axis = Axis(low, high, "SynOps per joule (= SynOps/s/W)", ticks, lambda v: f"1e{round(math.log10(v))}", True)
    height = 82 + 19 * len(rows)
    panel = Panel(axis, Axis(0, len(rows), "", (), str), height=height, left=215, top=34)
    if isinstance(band, list | tuple) and len(band) == 2:
        x = [panel.at(float(end), 0)[0] for end in band]
        box = f'x="{x[0]:.1f}" y="{panel.top}" width="{x[1] - x[0]:.1f}" height="{height - panel.top - panel.bottom}"'
        panel.parts.append(f'<rect class="life" {box}><title>range of estimates of biology</title></rect>')
        panel.keys.append(('<rect class="life" x="0" y="-7" width="26" height="14"/>', "biology, range of estimates"))
    if line := seed_line(runs[0]):
        x0 = panel.at(line[0], 0)[0]
        panel.parts.append(f'<line class="seed" x1="{x0:.1f}" x2="{x0:.1f}" y1="{panel.top}" y2="{height - 48}"/>')
        key = '<line class="seed" x1="0" x2="26" y1="0" y2="0"/>'
        panel.keys.append((key, f"{line[1]} {power_of_ten(line[0])}"))
    for i, (name, value, least, most, ours) in enumerate(rows):
        if value:
            _row(panel, len(rows) - i - 0.5, name, value, (least, most), bool(ours))
    return panel.svg("SynOps per joule beside chips and biology", description)


def _row(panel: Panel, y: float, name: str, value: float, ends: tuple[float | None, float | None], own: bool) -> None:
    """A name, a mark, and the range behind it."""
    x, place = panel.at(value, y)
    paint, low, high = "s1" if own else "s0", *ends
    if low and high and low < high:
        a, b = panel.at(low, y)[0], panel.at(high, y)[0]
        panel.parts.append(f'<line class="span {paint}" x1="{a:.1f}" x2="{b:.1f}" y1="{place:.1f}" y2="{place:.1f}"/>')
    short = name if len(name) <= 32 else f"{name[:31]}…"
    weight = ' class="tick own"' if own else ' class="tick"'
    panel.parts.append(f'<text{weight} x="205" y="{place + 4:.1f}" text-anchor="end">{escape(short)}</text>')
    panel.parts.append(marker(x, place, int(own), 5.0 if own else 4.0, f"{name}: {power_of_ten(value)} SynOps/J"))


def _kept(run: Run) -> list[tuple[str, str]]:
    if fits.is_regression(run):
        return [("r2", "SNN against the labels"), ("r2_to_ann", "against the ANN")]
    return [("accuracy", "accuracy of the SNN"), ("agreement", "agreement with the ANN")]


def _curve(run: Run, part: str, key: str) -> Curve:
    return list(zip(*series(entries(run.curves, part), "steps", key), strict=True))


def _steps(runs: Sequence[Run], found: Sequence[float]) -> Axis:
    dt = {number(branch(run.case, "config"), "dt_ms") for run in runs}
    only = next(iter(dt))
    label = f"steps of {only:g} ms" if len(dt) == 1 and only is not None else "steps"
    low, high = min(found) / 1.15, max(found) * 1.15
    return Axis(low, high, label, octaves(low, high), count, True)


def _score(runs: Sequence[Run], found: Sequence[float]) -> Axis:
    if fits.is_regression(runs[0]):
        low = max(-0.5, min(0.0, *found))
        return Axis(low, 1.0, "R2", nice_ticks(low, 1.0), lambda v: f"{v:.2f}")
    tops = [high for run in runs if (high := metric(run, "ann.accuracy").high) is not None]
    low = max(0.0, min(found) - 0.03)
    high = min(1.0, max(*found, *tops, low + 0.02) + 0.005)
    return Axis(low, high, "of samples", nice_ticks(low, high), lambda v: percent(v).replace(".0 %", " %"))


def _joule(value: float) -> str:
    return joules(value).replace(".0 ", " ")


def _nothing(message: str) -> str:
    return f'<p class="missing">{escape(message)}</p>'
