import math

import pytest
import torch

from convert.errors import ConfigError
from convert.neurons.graded import GradedNeuron, halving
from convert.neurons.hard_reset import HardResetNeuron

ONE = torch.ones((), dtype=torch.float64)
DRIVES = torch.arange(-64, 129, dtype=torch.float64) / 128


def emitted(neuron, currents):
    """Spikes of every step, (steps, ...)."""
    state, spikes = neuron.start(torch.zeros_like(currents[0])), []
    for current in currents:
        state, fired = neuron.step(state, current, ONE, 1e-3)
        spikes.append(fired)
    return torch.stack(spikes)


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_at_a_constant_drive_the_signed_neuron_rounds_the_rectified_charge(steps):
    counts = emitted(GradedNeuron(math.inf, 0.0), DRIVES.expand(steps, -1)).sum(0)
    assert torch.equal(counts, torch.floor(steps * DRIVES + 0.5).clamp(0, steps))


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("steps", [2, 5])
def test_more_values_resolve_a_constant_drive_more_finely(levels, steps):
    neuron = GradedNeuron(math.inf, 0.0, values=halving(levels))
    total = emitted(neuron, DRIVES.expand(steps, -1)).sum(0)
    least = 2.0 ** -(levels - 1)
    error = (total - steps * DRIVES.clamp(min=0)).abs()
    widest = max(growth for _, _, growth in neuron.rungs())  # gap between two neighbouring values
    assert float(error.max()) <= widest / 2
    assert torch.equal(total / least, (total / least).round())


def test_a_surplus_is_taken_back_but_never_more_than_was_sent():
    g = torch.Generator().manual_seed(0)
    currents = torch.randn((200, 500), generator=g, dtype=torch.float64)
    for levels in (1, 3):
        spikes = emitted(GradedNeuron(math.inf, 0.0, values=halving(levels)), currents)
        assert float(spikes.cumsum(0).min()) == 0.0
        assert bool((spikes < 0).any())
        assert set(spikes.unique().abs().tolist()) <= {0.0, *halving(levels)}
    alone = emitted(GradedNeuron(math.inf, 0.0, takes_back=False), currents)
    assert float(alone.min()) == 0.0


def test_what_arrives_too_early_is_corrected():
    pushed = torch.tensor([[1.0], [1.0], [-2.0], [0.0]], dtype=torch.float64)
    assert emitted(GradedNeuron(math.inf, 0.0), pushed).flatten().tolist() == [1, 1, -1, -1]


@pytest.mark.parametrize(("levels", "bits", "payload"), [(1, 0, 1), (2, 1, 2), (4, 3, 3), (8, 7, 4)])
def test_a_spike_says_which_value_it_is(levels, bits, payload):
    neuron = GradedNeuron(values=halving(levels))
    assert (neuron.spike_bits, neuron.payload_bits) == (bits, payload)


@pytest.mark.parametrize("values", [(), (0.5,), (1.0, 1.0), (1.0, 0.3), (1.0, 0.0), (1.0, math.nan)])
def test_values_that_are_no_magnitudes_are_refused(values):
    with pytest.raises(ConfigError, match=r"values: got .*; expected magnitudes"):
        GradedNeuron(values=values)


@pytest.mark.parametrize("steps", [10, 50])
def test_reset_to_zero_loses_what_is_above_the_threshold(steps):
    drives = torch.tensor([0.25, 0.3, 0.4, 0.5, 0.6, 0.9, 1.0], dtype=torch.float64)
    counts = emitted(HardResetNeuron(math.inf, 0.0), drives.expand(steps, -1)).sum(0)
    expected = torch.tensor([float(steps // math.ceil(1 / d)) for d in drives.tolist()], dtype=torch.float64)
    assert torch.equal(counts, expected)
