"""Bursts and binary digits, end to end: what the command line reports of them, and what it counts."""

import json
import math

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from convert import convert, simulate_reference, trace
from convert.__main__ import app
from convert.config import ConvertConfig
from convert.recipes import recipe
from convert.simulation.periods import simulate_radix
from convert.writing.artefact import load
from evaluate.diagnosis import diagnose
from evaluate.operations import count_operations
from evaluate.runner import measure
from evaluate.tasks import plan


def seeded(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers)


def images(n, *shape):
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(1))


def run(tmp_path, *options):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["zoo:digits-relu", *options, "--limit", "100", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return done.output, json.loads((out / "run.json").read_text()), out


def metric(record, name):
    (found,) = (m for m in record["metrics"] if m["name"] == name)
    return found


@pytest.fixture(scope="module")
def burst(tmp_path_factory):
    return run(tmp_path_factory.mktemp("burst"), "--recipe", "burst", "--for-steps", "2", "--steps", "1,2")


@pytest.fixture(scope="module")
def radix(tmp_path_factory):
    return run(tmp_path_factory.mktemp("radix"), "--recipe", "radix", "--bits", "5")


def test_a_bursting_network_is_reported_with_its_bursts(burst):
    _, record, out = burst
    assert metric(record, "agreement")["value"] > 0.95
    assert metric(record, "spikes.payload_bits")["value"] == 1
    assert metric(record, "spikes.per_neuron")["value"] > 2  # more than one in a step
    (limit,) = (line for line in record["assumptions"]["limits"] if "up to 5 spikes in one step" in line)
    assert "k of them are k spikes and k SynOps" in limit and "needs 5 slots for a step" in limit
    assert any("at most 5 times in a step" in line for line in record["assumptions"]["neuron"])
    assert any(row["neuron"] == "IF, bursts of up to 5" for row in record["layers"])
    assert record["environment"]["populations_by_engine"] == {"events": 0, "dense": 2}
    assert "up to 5 spikes in one step" in (out / "report.md").read_text()


def test_a_radix_coded_network_is_reported_with_its_periods(radix):
    text, record, out = radix
    assert "radix-coded neurons, 5 binary digits in 5 steps for each layer after the other" in text
    assert [point["steps"] for point in record["curves"]["steps"]] == [1, 2, 4, 8, 10]
    assert metric(record, "agreement")["value"] > 0.98
    assert metric(record, "spikes.payload_bits")["value"] == 1
    (limit,) = (line for line in record["assumptions"]["limits"] if line.startswith("Radix code"))
    assert "5 steps for each layer, 10 in all" in limit
    assert all(row["neuron"] in (None, "IF, radix, 5 binary digits") for row in record["layers"])
    assert "2^(K - t)" in (out / "report.md").read_text()


@pytest.mark.parametrize("name", ["burst", "radix"])
def test_the_file_of_a_network_runs_again(name, request, tmp_path):
    _, record, out = request.getfixturevalue(name)
    steps = "1,2" if name == "burst" else "1,2,4,8,16,32,64"
    folder = tmp_path / "again"
    again = CliRunner().invoke(
        app,
        [str(out / "snn.safetensors"), "--data", "digits", "--limit", "100", "--steps", steps, "--out", str(folder)],
    )
    assert again.exit_code == 0, again.output
    repeated = json.loads((folder / "run.json").read_text())
    for key in ("snn.accuracy", "spikes.per_neuron", "synops.per_inference"):
        assert metric(repeated, key)["value"] == metric(record, key)["value"]
    assert load(out / "snn.safetensors").code == ("rate" if name == "burst" else "radix")


def test_a_diagnosis_of_digits_finds_nothing_but_rounding(tmp_path):
    text, _, _ = run(tmp_path, "--recipe", "radix", "--diagnose")
    assert "nothing is lost but quantisation" in text


def test_the_help_tells_of_the_options():
    text = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output.split())
    for said in (
        "--burst",
        "--bits",
        "--look-ahead",
        "most plain spikes",
        "binary digits of a number",
        "is tried first",
    ):
        assert said in text


def test_every_spike_of_a_burst_is_an_event():
    """k spikes in a step: k spikes, k SynOps for each synapse, the same update."""
    network, x = seeded(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2)), images(20, 6)
    conversion = convert(trace(network, (6,)), x, recipe("burst").config(4))
    measured = measure(conversion, x, (4,))
    rows = {row.node: row for row in count_operations(conversion, {k: v[-1] for k, v in measured.spikes.items()},
                                                      measured.nonzero, 4)}  # fmt: skip
    sums = {name: float(value.sum()) / 20 for name, value in simulate_reference(conversion.snn, x, 4).counts.items()}
    assert sums["relu"] > 8  # mean values above one in a step somewhere
    assert rows["relu"].spikes == pytest.approx(sums["relu"])
    assert rows["linear_1"].synops == pytest.approx(5 * sums["relu"])
    assert rows["linear_2"].synops == pytest.approx(2 * sums["relu_1"])
    assert (rows["relu"].adds_per_update, rows["relu"].multiplies_per_update) == (1, 0)


