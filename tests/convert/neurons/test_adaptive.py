import math

import pytest
import torch

from convert.errors import ConfigError
from convert.neurons.adaptive import AdaptiveNeuron, constant_quantum, quantum_of_tanh
from tests.oracles.loops import adaptive_train

ONE = torch.ones((), dtype=torch.float64)
DRIVES = torch.linspace(-2.5, 2.5, 91, dtype=torch.float64)


def counts(neuron, drive, steps, dt_s=1e-3):
    state, total = neuron.start(torch.zeros_like(drive)), torch.zeros_like(drive)
    for _ in range(steps):
        state, spikes = neuron.step(state, drive, ONE, dt_s)
        total += spikes
    return total, state


def test_the_quantum_of_tanh_is_its_inverse_over_its_argument():
    table = quantum_of_tanh()
    assert len(table) == 257
    assert table[0] == 1.0
    for i in range(1, 256):
        r = i / 256
        assert math.tanh(r * table[i]) == pytest.approx(r)
        assert table[i] > table[i - 1]
    assert table[255] < table[256] < math.inf
    assert table[26] == pytest.approx(1 + (26 / 256) ** 2 / 3, abs=1e-4)  # 1 + r^2 / 3 + ...


def test_the_quantum_is_read_at_the_nearest_rate_of_either_sign():
    neuron, table = AdaptiveNeuron(), torch.tensor(quantum_of_tanh(), dtype=torch.float64)
    rates = torch.tensor([0.0, 0.5, -0.5, 0.5 + 0.4 / 256, 1.0, -1.0, 1.7], dtype=torch.float64)
    expected = table[torch.tensor([0, 128, 128, 128, 256, 256, 256])]
    assert torch.equal(neuron.quantum(rates, table), expected)


@pytest.mark.parametrize(
    ("quanta", "curve"), [(quantum_of_tanh(), torch.tanh), (constant_quantum(), lambda x: x.clamp(-1, 1))],
    ids=["tanh", "hard tanh"],
)  # fmt: skip
def test_the_rate_tends_to_the_curve(quanta, curve):
    neuron = AdaptiveNeuron(math.inf, 0.0, quanta=quanta, tau_adapt_s=math.inf)
    errors = []
    for steps in (16, 128, 1024):
        total, _ = counts(neuron, DRIVES, steps)
        errors.append(float((total / steps - curve(DRIVES)).abs().mean()))
    assert errors[0] > 3 * errors[1] > 6 * errors[2]
    assert errors[2] < 0.003


@pytest.mark.parametrize("tau_mem_s", [math.inf, 20e-3])
def test_the_rate_of_the_default_neuron_is_near_tanh(tau_mem_s):
    total, _ = counts(AdaptiveNeuron(tau_mem_s, 0.0), DRIVES, 1000)
    error = total / 1000 - torch.tanh(DRIVES)
    assert float(error.abs().mean()) < 0.02
    assert float(error.abs().max()) < 0.08


@pytest.mark.parametrize("quanta", [quantum_of_tanh(), constant_quantum()], ids=["tanh", "hard tanh"])
def test_the_neuron_is_odd(quanta):
    total, state = counts(AdaptiveNeuron(20e-3, 0.0, quanta=quanta), DRIVES, 100)
    mirrored, mirror = counts(AdaptiveNeuron(20e-3, 0.0, quanta=quanta), -DRIVES, 100)
    assert torch.equal(mirrored, -total)
    assert torch.equal(mirror.v, -state.v)
    assert total[45] == 0


def test_spikes_have_a_sign_and_the_state_counts_steps():
    neuron = AdaptiveNeuron(math.inf, 0.0)
    state, spikes = neuron.step(
        neuron.start(torch.zeros(3).double()), torch.tensor([-0.6, 0.4, 0.5]).double(), ONE, 1e-3
    )
    assert spikes.tolist() == [-1.0, 0.0, 1.0]
    torch.testing.assert_close(state.v, torch.tensor([0.4, 0.4, -0.5]).double(), rtol=0, atol=1e-7)
    assert state.rate.tolist() == [-1.0, 0.0, 1.0]  # the first step is the whole average
    assert state.steps == 1


@pytest.mark.parametrize("tau_adapt_s", [5e-3, 100e-3, math.inf])
@pytest.mark.parametrize("tau_mem_s", [20e-3, math.inf])
def test_a_step_is_the_equation(tau_mem_s, tau_adapt_s):
    neuron = AdaptiveNeuron(tau_mem_s, 0.0, tau_adapt_s=tau_adapt_s)
    generator = torch.Generator().manual_seed(0)
    drives = 3 * torch.randn((200,), generator=generator, dtype=torch.float64)
    state, train = neuron.start(torch.zeros((), dtype=torch.float64)), []
    for drive in drives:
        state, spikes = neuron.step(state, drive, ONE, 1e-3)
        train.append(int(spikes))
    assert train == adaptive_train(drives.tolist(), tau_mem_s * 1e3, tau_adapt_s * 1e3)
    assert {-1, 0, 1} == set(train)


def test_the_gain_of_the_newest_spike_falls_until_the_time_constant():
    neuron = AdaptiveNeuron(tau_adapt_s=10e-3)
    assert [neuron.gain(t, 1e-3) for t in (1, 2, 5)] == [1.0, 0.5, 0.2]
    assert neuron.gain(1000, 1e-3) == pytest.approx(0.1)
    assert AdaptiveNeuron(tau_adapt_s=1e-6).gain(7, 1e-3) == 1.0
    assert AdaptiveNeuron(tau_adapt_s=math.inf).gain(1000, 1e-3) == 1e-3


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"tau_adapt_s": 0.0}, "tau_adapt"), ({"tau_adapt_s": math.nan}, "tau_adapt"), ({"quanta": (1.0,)}, "quanta"),
        ({"quanta": (1.0, 0.0)}, "quanta"), ({"quanta": (1.0, math.inf)}, "quanta"),
        ({"quanta": (math.nan, 1.0)}, "quanta"),
        ({"tau_mem_s": 0.0}, "tau_mem"),
    ],
)  # fmt: skip
def test_parameters_that_are_none_are_refused_by_name(parameters, named):
    with pytest.raises(ConfigError, match=f"{named}: "):
        AdaptiveNeuron(**parameters)
