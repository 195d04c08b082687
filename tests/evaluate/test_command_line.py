"""`python -m evaluate bench`: exit statuses, one clear message, what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluate.records import read_run
from tests.commands import python

ROOT = Path(__file__).parents[2]
QUICK = ("--networks", "digits-relu", "--steps", "4", "--batch", "8", "--threads", "1", "--repeats", "2")


def test_a_table_and_a_run_file(tmp_path: Path) -> None:
    done = python("evaluate", "bench", *QUICK, "--peers", "none", "--out", tmp_path / "bench")
    assert done.returncode == 0, done.stderr
    header, _, row, *_ = done.stdout.splitlines()
    assert header.split() == ["network", "T", "batch", "threads", "rate", "ANN", "dense", "events"]
    assert row.split()[:4] == ["digits-relu", "4", "8", "1"]
    assert done.stdout.endswith(f"Run file: {tmp_path / 'bench' / 'run.json'}\n")
    assert read_run(tmp_path / "bench").case["command"].startswith("python -m evaluate bench --networks digits-relu")


def test_json_is_the_run_file(tmp_path: Path) -> None:
    done = python("evaluate", "bench", *QUICK, "--engines", "dense", "--peers", "none", "--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "run.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--networks", "lenet"), "--networks: got 'lenet'"),
        (("--steps", "8,many"), "--steps: got '8,many'; expected whole numbers separated by commas"),
        (("--threads", "1000"), "--threads: got 1000"),
        (("--repeats", "0"), "--repeats: got 0"),
        (("--peers", "norse"), "--peers: got norse"),
        (("--out", "README.md"), "--out: README.md is a file"),
        (("--out", "tests"), "--out: tests holds other files"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = python("evaluate", "bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("evaluate: ") and message in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interruption_keeps_the_finished_cases(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    long = ("--networks", "digits-relu", "--steps", "1,10000", "--batch", "8", "--threads", "1", "--repeats", "20",
            "--engines", "dense", "--peers", "none", "--out", tmp_path)  # fmt: skip
    running = subprocess.Popen(
        [sys.executable, "-m", "evaluate", "bench", *map(str, long)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip  # a shell starts what runs in the background with SIGINT ignored, and children inherit that
    deadline = time.monotonic() + 120
    while not path.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130, said
    assert "interrupted; 1 case is kept in" in said and "Traceback" not in said
    assert [row["steps"] for row in read_run(path).curves["cases"]] == [1]
    assert list(tmp_path.iterdir()) == [path], "nothing half-written"


def test_help_shows_examples() -> None:
    done = python("evaluate", "bench", "--help")
    assert done.returncode == 0 and "--scaling steps,batch,width,rate" in done.stdout
