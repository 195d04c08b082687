import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convert.errors import ConfigError
from convert.neurons.radix import MOST_DIGITS, RadixNeuron

ONE = torch.ones((), dtype=torch.float64)


def period(neuron, charge, quantum=ONE):
    """The digits of one period, (K, ...), and what is left on the membrane."""
    state, digits = neuron.start(torch.zeros_like(charge)), []
    for t in range(neuron.bits):
        state, fired = neuron.step(state, charge if t == 0 else torch.zeros_like(charge), quantum, 1e-3)
        digits.append(fired)
    return torch.stack(digits), state.v


@pytest.mark.parametrize("bits", [1, 2, 4, 10])
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_period_says_the_rounded_charge_in_binary_digits(bits, share):
    """S = clip(floor(A + 1/2), 0, N), for every charge between -2 and 2^K + 2 in sixteenths."""
    highest = max(1, int(share * (2**bits - 1)))
    neuron = RadixNeuron(bits=bits, highest=highest)
    charge = torch.arange(-32, 16 * (2**bits + 2), dtype=torch.float64) / 16
    digits, left = period(neuron, charge)
    worth = 2.0 ** torch.arange(bits - 1, -1, -1, dtype=torch.float64)[:, None]
    count = (digits * worth).sum(0)
    assert torch.equal(count, torch.floor(charge + 0.5).clamp(0, highest))
    assert torch.equal(neuron.target(charge), count)
    assert torch.equal(neuron.digits(count), digits)
    for j in range(bits + 1):
        assert torch.equal(neuron.leading(count, j), (digits * worth)[:j].sum(0))
    inside = (charge >= -0.5) & (charge < highest + 0.5)
    assert float(left[inside].min()) >= -0.5 and float(left[inside].max()) < 0.5
    assert set(digits.unique().tolist()) == {0.0, 1.0}


@given(charge=st.floats(-1e3, 1e3), bits=st.integers(1, MOST_DIGITS), quantum=st.sampled_from([0.25, 1.0, 8.0]))
def test_a_quantum_scales_the_charge(charge, bits, quantum):
    neuron = RadixNeuron(bits=bits, highest=2**bits - 1)
    a = torch.tensor([charge], dtype=torch.float64)
    assert torch.equal(period(neuron, a)[0], period(neuron, a * quantum, quantum * ONE)[0])


def test_a_spike_is_one_bit_whatever_its_place():
    neuron = RadixNeuron(bits=6, highest=63)
    assert (neuron.payload_bits, neuron.spike_bits, neuron.signed) == (1, 0, False)
    assert neuron.trait == "radix, 6 binary digits"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"bits": 0}, "got 0 bits"), ({"bits": 11}, "got 11 bits"), ({"bits": 3, "highest": 8}, "got 8 as its highest"),
     ({"highest": 0}, "got 0 as its highest"), ({"tau_mem_s": 0.02}, "got a time constant"),
     ({"tau_syn_s": 0.002}, "got a time constant"), ({"bits": 2.5, "highest": 1}, "got 2.5 bits")],
)  # fmt: skip
def test_what_is_no_radix_neuron_is_refused(options, said):
    with pytest.raises(ConfigError, match=f"radix neuron: {said}"):
        RadixNeuron(**options)
    assert math.isinf(RadixNeuron().tau_mem_s)
