"""Several recipes in one table: each on the same samples, whatever its number of steps."""

import json

import pytest
import torch
from typer.testing import CliRunner

from convert.__main__ import app
from convert.errors import ConfigError
from convert.recipes import RECIPES, recipe
from convert.writing.artefact import load
from evaluate.comparison import compare
from evaluate.request import Request


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    done = CliRunner().invoke(
        app, ["zoo:digits-relu", "--recipe", "all", "--limit", "40", "--steps", "2,4,40", "--for-steps", "4",
              "--calibration-samples", "60", "--out", str(out)]
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return done.stdout, json.loads((out / "recipes.json").read_text()), out


def test_every_recipe_is_a_row_with_all_steps(compared):
    text, record, out = compared
    assert [row["recipe"] for row in record["rows"]] == list(RECIPES)
    for row in record["rows"]:
        assert [point["steps"] for point in row["curve"]] == [2, 4, 40]
        assert row["recipe"] in text and row["recipe"] in (out / "report.md").read_text()
        run = json.loads((out / f"{row['recipe']}.json").read_text())
        assert row["run"] == run["id"]
        assert row["curve"][-1]["accuracy"] == run["curves"]["steps"][-1]["accuracy"]


def test_each_number_of_steps_has_thresholds_of_its_own(tmp_path):
    options = ["zoo:digits-relu", "--limit", "40", "--calibration-samples", "60"]

    def run(name, *more):
        out = tmp_path / name
        done = CliRunner().invoke(app, [*options, *more, "--out", str(out)])
        assert done.exit_code == 0, done.output
        return out

    out = run("each", "--steps", "2,8", "--for-steps", "each")
    record = json.loads((out / "recipes.json").read_text())
    (row,) = record["rows"]
    assert record["each"] and [point["steps"] for point in row["curve"]] == [2, 8]
    assert "of a network of its own" in (out / "report.md").read_text()
    theta = (out / "report.md").read_text().split("## Thresholds of seed")[1].split("\n## ")[0]
    for steps, point in zip((2, 8), row["curve"], strict=True):
        alone = run(f"alone{steps}", "--steps", str(steps), "--for-steps", str(steps))
        made = json.loads((alone / "run.json").read_text())
        assert point["accuracy"] == made["curves"]["steps"][-1]["accuracy"]
        assert point["synops"] == made["curves"]["steps"][-1]["synops"]
        here, there = load(out / f"seed.T{steps}.safetensors"), load(alone / "snn.safetensors")
        for name, site in here.sites.items():
            assert torch.equal(site.threshold, there.sites[name].threshold)
            layer = here.graph[name].place
            (told,) = (t for t in row["thresholds"] if t["layer"] == layer and t["steps"] == steps)
            assert told["threshold_low"] == float(site.threshold.min())
            assert told["threshold_median"] == float(site.threshold.median())
            assert f"{told['threshold_median']:.4g}" in theta
            assert torch.equal(site.initial, there.sites[name].initial)
    few, many = (load(out / f"seed.T{steps}.safetensors").sites for steps in (2, 8))
    assert all(few[name].threshold.sum() < many[name].threshold.sum() for name in few)


def test_an_exact_network_stays_as_it_is_once_at_rest(compared):
    record = compared[1]
    (exact,) = (row for row in record["rows"] if row["recipe"] == "exact")
    run = json.loads((compared[2] / "exact.json").read_text())
    rest = run["curves"]["steps"][-1]
    assert rest["steps"] < 40
    assert exact["curve"][-1]["spikes_per_neuron"] == rest["spikes_per_neuron"]
    assert exact["sequential_latency_steps"] == rest["steps"] + 1


def test_the_latency_of_a_radix_network_is_a_period_for_each_layer(compared):
    """What a rate code takes is T steps and one more for each further layer; periods are in line already."""
    rows = {row["recipe"]: row for row in compared[1]["rows"]}
    run = json.loads((compared[2] / "radix.json").read_text())
    assert [point["steps"] for point in run["curves"]["steps"]] == [2, 4, 12]
    assert rows["radix"]["sequential_latency_steps"] == 2 * 6
    assert rows["burst"]["sequential_latency_steps"] == 40 + 1
    early, before, rest = rows["radix"]["curve"]
    assert early["accuracy"] == before["accuracy"] < 0.5 < rest["accuracy"]  # nothing is read out before layer 2
    assert (rows["radix"]["payload_bits"], rows["burst"]["payload_bits"]) == (1, 1)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (("--recipe", "exact", "--signed"), "--signed: has no effect with --recipe exact"),
        (("--recipe", "exact", "--neuron", "lif"), "--neuron: has no effect"),
        (("--levels", "31"), "--levels: has no effect with --recipe seed"),
        (("--recipe", "radix", "--burst", "3"), "--burst: has no effect with --recipe radix"),
        (("--recipe", "exact", "--bits", "3"), "--bits: has no effect with --recipe exact"),
        (("--bits", "3", "--auto", "accuracy_drop<=1pp"), "--bits: has no effect"),
        (("--for-steps", "each", "--recipe", "radix"), "--for-steps: got each with --recipe radix"),
        (("--burst", "5", "--signed"), "--burst: got 5 with --signed; expected neither"),
        (("--burst", "65"), "--burst: got 65; expected 1 to 64"),
        (("--recipe", "all", "--diagnose"), "--diagnose: got --recipe all"),
        (("--for-steps", "each", "--diagnose"), "--diagnose: got --for-steps each"),
        (("--for-steps", "each", "--recipe", "exact"), "--for-steps: got each with --recipe exact"),
        (("--for-steps", "each", "--auto", "accuracy_drop<=1pp"), "--auto: got --for-steps each as well"),
        (("--for-steps", "4,8"), "--for-steps: got '4,8'; expected one whole number"),
        (("--recipe", "best-signed", "--auto", "accuracy_drop<=1pp"), "--auto: got --recipe best-signed as well"),
    ],
)
def test_options_without_effect_are_refused(options, flag, tmp_path):
    done = CliRunner().invoke(app, ["zoo:digits-relu", *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and flag in done.output
    assert not list(tmp_path.iterdir())


def test_a_recipe_whose_options_exclude_each_other_is_a_row_with_the_reason():
    request = Request("zoo:digits-relu", steps=(2,), limit=20, calibration_samples=40)
    aims = {name: [(recipe(name).config(2, look_ahead=2), (2,))] for name in ("seed", "best-onebit", "best-signed")}
    rows = compare(request, aims, lambda label: lambda stage, done, total: None)["rows"]
    assert [("failed" in row, row["recipe"]) for row in rows] == [
        (True, "seed"), (False, "best-onebit"), (True, "best-signed")
    ]  # fmt: skip
    assert "--look-ahead: got 2 with --neuron seed" in rows[0]["failed"]
    with pytest.raises(ConfigError, match="--look-ahead: got 2 with --signed"):
        compare(request, {"best-signed": aims["best-signed"]}, lambda label: lambda stage, done, total: None)
