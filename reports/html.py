"""The report as one file that needs no other: the sections of the Markdown page, with figures drawn into it.

The text is that of report.md, so the two never disagree; nothing in it can open a tag, and the page runs no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from evaluate.records import Run
from reports import findings, fits
from reports.boards import is_leaderboard
from reports.charts import accuracy_svg, efficiency_svg, energy_svg
from reports.digest import converted, data
from reports.errors import ReportError
from reports.fields import branch, check, metric, text
from reports.layering import layer_table
from reports.pages import page
from reports.quantities import interval, points, reading, times
from reports.rasters import raster_section
from reports.speed import is_benchmark
from reports.templating import html_template

__all__ = ["html_page"]

_FOLDED = (
    "Key numbers",
    "Energy per inference",
    "How it was",
    "What was asked",
    "Environment",
    "The neuron",
    "What became of every operation",
)

_FIRST_SAMPLE = (
    "<p>The first scored sample: of each population the neurons at equal distances in the order of their spike counts, "
    "the busiest on top, each by its number, and the potential of the middle one. Negative spikes are the shorter ones."
    "</p>"
)


def html_page(runs: Sequence[Run]) -> str:
    """The page of one run, or of several side by side.

    Raises
    ------
    ReportError
        No run, a run of a benchmark, or one with parts of the wrong kind.
    """
    if not runs:
        raise ReportError("render: got no run; expected at least one")
    for run in runs:
        check(run)
        if is_benchmark(run):
            raise ReportError(f"run {run.id}: a benchmark has no HTML page; render it with --format md")
        if is_leaderboard(run):
            raise ReportError(f"run {run.id}: a leaderboard has a page of its own; render it alone")
    names = _names(runs)
    several = len(runs) > 1
    context = {
        "title": " and ".join(dict.fromkeys(map(_title, runs))),
        "worth": f"what {'they are worth as spiking networks' if several else 'it is worth as a spiking network'}",
        "several": several,
        "figures": _figures(runs, names) if several else {},
        "compared": _compared(runs) if several else [],
        "names": names,
        "runs": [_told(run, name, i, several) for i, (run, name) in enumerate(zip(runs, names, strict=True))],
    }
    return f"{html_template('report.html.j2').render(context)}\n"


def _title(run: Run) -> str:
    return text(branch(run.case, "model"), "name", "a model without a name")


def _names(runs: Sequence[Run]) -> list[str]:
    """What tells the runs apart: their model, else recipe and neuron, else a number."""
    configs = [branch(run.case, "config") for run in runs]
    keys = [key for key in ("recipe", "neuron", "rule", "code", "steps") if len({text(c, key) for c in configs}) > 1]
    several = len(set(map(_title, runs))) > 1
    found = [
        ", ".join(
            ([_title(run)] if several or not keys else [])
            + [text(config, key) + (" steps" if key == "steps" else "") for key in keys]
        )
        for run, config in zip(runs, configs, strict=True)
    ]
    return found if len(set(found)) == len(found) else [f"{i + 1}. {name}" for i, name in enumerate(found)]


def _told(run: Run, name: str, place: int, several: bool) -> dict[str, Any]:
    """All that the template shows of a run."""
    return {
        "name": name,
        "place": place,
        "converted": converted(run),
        "data": data(run),
        "tiles": _tiles(run),
        "sections": _sections(run, f"r{place}-" if several else ""),
    }


def _tiles(run: Run) -> list[tuple[str, str, str]]:
    """The headline as label, number and words."""
    score, same = ("snn.r2", "snn.relative_error") if fits.is_regression(run) else ("snn.accuracy", "agreement")
    snn, ann, rest = metric(run, score), metric(run, score.replace("snn", "ann")), metric(run, same)
    soon = metric(run, f"latency.steps_within_{'5pct' if fits.is_regression(run) else '0.5pp'}")
    dense, own = metric(run, "energy.ann_j"), metric(run, "energy.snn_j")
    ratio = own.value / dense.value if own.value and dense.value else None
    gap = metric(run, score.replace("snn.", "") + ".difference")
    apart = "" if gap.value is None else (points(gap.value, gap.samples) if gap.unit == "fraction" else reading(gap))
    span = f" ({interval(gap)})" if gap.low is not None else ""
    rows = [
        (f"{findings.score_name(run)} of the SNN", reading(snn), f"ANN {reading(ann)}; difference {apart}{span}"),
        (findings.agreement_name(run), reading(rest), interval(rest) and f"95 % interval {interval(rest)}"),
        ("Latency", reading(soon), soon.note),
        ("Energy, modelled", "unmeasured" if ratio is None else f"{times(ratio)}",
         f"that of the dense ANN: {reading(own)} against {reading(dense)}, by {findings.energy_model(run)}"),
    ]  # fmt: skip
    return [(label, value.strip("*"), said.replace("*", "")) for label, value, said in rows]


def _figures(runs: Sequence[Run], names: Sequence[str]) -> dict[str, str]:
    """The figures by the name that the Markdown page gives them."""
    told = [[f"{n}: {say(r)}." for n, r in zip(names, runs, strict=True)]
            for say in (findings.accuracy, findings.energy, findings.efficiency)]  # fmt: skip
    kinds = {"accuracy.png": accuracy_svg, "energy.png": energy_svg, "efficiency.png": efficiency_svg}
    return {
        key: draw(runs, names, " ".join(said).replace("*", ""))
        for (key, draw), said in zip(kinds.items(), told, strict=True)
    }


def _sections(run: Run, prefix: str) -> list[dict[str, Any]]:
    """The Markdown page, cut at its headings of the second level; the first part is the headline."""
    reader = _reader()
    tokens = reader.parse(page(run))
    cuts = [i for i, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
    parts = [tokens[a:b] for a, b in zip([0, *cuts], [*cuts, len(tokens)], strict=True)]
    env = {"figures": _figures([run], ["this network"])}
    found = []
    for i, part in enumerate(parts):
        title = part[1].content if i else "In short"
        body = part[3:] if i else part[6:]  # without the title and the paragraph that the header of the page shows
        content = reader.renderer.render(body, reader.options, env)
        bars = layer_table(run) if title == "Layers" else ""
        folded = title.startswith(_FOLDED)
        found.append({"title": title, "id": f"{prefix}s{i}", "folded": folded, "bars": bars, "content": content})
        if title == "Layers" and (raster := raster_section(run)):
            found.append({"title": "One sample, spike by spike", "id": f"{prefix}trace", "folded": False, "bars": "",
                          "content": _FIRST_SAMPLE + raster})  # fmt: skip
    return found


@cache
def _reader() -> MarkdownIt:
    """CommonMark with tables, without raw HTML; tables in boxes of their own, images replaced by drawn figures."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("table_open", _open_table)
    reader.add_render_rule("table_close", _close_table)
    reader.add_render_rule("image", _image)
    return reader


def _open_table(self: RendererHTML, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return '<div class="wide" role="region" aria-label="table" tabindex="0"><table>\n'


def _close_table(self: RendererHTML, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _image(self: RendererHTML, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """A figure of the run; other images are left out, as the page reads no other file."""
    return f'<span class="figure">{env["figures"].get(str(tokens[i].attrs.get("src")), "")}</span>'


def _compared(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every metric that a run has a value of, one a row, one column a run."""
    names = dict.fromkeys(m.name for run in runs for m in run.metrics if m.value is not None)
    return [
        {"name": name, "cells": [(reading(m).strip("*"), interval(m)) for m in (metric(run, name) for run in runs)]}
        for name in names
    ]
