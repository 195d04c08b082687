"""The early exit of a run: what it counts, what the run file says, what is refused on the command line."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from convert.__main__ import app
from convert.errors import ConfigError
from convert.recipes import recipe
from convert.simulation.engine import simulate
from evaluate import early_exit
from evaluate.exit_rules import MarginRule, first_exits, read_exit, sound_rule
from evaluate.job import run_prepared
from evaluate.operations import count_operations
from evaluate.preparation import prepare
from evaluate.records import read_run
from evaluate.request import Request
from reports import html_page, summary
from reports.pages import page


def run(out, *options):
    return CliRunner().invoke(app, ["zoo:digits-relu", "--steps", "8,16", *options, "--out", str(out)])


@pytest.fixture(scope="module")
def prepared():
    request = Request("zoo:digits-relu", recipe("seed").config(16, neuron="if"), limit=120, steps=(8, 16))
    return request, prepare(request)


@pytest.fixture(scope="module", params=["margin:1%", "sound"])
def found(request, prepared):
    asked, made = prepared
    return run_prepared(replace(asked, early_exit=read_exit(request.param)), made)


def value(found, name):
    return found.metric(f"latency.early_exit.{name}").value


def test_a_run_tells_what_stopping_early_does(found):
    sound = found.assumptions["early_exit"]["rule"] == "sound"
    rows = found.curves["early_exit"]
    assert sum(row["stopped"] for row in rows) == 120
    assert sum(row["changed"] for row in rows) == value(found, "changed_decisions")
    mean = sum(row["steps"] * row["stopped"] for row in rows) / 120
    assert value(found, "steps") == pytest.approx(mean)
    assert value(found, "steps_p99") == np.quantile(
        np.repeat([r["steps"] for r in rows], [r["stopped"] for r in rows]), 0.99, method="higher"
    )
    assert rows[-1]["running"] == 0
    assert mean < 16
    assert value(found, "agreement") == 1 - value(found, "changed_decisions") / 120
    assert value(found, "accuracy") - found.metric("snn.accuracy").value == pytest.approx(
        value(found, "accuracy.difference"), abs=1e-12
    )
    assert not sound or value(found, "changed_decisions") == 0
    assert 0 < value(found, "synops_saved") < 1
    (line,) = (line for line in summary(found) if line.startswith("Early exit: "))
    assert f"{mean:.1f} of 16 steps in the mean" in line and "SynOps -" in line


def test_synops_are_counted_up_to_the_exit_of_each_sample(found, prepared):
    _, made = prepared
    network, record = made.conversion.snn, found.assumptions["early_exit"]
    x, task = made.inputs.x, made.asked.tasks[0]
    margin = record["rule"] == "margin"
    delay = network.readout_delay
    rule = MarginRule("classes", record["threshold"], delay, {}) if margin else sound_rule(network, task, 16)
    total = updates = 0.0
    for i, step in enumerate(first_exits(rule, simulate(network, x, 16).output).tolist()):
        spikes = {name: count[0] for name, count in simulate(network, x[i : i + 1], step).spikes.items()}
        rows = count_operations(made.conversion, spikes, {}, step)
        total, updates = total + sum(row.synops for row in rows), updates + sum(row.neuron_updates for row in rows)
    assert value(found, "synops") == pytest.approx(total / len(x), rel=1e-12)
    assert value(found, "steps") * network.neuron_count() == pytest.approx(updates / len(x), rel=1e-12)


def test_numbers_do_not_depend_on_the_batch(prepared, monkeypatch):
    request, made = prepared
    asked = replace(request, early_exit=read_exit("margin:2%"))
    sizes, runs = [7, 1000], []
    for size in sizes:
        monkeypatch.setattr(early_exit, "batch_within", lambda *given, size=size: size)
        runs.append(run_prepared(asked, made))
    first, second = ([(m.name, m.value, m.low, m.high) for m in r.metrics if "early_exit" in m.name] for r in runs)
    assert first == second
    assert len(first) > 15
    assert runs[0].curves["early_exit"] == runs[1].curves["early_exit"]
    assert runs[0].assumptions["early_exit"] == runs[1].assumptions["early_exit"]


def test_who_never_stops_saves_nothing(prepared, monkeypatch):
    request, made = prepared
    never = MarginRule("classes", math.inf, 0, {"rate": 0.5})
    monkeypatch.setattr("evaluate.job.exit_rule", lambda *given: never)
    found = run_prepared(replace(request, early_exit=read_exit("margin")), made)
    assert value(found, "steps") == value(found, "steps_p99") == 16
    assert value(found, "changed_decisions") == value(found, "accuracy.difference") == 0
    saved = [m.value for m in found.metrics if "_saved" in m.name]
    assert len(saved) > 4
    assert saved == pytest.approx([0] * len(saved), abs=1e-12)


def test_more_changes_than_were_asked_for_are_a_warning(prepared, monkeypatch):
    request, made = prepared
    at_once = MarginRule("classes", 0.0, 0, {"rate": 1e-6})
    monkeypatch.setattr("evaluate.job.exit_rule", lambda *given: at_once)
    found = run_prepared(replace(request, early_exit=read_exit("margin")), made)
    assert value(found, "changed_decisions") > 0
    assert "harder than those that the threshold was calibrated on" in found.notes[-1]


def test_calibration_samples_are_none_that_set_a_threshold_and_none_that_are_scored(found):
    if found.assumptions["early_exit"]["rule"] == "margin":
        assert found.assumptions["early_exit"]["samples"] == 1347 - 1000  # of the training split, which is not scored
    assert found.case["calibration"]["samples"] == 1000


def test_the_report_has_the_rule_and_the_exits(found):
    text = page(found)
    section = text.partition("## Latency")[2].partition("\n## ")[0]
    assert "sequential, through the layers" in section and "to the early exit, mean" in section
    assert "Wall clock of this simulation on this machine, the latency of no chip" in section
    assert "stopped after step" in section and "neither counted nor priced" in section
    if found.assumptions["early_exit"]["rule"] == "margin":
        assert "Asked for: at most 1 % of the decisions change" in section
        assert "exact upper limit for 0 of 347" in section
    else:
        assert "the answer cannot change" in section
    assert "Early exit" in html_page([found])


def test_too_few_samples_for_the_rate_are_refused(prepared):
    request, made = prepared
    with pytest.raises(ConfigError, match="got 347 calibration samples that set no threshold; expected at least 598"):
        run_prepared(replace(request, early_exit=read_exit("margin:0.5%")), made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--early-exit", "soon"), "--early-exit: got 'soon'; expected sound, margin, or margin:RATE"),
        (("--early-exit", "sound", "--recipe", "all"), "--early-exit: got several networks"),
        (("--early-exit", "sound", "--predict"), "--early-exit: got it with --predict"),
        (("--early-exit", "sound", "--auto", "agreement>=99%"), "--early-exit: got several networks"),
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path, options, message):
    said = run(tmp_path / "out", "--limit", "20", *options)
    assert said.exit_code == 2, said.output
    assert message in " ".join(said.output.split())
    assert not (tmp_path / "out").exists()


def test_the_command_line_prints_it_and_the_file_it_writes_has_a_sound_exit(tmp_path):
    said = run(tmp_path / "out", "--limit", "60", "--early-exit", "margin:1%")
    assert said.exit_code == 0, said.output
    assert "\nEarly exit: margin (changes at most 0.86 %, stated): " in said.output
    assert read_run(tmp_path / "out").case["config"]["early_exit"] == "margin:1%"
    again = [str(tmp_path / "out" / "snn.safetensors"), "--data", "digits", "--steps", "16", "--limit", "60"]
    again += ["--out", str(tmp_path / "again")]
    said = CliRunner().invoke(app, [*again, "--early-exit", "margin:1%"])
    assert said.exit_code == 2
    assert "does not say which samples set its" in said.output
    said = CliRunner().invoke(app, [*again, "--early-exit", "sound"])
    assert said.exit_code == 0, said.output
    assert value(read_run(tmp_path / "again"), "changed_decisions") == 0


def test_without_data_there_is_a_sound_exit_and_no_margin(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3)), tmp_path / "m.pt")
    given = [str(tmp_path / "m.pt"), "--input-shape", "4", "--steps", "8", "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, [*given, "--early-exit", "sound"])
    assert said.exit_code == 0, said.output
    found = read_run(tmp_path / "out")
    assert value(found, "accuracy") is None
    assert value(found, "changed_decisions") == 0
    said = CliRunner().invoke(app, [*given, "--early-exit", "margin:1%"])
    assert said.exit_code == 2
    assert "got no data to calibrate on" in said.output


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["if", "seed"])
def test_a_sound_exit_changes_none_of_ten_thousand_decisions(tmp_path, neuron):
    """Minutes. The largest set of images at hand."""
    given = ["zoo:fashion-cnn-relu", "--neuron", neuron, "--steps", "32", "--early-exit", "sound"]
    said = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "out")])
    assert said.exit_code == 0, said.output
    found = read_run(tmp_path / "out")
    assert found.metric("latency.early_exit.changed_decisions").samples == 10_000
    assert value(found, "changed_decisions") == 0
    assert value(found, "steps") < 32
