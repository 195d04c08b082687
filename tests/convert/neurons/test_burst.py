import math

import pytest
import torch

from convert.errors import ConfigError
from convert.graph import ir
from convert.neurons.burst import MOST_IN_A_BURST, BurstNeuron
from convert.neurons.families import Law, can_burst, make_neuron
from convert.neurons.leaky import LeakyNeuron

ONE = torch.ones((), dtype=torch.float64)
DRIVES = torch.arange(-64, 6 * 128, dtype=torch.float64) / 128


def emitted(neuron, currents, quantum=ONE):
    """What is sent in every step, (steps, ...)."""
    state, spikes = neuron.start(torch.zeros_like(currents[0])), []
    for current in currents:
        state, fired = neuron.step(state, current, quantum, 1e-3)
        spikes.append(fired)
    return torch.stack(spikes)


def one_by_one(neuron, currents, dt_s=1e-3):
    """The law as it is told: after each spike the membrane is asked again, up to n times."""
    v, beta, counts = 0.0, math.exp(-dt_s / neuron.tau_mem_s), []
    for current in currents:
        v = beta * v + current
        fired = 0
        while v >= neuron.v_threshold and fired < neuron.most:
            v -= 1
            fired += 1
        counts.append(float(fired))
    return counts


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("tau_mem_s", [math.inf, 20e-3])
def test_a_burst_is_the_membrane_asked_again_after_every_spike(most, threshold, tau_mem_s):
    g = torch.Generator().manual_seed(0)
    currents = torch.round(torch.randn((200, 20), generator=g, dtype=torch.float64) * 3 * 2**14) / 2**14
    neuron = BurstNeuron(tau_mem_s, 0.0, threshold, most)
    got = emitted(neuron, currents)
    for k in range(currents.shape[1]):
        assert got[:, k].tolist() == one_by_one(neuron, currents[:, k].tolist())
    assert {0.0, float(most)} <= set(got.unique().tolist()) <= set(map(float, range(most + 1)))


@pytest.mark.parametrize("most", [1, 3, 5])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_at_a_constant_drive_it_counts_on_a_staircase_of_n_t_levels(most, threshold, steps):
    total = emitted(BurstNeuron(math.inf, 0.0, threshold, most), DRIVES.expand(steps, -1)).sum(0)
    assert torch.equal(total, torch.floor(steps * DRIVES + 1 - threshold).clamp(0, most * steps))


def test_a_burst_of_one_is_the_plain_neuron():
    currents = torch.randn((100, 50), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, burst = (emitted(neuron, currents) for neuron in (LeakyNeuron(), BurstNeuron(most=1)))
    assert torch.equal(plain, burst)


def test_a_quantum_scales_potential_and_drive_alike():
    currents = torch.randn((50, 30), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    neuron = BurstNeuron(math.inf, 0.0, most=4)
    assert torch.equal(emitted(neuron, currents * 4, 4 * ONE), emitted(neuron, currents))


def test_a_burst_is_of_plain_spikes_and_each_of_them_counts():
    neuron = BurstNeuron(most=5)
    assert (neuron.spike_bits, neuron.payload_bits, neuron.largest, neuron.signed) == (0, 1, 5.0, False)
    sent = torch.tensor([0.0, 1.0, 5.0])
    assert neuron.spikes_in(sent).tolist() == [0, 1, 5]
    assert LeakyNeuron().spikes_in(torch.tensor([0.0, -1.0, 0.5])).tolist() == [0, 1, 1]
    assert neuron.trait == "bursts of up to 5"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"most": 0}, "burst: got 0 spikes"), ({"most": MOST_IN_A_BURST + 1}, "burst: got 65"),
     ({"most": 2.5}, "burst: got 2.5"), ({"v_threshold": 0.3}, "v_threshold: got 0.3; expected a multiple")],
)  # fmt: skip
def test_what_is_no_burst_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        BurstNeuron(**options)


def test_rectifiers_burst_and_what_saturates_at_one_spike_does_not():
    law = Law(burst=3)
    for op, bursts in ((ir.Relu(), True), (ir.Clamp(0.0, 6.0), True), (ir.Clamp(-1.0, 1.0), False), (ir.Tanh(), False)):
        made = make_neuron(op, math.inf, 0.0, law)
        assert isinstance(made, BurstNeuron) is can_burst(op) is bursts
        assert made.largest == (3 if bursts else 1)
    staircase = ir.Staircase(torch.tensor(1.0), 4)
    assert type(make_neuron(staircase, math.inf, 0.0, law)) is LeakyNeuron and not can_burst(staircase)
    assert type(make_neuron(ir.Relu(), math.inf, 0.0, Law())) is LeakyNeuron
