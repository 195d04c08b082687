"""The radix code: one dense pass against neurons that are stepped, and against the quantised network."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

from convert import convert, trace
from convert.config import ConvertConfig
from convert.errors import CalibrationError, ConfigError, GraphError, InputShapeError
from convert.graph.folding import fold
from convert.network import threshold_balanced
from convert.neurons.radix import RadixNeuron
from convert.normalisation.quantisation import evened, quantise, quantise_in_digits
from convert.recipes import recipe
from convert.simulation.engine import simulate
from convert.simulation.module import SpikingModule
from convert.simulation.periods import period_length, period_steps, periods, simulate_radix
from convert.simulation.quiescence import simulate_exact
from convert.simulation.reference import simulate_reference
from convert.writing.artefact import from_bytes, to_bytes
from convert.writing.nir import to_nir
from tests.oracles.conversions import fitted, folded
from tests.oracles.graphs import WORDS, grown
from tests.oracles.networks import network, samples
from tests.oracles.radix_steps import stepped

NAMES = ["mlp", "relu6", "conv norm average", "residual", "max pool", "ends with neurons"]


def made(graph, x, bits=4):
    even = evened(graph)
    return quantise_in_digits(even, fitted(even, x), bits, 1e-3, float(x.abs().max()))


def named(name, bits=4):
    graph = folded(name)
    x = samples(graph.input.shape, 8)
    return made(graph, x, bits), x


def same_as_stepped(snn, x):
    """Every spike and every read-out, bit for bit."""
    outputs, fired, counts = stepped(snn, x)
    last = period_steps(snn)
    got = simulate_radix(snn, x, range(1, last + 1))
    assert len(outputs) == last == len(got.output)
    assert torch.equal(got.output, torch.stack(outputs) * snn.scales[snn.graph.output])
    for name in snn.sites:
        assert torch.equal(got.counts[name], counts[name])
        assert torch.equal(got.spikes[name], torch.stack(fired[name]).sum(1).cumsum(0))
    return got


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits", [1, 4, 7])
def test_one_dense_pass_is_the_network_stepped(name, bits):
    snn, x = named(name, bits)
    got = same_as_stepped(snn, x)
    assert all(bool(value[-1].any()) for value in got.spikes.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), st.integers(0, 10**6), st.sampled_from([1, 3, 6]))
def test_every_wiring_of_rectifiers_is_the_network_stepped(words, seed, bits):
    graph = fold(grown([*words, "relu"], seed))
    x = torch.rand((3, 2, 6, 6), generator=torch.Generator().manual_seed(seed)) * 2 - 0.5
    try:
        snn = made(graph, x, bits)
    except (InputShapeError, CalibrationError):  # too many layers without neurons between them; a silent layer
        reject()
    except ConfigError as error:
        assert "--recipe radix: got" in str(error)
        reject()
    same_as_stepped(snn, x)


@pytest.mark.parametrize("name", NAMES)
def test_the_counts_are_those_of_the_exact_mode(name):
    """Both end in the quantised network: the one after L periods, the other at rest."""
    snn, x = named(name, 4)
    graph = evened(folded(name))
    counting = quantise(graph, fitted(graph, x), 15, 1e-3, float(x.abs().max()))
    settled, got = simulate_exact(counting, x), simulate_radix(snn, x)
    assert torch.equal(got.output[-1], settled.output)
    for site in snn.sites:
        assert torch.equal(got.counts[site], settled.counts[site])
        assert float(got.spikes[site].sum()) <= float(settled.spikes[site].sum())  # digits, not unary counts


def test_latency_is_a_period_for_each_layer():
    """The second population of a block with an identity path fires two periods after the first."""
    snn, x = named("residual", 5)
    assert list(periods(snn).values()) == [1, 2, 3, 4, 5]
    assert (period_length(snn), period_steps(snn)) == (5, 25)
    got = simulate_radix(snn, x, (4, 5, 6, 25))
    first, second, *_, last = snn.sites
    assert float(got.spikes[second][:2].sum()) == 0 < float(got.spikes[second][2].sum())
    assert torch.equal(got.spikes[first][1], got.spikes[first][3])
    assert bool((got.output[:20] == got.output[0]).all())  # before the last layer fires, no sample is told from another
    assert not torch.equal(got.output[-1], got.output[0])
    assert float(got.spikes[last][2].sum()) == 0


def test_more_digits_come_nearer_to_the_network():
    traced, x = trace(network("mlp")[0], (8,), "mlp"), samples((8,), 60)
    errors = []
    for bits in (2, 4, 6, 8):
        conversion = convert(traced, x, recipe("radix").config(radix_bits=bits))
        expected = network("mlp")[0](x).detach().double()
        errors.append(float((simulate_radix(conversion.snn, x).output[-1] - expected).norm() / expected.norm()))
    assert all(after < 0.5 * before for before, after in itertools.pairwise(errors))
    assert errors[-1] < 0.01


def test_a_saved_network_says_the_same():
    snn, x = named("residual", 6)
    again = from_bytes(to_bytes(snn))
    assert again.code == "radix"
    a, b = simulate_radix(snn, x), simulate_radix(again, x)
    assert torch.equal(a.output, b.output) and all(torch.equal(a.counts[n], b.counts[n]) for n in a.counts)
    config = ConvertConfig.of_network(again)
    assert (config.recipe, config.radix_bits) == ("radix", 6)
    remembered = {"config": json.dumps(recipe("radix").config(radix_bits=3).as_record())}
    assert ConvertConfig.of_network(replace(again, provenance=remembered)).radix_bits == 6


def test_what_has_no_digits_is_refused():
    x = samples((8,), 20)
    with pytest.raises(ConfigError, match=r"--recipe radix: got .*\(Tanh\), .*\(Tanh\); expected ReLU"):
        convert(trace(network("tanh")[0], (8,), "tanh"), x, recipe("radix").config())
    with pytest.raises(ConfigError, match="--input: got 'poisson' with --recipe radix"):
        recipe("radix").config(input_code="poisson")
    with pytest.raises(ConfigError, match="--bits: got 11; expected 1 to 10"):
        recipe("radix").config(radix_bits=11)
    module = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    conversion = convert(trace(module, (8,), "plain"), None, recipe("radix").config())  # bounds from the weights
    assert conversion.snn.code == "radix"


def test_another_code_is_refused_everywhere():
    snn, x = named("mlp")
    rates = convert(trace(network("mlp")[0], (8,), "mlp"), x, ConvertConfig(neuron="if")).snn
    for run, wrong in ((simulate_radix, rates), (simulate_exact, snn)):
        with pytest.raises(ConfigError, match="mode: got a network of code"):
            run(wrong, x)
    for run in (lambda: simulate(snn, x, 4), lambda: simulate_reference(snn, x, 4), lambda: SpikingModule(snn)):
        with pytest.raises(ConfigError, match="got a radix-coded network"):
            run()
    with pytest.raises(ConfigError, match="--nir: got a radix-coded network"):
        to_nir(snn, "faithful")
    with pytest.raises(ConfigError, match=r"record: got \(9,\); expected steps between 1 and 8"):
        simulate_radix(snn, x, (9,))
    with pytest.raises(InputShapeError):
        simulate_radix(snn, x[:, :3])


def test_parts_of_two_codes_do_not_go_together():
    snn, _ = named("mlp")
    with pytest.raises(GraphError, match="got a RadixNeuron in a network of code 'rate'"):
        replace(snn, code="rate")
    with pytest.raises(GraphError, match="of code 'radix'; expected neither"):
        threshold_balanced(snn)
    first = next(iter(snn.sites))
    longer = replace(snn.sites[first], neuron=RadixNeuron(bits=5, highest=15))
    with pytest.raises(GraphError, match="radix neurons of 4, 5 digits; expected one period for all"):
        replace(snn, sites={**snn.sites, first: longer})
    with pytest.raises(GraphError, match="input code 'poisson'"):
        replace(snn, input_code="poisson")
