from dataclasses import replace

import pytest
import torch

from convert import SpikingModule
from convert.simulation import engine
from convert.simulation.engine import simulate, simulate_until
from convert.simulation.inputs import constant_current
from convert.simulation.reference import simulate_reference
from tests.oracles.conversions import converted
from tests.oracles.networks import NETWORKS


def primed(name, **options):
    network, x = converted(name, "seed", **options)
    return replace(network, primed=True), x


def assert_same_spikes(a, b):
    assert a.counts.keys() == b.counts.keys()
    for name in a.counts:
        assert torch.equal(a.counts[name].double(), b.counts[name].double()), name
        assert torch.equal(a.spikes[name].double(), b.spikes[name].double()), name


@pytest.mark.parametrize("input_code", ["constant", "poisson"])
@pytest.mark.parametrize("name", NETWORKS)
def test_all_engines_prime_their_synapses_alike(name, input_code):
    network, x = primed(name, input_code=input_code)
    runs = [simulate(network, x[:3], 37, (1, 2, 3, 20, 37), seed=5, engine=how) for how in ("dense", "auto")]
    reference = simulate_reference(network, x[:3], 37, (1, 2, 3, 20, 37), seed=5)
    assert torch.equal(runs[0].output, runs[1].output)
    for run in runs:
        assert_same_spikes(run, reference)
    assert all(float(v[-1].sum()) > 0 for v in reference.spikes.values())  # silence would agree with anything


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "max pool", "residual"])
def test_priming_changes_the_first_steps(name):
    network, x = primed(name)
    plain = simulate(replace(network, primed=False), x, 3).output
    assert not torch.equal(simulate(network, x, 3).output, plain)


@pytest.mark.parametrize("name", ["conv norm average", "max pool", "tanh"])
def test_the_length_of_a_block_does_not_matter(name, monkeypatch):
    network, x = primed(name)
    expected = simulate(network, x[:5], 40)
    for block in (1, 7, 64):
        monkeypatch.setattr(engine, "_BLOCK", block)
        monkeypatch.setattr(engine, "_EVENTS_BLOCK", block)
        for how in ("dense", "auto"):
            assert_same_spikes(simulate(network, x[:5], 40, engine=how), expected)


@pytest.mark.parametrize("name", ["mlp", "max pool"])
def test_samples_that_stay_keep_their_synapses(name):
    network, x = primed(name)
    expected = simulate(network, x[:6], 24)

    def odd(said, step):
        return torch.arange(len(said)) % 2 == 1

    exits = simulate_until(network, x[:6], 24, odd, every=5)
    for i, left in enumerate(exits.steps.tolist()):
        assert torch.equal(exits.output[i], expected.output[left - 1, i])


@pytest.mark.parametrize("name", ["mlp", "max pool", "tanh"])
def test_the_module_primes_too(name):
    network, x = primed(name)
    module, state = SpikingModule(network), None
    counts = dict.fromkeys(network.sites, 0)
    for _ in range(20):
        _, state = module(constant_current(x[:3]), state)
        counts = {site: total + state.spikes[site] for site, total in counts.items()}
    reference = simulate_reference(network, x[:3], 20)
    for site, total in counts.items():
        assert torch.equal(total, reference.counts[site]), site
