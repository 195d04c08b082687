import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.errors import ConfigError
from convert.graph import ir
from convert.neurons.differential import DifferentialNeuron, reciprocal
from convert.neurons.families import Law, make_neuron
from convert.neurons.graded import halving
from tests.oracles.loops import differential_train

ONE = torch.ones((), dtype=torch.float64)
DRIVES = torch.arange(-64, 257, dtype=torch.float64) / 128


def emitted(neuron, currents):
    """Spikes and estimates of every step, (steps, ...) each."""
    state, spikes, said = neuron.start(torch.zeros_like(currents[0])), [], []
    for current in currents:
        state, fired = neuron.step(state, current, ONE, 1e-3)
        spikes.append(fired)
        said.append(state.credit)
    return torch.stack(spikes), torch.stack(said)


def decoded(arriving, rest):
    """The drive of every step, from what arrives in it."""
    drives, estimate = [], rest
    for t, x in enumerate(arriving, start=1):
        drives.append(x + estimate)
        estimate = estimate + reciprocal(t) * x
    return torch.stack(drives)


@settings(max_examples=200, deadline=None)
@given(
    arriving=st.lists(st.integers(-40, 40), min_size=1, max_size=25), rest=st.integers(-30, 60),
    levels=st.sampled_from([1, 2, 4]), part=st.sampled_from([0.625, 0.75, 1.0]), bounded=st.booleans(),
)  # fmt: skip
def test_the_neuron_is_the_loop_over_numbers(arriving, rest, levels, part, bounded):
    least = halving(levels)[-1]
    neuron = DifferentialNeuron(v_threshold=part, values=halving(levels), ceiling=1.0 if bounded else math.inf)
    gains = [Fraction(reciprocal(t)) for t in range(1, len(arriving) + 1)]
    values = [Fraction(v) for v in halving(levels)]
    train, _, told = differential_train(
        [Fraction(x, 32) for x in arriving], Fraction(rest, 32), values, Fraction(part * least), gains,
        Fraction(1) if bounded else None,
    )  # fmt: skip
    sums = torch.tensor(arriving, dtype=torch.float64)[:, None] / 32
    spikes, said = emitted(neuron, decoded(sums, torch.tensor([rest / 32], dtype=torch.float64)))
    assert [Fraction(s) for s in spikes.flatten().tolist()] == train
    assert [Fraction(s) for s in said.flatten().tolist()] == told


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=40), st.integers(-20, 40))
def test_a_decoded_train_has_its_last_estimate_as_its_mean(arriving, rest):
    """The identity of the module's docstring, with 1 / t itself."""
    gains = [Fraction(1, t) for t in range(1, len(arriving) + 1)]
    values = [Fraction(1), Fraction(1, 2)]
    train, heard, told = differential_train(
        [Fraction(x, 16) for x in arriving], Fraction(rest, 16), values, Fraction(3, 8), gains
    )
    sent = sum(s + r for s, r in zip(train, [Fraction(0), *told], strict=False))
    came = sum(Fraction(x, 16) + r for x, r in zip(arriving, [Fraction(rest, 16), *heard], strict=False))
    assert sent == len(train) * told[-1]
    assert came == len(train) * heard[-1]


@pytest.mark.parametrize(("part", "levels"), [(0.75, 1), (0.75, 4), (1.0, 4)])
def test_at_a_constant_drive_the_estimate_closes_in_as_one_over_t(part, levels):
    neuron, steps = DifferentialNeuron(v_threshold=part, values=halving(levels)), 200
    spikes, said = emitted(neuron, DRIVES.expand(steps, -1))
    off = (said - DRIVES.clamp(min=0)).abs().max(1).values
    for t in (20, 60, 200):  # 2 quanta are owed at most, and the table of 1 / t is right to 2^-17
        assert float(off[t - 1]) <= part * halving(levels)[-1] / t + 2.0**-10
    assert float(spikes.count_nonzero(0).double().mean()) < 5
    assert not bool(spikes[:, DRIVES <= 0].any())


def test_a_neuron_that_is_right_is_silent():
    spikes, said = emitted(DifferentialNeuron(values=halving(4)), (DRIVES[64:193:16]).expand(100, -1))
    single = torch.isin(DRIVES[64:193:16], torch.tensor([1.0, 0.5, 0.25, 0.125], dtype=torch.float64))
    assert spikes[0][single].tolist() == DRIVES[64:193:16][single].tolist()
    assert not bool(spikes[1:, single].any())
    assert torch.equal(said[-1][single], DRIVES[64:193:16][single])


def test_an_estimate_stays_between_nothing_and_the_ceiling():
    currents = 1.5 * torch.randn((200, 500), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for levels in (1, 3):
        free, said = emitted(DifferentialNeuron(values=halving(levels)), currents)
        assert float(said.min()) >= 0.0
        assert float(said.max()) > 1.0
        assert bool((free < 0).any())
        assert set(free.unique().abs().tolist()) <= {0.0, *halving(levels)}
        _, bounded = emitted(DifferentialNeuron(values=halving(levels), ceiling=1.0), currents)
        assert float(bounded.min()) >= 0.0
        assert float(bounded.max()) == 1.0


def test_below_half_a_value_a_correction_would_call_for_the_next():
    """Why the door refuses: at 1/2 the equations fire in most steps for ever."""
    drive, gains = Fraction(3, 10), [Fraction(1, t) for t in range(1, 101)]
    restless = differential_train([Fraction(0)] * 100, drive, [Fraction(1)], Fraction(1, 2), gains)[0]
    calm = differential_train([Fraction(0)] * 100, drive, [Fraction(1)], Fraction(3, 4), gains)[0]
    assert sum(s != 0 for s in restless) > 60
    assert sum(s != 0 for s in calm) < 6


@pytest.mark.parametrize(
    ("options", "said"),
    [({"v_threshold": 0.5}, "every correction calls for the next"), ({"tau_mem_s": 0.02}, "neither leak nor"),
     ({"tau_syn_s": 0.002}, "neither leak nor"), ({"ceiling": 0.0}, "ceiling: got"),
     ({"values": (0.5,)}, "values: got"),
     ({"takes_back": False}, "a neuron that takes back")],
)  # fmt: skip
def test_parameters_that_make_no_code_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        DifferentialNeuron(**options)


@pytest.mark.parametrize("op", [ir.Tanh(), ir.Curve("gelu"), ir.Clamp(-1.0, 1.0), ir.LeakyRelu(torch.tensor([0.1]))])
def test_activations_of_both_signs_are_refused_by_name(op):
    with pytest.raises(ConfigError, match=f"--code differential: got a network with {type(op).__name__}"):
        make_neuron(op, math.inf, 0.0, Law(code="differential"))


def test_the_law_makes_the_neuron():
    made = make_neuron(ir.Relu(), math.inf, 0.0, Law(levels=4, code="differential", correction=0.9))
    assert made == DifferentialNeuron(v_threshold=0.9, values=halving(4))
    assert made.payload_bits == 3
    assert made.trait == "differential, signed, 4 values"
    assert make_neuron(ir.Clamp(0.0, 6.0), math.inf, 0.0, Law(code="differential")).ceiling == 1.0


def test_one_over_t_is_the_nearest_multiple():
    assert [reciprocal(t) for t in (1, 2, 4, 64)] == [1.0, 0.5, 0.25, 1 / 64]
    for t in range(1, 300):
        assert abs(reciprocal(t) - 1 / t) <= 2.0**-17
        assert (reciprocal(t) * 2**16).is_integer()
