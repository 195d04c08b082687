import math

import pytest
import torch

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.curves import CURVES, PARAMETERS
from convert.graph.semantics import apply
from convert.network import Site
from convert.neurons.families import FAMILIES, NEURONS, fixed_threshold, make_neuron, takes_both_signs, time_constants
from convert.neurons.leaky import LeakyNeuron
from tests.oracles.activations import NUMBERS

EXAMPLES = {
    ir.Relu: [ir.Relu()],
    ir.Clamp: [ir.Clamp(0.0, 6.0), ir.Clamp(-1.0, 1.0), ir.Clamp(-2.0, 2.0), ir.Clamp(0.0, 0.5)],
    ir.Tanh: [ir.Tanh()],
    ir.LeakyRelu: [ir.LeakyRelu(torch.tensor([slope])) for slope in (0.1, -0.5, 1.5)],
    ir.Staircase: [ir.Staircase(torch.tensor([2.0]), 8), ir.Staircase(torch.tensor([0.5]), 5)],
    ir.Curve: [ir.Curve(name, NUMBERS.get(name, ())) for name in CURVES],
}
OPS = [op for examples in EXAMPLES.values() for op in examples]


def test_every_activation_has_a_neuron():
    assert set(EXAMPLES) == set(ir.ACTIVATIONS), "add an example of the new activation here"
    assert {name: len(numbers) for name, numbers in NUMBERS.items()} == PARAMETERS
    for op in OPS:
        assert isinstance(make_neuron(op, 0.02, 0.002), LeakyNeuron)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_the_rate_of_the_neuron_times_its_threshold_is_the_activation(op):
    """Whatever an activation is: IF neurons under constant drive carry it; a staircase after its number of steps."""
    steps, near = (op.levels, 1e-9) if isinstance(op, ir.Staircase) else (1000, 0.02)
    lam = fixed_threshold(op) or 4.0
    x = torch.linspace(-1.2, 1.2, 49, dtype=torch.float64) * lam
    threshold, one = torch.tensor(lam, dtype=torch.float64), torch.ones((), dtype=torch.float64)
    site = Site(make_neuron(op, math.inf, 0.0), threshold, one, torch.zeros((), dtype=torch.float64))
    state, total = None, torch.zeros_like(x)
    for _ in range(steps):
        state, spikes = site.step(state, (x / lam)[None], 1e-3)
        total += spikes[0]
    expected = apply(op, x[None])[0].clamp(-lam, lam)
    assert float((total / steps * lam - expected).abs().max()) < near * lam


@pytest.mark.parametrize("op", OPS, ids=str)
def test_the_time_constants_reach_the_neuron_and_its_family_can_be_saved(op):
    neuron = make_neuron(op, 0.03, 0.004)
    assert (neuron.tau_mem_s, neuron.tau_syn_s) == (0.03, 0.004)
    assert type(neuron) in FAMILIES.values()
    assert neuron.signed == takes_both_signs(op)
    assert neuron.signed or float(apply(op, torch.tensor([[-0.5]]))) >= 0


@pytest.mark.parametrize(
    ("op", "threshold"),
    [(ir.Relu(), None), (ir.Clamp(0.0, 6.0), 6.0), (ir.Clamp(-2.0, 2.0), 2.0), (ir.Tanh(), 1.0)], ids=str,
)  # fmt: skip
def test_an_activation_that_saturates_fixes_its_threshold(op, threshold):
    assert fixed_threshold(op) == threshold


@pytest.mark.parametrize(("name", "expected"), [("seed", (0.02, 0.002)), ("lif", (0.02, 0.0)), ("if", (math.inf, 0.0))])
def test_the_named_neurons_are_limits_of_the_seed_neuron(name, expected):
    assert time_constants(name, 0.02, 0.002) == expected
    assert name in NEURONS


def test_an_unknown_neuron_is_refused():
    with pytest.raises(ConfigError, match="'izhikevich'; expected one of seed, lif, if"):
        time_constants("izhikevich", 0.02, 0.002)
