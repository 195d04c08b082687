"""The leaderboard's page: fronts, marks, refusals, published figures apart; the same bytes for the same run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from evaluate.records import LEADERBOARD, Run, write_run
from reports.__main__ import app
from reports.board_charts import front_svg
from reports.board_html import leaderboard_html
from reports.boards import COSTS, accuracy, board, front, ratio_to_ann
from reports.errors import ReportError
from reports.html import html_page
from reports.leaderboard import leaderboard_lines, leaderboard_page

ENERGY, LATENCY = COSTS


def cell(method: str, steps: int, score: float, energy: float | None, **more: Any) -> dict[str, Any]:
    return {
        "network": "net", "method": method, "steps": steps, "kind": "ours", "samples": 200,
        "accuracy": [score, score - 0.02, score + 0.02], "ann_accuracy": [0.95, 0.91, 0.97],
        "difference": [score - 0.95, score - 0.97, score - 0.93], "agreement": [0.9, 0.85, 0.93],
        "spikes_per_neuron": 0.5 * steps, "synops": 100.0, "payload_bits": 1.0, "largest": 1.0,
        "energy_j": None if energy is None else [energy, energy / 2, energy * 2], "energy_ann_j": [1e-6, 5e-7, 2e-6],
        "latency_steps": steps + 2, "look_ahead_steps": 0, "calibration_samples": 1000, "simulated_samples": 128,
        "time_ratio": 3.2, "peak_bytes": 5 << 20, "note": "", "best": False, "as_good": False, **more,
    }  # fmt: skip


CELLS = [
    cell("good", 4, 0.90, 2e-7), cell("good", 8, 0.95, 4e-7, best=True),
    cell("cheap", 4, 0.80, 1e-7), cell("cheap", 8, 0.94, 5e-7, as_good=True),
    cell("theirs", 4, 0.93, None, kind="peer", version="theirs 1.0", best=True),
    *({"network": "net", "method": "mute", "steps": t, "kind": "peer", "refused": "leaves <Tanh> | as it is",
       "silent": True} for t in (4, 8)),
]  # fmt: skip

FIGURE = {
    "method": "QCFS", "venue": "ICLR 2022", "data": "CIFAR-10", "network": "VGG-16", "ann": 95.52, "spike": "1 bit",
    "training": "QCFS", "look_ahead": 0, "accuracy": {"16": 95.4, "2": 91.18}, "source": "Bu et al. <2022>",
}  # fmt: skip


@pytest.fixture
def run() -> Run:
    case = {"kind": LEADERBOARD, "config": {"steps": [4, 8]}, "command": "python -m evaluate leaderboard"}
    methods = [{"name": "good", "source": "somebody", "what": "a method", "differs": "nothing"}]
    curves = {"cells": CELLS, "published": [FIGURE]}
    return Run("id", case, (), curves, (), {"method": ["All alike."], "methods": methods},
               {"processor": "a processor"}, ("Unfinished: 5 of 6 cells were measured.",))  # fmt: skip


def names(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["method"], row["steps"]) for row in rows]


def test_a_front_holds_what_nothing_beats() -> None:
    assert names(front(CELLS, ENERGY)) == [("cheap", 4), ("good", 4), ("good", 8)]
    assert names(front(CELLS, LATENCY)) == [("theirs", 4), ("good", 8)]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=30))
def test_no_point_is_better_than_the_front(points: list[tuple[int, int]]) -> None:
    rows = [cell("m", 4, score / 20, float(cost)) for score, cost in points]
    on = front(rows, ENERGY)

    def beats(a: dict[str, Any], b: dict[str, Any]) -> bool:
        pair = [((accuracy(row) or (0.0,))[0], -(ENERGY.of(row) or 0.0)) for row in (a, b)]
        return pair[0][0] >= pair[1][0] and pair[0][1] >= pair[1][1] and pair[0] != pair[1]

    assert not any(beats(a, b) for a in rows for b in on)
    assert all(any(beats(b, a) or (accuracy(a), ENERGY.of(a)) == (accuracy(b), ENERGY.of(b)) for b in on) for a in rows)


def test_the_overview_has_the_best_of_each_group(run: Run) -> None:
    graded = cell("graded", 4, 0.94, 1e-7, payload_bits=3.0)
    other = [
        {**each, "network": "other"} for each in (*CELLS, graded, cell("lazy", 4, 0.94, 2e-7, spikes_per_neuron=0.1))
    ]
    whole = replace(run, curves={"cells": [*CELLS, *other]})
    tops = {title: [row and row["method"] for row in tops] for title, tops in board(whole).tops("other")}
    assert tops == {"ours": ["lazy", "good"], "ours, one bit a step": ["lazy", "good"], "others": ["theirs", None]}
    page = re.sub(" +", " ", leaderboard_page(whole))
    assert "| other | ours | 94.0 lazy | 95.0 good |" in page and "| net | others | 93.0 theirs |" in page
    assert "The best of each column" in leaderboard_html(whole) and "The best of each column" not in leaderboard_html(
        run
    )


def test_the_page_marks_the_best_and_what_is_not_told_from_it(run: Run) -> None:
    page = leaderboard_page(run)
    assert "**95.0** (93.0 to 97.0)" in page and "94.0 ≈ (92.0 to 96.0)" in page
    assert "leaves &lt;Tanh> \\| as it is (it says nothing itself: found out by us)" in page
    assert "91.18 @ 2, 95.40 @ 16" in page and "not measured here" in page
    assert page.index("## net") < page.index("## Published figures, not measured here")


def test_lines_for_the_terminal_name_the_best_of_each_column(run: Run) -> None:
    assert leaderboard_lines(run) == ["net: T = 4: theirs 93.0 %; T = 8: good 95.0 %"]


def test_the_html_page_runs_nothing_opens_nothing_and_is_the_same_every_time(run: Run) -> None:
    page = leaderboard_html(run)
    assert page == leaderboard_html(run)
    assert "<script" not in page and "<Tanh>" not in page and "&lt;Tanh&gt;" in page and "<2022>" not in page
    assert "http" not in page.replace("http-equiv", "") and "default-src 'none'" in page
    assert page.count('<td class="cell q0 best"') == 1 and page.count('<td class="cell q1 alike"') == 1
    assert "T = 8" in page and "good: 95.0 %, within half a point of the ANN" in page


def test_figures_show_the_front_and_say_it_in_words(run: Run) -> None:
    figure = front_svg(board(run), "net", ENERGY)
    assert 'role="img"' in figure and "good, T = 8: 95.0 % for 400 nJ" in figure
    assert "1 results more than 5 points below the best are left out" in figure
    assert front_svg(board(run), "nowhere", ENERGY) == ""


def test_what_is_missing_is_not_invented(run: Run) -> None:
    bare = {"network": "net", "method": "odd", "steps": 8, "kind": "ours", "accuracy": [None, None, None]}
    odd = replace(run, curves={"cells": [bare, {"method": 3}, {"network": "net"}]}, assumptions={}, notes=())
    assert ratio_to_ann(bare) is None
    assert "unmeasured" in leaderboard_page(odd) and "unmeasured" in leaderboard_html(odd)
    empty = replace(run, curves={}, case={"kind": LEADERBOARD, "config": {}})
    assert "Networks: none" in leaderboard_page(empty) and "0 networks" in leaderboard_html(empty)


def test_a_leaderboard_is_shown_alone(run: Run) -> None:
    with pytest.raises(ReportError, match="render it alone"):
        html_page([run, run])


@pytest.mark.parametrize("form", ["md", "html", "json", "csv"])
def test_every_format_is_written(run: Run, form: str, tmp_path: Path) -> None:
    write_run(run, tmp_path / "run.json")
    done = CliRunner().invoke(app, ["render", str(tmp_path), "--format", form])
    assert done.exit_code == 0, done.output
    assert (tmp_path / f"report.{form}").stat().st_size > 0