def test_every_digit_that_is_one_is_an_event():
    network, x = seeded(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)), images(20, 6)
    conversion = convert(trace(network, (6,)), x, recipe("radix").config(radix_bits=3))
    measured = measure(conversion, x, (1, 2, 50))
    assert measured.record == (1, 2, 3)
    rows = {row.node: row for row in count_operations(conversion, {k: v[-1] for k, v in measured.spikes.items()},
                                                      measured.nonzero, 3)}  # fmt: skip
    ones = sum(bin(int(n)).count("1") for n in simulate_radix(conversion.snn, x).counts["relu"].flatten().tolist())
    assert rows["relu"].spikes == pytest.approx(ones / 20)
    assert rows["linear_1"].synops == pytest.approx(2 * ones / 20)
    assert rows["relu"].neuron_updates == 3 * 8


def test_a_diagnosis_knows_that_a_burst_clips_at_n_spikes_per_step():
    """The thresholds' staircase ends at the largest activation, n spikes per step: hardly anything is clipped there."""
    network, x = seeded(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)), images(40, 6)
    config = ConvertConfig(neuron="if", rule="mse", mse_steps=64, burst=5, potential_steps=0)
    conversion = convert(trace(network, (6,)), x, config)
    found = diagnose(conversion, x, 8, plan("auto", conversion.heads, None))
    (layer,) = found["layers"]
    assert sum(layer["shares"].values()) == pytest.approx(1)
    assert abs(layer["shares"]["clipping"]) < 0.05 < layer["shares"]["rounding"]
    assert math.isclose(layer["relative_rms"]["clipping"], 0, abs_tol=0.01)


def test_a_look_ahead_is_reported_as_latency_and_counted(tmp_path):
    options = ("--recipe", "best-onebit", "--for-steps", "4", "--steps", "2,4")
    text, ahead, out = run(tmp_path, *options, "--look-ahead", "4")
    assert metric(ahead, "latency.look_ahead_steps")["value"] == 4 * 2  # a trial for each of two populations
    assert "and before that 8 steps of look-ahead" in " ".join(text.split())
    (limit,) = (line for line in ahead["assumptions"]["limits"] if "look-ahead repair" in line)
    assert "tried for 4 steps before it runs" in limit and "8 steps of latency that no T here contains" in limit
    _, plain, _ = run(tmp_path / "plain", *options)
    assert not [m for m in plain["metrics"] if m["name"] == "latency.look_ahead_steps"]
    updates, without = ([row["neuron_updates"] for row in r["layers"] if row["neurons"]] for r in (ahead, plain))
    assert updates == [3 * n for n in without]  # 4 steps to try, 4 corrected, 4 of the run
    for key in ("spikes.per_neuron", "synops.per_inference", "energy.snn_j"):
        assert metric(ahead, key)["value"] > 1.2 * metric(plain, key)["value"]
    assert load(out / "snn.safetensors").look_ahead == 4
    refused = CliRunner().invoke(app, ["zoo:digits-relu", "--look-ahead", "4", "--out", str(tmp_path / "x")])
    assert refused.exit_code == 2 and "--look-ahead: got 4 with --neuron seed; expected IF neurons" in refused.output


def test_a_look_ahead_has_a_column_of_its_own(tmp_path):
    out = tmp_path / "out"
    options = ["--recipe", "best-onebit", "--for-steps", "each", "--steps", "2,4", "--limit", "40", "--look-ahead", "3"]
    done = CliRunner().invoke(app, ["zoo:digits-relu", *options, "--out", str(out)])
    assert done.exit_code == 0, done.output
    (row,) = json.loads((out / "recipes.json").read_text())["rows"]
    assert (row["look_ahead_steps"], row["sequential_latency_steps"]) == (3 * 2, 4 + 1 + 3 * 2)
    page = (out / "report.md").read_text()
    (header,) = (line for line in page.splitlines() if line.startswith("| recipe") and "latency" in line)
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    (cells,) = (line for line in page.splitlines() if line.startswith("| best-onebit") and "simulated" in line)
    assert [c.strip() for c in cells.strip("|").split("|")][columns.index("look-ahead")] == "6"
