"""The models side by side: two digits, ranges, what is not priced, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evaluate.records import Metric, Run
from reports import summary
from reports.energies import breaks, disagreement, measured, notes, side_by_side
from reports.pages import page

MakeRun = Callable[[str], Run]


def row(table: str, name: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(f"| {name}"))


def test_every_model_is_a_row_with_ranges_and_a_verdict(make_run: MakeRun) -> None:
    table = side_by_side(make_run("full"))
    first = row(table, "ops-horowitz")
    assert "50 nJ (40 nJ to 62 nJ)" in first and "60 nJ (48 nJ to 74 nJ), 7 bits" in first
    assert "0.42 (0.37 to 0.46)" in first and "wins against dense, sparse, quantised" in first
    assert "loses against dense, sparse, quantised" in row(table, "lemaire2022 (*unverified*)")


def test_a_chip_prices_no_ann(make_run: MakeRun) -> None:
    chip = row(side_by_side(make_run("full")), "chip-affine")
    assert chip.count("not priced") == 3 and "no ANN is priced: no comparison" in chip


def test_the_flip_is_given_in_rho_rate_and_steps(make_run: MakeRun) -> None:
    cells = [cell.strip() for cell in row(breaks(make_run("full")), "ops-horowitz").split("|")]
    assert cells[2:6] == ["dense", "1.2", "0.019", "65"]


def test_a_network_that_nothing_turns_is_told_so(make_run: MakeRun) -> None:
    run = make_run("full")
    model = run.assumptions["energy_models"][0]
    flip = model["break_even"]["ann"] | {"rho_even": {"value": 0.0}, "rate_even": 0.0, "steps_even": {"value": 0.4}}
    run = replace(run, assumptions={**run.assumptions, "energy_models": [model | {"break_even": {"ann": flip}}]})
    assert "none is low enough" in breaks(run) and "not even 1" in breaks(run)


def test_without_a_break_even_the_page_says_why(make_run: MakeRun) -> None:
    run = make_run("full")
    why = "a spike is a binary digit"
    models = [model | {"break_even": {}, "no_break_even": why} for model in run.assumptions["energy_models"]]
    energy = run.assumptions["energy"] | {"no_break_even": why, "rho_break_even": None}
    report = page(replace(run, assumptions={**run.assumptions, "energy_models": models, "energy": energy}))
    assert report.count(f"No break-even: {why}.") == 2
    assert "wins below rho" not in report


def test_what_is_unverified_and_not_priced_is_told_for_each_model(make_run: MakeRun) -> None:
    lines = notes(make_run("full"))
    assert len(lines) == 3 and all("Not priced: static power." in line for line in lines)
    assert lines[1].startswith("**lemaire2022 1** (*unverified*: memory accesses)")
    assert all(line in page(make_run("full")) for line in lines)


def test_disagreement_is_one_line_of_the_summary(make_run: MakeRun) -> None:
    said = disagreement(make_run("full"))
    assert "disagree" in said and "it does by ops-horowitz 0.42" in said
    assert "it does not by lemaire2022 1.2 (unverified)" in said
    assert f"Energy models: {said}" in summary(make_run("full"))
    assert disagreement(make_run("losing")).startswith("all models that price an ANN say that the SNN does not beat")


def test_an_older_run_has_one_model(make_run: MakeRun) -> None:
    run = make_run("full")
    old = replace(run, assumptions={k: v for k, v in run.assumptions.items() if k != "energy_models"})
    assert disagreement(old) == "" and side_by_side(old) == ""
    assert "one model alone in this run file" in page(old)
    assert not any(line.startswith("Energy models") for line in summary(old))


def test_measured_joules_stand_apart_and_are_called_so(make_run: MakeRun) -> None:
    run = make_run("full")
    note = "measured: RAPL package-0 30 J while simulating 200 samples"
    found = Metric("simulation.energy_per_inference_j", 0.1512, "J", "lower", 200, note=note, timing=True)
    section = page(replace(run, metrics=(*run.metrics, found))).partition("## Energy measured")[2].partition("## ")[0]
    assert "The simulation took 150 mJ per inference. Measured: RAPL package-0" in section
    none = Metric(found.name, None, "J", "lower", note="not measured: no RAPL or NVML here", timing=True)
    assert measured(replace(run, metrics=(none,))) == "not measured: no RAPL or NVML here"
    assert "convert the model again" in measured(run)
