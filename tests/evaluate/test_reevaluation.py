"""A spiking network's file is a model of its own: evaluated again with no access to the original."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from convert import ConvertConfig
from convert.__main__ import _folder
from convert.errors import ConfigError
from convert.pipeline import Conversion
from convert.writing.artefact import to_bytes
from evaluate.job import perform
from evaluate.records import Run, read_run, write_run
from evaluate.request import Request
from reports import render, summary

STEPS = (1, 8)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Conversion, Path]:
    """A run, and the artefact in a folder where nothing else is."""
    folder = tmp_path_factory.mktemp("original")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 10))
    torch.save(model.eval(), folder / "net.pt")
    config = ConvertConfig(neuron="lif", tau_mem_ms=10)
    run, conversion = perform(Request(str(folder / "net.pt"), config, "digits", steps=STEPS, limit=60))
    (folder / "net.pt").unlink()
    (folder / "snn.safetensors").write_bytes(to_bytes(conversion.snn))
    return run, conversion, folder / "snn.safetensors"


@pytest.fixture(scope="module")
def again(first: tuple[Run, Conversion, Path]) -> tuple[Run, Conversion]:
    return perform(Request(str(first[2]), ConvertConfig(), "digits", steps=STEPS, limit=60))


def test_what_the_spiking_network_does_is_measured_again(
    first: tuple[Run, Conversion, Path], again: tuple[Run, Conversion]
) -> None:
    same = ("snn.accuracy", "synops.per_inference", "spikes.per_neuron", "macs.encoder", "macs.ann", "energy.snn_j",
            "energy.ann_j", "efficiency.synops_per_s_per_w")  # fmt: skip
    assert {name: again[0].metric(name).value for name in same} == {name: first[0].metric(name).value for name in same}
    curves = [[row["accuracy"] for row in run.curves["anytime"]] for run in (first[0], again[0])]
    assert curves[0] == curves[1] and len(curves[0]) == STEPS[-1]
    assert to_bytes(first[1].snn) == to_bytes(again[1].snn)


def test_what_needs_the_original_is_unmeasured_and_says_why(again: tuple[Run, Conversion]) -> None:
    for name in (
        "ann.accuracy",
        "accuracy.difference",
        "agreement",
        "energy.ann_sparse_j",
        "latency.steps_within_0.5pp",
    ):
        metric = again[0].metric(name)
        assert metric.value is None and "original" in metric.note, name
    assert all(row["agreement"] is None for row in again[0].curves["anytime"])
    assert "ann_sparse" not in again[0].assumptions["energy"]["totals"]
    assert not any("skips zero" in line for line in again[0].assumptions["energy"]["verdict"])


def test_the_case_says_what_it_is(again: tuple[Run, Conversion]) -> None:
    case = again[0].case
    assert case["model"]["format"] == "spiking network"
    assert (case["config"]["neuron"], case["config"]["tau_mem_ms"]) == ("lif", pytest.approx(10))
    assert any("net.pt" in note for note in again[0].notes)


def test_the_report_is_written(again: tuple[Run, Conversion], tmp_path: Path) -> None:
    write_run(again[0], tmp_path / "run.json")
    run = read_run(tmp_path)
    render(run, tmp_path)
    assert "SNN" in next(line for line in summary(run) if line.startswith("Accuracy"))


def test_without_data_it_runs_on_noise(first: tuple[Run, Conversion, Path]) -> None:
    run, _ = perform(Request(str(first[2]), ConvertConfig(), steps=(2,), limit=5))
    assert run.metric("snn.accuracy").value is None and run.metric("synops.per_inference").value is not None


def test_options_of_a_conversion_are_refused(first: tuple[Run, Conversion, Path]) -> None:
    for request in (
        Request(str(first[2]), ConvertConfig(neuron="if"), "digits"),
        Request(str(first[2]), ConvertConfig(), "digits", calibration="digits"),
    ):
        with pytest.raises(ConfigError, match=r"--neuron|--calibration"):
            perform(request)


def test_a_rerun_does_not_overwrite_the_run_it_is_of() -> None:
    assert _folder("a/net.snn/snn.safetensors") == Path("a/net.again.snn")
    assert _folder("zoo:digits-relu") == Path("digits-relu.snn")
    assert _folder("net.pt") == Path("net.snn")
