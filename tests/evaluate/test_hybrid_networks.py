"""Hybrid networks are asked for, labelled, counted as analog at every step, diagnosed and reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from convert import ConvertConfig, convert, simulate, trace
from convert.__main__ import app
from evaluate.counts import OpCount
from evaluate.hybrid import Hybrid, input_trains
from evaluate.operations import count_operations
from evaluate.records import read_run
from evaluate.runner import measure
from tests.oracles.transformers import Encoder

STEPS = 6


def normed() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3))


def counted(module: nn.Module, x: torch.Tensor, **options: object) -> list[OpCount]:
    conversion = convert(trace(module, tuple(x.shape[1:])), x, ConvertConfig(neuron="if", hybrid=True, **options))
    measured = measure(conversion, x, (STEPS,))
    spikes = {name: value[-1] for name, value in measured.spikes.items()}
    return list(count_operations(conversion, spikes, measured.nonzero, STEPS))


def rows_of(module: nn.Module, x: torch.Tensor, **options: object) -> dict[str, OpCount]:
    return {row.place: row for row in counted(module, x, **options)}


def test_what_moves_is_computed_at_every_step_and_is_no_synop() -> None:
    rows = rows_of(normed(), torch.rand(16, 4, generator=torch.Generator().manual_seed(0)))
    norm, first, last = rows["2"], rows["0"], rows["3"]
    assert (norm.role, norm.functions, norm.neuron_updates) == ("hybrid", 8 * STEPS, 8 * STEPS)
    assert (first.encoder_macs, first.ann_macs) == (32, 32)  # the constant input: once
    assert (last.encoder_macs, last.ann_macs, last.synops) == (24 * STEPS, 24, 0.0)


def test_what_depends_on_the_constant_input_alone_is_computed_once() -> None:
    rows = counted(Encoder(), torch.rand(4, 1, 14, 14))
    products = [row for row in rows if row.role == "hybrid" and row.ann_macs]
    assert [(row.ann_macs, row.encoder_macs) for row in products] == [(2 * 5 * 5 * 4,) * 2] * 2
    norms = [row.functions for row in rows if row.role == "hybrid" and not row.ann_macs]
    assert norms == [5 * 8, 2 * 5 * 5, 5 * 8, 5 * 8 * STEPS]  # the last layer norm stands behind the neurons
    under_spikes = rows_of(Encoder(), torch.rand(4, 1, 14, 14), input_code="poisson")
    assert sum(row.functions for row in under_spikes.values()) > sum(norms)


@pytest.mark.parametrize("neuron", ["if", "seed"])
def test_a_diagnosis_runs_the_same_network(neuron: str) -> None:
    x = torch.rand(4, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    conversion = convert(trace(Encoder(), (1, 14, 14)), x, ConvertConfig(neuron=neuron, hybrid=True))
    again = Hybrid(conversion.snn, input_trains(conversion.snn, x, 12, 0, range(4)), 12).run()
    torch.testing.assert_close(again, simulate(conversion.snn, x, 12).output[-1], atol=1e-9, rtol=1e-9)


def test_the_command_line_asks_for_hybrid_and_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    torch.save(normed(), "model.pt")
    options = ["model.pt", "--input-shape", "4", "--steps", "2,4"]
    refused = CliRunner().invoke(app, options)
    assert refused.exit_code == 2
    assert "model.pt: 1 operation(s) have no neuron" in refused.stderr and "pass --hybrid" in refused.stderr
    assert "2: got layer_norm: " in refused.stderr and not Path("model.snn").exists()
    looked = CliRunner().invoke(app, [*options, "--check"])
    assert looked.exit_code == 2 and "pass --hybrid" in looked.stdout and "1 hybrid" in looked.stdout
    allowed = CliRunner().invoke(app, [*options, "--check", "--hybrid", "--json"])
    fates = [row["fate"] for row in json.loads(allowed.stdout)["coverage"]]
    assert allowed.exit_code == 0 and fates == ["exact linear", "converted", "hybrid", "exact linear"]
    done = CliRunner().invoke(app, [*options, "--hybrid"])
    assert done.exit_code == 0, done.output
    assert "into a hybrid spiking network" in done.stdout and "Hybrid: " in done.stdout
    run = read_run(Path("model.snn/run.json"))
    assert run.metric("hybrid.functions_per_step").value == 8
    assert run.metric("hybrid.macs_per_step").value == 24 + 32 / 4
    assert any(note.startswith("Hybrid network: 1 floating-point functions") for note in run.notes)
    assert "hybrid" in Path("model.snn/report.md").read_text()
    again = CliRunner().invoke(app, ["model.snn/snn.safetensors", "--steps", "2,4", "--out", "again.snn"])
    assert again.exit_code == 0 and "hybrid spiking network" in again.stdout
