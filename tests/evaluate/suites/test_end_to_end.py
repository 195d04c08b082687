"""Suites with real processes: the same numbers however they run, and what a killed process costs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluate.__main__ import app
from evaluate.errors import EvaluateError
from evaluate.job import perform
from evaluate.records import Run, read_run, run_of
from evaluate.suites.folders import Failure
from evaluate.suites.pools import Begin, Cluster, Here, Outcome, Question
from evaluate.suites.running import Ended, Planned, Side, planned, run_suite
from evaluate.suites.suite import Suite, read_suite, suite_of
from evaluate.suites.worker import answer

ROOT = Path(__file__).parents[3]
Numbers = Callable[[Run], dict[str, Any]]
SUITE = {
    "options": {"data": "npz:test.npz", "steps": [2, 4]},
    "matrix": {"model": ["model.pt"], "recipe": ["seed", "best-onebit", "exact"]},
}
SHORT_AND_LONG = """
[options]
data = "npz:test.npz"
engine = "dense"
model = "model.pt"

[matrix]
steps = [2, 30000]
"""


class Watch:
    """Calls `reported` at every report of progress, and `ended` at every end."""

    def __init__(self, reported: Callable[[int], object] = int, ended: Callable[[int], object] = int) -> None:
        self.reported, self.ended = reported, ended

    def begin(self, number: int, label: str) -> Callable[[str, int, int], None]:
        def progress(what: str, done: int, total: int) -> None:
            self.reported(number)

        return progress

    def end(self, number: int, ended: Ended) -> None:
        if not ended.kept:
            self.ended(number)


class InThisProcess:
    """The worker's answers without its process."""

    def outcomes(self, questions: Sequence[Question], begin: Begin) -> Iterator[tuple[int, Outcome]]:
        for number, question in enumerate(questions):
            try:
                yield number, Outcome(answer(question.as_record(), begin(number)))
            except EvaluateError as error:
                yield number, Outcome(None, "refused", str(error))


def plan_of(suite: Suite, project: Path, out: Path) -> list[Planned]:
    return planned(suite, [Side("", project)], out, InThisProcess())


def runs(ended: list[Ended]) -> list[Run]:
    found = [one.outcome for one in ended if isinstance(one.outcome, Run)]
    assert len(found) == len(ended), [one.outcome for one in ended if isinstance(one.outcome, Failure)]
    return found


def until(found: Callable[[], Any], seconds: float = 120) -> Any:
    """What `found` finds in the end."""
    deadline = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert value
    return value


