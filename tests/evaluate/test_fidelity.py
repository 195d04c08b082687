"""Verdicts on NIR files: by NIR's definitions always, by a simulator where one is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convert import ConvertConfig, SpikingNetwork, convert, trace
from evaluate.contenders.nir_restated import Clock
from evaluate.contenders.nir_targets import TARGETS, Target
from evaluate.fidelity import DEFINITION, Fidelity, check_nir, compare, export_nir

pytest.importorskip("nir")

BLANK = Fidelity("native", "x", "1", "as written", "")


def network(neuron: str) -> tuple[SpikingNetwork, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)).eval()
    x = torch.rand(40, 8, generator=torch.Generator().manual_seed(1))
    return convert(trace(model, (8,)), x, ConvertConfig(neuron=neuron)).snn, x


def test_identical_trains_are_faithful_and_one_spike_less_is_approximate() -> None:
    train = torch.ones(4, 2, 3, dtype=torch.float64)
    out = torch.rand(4, 2, 2, dtype=torch.float64)
    same = compare((out, {"a": train}), (out, {"a": train.float()}), BLANK)
    fewer = train.clone()
    fewer[0, 0, 0] = 0
    other = compare((out, {"a": train}), (out, {"a": fewer}), BLANK)
    assert (same.verdict, same.rate_error, same.same_spikes) == ("faithful", 0.0, 1.0)
    assert other.verdict == "approximate"
    assert other.rate_error == pytest.approx(1 / 4 / 6) and other.same_spikes == pytest.approx(23 / 24)


def test_both_forms_are_written_read_back_and_judged(tmp_path: Path) -> None:
    snn, x = network("seed")
    rows = export_nir(tmp_path, 16, 0, snn, x)
    assert {path.name for path in tmp_path.iterdir()} == {"native.nir", "faithful.nir"}
    ours = {row["form"]: row["verdict"] for row in rows if row["target"] == DEFINITION}
    assert ours == {"native": "approximate", "faithful": "faithful"}
    assert {row["target"] for row in rows} == {DEFINITION, *(target.name for target in TARGETS)}
    json.dumps(rows, allow_nan=False)


def test_what_cannot_be_written_is_a_verdict_and_no_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    snn = convert(trace(model, (3,)), torch.rand(9, 3), ConvertConfig()).snn
    rows = export_nir(tmp_path, 4, 0, snn, torch.rand(4, 3))
    assert [row["verdict"] for row in rows] == ["unsupported", "unsupported"] and "tanh" in rows[0]["why"]
    assert not list(tmp_path.iterdir())


def test_an_importer_that_fails_is_unsupported_with_its_reason(tmp_path: Path, monkeypatch: Any) -> None:
    def load(*args: Any) -> Any:
        raise AssertionError("r must be 1\nand more")

    target = Target("torch", load, Clock(1.0, True, "one"))
    monkeypatch.setattr("evaluate.fidelity.TARGETS", (target,))
    snn, x = network("if")
    rows = [row for row in export_nir(tmp_path, 4, 0, snn, x) if row["target"] == "torch"]
    assert [(row["verdict"], row["why"]) for row in rows] == [("unsupported", "AssertionError: r must be 1")] * 3


RESTATED = [
    ("snntorch", "if"), ("snntorch", "lif"), ("norse", "if"), ("norse", "lif"), ("norse", "seed"), ("sinabs", "if"),
    ("sinabs", "lif"), ("rockpool", "if"), ("rockpool", "lif"), ("rockpool", "seed"),
]  # fmt: skip


@pytest.mark.parametrize(("simulator", "neuron"), RESTATED)
@pytest.mark.filterwarnings("ignore")
def test_restated_for_its_importer_a_simulator_fires_at_our_rates(simulator: str, neuron: str, tmp_path: Path) -> None:
    pytest.importorskip(simulator)
    snn, x = network(neuron)
    rows = export_nir(tmp_path, 64, 0, snn, x)
    (row,) = [r for r in rows if (r["target"], r["form"], r["reading"]) == (simulator, "native", "restated")]
    assert row["verdict"] in ("faithful", "approximate"), row["why"]
    assert row["rate_error"] < 0.01 and row["same_class"] > 0.9


def test_check_nir_uses_at_most_100_samples(tmp_path: Path) -> None:
    from convert.writing.nir import write_nir

    snn, x = network("if")
    write_nir(snn, "faithful", tmp_path / "a.nir")
    first = check_nir(snn, "faithful", tmp_path / "a.nir", x.repeat(3, 1), 4)[0]
    assert (first.samples, first.steps, first.verdict) == (100, 4, "faithful")
