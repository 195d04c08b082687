"""A prediction is the simulation where nothing is left out, and as wrong as it says elsewhere."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from convert import convert, quantised, simulate, trace
from convert.__main__ import app
from convert.graph import ir
from convert.graph.readout import heads_of
from convert.graph.semantics import apply
from convert.network import threshold_balanced
from convert.recipes import RECIPES, recipe
from convert.simulation.quiescence import most_steps
from evaluate.errors import EvaluateError
from evaluate.prediction import Point, predict
from evaluate.prediction_errors import KnownError, Measured, RecipeErrors, known_errors, read, written
from evaluate.surrogate import Surrogate, leaps_to, spread_of
from evaluate.tasks import plan

DETERMINISTIC = [
    name for name, r in RECIPES.items() if r.config(8).input_code == "constant" and name not in ("exact", "radix")
]


def made(name, hidden=(24, 16), kind=nn.ReLU, **changes):
    torch.manual_seed(1)
    widths, layers = (12, *hidden), []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), kind()]
    x = torch.rand(80, 12)
    module = nn.Sequential(*layers, nn.Linear(widths[-1], 4)).eval()
    return convert(trace(module, (12,)), x, recipe(name).config(8, calibrated_on=32, **changes)), x


def asked(conversion, labels=None, task="auto"):
    return plan(task, heads_of(conversion.folded), labels)


def surrogate(conversion, x, ends, parts=4):
    run = Surrogate(conversion.snn, x, torch.Generator().manual_seed(0), parts)
    return {t: (total, {k: v.clone() for k, v in run.spikes.items()}) for t, total in run.totals(ends)}


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_leaps_of_one_step_are_the_simulation(name):
    conversion, x = made(name)
    steps = 9
    found = surrogate(conversion, x, range(1, steps + 1))
    expected = simulate(replace(conversion.snn, readout_delay=0), x, steps)
    scale = conversion.snn.scales[conversion.snn.graph.output]
    assert torch.allclose(found[steps][0] / steps * scale, expected.output[-1], atol=2e-3)
    for site, spikes in expected.spikes.items():
        assert abs(float(found[steps][1][site].sum()) - float(spikes[-1].sum())) <= 2  # ties in float32


@pytest.mark.parametrize("name", ["best-onebit", "bu2022-half", "rueckauer2017"])
@pytest.mark.parametrize("steps", [5, 16])
def test_one_layer_of_integrate_and_fire_neurons_is_predicted_exactly(name, steps):
    """Its drive is constant, so there is no unevenness, and the closed form is the neuron."""
    conversion, x = made(name, hidden=(24,))
    network = conversion.snn
    found = surrogate(conversion, x, leaps_to((steps,), network.readout_delay))
    expected = simulate(network, x, steps)
    for site, spikes in expected.spikes.items():
        assert torch.equal(found[steps][1][site].sum(0).double(), spikes[-1].double())
    said = predict(conversion, x, (steps,), asked(conversion, expected.output[-1].argmax(1)))
    assert said.points[0].accuracy == 1.0  # the labels are what the simulation says
    fired = float(sum(s[-1].sum() for s in expected.spikes.values())) / len(x) / network.neuron_count()
    assert said.points[0].spikes_per_neuron == pytest.approx(fired)


@pytest.mark.parametrize("kind", [nn.ReLU, nn.Tanh, nn.GELU])
def test_an_exact_network_at_rest_is_predicted_exactly(kind):
    conversion, x = made("exact", kind=kind)
    last = most_steps(conversion.snn)
    found = surrogate(conversion, x, leaps_to((last,), 0))
    expected = quantised(conversion.snn, x)[conversion.snn.graph.output]
    assert torch.allclose(found[last][0].double(), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["diehl2015", "sengupta2019"])
def test_poisson_input_is_drawn_with_its_rate(name):
    conversion, x = made(name)
    found = surrogate(conversion, x[:1].expand(400, 12), (1, 2, 4, 8, 16))
    rate = found[16][1]["input"].mean(0) / 16
    scale = conversion.snn.scales[conversion.snn.graph.input.name]
    assert torch.allclose(rate.double(), x[0] / scale, atol=0.03)


def test_unevenness_gives_neurons_that_cannot_take_back_a_surplus():
    conversion, x = made("bu2022-half")
    with_it, without = (surrogate(conversion, x, (1, 2, 4, 8, 16), parts)[16][1] for parts in (4, 1))
    last = list(conversion.snn.sites)[-1]
    assert float(with_it[last].sum()) > float(without[last].sum())


def test_variances_add_up_through_weights_and_pools():
    draws = torch.randn(20000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    ops = [ir.Conv(weight, torch.ones(2), (1, 1), (1, 1), (1, 1), 1), ir.AvgPool((2, 2), (2, 2), (0, 0)),
           ir.AvgPool((2, 2), (2, 2), (0, 0), divisor=1), ir.Affine(torch.tensor(3.0), torch.tensor(1.0)),
           ir.AdaptiveAvgPool((1, 1))]  # fmt: skip
    for op in ops:
        expected = apply(op, draws).var(0)
        node = ir.Node("n", op, ("m",), tuple(expected.shape))
        assert torch.allclose(spread_of(node, [torch.ones(1, 1, 4, 4)])[0], expected, rtol=0.06)


def test_leaps_hold_what_is_read():
    assert leaps_to((6, 32), 3) == (1, 2, 3, 4, 6, 8, 16, 32)
    assert leaps_to((1,), 9) == (1,)


def test_what_cannot_be_predicted_is_refused_by_name():
    conversion, x = made("bu2022-half")
    with pytest.raises(EvaluateError, match="answers are numbers"):
        predict(conversion, x, (4,), asked(conversion, task="regression"))
    with pytest.raises(EvaluateError, match="radix code"):
        predict(made("radix")[0], x, (4,), asked(conversion))
    ahead = replace(conversion, snn=replace(conversion.snn, look_ahead=4))
    with pytest.raises(EvaluateError, match="look-ahead"):
        predict(ahead, x, (4,), asked(conversion))
    balanced = replace(conversion, snn=threshold_balanced(conversion.snn))
    with pytest.raises(EvaluateError, match="quantum other than 1 at relu"):
        predict(balanced, x, (4,), asked(conversion))


def test_without_labels_the_agreement_is_left():
    conversion, x = made("bu2022-half")
    point = predict(conversion, x, (16,), asked(conversion)).points[0]
    assert point.accuracy is None and point.interval() is None and point.agreement > 0.5


def test_the_same_seed_predicts_the_same():
    conversion, x = made("seed")
    first, again, other = (predict(conversion, x, (4, 16), asked(conversion), seed).points for seed in (0, 0, 1))
    assert first == again
    assert first != other


def entry(network="a", accuracy=(0.9, 0.8), spikes=(1.0, 2.0)):
    return Measured("seed", network, 10, (4, 16), (0.85, 0.85), accuracy, (1.0, 1.0), spikes)


def test_the_interval_is_the_largest_error_at_the_nearest_steps():
    errors = RecipeErrors((entry(), entry("b", (0.70, 0.86), (1.1, 1.0))))
    assert errors.at(1) == KnownError(pytest.approx(0.15), pytest.approx(0.1), "b, T = 4", "b, T = 4")
    assert errors.at(9).accuracy == pytest.approx(0.05)  # 16 is nearer than 4
    assert Point(9, 0.99, None, 1.0, 1.0, errors.at(9)).interval() == (pytest.approx(0.94), 1.0)


def test_the_file_holds_what_was_written(tmp_path):
    rows = (entry(), entry("b"))
    (tmp_path / "p.toml").write_text(written(rows, "abc"))
    assert read(tmp_path / "p.toml") == rows
    assert read(tmp_path / "none.toml") == ()


def test_every_recipe_has_a_known_error():
    assert set(known_errors()) == set(RECIPES) - {"radix"}
    assert all(0 <= error.at(8).accuracy <= 1 for error in known_errors().values())


def test_the_command_prints_what_the_simulation_then_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["zoo:digits-relu", "--steps", "4,16", "--calibration-samples", "256", "--json"]
    done = CliRunner().invoke(app, [*options, "--predict"])
    assert done.exit_code == 0, done.output
    assert list(tmp_path.iterdir()) == []
    said = json.loads(done.stdout)
    run = json.loads(CliRunner().invoke(app, options).stdout)
    for point, real in zip(said["points"], run["curves"]["steps"], strict=True):
        low, high = point["interval"]
        assert low - 1e-5 <= real["accuracy"] <= high + 1e-5  # the file holds five digits
        error = point["known_error"]["spikes"]
        assert math.isclose(point["spikes_per_neuron"], real["spikes_per_neuron"], rel_tol=error + 1e-3)


def test_the_table_states_its_cost_and_its_error():
    done = CliRunner().invoke(app, ["zoo:digits-relu", "--steps", "8", "--limit", "40", "--predict"])
    assert "one ANN pass and 4 dense passes" in done.stdout
    assert "Known error for this recipe" in done.stdout


@pytest.mark.parametrize("more", [["--nir"], ["--engine", "dense"], ["--recipe", "all"], ["--diagnose"], ["--check"]])
def test_options_of_a_simulation_are_refused(more):
    done = CliRunner().invoke(app, ["zoo:digits-relu", "--predict", *more])
    assert done.exit_code == 2 and more[0] in done.stderr


def test_a_hybrid_network_is_refused():
    module = nn.Sequential(nn.Linear(12, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4)).eval()
    x = torch.rand(40, 12)
    config = recipe("bu2022-half").config(8, hybrid=True)
    conversion = convert(trace(module, (12,)), x, config)
    with pytest.raises(EvaluateError, match="floating point from running means"):
        predict(conversion, x, (4,), asked(conversion))
