"""A diagnosis names the layer with an injected defect, and its cause; its hybrids are the engine's networks."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from convert import Conversion, convert, simulate, trace
from convert.graph.semantics import run
from convert.neurons.families import make_neuron
from convert.normalisation.scaling import normalise
from convert.recipes import recipe
from evaluate.diagnosis import diagnose
from evaluate.hybrid import Hybrid, input_trains
from evaluate.remedies import cause, verdict, with_options
from evaluate.tasks import plan

SITE = 1


def sound() -> tuple[Conversion, torch.Tensor]:
    torch.manual_seed(0)
    layers = [nn.Linear(16, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU()]
    x = torch.rand(120, 16)
    config = recipe("seed").config(16, neuron="if", potential_steps=0)
    return convert(trace(nn.Sequential(*layers, nn.Linear(40, 5)).eval(), (16,)), x, config), x


def defective(factor: float = 1.0, tau_mem_s: float = math.inf) -> tuple[Conversion, torch.Tensor, str]:
    made, x = sound()
    name = made.folded.sites()[SITE].name
    lams = {**made.thresholds, name: replace(made.thresholds[name], value=made.thresholds[name].value * factor)}
    snn = normalise(made.folded, lams, partial(make_neuron, tau_mem_s=math.inf, tau_syn_s=0.0), 0.001)
    site = snn.sites[name]
    leaky = replace(site, neuron=replace(site.neuron, tau_mem_s=tau_mem_s))
    return replace(made, snn=replace(snn, sites={**snn.sites, name: leaky}), thresholds=lams), x, name


@pytest.mark.parametrize(
    ("factor", "tau_mem_s", "steps", "why"),
    [(0.2, math.inf, 16, "clipping"), (20.0, math.inf, 16, "rounding"), (1.0, 0.002, 64, "leak")],
)
def test_an_injected_defect_is_blamed_on_its_layer_and_cause(
    factor: float, tau_mem_s: float, steps: int, why: str
) -> None:
    made, x, name = defective(factor, tau_mem_s)
    found = diagnose(made, x, steps, plan("auto", made.heads, None))
    first = found["layers"][0]
    assert (first["name"], cause(first)) == (name, why)
    assert first["given_back"] > 0.5
    assert any(line.startswith(f"{name}: ") for line in verdict(found, made, "python -m convert m.pt"))


def test_the_shares_of_an_error_add_up_to_one() -> None:
    made, x = sound()
    for row in diagnose(made, x, 16, plan("auto", made.heads, None))["layers"]:
        assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["seed", "best-signed", "diehl2015", "multi-threshold"])
def test_without_analog_populations_the_spikes_are_those_of_the_engine(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Tanh(), nn.Flatten(),
        nn.Linear(32, 20), nn.ReLU(), nn.Linear(20, 5),
    ).eval()  # fmt: skip
    x = torch.rand(20, 1, 8, 8)
    made = convert(trace(model, (1, 8, 8)), x, recipe(name).config(16))
    engine = simulate(made.snn, x, 20)
    inputs = input_trains(made.snn, x, 20, 0, range(20))
    hybrid = Hybrid(made.snn, inputs, 20)
    torch.testing.assert_close(hybrid.run(), engine.output[-1], rtol=0, atol=1e-12)
    for site, counts in engine.counts.items():
        if site in made.snn.sites:
            assert torch.equal(hybrid.trains[site].sum(0), counts.double())
    if made.snn.input_code == "constant":
        analog = Hybrid(made.snn, inputs, 20, frozenset(made.snn.sites)).run()
        torch.testing.assert_close(analog, run(made.folded, x.double()), rtol=0, atol=1e-3)


def test_a_remedy_takes_the_place_of_what_the_command_said() -> None:
    assert with_options("python -m convert a --rule=mse --steps 4", {"--steps": "8", "--rule": "max"}) == (
        "python -m convert a --steps 8 --rule max"
    )
