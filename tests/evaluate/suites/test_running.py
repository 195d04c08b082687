"""What is run, what is kept, and that every outcome is there once; nothing is converted here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from evaluate.errors import SuiteError
from evaluate.records import Metric, Run, content_hash, read_run
from evaluate.suites.folders import Failure, Key, folder_name
from evaluate.suites.pools import Outcome, Question
from evaluate.suites.running import Ended, Planned, Side, run_suite
from evaluate.suites.suite import suite_of
from evaluate.suites.table import suite_text

Answers = Callable[[Question], Outcome]


def answer(question: Question) -> Outcome:
    """A run that says which recipe it is of."""
    config = {"recipe": question.options["recipe"], "steps": 8}
    run = Run("id", {"config": config, "model": {"name": "m"}}, (Metric("snn.accuracy", 0.5, "fraction", "higher"),),
              {"steps": []}, (), {}, {"seconds": {"simulate": 0.25}, "time_utc": "2026-01-01T00:00:00"})  # fmt: skip
    return Outcome(json.loads(run.to_json()))


class Pool:
    """Answers at once, in the order of the questions, and counts them."""

    def __init__(self, answers: Answers = answer) -> None:
        self.answers, self.asked = answers, list[str]()

    def outcomes(self, questions: Sequence[Question], begin: Callable[[int], Any]) -> Iterator[tuple[int, Outcome]]:
        for number, question in enumerate(questions):
            begin(number)("simulate", 1, 1)
            self.asked.append(question.options["recipe"])
            yield number, self.answers(question)


class Watch:
    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, number: int, label: str) -> Callable[[str, int, int], None]:
        self.told.append(f"begin {label}")
        return lambda what, done, total: self.told.append(what)

    def end(self, number: int, ended: Ended) -> None:
        self.told.append("kept" if ended.kept else "end")


def plan(out: Path, repeat: int = 1, code: str = "1", recipes: Sequence[str] = ("seed", "burst")) -> list[Planned]:
    cases = suite_of({"matrix": {"model": ["m.pt"], "recipe": list(recipes)}}).cases
    found = []
    for again in range(repeat):
        for case in cases:
            identity = {"asked": asdict(case.options), "code": code}
            key = Key(content_hash(identity), again)
            folder = out / folder_name(case.options, key)
            found.append(Planned(case, Side("", out), key, folder, identity))
    return found


def test_every_case_has_a_run_file_of_its_own(tmp_path: Path) -> None:
    pool, watch = Pool(), Watch()
    ended = run_suite(plan(tmp_path), pool, watch)
    assert pool.asked == ["seed", "burst"]
    assert watch.told == ["begin m, recipe seed", "simulate", "end", "begin m, recipe burst", "simulate", "end"]
    for one, recipe in zip(ended, pool.asked, strict=True):
        assert read_run(one.planned.folder) == one.outcome
        assert isinstance(one.outcome, Run) and one.outcome.case["config"]["recipe"] == recipe
        assert one.outcome.environment["suite"] == {"case": one.planned.key.case, "repeat": 0}


def test_what_is_finished_is_not_repeated(tmp_path: Path) -> None:
    first = run_suite(plan(tmp_path, recipes=["seed"]), Pool(), Watch())
    pool, watch = Pool(), Watch()
    ended = run_suite(plan(tmp_path), pool, watch)
    assert pool.asked == ["burst"] and watch.told[0] == "kept"
    assert [one.kept for one in ended] == [True, False] and ended[0].outcome == first[0].outcome
    (ended[0].planned.folder / "run.json").write_text("{")  # damaged: it does not count
    run_suite(plan(tmp_path), pool := Pool(), Watch())
    assert pool.asked == ["seed"]


def test_a_run_that_is_not_of_the_suite_is_refused_or_removed(tmp_path: Path) -> None:
    old = run_suite(plan(tmp_path), Pool(), Watch())
    with pytest.raises(SuiteError, match="2 runs that are not of this suite, or of other code"):
        run_suite(plan(tmp_path, code="2"), pool := Pool(), Watch())
    assert not pool.asked
    new = run_suite(plan(tmp_path, code="2"), Pool(), Watch(), remove=True)
    assert {path.name for path in tmp_path.iterdir()} == {one.planned.folder.name for one in new}
    (tmp_path / "theirs").mkdir()
    run = old[0].outcome
    assert isinstance(run, Run)
    (tmp_path / "theirs" / "run.json").write_text(run.to_json().replace('"suite"', '"other"'))
    with pytest.raises(SuiteError, match="theirs"):
        run_suite(plan(tmp_path, code="2"), Pool(), Watch(), remove=True)


def test_an_interruption_keeps_what_is_finished(tmp_path: Path) -> None:
    def interrupted(question: Question) -> Outcome:
        if question.options["recipe"] == "burst":
            raise KeyboardInterrupt
        return answer(question)

    with pytest.raises(KeyboardInterrupt):
        run_suite(plan(tmp_path), Pool(interrupted), Watch())
    run_suite(plan(tmp_path), pool := Pool(), Watch())
    assert pool.asked == ["burst"]


def test_failures_are_results_and_run_again_only_when_asked(tmp_path: Path) -> None:
    def half(question: Question) -> Outcome:
        return (
            Outcome(None, "died", "was killed by SIGKILL")
            if question.options["recipe"] == "burst"
            else answer(question)
        )

    _, failed = run_suite(plan(tmp_path), Pool(half), Watch())
    assert isinstance(failed.outcome, Failure) and failed.outcome.message == "was killed by SIGKILL"
    record = json.loads((failed.planned.folder / "failed.json").read_text())
    assert (record["schema"], record["kind"], record["command"]) == (
        "ann2spike.failure/1", "died", "python -m convert m.pt --recipe burst"
    )  # fmt: skip
    again = run_suite(plan(tmp_path), pool := Pool(), Watch())
    assert not pool.asked and again[1].outcome == failed.outcome
    text = suite_text(again)
    assert "FAILED m, recipe burst: died: was killed by SIGKILL" in text
    assert text.endswith("1 finished, 1 failed; 2 of them were there\n")
    healed = run_suite(plan(tmp_path), pool := Pool(), Watch(), retry=True)
    assert pool.asked == ["burst"] and isinstance(healed[1].outcome, Run)
    assert not (failed.planned.folder / "failed.json").exists()


def test_repeats_are_taken_in_turn_and_time_their_stages(tmp_path: Path) -> None:
    ended = run_suite(plan(tmp_path, repeat=3), pool := Pool(), Watch())
    assert pool.asked == ["seed", "burst"] * 3
    assert len({one.planned.folder for one in ended}) == 6
    assert ended[4].planned.label == "m, recipe seed (3)"
    for one in ended:
        assert isinstance(one.outcome, Run)
        timed = one.outcome.metric("time.simulate")
        assert (timed.value, timed.unit, timed.timing) == (0.25, "s", True)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SuiteError, match=r"--out: .*file cannot be used"):
        run_suite(plan(tmp_path / "file"), Pool(), Watch())
