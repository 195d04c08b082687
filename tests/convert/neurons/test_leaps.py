"""A leap of k steps at a constant drive is what k steps of the neuron's own law make of it."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convert.graph import ir
from convert.neurons.burst import BurstNeuron
from convert.neurons.counting import CountingNeuron, half_steps
from convert.neurons.differential import DifferentialNeuron
from convert.neurons.families import FAMILIES, make_neuron
from convert.neurons.graded import GradedNeuron, halving
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.leaps import leap

DT_S = 1e-3
ONE = torch.ones((), dtype=torch.float64)
IF = {"tau_mem_s": math.inf, "tau_syn_s": 0.0}
NEURONS = {
    "leaky": LeakyNeuron(0.02, 0.0),
    "adaptive": make_neuron(ir.Tanh(), 0.02, 0.0),
    "graded": GradedNeuron(**IF, values=halving(4)),
    "burst": BurstNeuron(**IF, most=3),
    "hard-reset": HardResetNeuron(**IF),
    "two-slope": make_neuron(ir.LeakyRelu(torch.tensor([0.25])), 0.02, 0.0),
    "curve": make_neuron(ir.Curve("gelu"), 0.02, 0.0),
    "differential": DifferentialNeuron(values=halving(4)),
    "counting": CountingNeuron(thresholds=half_steps(15)[0], levels=half_steps(15)[1]),
}
DRIVES = torch.linspace(-1.5, 2, 57, dtype=torch.float64)


def stepped(neuron, drive, steps, start=0.0):
    """(potential or None, sum of values, number of spikes), step by step."""
    state = neuron.start(torch.full_like(drive, start))
    total = fired = torch.zeros_like(drive)
    for _ in range(steps):
        state, value, spikes = leap(neuron, state, drive, 1, DT_S, ONE)
        total, fired = total + value, fired + spikes
    return state, total, fired


def leapt(neuron, drive, steps, start=0.0):
    return leap(neuron, neuron.start(torch.full_like(drive, start)), drive, steps, DT_S, ONE)


def test_every_family_leaps():
    assert set(NEURONS) == {*FAMILIES, "counting"}
    for neuron in NEURONS.values():
        state, total, spikes = leapt(neuron, DRIVES, 7)
        assert type(state) is type(neuron.start(DRIVES))
        assert torch.isfinite(total).all() and (spikes >= 0).all() and (spikes <= 7 * neuron.largest).all()


@pytest.mark.parametrize("name", [n for n in NEURONS if n != "differential"])
def test_a_leap_of_one_step_is_the_step(name):
    neuron = NEURONS[name]
    state, total, spikes = leapt(neuron, DRIVES, 1)
    more = (ONE,) if name in ("two-slope", "curve") else ()
    after, fired = neuron.step(neuron.start(torch.zeros_like(DRIVES)), DRIVES, ONE, DT_S, *more)
    assert torch.equal(total, fired) and torch.equal(spikes, neuron.spikes_in(fired).double())
    for ours, theirs in zip(vars(state).values(), vars(after).values(), strict=True):
        assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))


@settings(max_examples=200, deadline=None)
@given(
    drive=st.integers(-(2**11), 2**12), start=st.integers(-(2**12), 2**9), steps=st.integers(2, 70),
    threshold=st.sampled_from([0.5, 1.0]),
)  # fmt: skip
def test_an_integrate_and_fire_neuron_at_constant_drive_is_exact(drive, start, steps, threshold):
    neuron, d = LeakyNeuron(**IF, v_threshold=threshold), torch.tensor([drive / 2**10], dtype=torch.float64)
    v = min(start / 2**10, threshold - 2**-10)  # below the threshold, where every step leaves it
    state, total, spikes = leapt(neuron, d, steps, v)
    expected, counted, _ = stepped(neuron, d, steps, v)
    assert torch.equal(total, counted) and torch.equal(spikes, counted)
    assert torch.equal(state.v, expected.v)


@settings(max_examples=200, deadline=None)
@given(
    drive=st.floats(-0.5, 1.0), start=st.floats(-0.5, 0.49), steps=st.integers(2, 70),
    tau=st.sampled_from([5.0, 20.0, 100.0]),
)  # fmt: skip
@example(drive=0.921875, start=0.0, steps=33, tau=5.0)  # locked at a spike in every step: from (1 + beta) / 2 on
@example(drive=0.543, start=-0.5, steps=70, tau=5.0)  # locked at a spike in every second step
def test_a_leaky_neuron_at_constant_drive_is_as_close_as_the_leak_lets_it(drive, start, steps, tau):
    """rate = drive - (1 - beta) mean(V), and V lies within half a quantum: a locked rate is off by no more."""
    neuron, d = LeakyNeuron(tau * 1e-3, 0.0), torch.tensor([drive], dtype=torch.float64)
    state, total, _ = leapt(neuron, d, steps, start)
    expected, counted, _ = stepped(neuron, d, steps, start)
    assert abs(total - counted) <= 1 + steps * (1 - math.exp(-1 / tau)) / 2
    if not counted and not total:
        assert torch.allclose(state.v, expected.v, atol=1e-12)


def test_a_leaky_neuron_is_right_on_average():
    neuron, drives = LeakyNeuron(0.02, 0.0), torch.linspace(0.03, 1, 2000, dtype=torch.float64)
    total, counted = leapt(neuron, drives, 64)[1], stepped(neuron, drives, 64)[1]
    assert abs(float(total.sum() / counted.sum()) - 1) < 0.005


@settings(max_examples=100, deadline=None)
@given(drive=st.integers(1, 2**10), steps=st.integers(2, 70))
def test_reset_to_zero_at_constant_drive_is_exact(drive, steps):
    d = torch.tensor([drive / 2**10], dtype=torch.float64)
    assert torch.equal(leapt(HardResetNeuron(**IF), d, steps)[1], stepped(HardResetNeuron(**IF), d, steps)[1])


@settings(max_examples=100, deadline=None)
@given(drive=st.integers(-(2**10), 2**12), steps=st.integers(2, 40))
def test_a_bursting_neuron_at_constant_drive_is_exact(drive, steps):
    d = torch.tensor([drive / 2**10], dtype=torch.float64)
    assert torch.equal(leapt(NEURONS["burst"], d, steps)[1], stepped(NEURONS["burst"], d, steps)[1])


@pytest.mark.parametrize(("name", "within"), [("graded", 0.25), ("two-slope", 2), ("curve", 2), ("adaptive", 2)])
@pytest.mark.parametrize("steps", [2, 8, 33])
def test_signed_families_are_close_at_constant_drive(name, within, steps):
    drives = torch.linspace(-0.9, 0.95, 75, dtype=torch.float64)
    total, counted = leapt(NEURONS[name], drives, steps)[1], stepped(NEURONS[name], drives, steps)[1]
    assert float((total - counted).abs().max()) <= within


def test_a_signed_neuron_takes_back_what_it_has_and_no_more():
    neuron = GradedNeuron(**IF)
    state, total, _ = leapt(neuron, torch.tensor([1.0]), 3)
    assert total == 3
    state, back, spikes = leap(neuron, state, torch.tensor([-2.0]), 8, DT_S, ONE)
    assert back == -3 and spikes == 3 and state.credit == 0 and state.v == -13


@pytest.mark.parametrize("steps", [2, 8, 33])
def test_a_differential_train_says_the_drive_within_its_dead_zone(steps):
    neuron, drives = NEURONS["differential"], torch.linspace(0, 0.95, 77, dtype=torch.float64)
    state, said, _ = leapt(neuron, drives, steps)
    assert float((state.credit - drives).abs().max()) <= 0.75 * neuron.values[-1] / steps + 1e-12
    assert torch.allclose(said, steps * state.credit)


def test_a_counting_neuron_comes_to_its_level_as_fast_as_it_can():
    neuron, charge = NEURONS["counting"], torch.tensor([-3.0, 4.2, 9.9])
    state, total, _ = leap(neuron, neuron.start(torch.zeros(3)), charge, 1, DT_S, ONE)
    assert total.tolist() == [0, 1, 1]
    state, total, _ = leap(neuron, state, torch.zeros(3), 5, DT_S, ONE)
    assert state.count.tolist() == [0, 4, 6]
    assert leap(neuron, state, torch.zeros(3), 9, DT_S, ONE)[0].count.tolist() == [0, 4, 10]


@pytest.mark.parametrize("name", ["leaky", "adaptive", "graded", "hard-reset", "two-slope", "counting"])
def test_more_drive_never_makes_fewer_spikes(name):
    drives = torch.linspace(-1, 1, 201, dtype=torch.float64)
    slack = 1 if name == "adaptive" else 0  # its table of quanta has steps
    assert float(leapt(NEURONS[name], drives, 16)[1].diff().min()) >= -slack
