"""The summary: a dozen lines that hold their ground without labels, joules or anything at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evaluate.records import Metric, Run
from reports import summary

MakeRun = Callable[[str], Run]


def with_difference(run: Run, value: float, low: float, high: float) -> Run:
    gap = Metric("accuracy.difference", value, "fraction", "higher", 360, low, high)
    return replace(run, metrics=(*(m for m in run.metrics if m.name != gap.name), gap))


def line(run: Run, label: str) -> str:
    return next(text for text in summary(run) if text.startswith(label))


def test_about_a_dozen_lines_of_plain_text(any_run: Run) -> None:
    lines = summary(any_run)
    assert 8 <= len(lines) <= 14
    assert all(text and text.isprintable() and "*" not in text for text in lines)


def test_what_was_converted_stands_first(make_run: MakeRun) -> None:
    first = summary(make_run("full"))[0]
    assert "digits-mlp (25,482 parameters)" in first and "seed LIF" in first and "32 steps of 1 ms" in first


def test_the_interval_of_the_difference_in_words(make_run: MakeRun) -> None:
    run = make_run("full")
    assert "-0.3 points, no loss detectable at n = 360, a loss of more than 1.1 points is excluded" in line(
        run, "Accuracy"
    )
    assert "the SNN loses accuracy: -2.0 points" in line(with_difference(run, -0.02, -0.03, -0.01), "Accuracy")
    assert "the SNN is better: +2.0 points" in line(with_difference(run, 0.02, 0.01, 0.03), "Accuracy")


def test_unmeasured_comes_with_the_way_to_measure(make_run: MakeRun) -> None:
    run = make_run("unlabelled")
    assert "unmeasured (no labels; pass --data NAME" in line(run, "Accuracy")
    assert "unmeasured (no labels; pass --data NAME" in line(run, "Latency")


def test_an_empty_run_is_unmeasured_throughout(make_run: MakeRun) -> None:
    assert sum("unmeasured" in text for text in summary(make_run("bare"))) >= 7


def test_energy_is_won_or_lost_and_names_its_model(make_run: MakeRun) -> None:
    assert "ops-horowitz 1: the SNN loses" in line(make_run("losing"), "Energy verdict")
    assert "ops-horowitz 1: the SNN wins" in line(make_run("full"), "Energy verdict")
    energy = line(make_run("full"), "Energy, modelled by ops-horowitz 1")
    assert "SNN 61 nJ" in energy and "the dense ANN 120 nJ" in energy


def test_an_order_that_depends_on_the_prices_is_called_so(make_run: MakeRun) -> None:
    assert "the order depends on the prices" in line(make_run("full"), "Energy verdict")
    assert "the order depends" not in line(make_run("losing"), "Energy verdict")


def test_efficiency_is_held_against_the_seed_value(make_run: MakeRun) -> None:
    assert "below the line at 4.0e11 (seed value), 0.85 times" in line(make_run("full"), "Efficiency")
    assert "above the line at 4.0e11 (seed value)" in line(make_run("losing"), "Efficiency")


def test_warnings_are_counted(make_run: MakeRun) -> None:
    assert line(make_run("full"), "Warnings") == "Warnings: 1, listed in the report"
    assert line(make_run("bare"), "Warnings") == "Warnings: none"


def test_escape_sequences_do_not_reach_the_terminal(make_run: MakeRun) -> None:
    run = make_run("full")
    model = {**run.case["model"], "name": "\x1b[31mred\nsecond"}
    first = summary(replace(run, case={**run.case, "model": model}))[0]
    assert "\x1b" not in first and "\n" not in first
