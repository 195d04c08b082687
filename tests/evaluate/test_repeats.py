"""Several seeds in one run: means, spread, single values, a wider interval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convert.__main__ import app
from evaluate.errors import EvaluateError
from evaluate.explanations import explain
from evaluate.records import Metric, Run, read_run
from evaluate.repeats import mean_over_seeds

BASE = Run("a", {"model": {}}, (), {}, (), {}, {})


def of(value: float | None, low: float | None = None, high: float | None = None, timing: bool = False) -> Run:
    return replace(BASE, metrics=(Metric("m", value, "SynOps", "lower", 9, low, high, "why", timing),))


def test_the_headline_is_a_mean_with_its_single_values() -> None:
    (found,) = mean_over_seeds([of(1.0, 0.5, 1.5), of(2.0, 1.0, 3.0), of(6.0, 5.0, 7.0)], (4, 5, 6)).metrics
    assert (found.value, found.low, found.high, found.observations) == (3.0, 0.5, 7.0, (1.0, 2.0, 6.0))
    assert "mean over 3 seeds, standard deviation 2.65" in found.note


def test_what_does_not_differ_and_what_a_clock_said_stays() -> None:
    assert mean_over_seeds([of(1.0), of(1.0)], (0, 1)).metrics == of(1.0).metrics
    assert mean_over_seeds([of(1.0, timing=True), of(2.0, timing=True)], (0, 1)).metrics[0].value == 1.0


def test_a_mean_of_what_not_every_seed_reached_is_none() -> None:
    (found,) = mean_over_seeds([of(1.0), of(None)], (0, 1)).metrics
    assert found.value is None and found.note.startswith("not reached: reached with 1 of 2 seeds only")


def test_runs_and_seeds_belong_together() -> None:
    with pytest.raises(EvaluateError, match="one run for each seed"):
        mean_over_seeds([of(1.0)], (0, 1))


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--limit", "20", "--calibration-samples", "30", "--steps", "3", "--seeds", "2"]
    options += ["--input", "poisson", "--no-potentials"]
    said = CliRunner().invoke(app, ["zoo:digits-relu", *options, "--out", str(out)])
    assert said.exit_code == 0, said.output
    run = read_run(out)
    synops = run.metric("synops.per_inference")
    assert run.case["seeds"] == [0, 1] and len(synops.observations) == 2 and "mean of 2 seeds" in said.stdout
    assert synops.value == pytest.approx(sum(synops.observations) / 2)
    assert "seed 1 [" in explain(run, "synops.per_inference") and "identical" in explain(run, "synops.per_inference")
    wrong = CliRunner().invoke(app, ["zoo:digits-relu", "--seeds", "2", "--check"])
    assert wrong.exit_code == 2 and "--seeds" in wrong.stderr
