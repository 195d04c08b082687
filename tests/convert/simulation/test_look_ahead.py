"""Look-ahead repair: the engine against the reference, the law against its words, and what it costs."""

import math
from dataclasses import replace

import pytest
import torch

from convert import convert, trace
from convert.config import ConvertConfig
from convert.errors import ConfigError, GraphError
from convert.neurons.burst import BurstNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.simulation.engine import engines_of, simulate, simulate_until
from convert.simulation.look_ahead import repairs, restarted
from convert.simulation.module import SpikingModule
from convert.simulation.reference import simulate_reference
from convert.writing.artefact import from_bytes, to_bytes
from convert.writing.nir import to_nir
from tests.oracles.conversions import converted
from tests.oracles.networks import network, samples

IF = LeakyNeuron(math.inf, 0.0)
NAMES = ["mlp", "conv norm average", "residual", "max pool", "ends with neurons", "tanh"]


def train(neuron, start, drive):
    """Spikes of every step and the last potential, (steps, ...)."""
    state, spikes = neuron.start(start.clone()), []
    for current in drive:
        state, fired = neuron.step(state, current, torch.ones(()), 1e-3)
        spikes.append(fired)
    return torch.stack(spikes), state.v


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ahead", [1, 4, 20])
def test_the_engine_starts_where_the_reference_does(name, ahead):
    snn, x = converted(name)
    snn, x = replace(snn, look_ahead=ahead), x[:5]
    record = (1, 7, 12)
    fast, slow = simulate(snn, x, 12, record), simulate_reference(snn, x, 12, record)
    for site in snn.sites:
        assert torch.equal(fast.counts[site].double(), slow.counts[site])
        assert torch.equal(fast.spikes[site], slow.spikes[site])
    torch.testing.assert_close(fast.output, slow.output, rtol=1e-9, atol=1e-9)
    parts = [simulate(snn, x[i : i + 2], 12) for i in (0, 2, 4)]
    assert torch.equal(torch.cat([part.output for part in parts], dim=1), fast.output)  # each sample is tried alone


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_a_spike_too_many_falls_away_and_one_too_few_is_fired(threshold):
    """Against brute force: the nearest start on the lattice, a quantum away or more, that changes that spike."""
    g = torch.Generator().manual_seed(0)
    neuron, steps = replace(IF, v_threshold=threshold), 6
    drive = torch.round(torch.randn((steps, 100), generator=g, dtype=torch.float64) * 2**6) / 2**6
    start = torch.zeros(100, dtype=torch.float64)
    before, last = train(neuron, start, drive)
    again = restarted(neuron, start, drive, steps)
    after, _ = train(neuron, again, drive)
    up, down = again > start, again < start
    assert torch.equal(down, (last < threshold - 1) & (before.sum(0) > 0))
    assert torch.equal(up, (last >= threshold) & (before.sum(0) < steps))
    assert bool(up.any()) and bool(down.any()) and bool((again == start).any())
    assert bool((after.sum(0)[down] < before.sum(0)[down]).all()) and bool((after.sum(0)[up] > before.sum(0)[up]).all())
    assert float((again - start)[up | down].abs().min()) == 1.0
    for k in (up | down).nonzero().flatten().tolist():
        way = float(torch.sign(again[k] - start[k]))
        v, s = torch.zeros(()).double(), []
        for t in range(steps):  # potentials before the reset, and what was fired
            v = v + drive[t, k]
            s.append((float(v), bool(v >= threshold)))
            v = v - float(s[-1][1])
        wanted = [p for p, fired in s if fired == (way < 0)]
        least = next(d for d in (n / 2**14 for n in range(1, 2**17))
                     if (max(wanted) + d >= threshold if way > 0 else min(wanted) - d < threshold))  # fmt: skip
        assert float(again[k] - start[k]) == way * max(1.0, float(least))


def test_a_constant_drive_needs_no_repair():
    drive = torch.linspace(-0.5, 1.0, 97, dtype=torch.float64)[None]
    start = torch.zeros(97, dtype=torch.float64)
    again = restarted(IF, start, drive, 8)
    low = 8 * drive[0] < -0.5  # below the rest, but without a spike to take away
    assert torch.equal(again, start) and bool(low.any())


def test_after_it_fewer_counts_are_off_what_the_charge_asks_for():
    """The second population's charge is known: the first has a constant drive, and needs no repair."""
    snn, x = converted("mlp")
    first, second = snn.sites
    steps = 8
    plain = simulate(snn, x, steps).counts
    repaired = simulate(replace(snn, look_ahead=steps), x, steps).counts
    assert torch.equal(plain[first], repaired[first])
    op = snn.graph[snn.graph[second].inputs[0]].op
    charge = plain[first].double() @ op.weight.T + steps * op.bias
    asked = torch.floor(charge + 0.5).clamp(0, steps)
    wrong = [int((counts[second].double() != asked).sum()) for counts in (plain, repaired)]
    assert wrong[1] < 0.5 * wrong[0]


