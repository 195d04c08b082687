"""The page of a benchmark: what stands in its tables and on its curves."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from evaluate.records import Run, write_run
from reports.errors import ReportError
from reports.scaling import AXES, Point, curves, scaling_png
from reports.speed import is_benchmark, render_speed, speed_lines, speed_page
from tests.commands import python
from tests.reports.speed_runs import case, speed_run

THREE = [case(steps=steps) for steps in (8, 16, 32)]
MLP = [case(f"mlp-784-{n}-{n}-10", width=n) for n in (300, 600, 1200)]


def row(page: str, title: str, number: int = 0) -> list[str]:
    """The cells of a row of the table under `title`."""
    table = page.split(f"## {title}\n\n")[1].split("\n\n")[0].splitlines()
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", table[2 + number])[1:-1]]


def test_a_ratio_stands_with_its_interval_its_rate_and_its_case() -> None:
    page = speed_page(speed_run(case("vgg", 32, 4, 2, weights="random")))
    cells = row(page, "Time over the ANN's forward pass")
    assert cells == ["vgg *", "32", "4", "2", "digits", "10.0 %", "2,400 us", "32.0 (28.8 to 38.4)",
                     "8.00 (7.20 to 9.60)", "80.0 (72.0 to 96.0)"]  # fmt: skip
    assert "random weights and classify nothing" in page
    assert row(page, "Processor time over the ANN's")[7] == "48.0 (43.2 to 57.6)"


def test_trained_networks_bear_no_mark() -> None:
    page = speed_page(speed_run(case()))
    assert row(page, "Time over the ANN's forward pass")[0] == "net" and "random weights" not in page


def test_another_converter_stands_with_version_mode_and_both_rates() -> None:
    cells = row(speed_page(speed_run(case())), "Other converters")
    assert cells == ["net", "8", "16", "1", "spikingjelly 2.0.0", "single step", "30.0 %", "10.0 %",
                     "10.0 (9.00 to 12.0)", "spikingjelly over events", "a note"]  # fmt: skip


def test_refusals_stand_with_their_message() -> None:
    page = speed_page(speed_run(case(), refusals=True))
    assert row(page, "Refused") == ["sinabs", case()["label"], r"leaves &lt;Tanh> \| as it is"]
    assert "## Refused" not in speed_page(speed_run(case()))


def test_threads_are_compared_within_a_case() -> None:
    page = speed_page(speed_run(case(), case(threads=2), case(steps=16)))
    assert [row(page, "Threads", i) for i in range(4)] == [
        ["net", "8", "16", "1 to 2", name, "1.67"] for name in ("ann", "dense", "events", "spikingjelly")
    ]
    assert "## Threads" not in speed_page(speed_run(case(), case(steps=16)))


def test_a_curve_joins_cases_that_differ_in_one_quantity() -> None:
    found = curves(speed_run(*THREE, case(steps=64, batch=1)), "steps")
    assert list(found) == ["net, batch=16, threads=1"]
    events = found["net, batch=16, threads=1"]["events"]
    assert events == [Point(t, t / 4, pytest.approx(0.9 * t / 4), pytest.approx(1.2 * t / 4)) for t in (8, 16, 32)]


def test_two_points_are_no_curve() -> None:
    assert not any(curves(speed_run(*THREE[:2]), axis) for axis in AXES)


def test_perceptrons_of_several_widths_are_one_curve() -> None:
    found = curves(speed_run(*MLP), "width")
    assert list(found) == ["mlp-784-N-N-10, T=8, batch=16, threads=1"]
    assert [p.x for p in found["mlp-784-N-N-10, T=8, batch=16, threads=1"]["dense"]] == [300, 600, 1200]
    assert not curves(speed_run(*THREE), "width")


def test_rates_are_those_that_were_measured_on_our_network() -> None:
    run = speed_run(*(case(threshold_scale=scale) for scale in (1.0, 2.0, 4.0)))
    assert [p.x for p in curves(run, "rate")["net, T=8, batch=16, threads=1"]["spikingjelly"]] == [2.5, 5, 10]
    assert not curves(run, "steps") and "net, thresholds x2" in speed_page(run)


@pytest.mark.parametrize(("axis", "cases"), [("steps", THREE), ("width", MLP)])
def test_a_figure_depends_on_the_run_alone(axis: str, cases: list[dict[str, object]]) -> None:
    one, other = scaling_png(speed_run(*cases), axis), scaling_png(speed_run(*cases), axis)
    assert one == other and one.startswith(b"\x89PNG")


def test_figures_are_written_where_there_are_curves(tmp_path: Path) -> None:
    report = render_speed(speed_run(*THREE), tmp_path / "pages")
    assert {path.name for path in report.parent.iterdir()} == {"report.md", "scaling-steps.png"}
    assert "dense from 8.0 to 32" in report.read_text() and "(scaling-steps.png)" in report.read_text()


def test_the_command_renders_a_benchmark(tmp_path: Path) -> None:
    write_run(speed_run(case()), tmp_path / "run.json")
    done = python("reports", "render", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{case()['label']}: dense 8.00, events 2.00, spikingjelly 20.0 ANN passes at 10.0 %")


def test_a_run_with_parts_missing_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    bare = Run("x", {"kind": "benchmark"}, (), {}, (), {}, {})
    assert is_benchmark(bare) and "No case was measured." in speed_page(bare)
    assert speed_lines(bare) == ["Warnings: none"]
    assert not is_benchmark(replace(bare, case={}))
    lost = replace(speed_run(*THREE), metrics=())
    assert "unknown" in speed_page(lost) and not curves(lost, "steps")
    with pytest.raises(ReportError):
        render_speed(replace(bare, curves=[]), tmp_path)  # type: ignore[arg-type]
