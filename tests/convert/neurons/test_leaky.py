import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.errors import ConfigError
from convert.neurons.leaky import LeakyNeuron, decay, leaky_rate
from tests.oracles.loops import leaky_train

ONE = torch.ones((), dtype=torch.float64)


def trains(neuron, drive, steps, dt_s=1e-3, start=0.0, quantum=ONE):
    """Spikes (steps, *shape) under a constant drive, membrane only."""
    drive = torch.as_tensor(drive, dtype=torch.float64)
    state, emitted = neuron.start(torch.full_like(drive, start)), []
    for _ in range(steps):
        state, spikes = neuron.step(state, drive, quantum, dt_s)
        emitted.append(spikes)
    return torch.stack(emitted), state


@settings(max_examples=100, deadline=None)
@given(numerator=st.integers(0, 2**10), steps=st.integers(1, 200))
def test_an_if_neuron_at_constant_drive_x_emits_the_nearest_integer_of_t_x_spikes(numerator, steps):
    """V_th = 1/2 rounds to the nearest, ties upwards: count = floor(T x + 1/2) for x in [0, 1]."""
    spikes, _ = trains(LeakyNeuron(math.inf, 0.0), numerator / 2**10, steps)
    counts = spikes.cumsum(0)
    assert [int(n) for n in counts] == [(2 * t * numerator + 2**10) // 2**11 for t in range(1, steps + 1)]


@settings(max_examples=50, deadline=None)
@given(numerator=st.integers(0, 2**10), steps=st.integers(1, 100))
def test_an_if_neuron_with_threshold_one_rounds_down(numerator, steps):
    spikes, _ = trains(LeakyNeuron(math.inf, 0.0, v_threshold=1.0), numerator / 2**10, steps)
    assert int(spikes.sum()) == steps * numerator // 2**10


def test_the_charge_of_an_if_neuron_is_conserved():
    drive = torch.tensor([-0.75, -0.125, 0.0, 0.375, 1.0, 1.5, 4.0], dtype=torch.float64)
    spikes, state = trains(LeakyNeuron(math.inf, 0.0), drive, 64)
    assert torch.equal(spikes.sum(0) + state.v, 64 * drive)
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert spikes.sum(0).tolist() == [0, 0, 0, 24, 64, 64, 64]  # silent below zero, one a step at most


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), tau=st.sampled_from([1.0, 5.0, 20.0, math.inf]),
    threshold=st.sampled_from([0.5, 0.75, 1.0]),
    start=st.floats(-1, 0.5),
)  # fmt: skip
def test_a_step_is_the_equation(seed, tau, threshold, start):
    chance = random.Random(seed)
    drives = [chance.uniform(-0.5, 1.5) for _ in range(60)]
    neuron, train = LeakyNeuron(tau * 1e-3, 0.0, threshold), []
    state = neuron.start(torch.tensor(start, dtype=torch.float64))
    for drive in drives:
        state, spikes = neuron.step(state, torch.tensor(drive, dtype=torch.float64), ONE, 1e-3)
        train.append(int(spikes))
    assert train == leaky_train(drives, tau, 0.0, threshold, start)


def test_the_quantum_is_the_unit_of_the_membrane():
    drive = torch.linspace(-0.25, 1.25, 49, dtype=torch.float64)
    for neuron in (LeakyNeuron(math.inf, 0.0), LeakyNeuron(8e-3, 0.0)):
        plain, _ = trains(neuron, drive, 50)
        scaled, _ = trains(neuron, 4 * drive, 50, quantum=4 * ONE)
        assert torch.equal(plain, scaled)
        assert plain.sum() > 0


