import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convert.neurons.synapse import Synapse
from convert.simulation.kernels import Filter


def test_a_primed_synapse_is_the_exponentially_weighted_mean_of_what_arrived():
    synapse = Synapse(0.002, 0.001, primed=True)
    j = torch.randn(60, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = synapse.alpha ** torch.arange(59.0, -1.0, -1.0, dtype=torch.float64)
    expected = torch.stack(
        [(weights[-t:].reshape(-1, 1, 1) * j[:t]).sum(0) / weights[-t:].sum() for t in range(1, len(j) + 1)]
    )
    kernel = Filter(synapse, torch.full((2, 5), 7.0))  # what there was before does not matter
    torch.testing.assert_close(torch.cat([kernel(j[:9]), kernel(j[9:])]), expected, rtol=1e-12, atol=1e-12)


@given(tau_ms=st.floats(0.1, 50.0), steps=st.integers(1, 100))
def test_a_constant_train_arrives_as_it_is_from_the_first_step_on(tau_ms, steps):
    train = torch.ones(steps, 1, 1, dtype=torch.float64)
    arrived = Filter(Synapse(tau_ms / 1000, 0.001, primed=True), torch.zeros(1, 1))(train)
    torch.testing.assert_close(arrived, train, rtol=1e-9, atol=0)
    late = Filter(Synapse(tau_ms / 1000, 0.001), torch.zeros(1, 1))(train)
    expected = 1 - math.exp(-1 / tau_ms) ** torch.arange(1.0, steps + 1, dtype=torch.float64)
    torch.testing.assert_close(late.flatten(), expected, rtol=1e-9, atol=1e-9)


@given(tau_ms=st.floats(0.1, 50.0))
def test_decay_constants_grow_from_zero_to_those_of_the_plain_synapse(tau_ms):
    primed, plain = Synapse(tau_ms / 1000, 0.001, primed=True), Synapse(tau_ms / 1000, 0.001)
    decays = [primed.decay(t) for t in range(1, 40)]
    assert decays[0] == 0
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(decays))
    assert decays[-1] <= plain.alpha
    assert primed.decay(100_000) == plain.decay(1) == plain.decay(7) == plain.alpha


@pytest.mark.parametrize("primed", [False, True])
def test_without_a_time_constant_there_is_no_filter(primed):
    assert [Synapse(0.0, 0.001, primed).decay(t) for t in (1, 2, 50)] == [0.0, 0.0, 0.0]
