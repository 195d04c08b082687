"""The page: one file, the same bytes twice, nothing that runs or reaches out, readable without its figures."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluate.records import Run, write_run
from reports.errors import ReportError
from reports.formats import csv_table, json_list
from reports.html import html_page
from reports.vectors import Axis, Panel, decades, marker, nice_ticks, octaves
from tests.commands import python

VOID = {"meta", "br", "hr", "img", "input", "link"}
MakeRun = Callable[[str], Run]


class Structure(HTMLParser):
    """Opened tags, links and ids; fails on a tag that closes another."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.unlabelled: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]
        if tag == "svg" and "aria-label" not in found and "aria-hidden" not in found:
            self.unlabelled.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()


def structure(page: str) -> Structure:
    found = Structure()
    found.feed(page)
    assert not found.open
    return found


def test_a_page_of_any_run_is_whole_and_reaches_nowhere(any_run: Run) -> None:
    page = html_page([any_run])
    assert page == html_page([any_run])
    found = structure(page)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "embed", "form"}
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert len(found.ids) == len(set(found.ids)) and not found.unlabelled
    assert "url(" not in page and "@import" not in page


def test_every_part_is_there(make_run: MakeRun) -> None:
    page = html_page([make_run("full")])
    for title in ("In short", "Key numbers", "What is kept, over steps", "What is kept, over modelled energy", "Layers",
                  "SynOps/s/W, beside chips and biology", "What became of every operation", "Environment",
                  "Run it again"):  # fmt: skip
        assert re.search(f"<(h2|summary)>{re.escape(title)}</", page), title
    assert page.count('role="img"') == 3
    assert page.count("<polyline") == 3 and page.count('class="bar ') >= 4
    assert "ANN 97.2 %; difference -0.3 points" in page
    assert all(page.index("<table") > page.index(part) for part in ("prefers-color-scheme:dark", "@media print"))


def traced(run: Run, name: str = "relu") -> Run:
    shown = [{"index": 5, "spikes": [1, -3, 4], "potential": [-0.5, 0.1, -0.2, -0.75]}, {"index": 2, "spikes": [2]}]
    row = {"name": name, "neurons": 9, "active": 2, "shown": shown, "v_thresholds": [0.5, -0.5]}
    silent = {"name": "quiet", "neurons": 3, "active": 0, "shown": []}
    return replace(run, trace={"steps": 4, "populations": [row, silent]})


def test_one_sample_is_shown_spike_by_spike(make_run: MakeRun) -> None:
    page = html_page([traced(make_run("full"))])
    assert page.count("<h2>One sample, spike by spike</h2>") == 1 and page.count('role="img"') == 5
    assert "the busiest shown fires 3 times" in page and "marks are its 3 spikes" in page
    assert "2 of 9 neurons fire" in page and "Silent on this sample." in page
    evil = html_page([traced(make_run("full"), "<script>")])
    assert "script" not in structure(evil).tags
    other = html_page([replace(make_run("full"), trace={"unmeasured": "too large"})])
    assert "Not shown: too large." in other
    broken: list[object] = [
        {"steps": "x"},
        {"steps": 3, "populations": 7},
        {"steps": 3, "populations": [{"shown": [{}]}]},
    ]
    for record in broken:
        assert structure(html_page([replace(make_run("full"), trace=record)]))  # type: ignore[arg-type]


def test_tables_scroll_in_boxes_of_their_own(make_run: MakeRun) -> None:
    page = html_page([make_run("full")])
    assert page.count('<div class="wide"') == page.count("<table")


def test_several_runs_stand_side_by_side(make_run: MakeRun) -> None:
    runs = [make_run("full"), make_run("losing")]
    page = html_page(runs)
    found = structure(page)
    assert {"run0", "run1"} <= set(found.ids) and len(found.ids) == len(set(found.ids))
    assert "1. digits-mlp" in page and "2. digits-mlp" in page
    assert "2 runs side by side" in page
    row = re.search(r"<code>energy.snn_j</code></th><td>(.*?)</td><td>(.*?)</td>", page)
    assert row is not None and row[1] != row[2]
    other = replace(runs[1], case={**runs[1].case, "config": {**runs[1].case["config"], "rule": "max"}})
    named = html_page([runs[0], other])
    assert all(re.search(f">{rule}</", named) for rule in ("robust", "max"))


