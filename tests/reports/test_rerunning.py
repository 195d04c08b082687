"""A run again from its file: the same numbers, or the name of what is different."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluate.records import Run, read_run, write_run
from reports.errors import ReportError
from reports.rerunning import rerun
from tests.commands import python

ROOT = Path(__file__).parents[2]
MakeRun = Callable[[str], Run]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("made") / "a.snn"
    done = python("convert", "zoo:digits-relu", "--limit", "30", "--steps", "2,4", "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    return read_run(folder)


def test_a_run_comes_out_again(made: Run, tmp_path: Path) -> None:
    write_run(made, tmp_path / "run.json")
    done = python("reports", "rerun", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "every deterministic number is identical" in done.stdout
    assert "Times comparable: yes" in done.stdout and "simulate: " in done.stdout


def test_a_number_that_differs_is_named(made: Run) -> None:
    metrics = tuple(replace(m, value=7.0) if m.name == "synops.per_inference" else m for m in made.metrics)
    layers = ({**made.layers[0], "ann_macs": 1}, *made.layers[1:])
    found = rerun(replace(made, metrics=metrics, layers=layers, environment={}), ROOT)
    assert found.exit_status == 3 and len(found.differences) == 2
    assert found.differences[0].startswith("metrics.synops.per_inference: got (")
    assert found.differences[1] == "layers.0.ann_macs: got 8192, the run has 1"
    assert "processor" in found.machine


def test_an_older_file_and_an_artefact_can_be_run_again(made: Run, tmp_path: Path) -> None:
    assert rerun(replace(made, samples={}), ROOT).exit_status == 0
    first = python("convert", "zoo:digits-relu", "--limit", "30", "--steps", "2,4", "--out", tmp_path / "a.snn")
    words = ["--data", "digits", "--limit", "30", "--steps", "2,4", "--out", tmp_path / "b.snn"]
    again = python("convert", tmp_path / "a.snn" / "snn.safetensors", *words)
    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert rerun(read_run(tmp_path / "b.snn"), tmp_path).lines()[0].startswith("Rerun: every deterministic number")


def changed(run: Run, part: str, **fields: Any) -> Run:
    return replace(run, case={**run.case, part: {**run.case[part], **fields}})


@pytest.mark.parametrize(
    ("part", "fields", "said"),
    [
        ("model", {"sha256": "00"}, "weights: got sha256 "),
        ("model", {"sha256": None}, "weights: the run file holds no hash"),
        ("data", {"sha256": "00"}, "data: got sha256 "),
        ("calibration", {"sha256": "00"}, "calibration samples: got sha256 "),
        ("config", {"rule": "max"}, "configuration: rule is mse, the run has max"),
    ],
)
def test_a_mismatch_is_named_and_nothing_is_compared(made: Run, part: str, fields: dict[str, Any], said: str) -> None:
    found = rerun(changed(made, part, **fields), ROOT)
    assert found.exit_status == 4 and found.compared == 0
    assert found.mismatches[0].startswith(said) and said in "\n".join(found.lines())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "only conversions"),
        ("rm -rf /", "only conversions"),
        ("python -m convert 'zoo", "only conversions"),
        ("python -m convert w.pt --arch net.py:Net", "--arch, which executes code"),
        ("python -m convert w.pt --arch=net.py:Net", "--arch, which executes code"),
        ("python -m convert w.ts --trust", "--trust, which executes code"),
        ("python -m convert w.pt --data python:x.py:load", "python:x.py:load, which executes code"),
        ("python -m convert w.pt --calibration=python:x.py:load", "python:x.py:load, which executes code"),
        ("python -m convert w.pt --data hf:someone/x,download=yes", "download=yes, which executes code"),
        ("python -m convert zoo:digits-relu --recipe all", "no single run"),
        ("python -m convert zoo:digits-relu --auto 'agreement>=99%'", "no single run"),
        ("python -m convert missing.pt; touch x", "ended with 2"),
    ],
)
def test_commands_that_are_not_run(make_run: MakeRun, command: str, said: str, tmp_path: Path) -> None:
    run = make_run("full")
    with pytest.raises(ReportError, match=said):
        rerun(replace(run, case={**run.case, "command": command}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(made: Run, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="--within"):
        rerun(made, tmp_path / "nowhere")