def test_the_rate_of_a_leaky_neuron_tends_to_its_closed_form_as_steps_get_shorter():
    """1 / (tau ln((D + 1/2) / (D - 1/2))): from V = -1/2 to +1/2 towards D."""
    tau_s, steady = 20e-3, torch.tensor([0.55, 0.7, 1.0, 1.6, 2.5, 4.0], dtype=torch.float64)
    closed_form = 1 / (tau_s * torch.log((steady + 0.5) / (steady - 0.5)))
    errors = []
    for dt_s in (1e-3, 0.25e-3, 0.0625e-3):
        gain = 1 - decay(dt_s, tau_s)
        spikes, _ = trains(LeakyNeuron(tau_s, 0.0), steady * gain, round(0.4 / dt_s), dt_s)
        rates = []
        for train in spikes.T:
            times = train.nonzero().flatten()
            rates.append(float((len(times) - 1) / ((times[-1] - times[0]) * dt_s)))
        errors.append(float((torch.tensor(rates) / closed_form - 1).abs().max()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.01


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_leaky_rate_is_the_closed_form(threshold):
    dt_s, tau_s = 1e-3, 20e-3
    for steady in (threshold + 0.01, 1.5, 6.0):
        drive = steady * (1 - math.exp(-dt_s / tau_s))
        interval = tau_s * math.log((steady - threshold + 1) / (steady - threshold))  # V = D + (V0 - D) exp(-t / tau)
        assert leaky_rate(drive, dt_s, tau_s, threshold) == pytest.approx(dt_s / interval)
        assert steady + (threshold - 1 - steady) * math.exp(-interval / tau_s) == pytest.approx(threshold)
    assert leaky_rate(threshold * (1 - math.exp(-dt_s / tau_s)) * 0.999, dt_s, tau_s, threshold) == 0
    assert leaky_rate(-1.0, dt_s, tau_s, threshold) == 0


def test_leaky_rate_without_a_leak_is_the_drive():
    assert leaky_rate(0.3, 1e-3, math.inf) == pytest.approx(0.3)
    assert leaky_rate(-0.3, 1e-3, math.inf) == 0


def test_the_leak_neutral_threshold_has_less_bias_than_threshold_one():
    drive = torch.linspace(0.2, 0.9, 71, dtype=torch.float64)
    bias = {}
    for threshold in (0.5, 1.0):
        spikes, _ = trains(LeakyNeuron(5e-3, 0.0, threshold), drive, 1000)
        bias[threshold] = float((spikes[100:].mean(0) - drive).mean())
    leak = 1 - decay(1e-3, 5e-3)
    assert abs(bias[0.5]) < 0.1 * abs(bias[1.0])
    assert bias[1.0] == pytest.approx(-leak / 2, rel=0.2)  # (1 - beta) times the mean of V, which is 1/2


def test_what_lies_below_the_resolution_of_a_leaky_neuron_never_fires():
    """A leaky neuron remembers 1 / (1 - beta) steps: drives below (1 - beta) / 2 stay silent."""
    limit = (1 - decay(1e-3, 20e-3)) / 2
    spikes, _ = trains(LeakyNeuron(20e-3, 0.0), [0.99 * limit, 1.01 * limit], 2000)
    assert spikes.sum(0).tolist()[0] == 0
    assert spikes.sum(0).tolist()[1] > 0


def test_decay_has_its_limits():
    assert decay(1e-3, 0.0) == 0.0
    assert decay(1e-3, math.inf) == 1.0
    assert decay(1e-3, 20e-3) == pytest.approx(math.exp(-0.05))
    assert decay(1e-3, 1e-12) == 0.0


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"tau_mem_s": 0.0}, "tau_mem"), ({"tau_mem_s": -1.0}, "tau_mem"), ({"tau_mem_s": math.nan}, "tau_mem"),
        ({"tau_syn_s": -1e-3}, "tau_syn"), ({"tau_syn_s": math.inf}, "tau_syn"), ({"tau_syn_s": math.nan}, "tau_syn"),
        ({"v_threshold": 0.0}, "v_threshold"), ({"v_threshold": 1.5}, "v_threshold"),
        ({"v_threshold": math.nan}, "v_threshold"),
    ],
)  # fmt: skip
def test_parameters_that_are_none_are_refused_by_name(parameters, named):
    with pytest.raises(ConfigError, match=f"{named}: got"):
        LeakyNeuron(**parameters)
