"""An exact network from the command line to the report, and the rows that only it has."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convert import ConvertConfig, convert, simulate_exact, trace
from convert.graph.semantics import run
from convert.pipeline import Conversion, reopened
from evaluate.analog import AnalogPass
from evaluate.exactness import Exactness, exactness_record, measure_exact
from evaluate.job import perform
from evaluate.operations import count_operations
from evaluate.records import Run, read_run
from evaluate.request import Request
from evaluate.rest import rest_metrics
from evaluate.runner import measure
from evaluate.tasks import plan
from reports import summary
from tests.commands import python

STEPS = (1, 2, 4, 8, 16, 32, 64)


def conversion(recipe: str = "exact") -> tuple[Conversion, torch.Tensor]:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 12), nn.Tanh(),
        nn.Linear(12, 4),
    ).eval()  # fmt: skip
    x = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    return convert(trace(model, (1, 6, 6)), x, ConvertConfig(recipe=recipe)), x


def test_the_measurement_does_not_depend_on_the_batch() -> None:
    made, x = conversion()
    (whole, found), (parts, again) = (measure_exact(made, x, STEPS, memory_bytes=b) for b in (1 << 30, 200_000))
    assert whole.record == parts.record
    for a, b in zip((*whole.answers, *(whole.ann_answers or ())), (*parts.answers, *(parts.ann_answers or ())),
                    strict=True):  # fmt: skip
        assert np.array_equal(a, b)
    for name, spikes in whole.spikes.items():
        torch.testing.assert_close(spikes, parts.spikes[name], rtol=1e-12, atol=0)
    assert torch.equal(found.steps, again.steps)
    assert (found.identical, found.certified) == (again.identical, again.certified) == (40, 40)


def test_it_says_what_the_simulation_says() -> None:
    made, x = conversion()
    measured, found = measure_exact(made, x, STEPS)
    settled = simulate_exact(made.snn, x)
    assert np.array_equal(measured.answers[0][:, -1], settled.output.argmax(1).numpy())
    assert np.array_equal(found.answers[0], measured.answers[0][:, -1])
    assert measured.record == (*(s for s in STEPS if s < int(settled.steps.max())), int(settled.steps.max()))
    assert measured.answers[0].shape == (40, measured.record[-1])
    for name, spikes in settled.spikes.items():
        torch.testing.assert_close(measured.spikes[name][-1], spikes.mean(0))
    counted = count_operations(made, {k: v[-1] for k, v in measured.spikes.items()}, measured.nonzero, 1)
    emitted = sum(float(value.sum()) for value in settled.spikes.values()) / 40
    assert sum(row.spikes for row in counted if row.role == "neuron") == pytest.approx(emitted)


def test_a_sample_at_rest_keeps_its_answer() -> None:
    made, x = conversion()
    measured, found = measure_exact(made, x, STEPS)
    for answers, q in zip(measured.answers[0], found.steps.tolist(), strict=True):
        assert len(set(answers[q - 1 :].tolist())) == 1


def test_the_analog_pass_is_that_of_the_other_measurement() -> None:
    made, x = conversion("seed")
    assert made.ann is not None
    analog = AnalogPass(made.ann)
    out = torch.cat([analog(x[:15]), analog(x[15:])])
    torch.testing.assert_close(out, run(made.ann, x))
    for name, share in measure(made, x, (2,)).nonzero.items():
        torch.testing.assert_close(analog.nonzero()[name], share)


def test_a_sample_that_differs_is_counted() -> None:
    """The rows are counts of what was compared, not of what was hoped."""
    found = Exactness(38, 39, torch.tensor([3, 4] * 20), (np.zeros(40, dtype=np.int64),))
    asked = plan("auto", conversion()[0].heads, torch.tensor([0, 1] * 20))
    rows = {m.name: m for m in rest_metrics(exactness_record(found, asked))}
    assert rows["exact.identical"].value == 38 / 40
    assert rows["exact.certified"].value == 39 / 40
    assert rows["exact.quantised_accuracy"].value == 0.5
    assert rows["latency.steps_to_quiescence"].value == 3.5
    assert rows["latency.steps_to_quiescence_max"].value == 4


def test_a_reopened_network_is_compared_with_its_quantised_network() -> None:
    made, x = conversion()
    _, found = measure_exact(reopened(made.snn), x, STEPS)
    assert (found.identical, found.certified) == (40, 40)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("convert", *arguments, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exact") / "digits.snn"
    done = command("zoo:digits-tanh", "--recipe", "exact", "--levels", "7", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert (
        "Exactness: identical logits 450 of 450 to the quantised network; certified quiescent 450 of 450" in done.stdout
    )
    assert "Quiescence: q = " in done.stdout
    return out


def test_the_run_holds_the_guarantee(folder: Path) -> None:
    found: Run = read_run(folder)
    assert found.metric("exact.identical").value == 1.0
    assert found.metric("exact.certified").value == 1.0
    assert found.metric("exact.quantised_accuracy").value == found.metric("snn.accuracy").value
    assert found.metric("latency.steps_to_quiescence_max").value == found.curves["steps"][-1]["steps"]
    assert found.metric("energy.snn_j").value is not None
    assert any("until no neuron can fire" in line for line in found.assumptions["neuron"])
    assert "**Exactness.**" in (folder / "report.md").read_text()
    assert "counting, -7 to 7" in (folder / "report.md").read_text()
    assert any(line.startswith("Converted: ") and "7 levels" in line for line in summary(found))


def test_the_file_is_evaluated_again_without_the_original(folder: Path, tmp_path: Path) -> None:
    done = command(str(folder / "snn.safetensors"), "--data", "digits", "--out", str(tmp_path / "again"), "--json")
    assert done.returncode == 0, done.stderr
    before, after = read_run(folder), {m["name"]: m["value"] for m in json.loads(done.stdout)["metrics"]}
    for name in ("exact.identical", "snn.accuracy", "latency.steps_to_quiescence", "spikes.per_neuron",
                 "synops.per_inference"):  # fmt: skip
        assert after[name] == before.metric(name).value


@pytest.mark.slow
@pytest.mark.parametrize("levels", [15, 31])
@pytest.mark.parametrize("name", ["digits-relu", "digits-tanh", "fashion-cnn-relu", "fashion-cnn-tanh"])
def test_the_networks_of_the_zoo_are_their_quantised_networks(name: str, levels: int) -> None:
    found, _ = perform(Request(f"zoo:{name}", ConvertConfig(recipe="exact", exact_levels=levels), limit=200))
    assert found.metric("exact.identical").value == found.metric("exact.certified").value == 1.0
    quantised, ann = found.metric("exact.quantised_accuracy").value, found.metric("ann.accuracy").value
    assert quantised is not None and ann is not None
    assert quantised > ann - 0.03


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--recipe", "exacto"), "--recipe: got 'exacto'"),
        (("--recipe", "exact", "--levels", "0"), "--levels: got 0"),
        (("--recipe", "exact", "--input", "poisson"), "--input: got 'poisson' with --recipe exact"),
        (("--recipe", "exact", "--nir", "--limit", "4"), "--nir: got an exact network"),
    ],
)
def test_what_the_recipe_cannot_do_is_said_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    if "--nir" in arguments:
        pytest.importorskip("nir")
    done = command("zoo:digits-relu", *arguments, "--out", str(tmp_path / "x"))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
