"""The main job as a user runs it: real processes, real data, real files."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from convert import simulate
from convert.writing.artefact import load
from tests.commands import ROOT, python
from zoo import load as from_zoo
from zoo import open_dataset

METRICS = {
    "ann.accuracy", "snn.accuracy", "agreement", "latency.steps_within_0.5pp", "latency.steps_within_0.1pp",
    "latency.ms_within_0.5pp", "synops.per_inference", "spikes.per_neuron", "energy.ann_j", "energy.snn_j",
    "efficiency.synops_per_s_per_w",
}  # fmt: skip
MEMBERS = {"schema", "id", "case", "metrics", "curves", "layers", "assumptions", "environment"}


def convert(*arguments, cwd):
    return python("convert", *arguments, cwd=cwd, variables={"COLUMNS": "120"}, timeout=300)


def metrics(folder):
    run = json.loads((folder / "run.json").read_text())
    return {m["name"]: m for m in run["metrics"]}, run


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """One run of the README's command."""
    folder = tmp_path_factory.mktemp("digits")
    done = convert("zoo:digits-relu", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "digits-relu.snn", done


def test_the_folder_holds_network_run_report_and_figures(digits):
    folder, done = digits
    assert {p.name for p in folder.iterdir()} >= {"snn.safetensors", "run.json", "report.md"}
    assert list(folder.glob("*.png"))
    assert [p.name for p in folder.parent.iterdir()] == [folder.name], "nothing is left beside the folder"
    lines = done.stdout.strip().splitlines()
    assert 10 <= len(lines) <= 16
    assert lines[-1] == f"Report: {folder.name}/report.md"


def test_the_run_file_keeps_its_interface(digits):
    named, run = metrics(digits[0])
    assert run.keys() >= MEMBERS and named.keys() >= METRICS
    assert run["schema"] == "ann2spike.run/1"
    for metric in named.values():
        assert {"name", "value", "unit", "better", "samples", "low", "high"} <= metric.keys() and metric["unit"]
    for row in run["curves"]["steps"]:
        assert {"steps", "accuracy", "agreement", "synops"} <= row.keys()
    assert [row["steps"] for row in run["curves"]["steps"]] == [1, 2, 4, 8, 16, 32, 64]


def test_the_saved_network_gives_the_spikes_of_the_run(digits):
    folder, _ = digits
    samples = open_dataset("digits").scored()
    result = simulate(load(folder / "snn.safetensors"), samples.x, 64, (16, 64))
    named, run = metrics(folder)
    right = int((result.output[-1].argmax(1) == samples.y).sum())
    assert named["snn.accuracy"]["value"] == right / len(samples)
    neurons = {row["name"]: row["spikes"] for row in run["layers"] if row["kind"] == "neurons"}
    for name, spikes in neurons.items():
        assert float(result.spikes[name][-1].sum()) / len(samples) == pytest.approx(spikes, rel=1e-12)


@pytest.mark.parametrize(
    ("network", "neuron", "steps"),
    [("digits-relu", "seed", 16), ("digits-tanh", "seed", 16), ("digits-relu", "if", 16), ("digits-tanh", "if", 8)],
)
def test_digits_networks_keep_their_accuracy(network, neuron, steps, tmp_path):
    done = convert(f"zoo:{network}", "--neuron", neuron, "--steps", steps, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    named, _ = metrics(tmp_path / "out")
    assert named["snn.accuracy"]["value"] >= named["ann.accuracy"]["value"] - 0.002


def test_a_file_gives_the_same_numbers_as_the_zoo_name(digits, tmp_path):
    torch.save(from_zoo("digits-relu").module, tmp_path / "model.pt")
    done = convert("model.pt", "--data", "digits", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (named, run), (expected, other) = metrics(tmp_path / "model.snn"), metrics(digits[0])
    assert {n: m["value"] for n, m in named.items()} == {n: m["value"] for n, m in expected.items()}
    assert run["curves"] == other["curves"]


def test_the_same_case_gives_the_same_id_and_numbers_at_any_memory(tmp_path):
    runs = []
    for memory in (1, 64):
        done = convert("zoo:digits-tanh", "--steps", "4,20", "--memory-mb", memory, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    first, second = runs
    for member in ("id", "metrics", "curves", "layers"):
        assert first[member] == second[member], member


def test_poisson_input_depends_on_the_seed_alone(tmp_path):
    def run(seed, memory):
        done = convert("zoo:digits-relu", "--input", "poisson", "--steps", "8", "--limit", "60", "--seed", seed,
                       "--memory-mb", memory, "--no-potentials", "--rule", "max", "--json", cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["curves"]

    assert run(0, 1) == run(0, 64)
    assert run(0, 1) != run(1, 1)


def test_without_data_or_labels_the_network_is_converted_and_says_unmeasured(tmp_path):
    torch.save(from_zoo("digits-relu").module, tmp_path / "model.pt")
    done = convert("model.pt", "--input-shape", "1,8,8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    named, run = metrics(tmp_path / "model.snn")
    assert named["snn.accuracy"]["value"] is None and "--data" in named["snn.accuracy"]["note"]
    assert named["agreement"]["value"] > 0.75 and named["synops.per_inference"]["value"] > 0
    assert "unmeasured" in done.stdout and "unmeasured" in (tmp_path / "model.snn" / "report.md").read_text()
    assert run["case"]["data"]["spec"] == "synthetic"

    samples = open_dataset("digits").scored(100)
    np.savez(tmp_path / "x.npz", x=samples.x.numpy())
    done = convert("model.pt", "--data", "npz:x.npz", "--out", "unlabelled", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    named, run = metrics(tmp_path / "unlabelled")
    assert named["ann.accuracy"]["value"] is None and named["agreement"]["samples"] == 80
    assert "seeded" in run["case"]["data"]["split_note"] or "seed" in run["case"]["data"]["split_note"]


def test_calibration_never_sees_what_is_scored(tmp_path):
    samples = open_dataset("digits").scored(100)
    np.savez(tmp_path / "all.npz", x=samples.x.numpy(), y=samples.y.numpy())
    torch.save(from_zoo("digits-relu").module, tmp_path / "model.pt")
    done = convert("model.pt", "--data", "npz:all.npz", "--calibration", "npz:all.npz", cwd=tmp_path)
    assert done.returncode == 2 and "among the calibration samples" in done.stderr
    done = convert("model.pt", "--data", "npz:all.npz", "--calibration", "digits", "--steps", "8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "model.snn")[1]["case"]["calibration"]["split"] == "train"


class Runs:
    """A pickle that would create a file if it were executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A folder of inputs that nobody sane would give."""
    folder = tmp_path_factory.mktemp("bad")
    good = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    torch.save(good, folder / "good.pt")
    torch.save(good.state_dict(), folder / "state.pt")
    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("these are not the weights you are looking for")
    (folder / "cut.pt").write_bytes((folder / "good.pt").read_bytes()[:3000])
    torch.save(Runs(folder / "executed"), folder / "evil.pt")
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), folder / "linear.pt")
    torch.save(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), folder / "rgb.pt")
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 3)), folder / "three.pt")
    with torch.no_grad():
        good[1].weight[2, 3] = float("nan")
    torch.save(good, folder / "nan.pt")
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.tex").touch()
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.pt"], "no such file"),
        (["empty.pt"], "empty"),
        (["text.pt"], "not a model file"),
        (["cut.pt"], "truncated or damaged"),
        (["evil.pt"], "system"),
        (["state.pt"], "without"),
        (["nan.pt", "--data", "digits"], "1.weight"),
        (["linear.pt", "--data", "digits"], "no neuron"),
        (["rgb.pt", "--data", "digits"], "does not accept samples of shape (1, 8, 8)"),
        (["rgb.pt"], "--input-shape"),
        (["three.pt", "--data", "digits"], "labels run from 0 to 9"),
        (["good.pt", "--data", "moons"], "unknown"),
        (["good.pt", "--data", "npz:nowhere.npz"], "no such file"),
        (["good.pt", "--data", "digits", "--out", "/proc/nowhere/out"], "cannot be written"),
        (["good.pt", "--data", "digits", "--out", "taken"], "other files"),
        (["good.pt", "--data", "digits", "--out", "good.pt"], "is a file"),
        (["good.pt", "--data", "digits", "--neuron", "izhikevich"], "expected one of seed, lif, if"),
        (["good.pt", "--data", "digits", "--steps", "4,zwei"], "--steps"),
        (["good.pt", "--data", "digits", "--tau-mem-ms", "-1"], "--tau-mem-ms"),
        (["zoo:nowhere"], "digits-relu"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_gets_one_message_and_exit_2(bad, arguments, words):
    before = sorted(bad.rglob("*"))
    done = convert(*arguments, cwd=bad)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 6
    assert done.stdout == ""
    assert sorted(bad.rglob("*")) == before, "something half-written was left, or something was executed"


def test_unsupported_operations_are_refused_before_any_data_are_touched(tmp_path):
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.GLU(), nn.GroupNorm(2, 4), nn.Linear(4, 10))
    torch.save(layers, tmp_path / "model.pt")
    header_only = tmp_path / "nan.npz"  # its values would be refused on loading
    np.savez(header_only, x=np.full((5, 1, 8, 8), np.nan, dtype=np.float32), y=np.zeros(5, dtype=np.int64))
    done = convert("model.pt", "--data", f"npz:{header_only}", cwd=tmp_path)
    assert done.returncode == 2 and "glu" in done.stderr and "group_norm" in done.stderr
    assert "2:" in done.stderr and "3:" in done.stderr, "the places in the model"


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "convert", "zoo:digits-relu", "--steps", "50000", "--out", "out"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background would ignore it
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    )
    deadline = time.monotonic() + 120
    while not any(tmp_path.glob(".out.*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    # Where the interrupt passed through exec(), Python ends by the signal itself; a shell shows 130 for both.
    assert process.returncode in (130, -signal.SIGINT), stderr
    assert "interrupted" in stderr and "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_help_shows_examples(tmp_path):
    done = convert("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count("python -m convert ") >= 4
    for option in ("--data", "--calibration", "--neuron", "--tau-mem-ms", "--steps", "--out", "--json"):
        assert option in done.stdout


@pytest.mark.slow
def test_fashion_network_keeps_its_accuracy(tmp_path):
    done = convert("zoo:fashion-cnn-relu", "--neuron", "if", "--steps", "16,32", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    ann = next(m["value"] for m in run["metrics"] if m["name"] == "ann.accuracy")
    at = {row["steps"]: row["accuracy"] for row in run["curves"]["steps"]}
    assert at[16] >= ann - 0.01 and at[32] >= ann - 0.003
