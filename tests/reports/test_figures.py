"""The figures: what is drawn, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from matplotlib.figure import Figure

from evaluate.records import Run
from reports import efficiency
from reports.efficiency import chips, efficiency_png
from reports.figures import accuracy_png, energy_png, series

MakeRun = Callable[[str], Run]


def test_series_leaves_out_what_has_no_place_on_a_log_axis() -> None:
    rows = [{"x": 2, "y": 1}, {"x": 0, "y": 1}, {"x": 1, "y": None}, {"x": 1, "y": 3}, {"y": 1}]
    assert series(rows, "x", "y", 10) == ([1, 2], [30, 10])


def test_chips_are_sorted_and_keep_their_quantity(make_run: MakeRun) -> None:
    run = make_run("full")
    rates = [row["ops_per_joule"] for row in chips(run, "SynOp")]
    assert rates == sorted(rates, reverse=True)
    assert {row["name"] for row in chips(run, "MAC")} == {"A100 SXM, FP16", "H100 SXM, FP16"}


def test_processors_have_a_panel_of_their_own(make_run: MakeRun) -> None:
    figure = Figure()
    run = make_run("full")
    efficiency._paint(figure, run, 10, 2)
    events, processors = figure.axes[:2]
    assert "SynOps per joule" in events.get_xlabel() and processors.get_xlabel() == "MACs per joule"
    assert events.get_xlim() == (1e6, 1e16)
    names = [label.get_text() for label in events.get_yticklabels()]
    assert names[:3] == ["network, by ops-horowitz", "network, by lemaire2022 (unverified)", "network, by chip-affine"]
    assert "50 nJ/inference" in [text.get_text().strip() for text in events.texts]
    assert any("see the footnote" in text.get_text() for text in events.texts), "the line's value is not measured"
    assert "not SynOps" in processors.get_title()
    assert not processors.patches and not any("biology" in text.get_text() for text in processors.get_yticklabels())
    assert not any("A100" in name for name in names)


def test_the_seed_value_is_a_labelled_line(make_run: MakeRun) -> None:
    labels = [key.get_label() for key in efficiency._legend(make_run("full"))]
    assert "seed value 4.0e11" in labels


def test_the_axis_grows_with_a_value_beyond_it(make_run: MakeRun) -> None:
    run = make_run("full")
    far = run.assumptions["baselines"]["hardware"][0] | {"ops_per_joule": 3e17}
    run = replace(run, assumptions={**run.assumptions, "baselines": {"hardware": [far]}})
    assert efficiency._span(run) == (1e6, 1e18)


def test_what_was_not_measured_is_not_drawn(make_run: MakeRun) -> None:
    full, bare = make_run("full"), make_run("bare")
    for paint in (accuracy_png, energy_png, efficiency_png):
        assert paint(bare) != paint(full)


def test_a_run_of_one_model_keeps_its_row(make_run: MakeRun) -> None:
    run = make_run("full")
    old = replace(run, assumptions={k: v for k, v in run.assumptions.items() if k != "energy_models"})
    (row,) = efficiency._own_rows(old)
    assert row["name"] == "network, by ops-horowitz 1" and row["marginal"]["ops_per_joule"] == 1.11e12
