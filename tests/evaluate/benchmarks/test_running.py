"""Case after case: the run file grows, an interruption keeps what is finished, a failure does not end it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluate.benchmarks.measuring import measure_case
from evaluate.benchmarks.process import run_case
from evaluate.benchmarks.request import BenchmarkRequest, Case, cases
from evaluate.benchmarks.rounds import Clocks
from evaluate.benchmarks.running import claim_folder, run_benchmark
from evaluate.contenders.peers import PEERS
from evaluate.errors import BenchmarkError
from evaluate.records import read_run

Record = Callable[[Case], dict[str, Any]]


def measured(path: Path) -> list[int]:
    return [row["steps"] for row in read_run(path).curves["cases"]]


def test_the_file_is_whole_after_every_case(asked: BenchmarkRequest, record_of: Record, tmp_path: Path) -> None:
    path, seen = tmp_path / "run.json", []

    def measure(case: Case, request: BenchmarkRequest, progress: object) -> dict[str, Any]:
        seen.append(measured(path) if path.exists() else [])
        return record_of(case)

    run = run_benchmark(asked, path, measure=measure)
    assert seen == [[], [4]] and measured(path) == [4, 8]
    assert run.notes == () and list(tmp_path.iterdir()) == [path]


def test_an_interruption_keeps_the_finished_cases(asked: BenchmarkRequest, record_of: Record, tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    def measure(case: Case, request: BenchmarkRequest, progress: object) -> dict[str, Any]:
        if case.steps == 8:
            raise KeyboardInterrupt
        return record_of(case)

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(asked, path, measure=measure)
    assert measured(path) == [4] and read_run(path).notes == ("Unfinished: 1 of 2 cases were measured.",)


def test_a_case_that_fails_leaves_the_others(asked: BenchmarkRequest, record_of: Record, tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    def measure(case: Case, request: BenchmarkRequest, progress: object) -> dict[str, Any]:
        if case.steps == 4:
            raise BenchmarkError(f"{case.label}: no memory")
        return record_of(case)

    run = run_benchmark(asked, path, measure=measure)
    assert measured(path) == [8]
    assert run.notes == ("digits-relu; T=4; batch=16; threads=1: could not be measured: no memory",)


def test_if_all_fail_the_reasons_are_the_error(asked: BenchmarkRequest, tmp_path: Path) -> None:
    def measure(case: Case, request: BenchmarkRequest, progress: object) -> dict[str, Any]:
        raise BenchmarkError(f"{case.label}: no memory")

    with pytest.raises(BenchmarkError) as refusal:
        run_benchmark(asked, tmp_path / "run.json", measure=measure)
    assert str(refusal.value).count("no memory") == 2 and not list(tmp_path.iterdir())


def test_a_folder_of_others_is_not_taken(asked: BenchmarkRequest, record_of: Record, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(BenchmarkError, match="holds other files"):
        claim_folder(tmp_path)
    with pytest.raises(BenchmarkError, match="is a file"):
        claim_folder(tmp_path / "thesis.txt")
    path = claim_folder(tmp_path / "new" / "folder")
    run_benchmark(asked, path, measure=lambda case, request, progress: record_of(case))
    assert claim_folder(path.parent) == path, "an earlier benchmark may be replaced"


def test_a_tiny_benchmark_end_to_end(tmp_path: Path) -> None:
    """No time is asserted: only that all was measured, by fresh processes, with the right number of threads."""
    asked = BenchmarkRequest(("digits-relu",), (4,), (8,), (1,), 2, peers=())
    said: list[str] = []
    run = run_benchmark(asked, tmp_path / "run.json", lambda done, total, case: lambda what, n, of: said.append(what))
    (row,) = run.curves["cases"]
    assert (row["network"], row["torch_threads"], row["weights"], row["neurons"]) == ("digits-relu", 1, "trained", 192)
    ratio = run.metric("time.ratio[dense; digits-relu; T=4; batch=8; threads=1]")
    assert len(ratio.observations) == 2 and ratio.value and ratio.value > 0
    assert 0 < (run.metric("rate[dense; digits-relu; T=4; batch=8; threads=1]").value or 0) < 1
    assert said[:2] == ["opening the network", "converting"] and said.count("timing dense") == 2
    assert read_run(tmp_path) == run


def test_what_cannot_be_measured_is_said_by_the_process() -> None:
    with pytest.raises(BenchmarkError, match=r"digits-relu; T=4; batch=451; threads=1: --batch: got 451; expected at"):
        run_case(Case("digits-relu", 4, 451, 1), BenchmarkRequest(("digits-relu",), threads=(1,), peers=()))


def test_a_process_that_dies_is_reported_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(BenchmarkError, match=r"the process ended with status 1: .*no Python frame"):
        run_case(Case("digits-relu", 4, 8, 1), BenchmarkRequest(("digits-relu",), threads=(1,), peers=()))


def test_an_engine_that_was_not_built_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convert.simulation.engine.plan_of", lambda network: None)
    asked = BenchmarkRequest(("mlp-12-20-4",), (4,), (3,), (1,), 1, peers=())
    (case,) = cases(asked)
    ticks = iter(range(10**6))
    record = measure_case(case, asked, clocks=Clocks(lambda: next(ticks), lambda: 0.0))
    assert list(record["contestants"]) == ["ann", "dense"]
    assert "its kernel was not built" in record["refusals"]["events"]


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_peers_run_where_thresholds_are_theirs(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.benchmarks.request.peer_version", lambda name: "1.0")
    asked = BenchmarkRequest(("mlp-12-20-4",), (4,), (3,), (1,), 1, ("dense",), ("sinabs",))
    monkeypatch.setitem(PEERS, "sinabs", _refusing)
    ticks = iter(range(10**6))
    record = measure_case(Case("mlp-12-20-4", 4, 3, 1, scale), asked, clocks=Clocks(lambda: next(ticks), lambda: 0.0))
    assert list(record["refusals"]) == (["sinabs"] if scale == 1 else [])


def _refusing(*_: object) -> None:
    raise RuntimeError("no")