@pytest.fixture
def alone(project: Path, numbers: Numbers, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The numbers that the same options give without a suite, as a file gives them back."""
    monkeypatch.chdir(project)
    found = [perform(case.options.request())[0] for case in suite_of(SUITE).cases]
    return [numbers(run_of(json.loads(run.to_json()))) for run in found]


def test_the_same_numbers_in_processes_as_from_the_command_line(
    project: Path, numbers: Numbers, tmp_path: Path, alone: list[dict[str, Any]]
) -> None:
    plan = plan_of(suite_of(SUITE), project, tmp_path / "runs")
    with Here(2) as here:
        found = runs(run_suite(plan, here, Watch()))
    assert [numbers(run) for run in found] == alone
    assert [read_run(one.folder) for one in plan] == found
    assert [run.case["command"] for run in found] == [one.case.options.command for one in plan]


def test_a_killed_process_is_a_failed_case_and_the_others_go_on(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with Here(1) as here:

        def kill(number: int) -> None:
            """As the kernel does it where memory runs out."""
            if number == 0:
                for process in here._all:
                    process.kill()

        plan = plan_of(suite_of(SUITE), project, tmp_path)
        first, *others = run_suite(plan, here, Watch(reported=kill))
    assert isinstance(first.outcome, Failure) and first.outcome.kind == "died"
    assert "was killed by SIGKILL" in first.outcome.message
    assert len(runs(others)) == 2


def test_a_file_that_changes_is_another_case_and_never_a_result(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    suite = suite_of(SUITE | {"matrix": {"model": ["model.pt"]}})
    (before,) = plan_of(suite, project, tmp_path)
    (project / "model.pt").write_bytes((project / "model.pt").read_bytes() + b"\0")
    (ended,) = run_suite([before], InThisProcess(), Watch())
    assert isinstance(ended.outcome, Failure) and "expected the files, the code" in ended.outcome.message
    (after,) = plan_of(suite, project, tmp_path)
    assert after.key != before.key and after.folder != before.folder


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_suite_that_was_ended_goes_on_where_it_was_and_leaves_no_process(
    project: Path, tmp_path: Path, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "suite.toml").write_text(SHORT_AND_LONG)
    out = tmp_path / "runs"
    running = subprocess.Popen(
        [sys.executable, "-m", "evaluate", "run", "suite.toml", "--jobs", "1", "--out", out], cwd=project,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    (first,) = until(lambda: list(out.glob("*/run.json")))
    (worker,) = _children(running.pid)
    running.send_signal(end)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL), said
    assert "Traceback" not in said and ("what is finished is kept in" in said or end == signal.SIGKILL)
    until(lambda: not Path(f"/proc/{worker}").exists())
    assert [path for path in out.rglob("*") if path.is_file()] == [first], "nothing half-written"

    begun: list[int] = []

    def stop(number: int) -> None:
        begun.append(number)
        raise KeyboardInterrupt

    monkeypatch.chdir(project)
    with pytest.raises(KeyboardInterrupt):
        run_suite(plan_of(read_suite(Path("suite.toml")), project, out), InThisProcess(), Watch(reported=stop))
    assert begun == [1], "a finished case was repeated"


def _children(pid: int) -> list[int]:
    """Processes that `pid` has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(word) for task in tasks for word in (task / "children").read_text().split()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.toml", "--out", "runs"), "absent.toml: cannot be read"),
        (("suite.toml", "--out", "runs", "--jobs", "0"), "--jobs, --threads: got 0 and 1"),
        (("suite.toml", "--out", "runs", "--against", "nowhere"), "--against: nowhere is no folder"),
        (("suite.toml", "--out", "runs", "--cluster", "tcp://h:1", "--jobs", "2"), "--jobs: got it with --cluster"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("suite.toml").write_text(SHORT_AND_LONG)
    with pytest.raises(SystemExit) as status:
        app(["run", *arguments], standalone_mode=False)
    out, said = capsys.readouterr()
    assert (status.value.code, out) == (2, "")
    assert said.startswith("evaluate: ") and message in said and said.count("\n") == 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, without nannies: who is killed stays dead."""
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start(module: str, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", *options, "--no-dashboard"], cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port))
    place = f"tcp://127.0.0.1:{port}"
    workers = [start("dask_worker", place, "--nthreads", "1", "--no-nanny") for _ in range(2)]
    yield place, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_cluster_ends_every_case_once_though_a_worker_is_killed(
    project: Path, numbers: Numbers, tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]],
    alone: list[dict[str, Any]],
) -> None:  # fmt: skip
    place, workers = cluster
    out, ended = tmp_path / "runs", list[int]()

    def kill_one(number: int) -> None:
        ended.append(number)
        workers[0].kill()

    plan = plan_of(suite_of(SUITE), project, out)
    with Cluster(place) as pool:
        until(lambda: len(pool._client.scheduler_info()["workers"]) == 2)
        found = runs(run_suite(plan, pool, Watch(ended=kill_one)))
    assert sorted(ended) == [0, 1, 2] and len(list(out.glob("*/run.json"))) == 3
    assert [read_run(one.folder) for one in plan] == found
    assert [numbers(run) for run in found] == alone
    assert workers[0].wait() and workers[1].poll() is None
