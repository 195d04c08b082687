"""The run file: what a metric says, that timings are marked, that nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluate.benchmarks.assembling import assemble_benchmark
from evaluate.benchmarks.request import BenchmarkRequest, Case, cases
from evaluate.explanations import explain
from evaluate.explanations.again import metrics_again
from evaluate.explanations.meanings import meaning
from evaluate.records import BENCHMARK, Run, read_run, write_run

Record = Callable[[Case], dict[str, Any]]

LABEL = "digits-relu; T=8; batch=16; threads=1"


@pytest.fixture
def run(asked: BenchmarkRequest, record_of: Record) -> Run:
    return assemble_benchmark(asked, [record_of(case) for case in cases(asked)], 2)


def test_a_ratio_is_the_median_over_rounds_with_its_single_values(run: Run) -> None:
    found = run.metric(f"time.ratio[events; {LABEL}]")
    assert (found.value, found.low, found.high, found.samples) == (2.0, 2.0, 2.0, 3)
    assert found.timing and found.observations == (2.0, 2.0, 2.0)
    assert (found.unit, found.better) == ("ANN passes", "lower")
    seconds = run.metric(f"time.seconds[events; {LABEL}]")
    assert (seconds.value, seconds.low, seconds.high) == (4.5, 4.0, 5.0) and seconds.observations == (4.0, 4.5, 5.0)
    assert "interval 75%" in seconds.note


def test_a_peer_is_compared_with_our_fastest_engine(run: Run) -> None:
    found = run.metric(f"time.speedup[spikingjelly; {LABEL}]")
    assert (found.value, found.better) == (5.0, "higher") and found.note.startswith("spikingjelly over events;")
    with pytest.raises(KeyError):
        run.metric(f"time.speedup[dense; {LABEL}]")


def test_timings_and_nothing_else_are_marked(run: Run) -> None:
    for metric in run.metrics:
        assert metric.timing == metric.name.startswith("time.") == bool(metric.observations)
    assert {m.name for m in run.metrics if not m.timing} == {
        f"rate[{name}; digits-relu; T={steps}; batch=16; threads=1]"
        for name in ("dense", "events", "spikingjelly")
        for steps in (4, 8)
    }


def test_rows_point_to_metrics_and_name_refusals(run: Run) -> None:
    rows = [row for row in run.curves["contestants"] if row["case"] == LABEL]
    assert [row["contestant"] for row in rows] == ["ann", "dense", "events", "spikingjelly", "sinabs"]
    for row in rows[:-1]:
        for name in row["metrics"].values():
            run.metric(name)
    assert rows[-1] == {"case": LABEL, "contestant": "sinabs", "refused": "sinabs leaves Tanh as it is"}
    assert rows[3]["version"] == "2.0.0" and rows[3]["mode"] == "single step"


def test_the_run_survives_the_round_trip(run: Run, tmp_path: Path) -> None:
    write_run(run, tmp_path / "run.json")
    again = read_run(tmp_path)
    assert again.metrics == run.metrics and again.to_json() == run.to_json()
    assert again.case["kind"] == BENCHMARK and again.environment["peers"].keys() == {"spikingjelly", "sinabs"}


def test_the_id_tells_what_was_asked_and_not_how_long_it_took(asked: BenchmarkRequest, record_of: Record) -> None:
    records = [record_of(case) for case in cases(asked)]
    slower = [record | {"contestants": {n: c | {"wall_s": (9.0,) * 3} for n, c in record["contestants"].items()}}
              for record in records]  # fmt: skip
    one, other = assemble_benchmark(asked, records, 2), assemble_benchmark(asked, slower, 2)
    assert one.id == other.id and one.metrics != other.metrics
    assert assemble_benchmark(BenchmarkRequest(("digits-relu",), threads=(1,)), records, 2).id != one.id


def test_what_is_missing_is_noted(asked: BenchmarkRequest, record_of: Record) -> None:
    first, second = cases(asked)
    run = assemble_benchmark(asked, [record_of(first), {"label": second.label, "failed": "no memory"}], 3)
    assert run.notes == (f"{LABEL}: could not be measured: no memory", "Unfinished: 2 of 3 cases were measured.")
    assert [row["label"] for row in run.curves["cases"]] == [first.label]


def test_a_busy_machine_is_noted(asked: BenchmarkRequest, record_of: Record) -> None:
    record = record_of(cases(asked)[0])
    record["contestants"]["ann"]["cores"] = 0.5
    (note,) = assemble_benchmark(asked, [record], 1).notes
    assert "the machine was busy" in note and "50%" in note


def test_a_machine_that_is_unsteady_is_noted(asked: BenchmarkRequest, record_of: Record) -> None:
    record = record_of(cases(asked)[1])
    record["contestants"]["ann"]["wall_s"] = (1.0, 2.0, 2.5)
    (note,) = assemble_benchmark(asked, [record], 1).notes
    assert note == f"{LABEL}: unsteady, the ANN itself took 1,000.0 to 2,500.0 ms; measure on an idle machine"


def test_every_number_of_a_benchmark_is_explained(run: Run) -> None:
    again = metrics_again(run)
    for m in run.metrics:
        assert meaning(m.name), m.name
        text = explain(run, m.name)
        if m.timing:
            assert (again[m.name].value, again[m.name].low, again[m.name].high) == (m.value, m.low, m.high)
            assert "recomputed  identical" in text and "method[0]" in text
        else:
            assert "counted while the contestant ran" in text
