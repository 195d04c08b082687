"""The report: complete, the same bytes twice, as plain about what is missing or lost as about what is won."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from evaluate.energy.reporting import baselines_record
from evaluate.records import Metric, Run
from reports import ReportError, render
from reports.figures import accuracy_png
from reports.pages import page

FILES = {"report.md", "accuracy.png", "energy.png", "efficiency.png"}

MakeRun = Callable[[str], Run]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def headline(report: str) -> str:
    return report.partition("## Warnings")[0]


@pytest.mark.parametrize("name", ["full", "unlabelled", "single step", "bare"])
def test_a_report_is_one_page_and_three_figures(make_run: MakeRun, name: str, tmp_path: Path) -> None:
    report = render(make_run(name), tmp_path / "new" / "folder")
    assert report == tmp_path / "new" / "folder" / "report.md"
    found = contents(report.parent)
    assert set(found) == FILES
    assert all(found[name].startswith(b"\x89PNG") for name in FILES - {"report.md"})
    assert set(re.findall(r"\]\((\w+\.png)\)", found["report.md"].decode())) == FILES - {"report.md"}


def test_the_same_run_gives_the_same_bytes(make_run: MakeRun, tmp_path: Path) -> None:
    first = contents(render(make_run("full"), tmp_path / "a").parent)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False}):
        second = contents(render(make_run("full"), tmp_path / "b").parent)
    assert first == second
    assert b"Software" not in first["accuracy.png"] and b"Creation" not in first["accuracy.png"]


def test_drawing_leaves_the_style_of_the_caller_alone(make_run: MakeRun) -> None:
    before = dict(matplotlib.rcParams)
    accuracy_png(make_run("bare"))
    assert dict(matplotlib.rcParams) == before


def test_a_run_without_labels_says_unmeasured_and_how_to_measure(make_run: MakeRun) -> None:
    report = page(make_run("unlabelled"))
    assert "*unmeasured* (no labels; pass --data NAME with a labelled split to measure it)" in headline(report)
    assert re.search(r"`ann.accuracy` +\| +\*unmeasured\* ", report)
    assert "give the same answer on 98.9 %" in headline(report)


def test_a_run_that_loses_says_so_in_the_headline(make_run: MakeRun) -> None:
    assert "the SNN loses with 2.3 times the energy of the dense ANN" in headline(page(make_run("losing")))
    assert "the SNN wins with 0.53 times the energy of the dense ANN" in headline(page(make_run("full")))
    assert re.search(r"the SNN wins with .*, but loses with 1.2 times", headline(page(make_run("mixed"))))


def test_a_target_that_was_not_reached_is_not_called_unmeasured(make_run: MakeRun) -> None:
    assert "not reached in 64 steps to within 0.1" in headline(page(make_run("full")))


def test_joules_have_at_most_two_significant_digits_and_a_model(make_run: MakeRun) -> None:
    report = page(make_run("full"))
    modelled = report.partition("## SynOps/s/W")[0].partition("| constant")[0]
    digits = [number.replace(".", "").strip("0") for number in re.findall(r"([\d.]+) [munpfµ]?J\b", modelled)]
    assert len(digits) > 15
    assert all(len(number) <= 2 for number in digits)
    assert "modelled by ops-horowitz 1" in headline(report)


def test_macs_and_synops_stand_in_different_tables(make_run: MakeRun) -> None:
    chips, _, processors = page(make_run("full")).partition("Processors, in MACs per joule")
    assert "A100" not in chips
    assert "SynOps per joule" not in processors.partition("Biology:")[0]


def test_every_baseline_is_cited_and_the_footnote_printed(make_run: MakeRun) -> None:
    run = make_run("full")
    run = replace(run, assumptions={**run.assumptions, "baselines": baselines_record()})
    report = page(run)
    baselines = run.assumptions["baselines"]
    for row in (*baselines["hardware"], *baselines["biology"]["rows"]):
        assert row["name"] in report
        assert row["source"].rstrip(".") in report
    assert baselines["biology"]["footnote"] in report


def test_text_of_the_run_does_not_become_markup(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("full")
    model = {**run.case["model"], "name": "<script>x</script> $\\frac | [a](b)\n# head"}
    hostile = run.assumptions["baselines"]["hardware"][0] | {"name": "$\\frac{ | <b>"}
    baselines = {**run.assumptions["baselines"], "hardware": [hostile]}
    run = replace(run, case={**run.case, "model": model}, assumptions={**run.assumptions, "baselines": baselines})
    report = render(run, tmp_path).read_text(encoding="utf-8")
    assert "<script>" not in report and "<b>" not in report
    assert "\n# head" not in report
    assert r"\[a](b)" in report


ODD_NUMBERS = [{"steps": "x", "accuracy": True, "energy_snn_j": -1}, {"steps": 0, "agreement": 0.5}]
ODD_BIOLOGY = {"band": [1], "whiskers": "wide", "line": 4e11}


@pytest.mark.parametrize(
    "parts",
    [
        {"curves": {"steps": ODD_NUMBERS}},
        {
            "curves": {"steps": "many", "anytime": [1, None]},
            "case": {"model": None, "data": [], "coverage": "all", "config": {"dt_ms": "1"}},
            "assumptions": {"energy": [], "baselines": {"biology": ODD_BIOLOGY}},
            "layers": ({"neurons": None}, {"synops": "many"}),
        },
    ],
)
def test_ill_typed_details_are_left_out(make_run: MakeRun, tmp_path: Path, parts: dict[str, Any]) -> None:
    assert render(replace(make_run("full"), **parts), tmp_path).exists()


def test_parts_of_the_wrong_kind_are_all_named(make_run: MakeRun, tmp_path: Path) -> None:
    broken = replace(make_run("full"), case=[], curves=None, layers=(1,))  # type: ignore[arg-type]
    with pytest.raises(ReportError, match=r"case is list.*curves is NoneType.*layers\[0\]"):
        render(broken, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_ill_typed_metric_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    broken = Metric("agreement", 0.5, 7, "higher", samples="many")  # type: ignore[arg-type]
    with pytest.raises(ReportError, match=r"metrics\[0\]"):
        render(replace(make_run("bare"), metrics=(broken,)), tmp_path)


def test_a_folder_that_cannot_be_made_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"file.*cannot be written.*--out"):
        render(make_run("bare"), tmp_path / "file")
