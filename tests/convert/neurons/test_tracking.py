"""The neuron that keeps its count on a curve of its charge."""

import math

import pytest
import torch

from convert.errors import ConfigError
from convert.graph.curves import CURVES, LIMITS, evaluate
from convert.neurons.leaky import decay
from convert.neurons.pieces import TOLERANCE, pieces
from convert.neurons.tracking import CurveNeuron, TwoSlopeNeuron
from tests.oracles.activations import NUMBERS

ONE = torch.ones((), dtype=torch.float64)
IDENTITY = TwoSlopeNeuron(math.inf, 0.0, slopes=(1.0,))


def curve(name, tau_mem_s=math.inf):
    made = pieces(name, NUMBERS.get(name, ()))
    return CurveNeuron(tau_mem_s, 0.0, breaks=made.breaks, rises=made.rises, offsets=made.offsets)


def train(neuron, drives, threshold=ONE, initial=0.0):
    """Spikes (steps, ...) for drives (steps, batch, ...)."""
    state, spikes = neuron.start(torch.full_like(drives[0], initial)), []
    for drive in drives:
        state, fired = neuron.step(state, drive, ONE, 1e-3, threshold)
        spikes.append(fired)
    return torch.stack(spikes)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("lam", [1.0, 2.5])
def test_the_count_is_the_curve_of_the_mean_drive_to_half_a_spike(name, lam):
    """|S - T f(x) / lam| <= 1/2 for every T, as long as one spike per step keeps up."""
    x = torch.linspace(-4, 4, 81, dtype=torch.float64)[None]
    expected = evaluate(name, NUMBERS.get(name, ()), x)
    kept_up = (expected.abs() < lam) & (x.abs() - 0.3).abs().gt(1e-9)  # hard shrink jumps at 0.3
    counts = train(curve(name), (x / lam).expand(128, *x.shape), ONE * lam).cumsum(0)
    steps = torch.arange(1, 129, dtype=torch.float64).reshape(-1, 1, 1)
    off = (counts - steps * expected / lam).abs() - steps * 1.1 * TOLERANCE / lam
    assert float(off[:, kept_up].max()) <= 0.5 + 1e-9
    assert counts.any()


@pytest.mark.parametrize("neuron", [curve("gelu"), curve("tanhshrink"), TwoSlopeNeuron(math.inf, 0.0, slopes=(-0.5,))],
                         ids=["gelu", "tanhshrink", "a slope below zero"])  # fmt: skip
def test_the_order_of_the_charge_does_not_matter_in_the_end(neuron):
    drives = 0.5 * torch.randn(200, 1, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    forward, backward = (train(neuron, d, ONE * 2).sum(0) for d in (drives, drives.flip(0)))
    assert float((forward - backward).abs().max()) <= 1  # the same sum but for its last digit


@pytest.mark.parametrize("tau_mem_s", [math.inf, 20e-3])
def test_with_the_identity_it_is_the_signed_leaky_neuron(tau_mem_s):
    drives = torch.randint(-900, 900, (150, 1, 40), generator=torch.Generator().manual_seed(1)).double() / 1024
    neuron, beta = TwoSlopeNeuron(tau_mem_s, 0.0, slopes=(1.0,)), decay(1e-3, tau_mem_s)
    v, expected = torch.zeros(1, 40).double() + 0.125, []
    for drive in drives:
        v = beta * v + drive
        fired = torch.sign(v) * (v.abs() >= 0.5)
        v = v - fired
        expected.append(fired)
    assert torch.equal(train(neuron, drives, initial=0.125), torch.stack(expected))


@pytest.mark.parametrize("name", ["gelu", "sigmoid", "elu", "softsign"])
def test_a_leak_costs_no_more_than_its_resolution(name):
    """With a leak the count forgets as the charge does: rates are right to (1 - beta) / 2."""
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)[None]
    rate = train(curve(name, 20e-3), (x / 2).expand(2000, *x.shape), ONE * 2)[200:].mean(0)
    assert float((rate * 2 - evaluate(name, NUMBERS.get(name, ()), x)).abs().max()) <= 2 * (1 - decay(1e-3, 20e-3)) / 2


def test_slopes_belong_to_channels():
    neuron = TwoSlopeNeuron(math.inf, 0.0, slopes=(0.5, -0.25, 0.0))
    counts = train(neuron, torch.full((64, 2, 3, 2, 2), -0.5).double()).sum(0)
    assert counts[0, :, 0, 0].tolist() == [-16, 8, 0]
    assert torch.equal(counts[1, :, 1, 1], counts[0, :, 0, 0])


@pytest.mark.parametrize("name", CURVES)
def test_the_pieces_are_as_close_as_they_say(name):
    made = pieces(name, NUMBERS.get(name, ()))
    x = torch.cat([torch.linspace(-40, 40, 100_001), torch.logspace(0, 4, 1000), -torch.logspace(0, 4, 1000)]).double()
    x = x[(x.abs() - 0.3).abs() > 1e-3] if name == "hardshrink" else x
    breaks, rises, offsets = (torch.tensor(p, dtype=torch.float64) for p in (made.breaks, made.rises, made.offsets))
    k = torch.bucketize(x, breaks, right=True)
    y = rises[k] * x + offsets[k]
    worst = float((y - evaluate(name, NUMBERS.get(name, ()), x)).abs().max())
    assert worst <= max(made.error, 1e-12) * 1.05 + 1e-6
    assert made.error <= 1.05 * TOLERANCE
    assert len(made.rises) < 1000
    if name in LIMITS:
        assert float(y.abs().max()) <= LIMITS[name] + TOLERANCE


@pytest.mark.parametrize(
    "make",
    [lambda: TwoSlopeNeuron(slopes=()), lambda: TwoSlopeNeuron(slopes=(math.nan,)),
     lambda: CurveNeuron(breaks=(1.0, 0.0), rises=(0.0,) * 3, offsets=(0.0,) * 3),
     lambda: CurveNeuron(breaks=(0.0,), rises=(1.0,), offsets=(0.0, 0.0)),
     lambda: CurveNeuron(breaks=(math.inf,))],
)  # fmt: skip
def test_damaged_tables_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
