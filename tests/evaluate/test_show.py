"""Every number of a run file is explained from the run file alone, and comes out again to the last bit."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

from convert.config import ConvertConfig
from convert.recipes import recipe
from evaluate.__main__ import app
from evaluate.errors import EvaluateError
from evaluate.exit_rules import read_exit
from evaluate.explanations import explain, listing
from evaluate.explanations.again import metrics_again
from evaluate.explanations.answers import Answers
from evaluate.explanations.formulas import formula, inputs
from evaluate.explanations.meanings import meaning
from evaluate.job import perform
from evaluate.records import Metric, Run, read_run, write_run
from evaluate.request import Request
from evaluate.traces import Traced, named, quotient, titled, total

RECIPES = {"rate": "seed", "exact": "exact", "radix": "radix", "differential": "sparse-differential"}
FILES = ("regression", "labels", "hybrid", "unlabelled")
EXITS = ("margin:1%", "sound")
KINDS = (*RECIPES, "poisson", "look-ahead", *EXITS, *FILES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("show")
    generator = np.random.default_rng(0)
    x = generator.random((40, 4), dtype=np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        normed = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 2))
    torch.save(plain, path / "plain.pt")
    torch.save(normed, path / "normed.pt")
    y = plain(torch.from_numpy(x)).detach().numpy() + 0.1 * generator.normal(size=(40, 2)).astype(np.float32)
    np.savez(path / "regression.npz", x=x, y=y)
    np.savez(path / "labels.npz", x=x, y=(y > 0).astype(np.int64))
    np.savez(path / "hybrid.npz", x=x, y=(y[:, 0] > y[:, 1]).astype(np.int64))
    np.savez(path / "unlabelled.npz", x=x)
    return path


@cache
def made(kind: str, folder: Path) -> Run:
    steps = (2, 5)
    if kind in FILES:
        model = folder / ("normed.pt" if kind == "hybrid" else "plain.pt")
        config = ConvertConfig(hybrid=True) if kind == "hybrid" else ConvertConfig()
        task = kind if kind in ("regression", "labels") else "auto"
        request = Request(str(model), config, f"npz:{folder / kind}.npz", steps=steps, task=task)
    else:
        changes = {"poisson": {"input_code": "poisson", "potential_steps": 0}, "look-ahead": {"look_ahead": 2}}
        name = RECIPES.get(kind, "seed" if kind in ("poisson", *EXITS) else "best-onebit")
        config = recipe(name).config(**changes.get(kind, {}))
        request = Request("zoo:digits-relu", config, "digits", steps=steps, limit=30, calibration_samples=40)
        if kind in EXITS:
            request = replace(request, steps=(4, 12), calibration_samples=800, early_exit=read_exit(kind))
    path = folder / f"{kind}.json"
    write_run(perform(request)[0], path)
    return read_run(path)


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, folder: Path) -> Run:
    return made(request.param, folder)


def test_every_metric_is_explained_and_comes_out_again(run: Run) -> None:
    answers = Answers(run)
    again = answers.metrics
    undefined = [m.name for m in run.metrics if m.name not in again]
    assert all(run.metric(name).value is None and run.metric(name).note for name in undefined), undefined
    for m in run.metrics:
        assert meaning(m.name), m.name
        text = answers.explain(m.name)
        if m.value is None:
            assert f"none: {m.note}" in text
            continue
        found = again[m.name]
        assert (found.value, found.low, found.high, found.unit) == (m.value, m.low, m.high, m.unit), m.name
        assert "recomputed  identical, from the content of this run file" in text, text
        assert f"{m.value!r} {m.unit}" in text
        if m.unit == "J":
            assert "not priced" in text and "formula" in text and "constants" in text and ".toml" in text, text
        if m.low is not None:
            assert "interval" in text


def test_every_other_number_is_explained(run: Run) -> None:
    answers = Answers(run)
    numbers, again = answers.numbers, answers.others
    assert set(again) <= set(numbers)
    assert {name for name, value in again.items() if numbers[name].value != value} == set()
    assert all(meaning(name) for name in numbers)
    derived = [name for name in numbers if name.startswith("energy:") and ".constants" not in name]
    missing = {name for name in derived if name not in again and "quantised_bits" not in name}
    assert not missing
    for name in [n for n in numbers if n.startswith(("layer:", "curve:", "setting:"))][:40]:
        assert "recomputed" in answers.explain(name)


def test_a_layer_that_lacks_a_count_says_so(folder: Path) -> None:
    run = made("rate", folder)
    assert "none: a layer of the role 'neuron' has none" in explain(run, "layer:relu.synops")
    assert "synapses each in the mean" in explain(run, "layer:linear_1.synops")
    assert "128 neurons times 5 steps" in explain(run, "layer:relu.neuron_updates")


def test_the_formula_has_the_inputs_in_it(folder: Path) -> None:
    run = made("rate", folder)
    value = metrics_again(run)["energy.davidson-furber2021.ann_j"].value
    assert isinstance(value, Traced)
    text = "\n".join(formula(value))
    assert "ann_macs of linear_1 [8192 MACs]" in text and "davidson-furber2021-22nm-mac [7.2e-13 J]" in text
    labels = {leaf.label for leaf in inputs(value)}
    assert labels == {"ann_macs of linear", "ann_macs of linear_1", "ann_macs of linear_2",
                      "davidson-furber2021-22nm-mac"}  # fmt: skip


def test_an_altered_number_is_noticed(folder: Path) -> None:
    run = made("rate", folder)
    name = "energy.lemaire2022.snn_j"
    metrics = tuple(replace(m, value=2 * (m.value or 0), high=None) if m.name == name else m for m in run.metrics)
    assert "DIFFERS" in explain(replace(run, metrics=metrics), name)
    metrics = tuple(replace(m, high=1.0) if m.name == name else m for m in run.metrics)
    assert "the interval DIFFERS" in explain(replace(run, metrics=metrics), name)
    layers = ({**run.layers[0], "ann_macs": 1}, *run.layers[1:])
    assert "DIFFERS" in explain(replace(run, layers=layers), "macs.ann")


def test_a_run_file_that_does_not_hold_together_is_refused(folder: Path) -> None:
    run = made("rate", folder)
    for damaged in (replace(run, layers=({},)), replace(run, samples={}), replace(run, curves={})):
        with pytest.raises(EvaluateError, match="convert the model again"):
            explain(damaged, "snn.accuracy")


@pytest.mark.parametrize("stopped", [-5, 10**30, 1e30, True, 0.5])
def test_a_curve_that_is_not_one_of_these_samples_is_refused(folder: Path, stopped: object) -> None:
    run = made("margin:1%", folder)
    rows = [{**run.curves["early_exit"][0], "stopped": stopped}, *run.curves["early_exit"][1:]]
    for curve in (rows, []):
        with pytest.raises(EvaluateError, match=r"curves.early_exit: .* expected 30 in all; convert the model again"):
            explain(replace(run, curves=run.curves | {"early_exit": curve}), "latency.early_exit.steps")


def test_numbers_of_an_early_exit_come_out_again_for_several_seeds(folder: Path) -> None:
    one = made("sound", folder)
    again = replace(one, metrics=tuple(
        replace(m, value=2 * m.value, observations=(m.value, 3 * m.value)) if m.name == "synops.per_inference" else m
        for m in one.metrics
    ), case=one.case | {"seeds": [0, 1]})  # fmt: skip
    assert "recomputed  identical" in explain(again, "latency.early_exit.synops_saved")


def test_an_earlier_run_file_still_has_its_numbers(folder: Path) -> None:
    run = made("rate", folder)
    old = replace(run, assumptions={k: v for k, v in run.assumptions.items() if k != "setting"})
    text = explain(old, "energy.lemaire2022.snn_j")
    assert "written by an earlier version" in text and "not priced" in text and "lemaire2022" in listing(old)


def test_command_line(folder: Path) -> None:
    made("rate", folder)
    path = str(folder / "rate.json")
    shown = CliRunner().invoke(app, ["show", path, "synops.per_inference"])
    assert shown.exit_code == 0 and "One SynOp is one spike" in shown.stdout and "identical" in shown.stdout
    everything = CliRunner().invoke(app, ["show", path])
    assert everything.exit_code == 0
    for m in made("rate", folder).metrics:
        assert m.name in everything.stdout
    wrong = CliRunner().invoke(app, ["show", path, "synops.per_inferense"])
    assert wrong.exit_code == 2 and "nearest: synops.per_inference" in wrong.stderr
    assert CliRunner().invoke(app, ["show", str(folder / "nothing")]).exit_code == 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6))
def test_traced_numbers_are_the_plain_ones(values: list[float]) -> None:
    a, b, *_ = traced = [named(v, f"x{i}") for i, v in enumerate(values)]
    x, y = values[0], values[1]
    assert (a + b, a - b, a * b, 2 * a, 3 - a) == (x + y, x - y, x * y, 2 * x, 3 - x)
    assert y == 0 or (a / b == x / y and quotient(x, y) == x / y)
    assert total(traced) == total(values) and titled(a * b, "product") == x * y
    assert min(a, b) == min(x, y) and round(a, 3) == round(x, 3)


def test_copies_and_files_have_no_trace() -> None:
    joules = named(2.0, "SynOps") * named(3.0, "price", "J")
    metric = Metric("m", joules, "J", "lower")
    for plain in (copy.deepcopy(joules), pickle.loads(pickle.dumps(joules)), asdict(metric)["value"]):
        assert type(plain) is float and plain == 6.0
    assert json.dumps({"x": joules}, indent=1) == '{\n "x": 6.0\n}'