def test_text_of_others_opens_no_tag(make_run: MakeRun) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=y>"
    run = make_run("full")
    layers = tuple({**row, "name": evil} for row in run.layers)
    case = {**run.case, "model": {**run.case["model"], "name": evil}, "data": {"spec": evil}, "command": evil}
    run = replace(run, layers=layers, case=case, notes=(evil, "[a](javascript:x)"), environment={evil: evil})
    for runs in ([run], [run, make_run("full")]):
        found = structure(html_page(runs))
        assert not found.tags & {"script", "img"} and all(link.startswith("#") for link in found.links)


def test_a_benchmark_and_no_run_are_refused(make_run: MakeRun) -> None:
    with pytest.raises(ReportError, match="--format md"):
        html_page([replace(make_run("full"), case={"kind": "benchmark"})])
    with pytest.raises(ReportError, match="at least one"):
        html_page([])


def test_ticks_and_places() -> None:
    assert octaves(1, 64) == [1, 2, 4, 8, 16, 32, 64]
    assert decades(3e-9, 5e-8) == pytest.approx([5e-9, 1e-8, 2e-8, 5e-8])
    assert nice_ticks(0.87, 1.0) == [0.9, 0.95, 1.0]
    axis = Axis(1, 100, "x", (), str, log=True)
    assert (axis.part(10), axis.part(1000), axis.part(0)) == (pytest.approx(0.5), 1, 0)
    assert [Axis(-1, 1, "y", (), str).part(y) for y in (-2, -1, -0.5, 1)] == [0, 0, 0.25, 1]
    panel = Panel(axis, Axis(0, 1, "y", (0, 1), str))
    assert panel.at(1, 0) == (panel.left, panel.height - panel.bottom)


def test_series_are_told_apart_without_colour() -> None:
    panel = Panel(Axis(0, 1, "x", (), str), Axis(0, 1, "y", (), str))
    for i in range(8):
        panel.line([(0, 0), (1, 1)], i, f"a recipe, run {i}")
    kinds = {(re.search(r'dasharray="([^"]*)"', line + ' dasharray=""')[1], marker(0, 0, i).split(" ")[0],
              marker(0, 0, i).split("points")[-1]) for i, line in enumerate(panel.parts)}  # type: ignore[index]  # fmt: skip
    assert len(kinds) == 8
    assert "run 7" in panel.svg("t", "d") and 'viewBox="0 -19' in panel.svg("t", "d")


def test_data_for_other_programs(make_run: MakeRun) -> None:
    runs = [make_run("full"), replace(make_run("unlabelled"), id="=1+1")]
    assert [r["id"] for r in json.loads(json_list(runs))] == ["c0ffee12", "=1+1"]
    rows = list(csv.DictReader(io.StringIO(csv_table(runs))))
    assert len(rows) == sum(len(r.metrics) for r in runs)
    assert rows[0]["metric"] == "ann.accuracy" and float(rows[0]["value"]) == 0.9722
    assert rows[-1]["run"] == "'=1+1" and rows[len(runs[0].metrics)]["value"] == ""


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_the_command_line(make_run: MakeRun, form: str, tmp_path: Path) -> None:
    write_run(make_run("full"), tmp_path / "run.json")
    command = ["reports", "render", tmp_path, tmp_path, "--format", form]
    done = python(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Report: {tmp_path / f'report.{form}'}\n"
    assert (tmp_path / f"report.{form}").stat().st_size > 100
    refused = python(*command[:-2], "--format", "md")
    assert refused.returncode == 2 and "--format html shows several" in refused.stderr
