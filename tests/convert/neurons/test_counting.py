import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from convert.errors import ConfigError
from convert.neurons.counting import CountingNeuron, half_steps, staircase

TICK = 2.0**-14

CURVES = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "leaky relu": lambda x: F.leaky_relu(x, 0.01),
    "hard tanh": lambda x: x.clamp(-1, 1),
    "softplus": F.softplus,
}


@pytest.mark.parametrize("top", [1, 4, 15, 31])
@pytest.mark.parametrize("name", CURVES)
def test_the_staircase_is_the_rounded_curve(name, top):
    """Compared with the formula at random charges; only next to a step may a tick decide."""
    unit = 2.0 / top
    thresholds, levels = staircase(CURVES[name], unit, top)
    neuron = CountingNeuron(thresholds=thresholds, levels=levels)
    draw = torch.Generator().manual_seed(top)
    charge = (torch.randn(20_000, generator=draw, dtype=torch.float64) * 4 * top / TICK).round() * TICK
    expected = torch.floor(CURVES[name](charge * unit) / unit + 0.5).clamp(-top, top)
    edges = torch.tensor(thresholds, dtype=torch.float64)
    near = (charge[:, None] - edges).abs().amin(1) <= TICK
    assert torch.equal(neuron.target(charge)[~near], expected[~near])
    assert bool(((neuron.target(charge) - expected).abs() <= 1).all())


def test_the_thresholds_of_tanh_are_its_inverse_at_half_levels():
    top = 7
    thresholds, levels = staircase(torch.tanh, 1 / top, top)
    assert levels == tuple(range(-top, top + 1))
    for k, threshold in enumerate(thresholds):
        assert threshold == pytest.approx(top * math.atanh((k - top + 0.5) / top), abs=2 * TICK)


def test_a_curve_that_falls_and_rises_has_levels_that_do():
    _, levels = staircase(F.gelu, 1 / 15, 15)
    assert min(levels) == -3  # the minimum of GELU is -0.17
    assert levels[0] == 0
    assert levels[-1] == 15
    assert all(abs(a - b) == 1 for a, b in pairwise(levels))


def test_relu_has_the_membrane_with_signed_soft_reset():
    """+1 if V >= 1/2 and S < N, -1 if V < -1/2 and S > 0, with V = A - S."""
    thresholds, levels = half_steps(3)
    neuron = CountingNeuron(thresholds=thresholds, levels=levels)
    generator = torch.Generator().manual_seed(0)
    state = neuron.start(torch.zeros(200, dtype=torch.float64))
    v, s = torch.zeros(200, dtype=torch.float64), torch.zeros(200, dtype=torch.float64)
    seen = set()
    for _ in range(60):
        current = torch.randint(-8, 9, (200,), generator=generator) / 4.0
        state, spikes = neuron.step(state, current.double(), torch.ones(()), 1e-3)
        v += current
        expected = ((v >= 0.5) & (s < 3)).double() - ((v < -0.5) & (s > 0)).double()
        v, s = v - expected, s + expected
        assert torch.equal(spikes, expected)
        seen |= set(spikes.tolist())
    assert seen == {-1.0, 0.0, 1.0}


def test_levels_reached_at_one_charge_are_jumped_over_one_spike_at_a_time():
    neuron = CountingNeuron(thresholds=(1.0, 1.0, 1.0), levels=(0, 1, 2, 3))
    state = neuron.start(torch.zeros(1, dtype=torch.float64))
    fired = []
    for current in (1.0, 0.0, 0.0, 0.0, -0.5, 0.0):
        state, spikes = neuron.step(state, torch.tensor([current]), torch.ones(()), 1e-3)
        fired.append(int(spikes))
    assert fired == [1, 1, 1, 0, -1, -1]


@pytest.mark.parametrize(("levels", "span", "highest"), [((0, 1, 2), 2, 2), ((-2, -1, 0, 1), 3, 2), ((2, 3), 3, 3)])
def test_the_span_holds_the_levels_and_the_start(levels, span, highest):
    neuron = CountingNeuron(thresholds=tuple(map(float, range(len(levels) - 1))), levels=levels)
    assert (neuron.span, neuron.highest) == (span, highest)


@pytest.mark.parametrize(
    "table",
    [
        {"thresholds": (1.0, 0.5), "levels": (0, 1, 2)},
        {"thresholds": (0.5,), "levels": (0,)},
        {"thresholds": (math.nan,), "levels": (0, 1)},
        {"thresholds": (math.inf,), "levels": (0, 1)},
        {"thresholds": (0.5,), "levels": (0, 1.5)},
        {"thresholds": (0.5,), "levels": (0, 1024)},
        {"tau_mem_s": 0.02},
        {"tau_syn_s": 0.002},
    ],
)
def test_what_is_no_staircase_is_refused(table):
    with pytest.raises(ConfigError, match="counting neuron: got"):
        CountingNeuron(**table)
