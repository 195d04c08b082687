"""Several recipes in one table: each on the same samples, whatever its number of steps."""

import json

import pytest
from typer.testing import CliRunner

from convert.__main__ import app
from convert.recipes import RECIPES


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


def test_an_exact_network_stays_as_it_is_once_at_rest(compared):
    record = compared[1]
    (exact,) = (row for row in record["rows"] if row["recipe"] == "exact")
    run = json.loads((compared[2] / "exact.json").read_text())
    rest = run["curves"]["steps"][-1]
    assert rest["steps"] < 40
    assert exact["curve"][-1]["spikes_per_neuron"] == rest["spikes_per_neuron"]
    assert exact["sequential_latency_steps"] == rest["steps"] + 1


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (("--recipe", "exact", "--signed"), "--signed: has no effect with --recipe exact"),
        (("--recipe", "exact", "--neuron", "lif"), "--neuron: has no effect"),
        (("--levels", "31"), "--levels: has no effect with --recipe seed"),
        (("--recipe", "all", "--diagnose"), "--diagnose: got --recipe all"),
        (("--recipe", "best-signed", "--auto", "accuracy_drop<=1pp"), "--auto: got --recipe best-signed as well"),
    ],
)
def test_options_without_effect_are_refused(options, flag, tmp_path):
    done = CliRunner().invoke(app, ["zoo:digits-relu", *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and flag in done.output
    assert not list(tmp_path.iterdir())