def test_its_spikes_are_counted_and_its_steps_are_latency():
    snn, x = converted("mlp")
    ahead = replace(snn, look_ahead=4)
    assert (snn.look_ahead_steps(), ahead.look_ahead_steps()) == (0, 4 * len(snn.sites))
    got = simulate(ahead, x, 6, (4, 6))
    for name in snn.sites:
        sent = simulate(ahead, x, 4).counts[name].sum(0).double()
        assert torch.equal(got.spikes[name][0], 2 * sent)  # the corrected train of the trial, and the same again
        assert torch.equal(got.spikes[name][1], got.counts[name].sum(0) + sent)


def test_the_starts_of_samples_are_not_those_of_the_kernel():
    snn, _ = converted("mlp")
    assert set(engines_of(replace(snn, look_ahead=2)).values()) == {"dense"}


def test_samples_that_leave_early_have_looked_ahead_too():
    snn, x = converted("residual")
    ahead = replace(snn, look_ahead=4)
    whole = simulate(ahead, x, 8, (8,))

    def by_chance(said, steps):
        return torch.floor(said.sum(1) * 64) % 2 == 0

    left = simulate_until(ahead, x, 8, by_chance, every=2)
    assert {2, 8} <= set(left.steps.tolist())
    for k, steps in enumerate(left.steps.tolist()):
        assert torch.equal(left.output[k], whole.output[steps - 1, k])
    early = {name: simulate(ahead, x, 1, (1,)).spikes[name][0] for name in snn.sites}
    assert all(bool((left.spikes[name] >= early[name]).all()) for name in snn.sites)


def test_only_plain_neurons_are_repaired():
    assert repairs(IF)
    assert not any(repairs(n) for n in (LeakyNeuron(), LeakyNeuron(20e-3, 0.0), BurstNeuron(math.inf, 0.0)))
    snn, x = converted("tanh")
    plain, ahead = simulate(snn, x, 8), simulate(replace(snn, look_ahead=4), x, 8)
    assert torch.equal(plain.output, ahead.output)


def test_a_saved_network_looks_ahead_as_before():
    snn, x = converted("residual")
    ahead = replace(snn, look_ahead=3)
    again = from_bytes(to_bytes(ahead))
    assert again.look_ahead == 3 and ConvertConfig.of_network(again).look_ahead == 3
    assert torch.equal(simulate(again, x, 5).output, simulate(ahead, x, 5).output)
    assert b"look_ahead" not in to_bytes(snn)  # files of networks that do not are as they were


def test_a_conversion_with_a_look_ahead():
    traced, x = trace(network("mlp")[0], (8,), "mlp"), samples((8,), 30)
    config = ConvertConfig(neuron="if", look_ahead=5)
    made, plain = convert(traced, x, config), convert(traced, x, replace(config, look_ahead=0))
    assert made.snn.look_ahead == 5
    assert all(torch.equal(made.snn.sites[n].initial, plain.snn.sites[n].initial) for n in plain.snn.sites)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"neuron": "seed"}, "--neuron seed"), ({"signed": True}, "--signed"), ({"spike_values": 2}, "--spike-values 2"),
     ({"burst": 2}, "--burst 2"), ({"reset": "zero"}, "--reset zero"), ({"input_code": "poisson"}, "--input poisson"),
     ({"code": "differential"}, "--code differential"), ({"recipe": "exact"}, "--recipe exact"),
     ({"recipe": "radix"}, "--recipe radix"), ({"hybrid": True}, "--hybrid")],
)  # fmt: skip
def test_what_cannot_be_repaired_is_refused(options, said):
    with pytest.raises(ConfigError, match=f"--look-ahead: got 4 with {said}; expected IF"):
        ConvertConfig(**{"neuron": "if", "look_ahead": 4, **options}).check_code()
    ConvertConfig(neuron="if", look_ahead=4).check_code()


def test_what_cannot_look_ahead_says_so():
    snn, _ = converted("mlp")
    ahead = replace(snn, look_ahead=2)
    with pytest.raises(ConfigError, match="SpikingModule: got a network that looks 2 steps ahead"):
        SpikingModule(ahead)
    with pytest.raises(ConfigError, match="--nir: got a network that looks 2 steps ahead"):
        to_nir(ahead, "native")
    for steps in (-1, 65):
        with pytest.raises(GraphError, match=f"look-ahead of {steps} steps"):
            replace(snn, look_ahead=steps)
    with pytest.raises(GraphError, match="look-ahead of 2 steps in a network of code 'rate' and input code 'poisson'"):
        replace(ahead, input_code="poisson")
