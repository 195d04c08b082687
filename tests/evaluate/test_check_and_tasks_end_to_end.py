"""The door: --check answers without data, and each task gives a run, a summary and a report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from convert.__main__ import app
from evaluate.records import read_run


@pytest.fixture(autouse=True)
def one_thread(two_threads):
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(module, *options, y=None, shape=(4,)):
        torch.save(module, "model.pt")
        if y is not None:
            x = torch.rand((len(y), *shape), generator=torch.Generator().manual_seed(0)).numpy()
            np.savez("data.npz", x=x, y=y)
            options = ("--data", "npz:data.npz", *options)
        return CliRunner().invoke(app, ["model.pt", *options])

    return run


def mlp(outputs, *last):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, outputs), *last)


def test_check_prints_a_row_for_every_operation(invoke):
    result = invoke(mlp(3, nn.Softmax(1)), "--check")
    assert result.exit_code == 0, result.output
    for words in ("spiking neurons", "acts on the analog input", "softmax of the read-out", "It can be converted"):
        assert words in result.stdout


def test_check_names_what_to_change_and_fails(invoke):
    result = invoke(nn.Sequential(nn.Linear(4, 4), nn.GLU(), nn.ReLU(), nn.GroupNorm(1, 2)), "--check")
    assert result.exit_code == 2
    for words in ("glu", "replace", "supported: ", "not reached", "group_norm", "2 operation(s) refused"):
        assert words in result.stdout


def test_check_as_json(invoke):
    result = invoke(mlp(2, nn.GroupNorm(1, 2)), "--check", "--json")
    record = json.loads(result.stdout)
    assert result.exit_code == 2 and not record["converts"]
    assert [row["fate"] for row in record["coverage"]] == ["exact linear", "converted", "exact linear", "refused"]
    record = json.loads(invoke(mlp(2), "--check", "--json").stdout)
    assert record["converts"] and record["outputs"] == [{"name": "", "shape": [2], "readout": "identity"}]


def test_check_reads_the_shape_from_the_header_and_loads_no_sample(invoke, monkeypatch):
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2))
    unknown = invoke(net, "--check")
    assert unknown.exit_code == 2 and "shape of its samples is not known" in unknown.output
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("loaded"))
    assert invoke(net, "--check", y=np.zeros(6), shape=(2, 5)).exit_code == 0
    assert invoke(net, "--check", "--input-shape", "2,5").exit_code == 0


def test_check_of_a_network_without_neurons(invoke):
    result = invoke(nn.Sequential(nn.Linear(4, 2)), "--check")
    assert result.exit_code == 2 and "no activation found" in result.stdout and "linear" in result.stdout


CASES = {
    "classes": (mlp(3), np.arange(40) % 3, "Accuracy: ANN", "Agreement"),
    "binary": (mlp(1, nn.Sigmoid()), np.arange(40) % 2, "Accuracy: ANN", "Agreement"),
    "labels": (mlp(3, nn.Sigmoid()), np.arange(120).reshape(40, 3) % 2, "Accuracy: ANN", "Agreement"),
    "regression": (mlp(2), np.linspace(0, 1, 80).reshape(40, 2), "R2: ANN", "Distance from the ANN"),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_task_from_file_to_report(invoke, tmp_path, kind):
    module, y, *words = CASES[kind]
    result = invoke(module, "--steps", "2,8", y=y)
    assert result.exit_code == 0, result.output
    run = read_run(tmp_path / "model.snn")
    assert run.case["task"]["kind"] == kind and run.case["config"]["task"] == "auto"
    report = (tmp_path / "model.snn" / "report.md").read_text()
    for word in words:
        assert word in result.stdout
        assert word.partition(":")[0] in report
    assert {"accuracy", "agreement"} <= run.curves["anytime"][0].keys()
    if kind == "regression":
        assert run.metric("snn.relative_error").value < 1 and "R2 of the spiking network against steps" in report
    else:
        assert run.metric("agreement").value > 0.5


def test_a_task_can_be_forced_or_refused(invoke):
    assert invoke(mlp(1), "--task", "regression", "--steps", "4", y=np.arange(40)).exit_code == 0
    wrong = invoke(mlp(1), y=np.arange(40))
    assert wrong.exit_code == 2 and "--task regression" in wrong.output
    assert "expected one of auto" in invoke(mlp(1), "--task", "guess").output


def test_heads_from_graph_to_report(tmp_path):
    from convert import convert, trace
    from evaluate.assembly import Case, assemble
    from evaluate.runner import measure
    from evaluate.tasks import plan
    from reports import render, summary

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 1)

        def forward(self, x):
            h = torch.relu(self.a(x))
            return {"kind": self.b(h).softmax(1), "age": self.c(h)}

    x = torch.rand(30, 4, generator=torch.Generator().manual_seed(0))
    y = torch.stack([torch.arange(30) % 3, torch.rand(30)], 1)
    conversion = convert(trace(Two(), (4,)), x)
    asked = plan("heads", conversion.heads, y)
    measured = measure(conversion, x, (2, 8), asked=asked)
    run = assemble(Case({}, {}, {}, {"task": "heads"}, ""), conversion, measured, y, {}, asked=asked)
    assert run.metric("snn.accuracy").value == run.metric("snn.accuracy[kind]").value
    assert run.metric("snn.r2[age]").unit == "R2"
    assert run.case["task"]["kind"] == "heads"
    assert any(line.startswith("Outputs: output age") for line in summary(run))
    assert "Output kind: ANN accuracy" in render(run, tmp_path).read_text()
