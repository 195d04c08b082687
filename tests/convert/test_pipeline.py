import re

import pytest
import torch

from convert.config import ConvertConfig
from convert.errors import CalibrationError
from convert.graph.semantics import run
from convert.network import SpikingNetwork
from convert.pipeline import convert, effort, with_provenance
from convert.reading.tracing import trace
from convert.simulation.engine import simulate
from tests.oracles.networks import NETWORKS, network, samples

NAMES = ["mlp", "conv norm average", "residual", "tanh", "max pool"]


def traced(name):
    return trace(*network(name))


def close(snn: SpikingNetwork, graph, x, steps):
    expected = run(graph, x)
    return float((simulate(snn, x, steps).output[-1] - expected).abs().mean() / expected.std())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("neuron", ["seed", "if"])
def test_a_converted_network_computes_what_the_original_does(name, neuron):
    model, x = traced(name), samples(network(name)[1], 64)
    conversion = convert(model, x, ConvertConfig(neuron=neuron, rule="max"))
    assert close(conversion.snn, model.graph, x, 256) < 0.25
    assert conversion.coverage == model.coverage
    assert conversion.ann is model.graph
    assert set(conversion.thresholds) == set(conversion.snn.sites) <= set(conversion.stats)


@pytest.mark.parametrize(
    "options",
    [{"neuron": "lif"}, {"rule": "percentile"}, {"rule": "mse"}, {"granularity": "layer"}, {"potential_steps": 0},
     {"input_code": "poisson"}, {"tau_mem_ms": 50.0}, {"dt_ms": 0.5}],
    ids=str,
)  # fmt: skip
def test_every_option_reaches_the_network(options):
    model, x = traced("conv norm average"), samples((1, 6, 6), 32)
    plain, other = convert(model, x).snn, convert(model, x, ConvertConfig(**options)).snn
    site = next(iter(plain.sites))
    seen = [
        (s.sites[site].neuron, s.sites[site].threshold.tolist(), s.sites[site].initial.tolist(), s.dt_s, s.input_code)
        for s in (plain, other)
    ]
    if options == {"rule": "mse"}:  # the default
        assert seen[0] == seen[1]
    else:
        assert seen[0] != seen[1]


def test_options_of_the_rules_reach_them():
    model, x = traced("mlp"), samples((8,), 64)
    for options in ({"rule": "percentile", "percentile": 50.0}, {"rule": "mse", "mse_steps": 2}):
        a = convert(model, x, ConvertConfig(rule=options["rule"])).thresholds["relu"].value
        b = convert(model, x, ConvertConfig(**options)).thresholds["relu"].value
        assert float(b.sum()) < float(a.sum())


def test_thresholds_of_leaky_neurons_are_fitted_to_the_rates_that_the_leak_leaves():
    """1 / (1 - beta) = 6 at 5 ms: more steps do not make quanta finer, and without a leak they do."""
    model, x = traced("mlp"), samples(network("mlp")[1], 64)

    def lams(**options):
        found = convert(model, x, ConvertConfig(potential_steps=0, **options)).thresholds
        return torch.cat([lam.value.flatten() for lam in found.values()])

    of_leak = {"neuron": "lif", "tau_mem_ms": 5.0}
    assert torch.equal(lams(**of_leak, mse_steps=32), lams(**of_leak, mse_steps=6))
    assert not torch.equal(lams(**of_leak, mse_steps=32), lams(**of_leak, mse_steps=5))
    assert not torch.equal(lams(neuron="if", mse_steps=32), lams(neuron="if", mse_steps=6))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [0, 8])
def test_progress_counts_up_to_the_effort(name, steps):
    model, x, seen = traced(name), samples(network(name)[1], 10), []
    config = ConvertConfig(potential_steps=steps)
    convert(model, x, config, seen.append)
    assert sum(seen) == effort(model, 10, config)


def test_potentials_are_chosen_on_the_first_samples_only():
    config = ConvertConfig()
    model, x, seen = traced("mlp"), samples((8,), config.calibrated_on + 40), []
    whole = convert(model, x, config, seen.append)
    assert sum(seen) == effort(model, len(x), config) == len(x) + 2 * config.calibrated_on
    assert whole.stats["input"].samples == len(x)


@pytest.mark.parametrize("name", [name for name in NAMES if "norm" not in name])
def test_without_samples_thresholds_come_from_the_weights_and_a_note_says_so(name):
    model = traced(name)
    conversion = convert(model, None, ConvertConfig(neuron="if"))
    assert conversion.stats is None
    assert any(note.startswith("No calibration samples") and "[0, 1]" in note for note in conversion.notes)
    assert close(conversion.snn, model.graph, samples(network(name)[1], 32), 2048) < 0.25
    wide = convert(model, None, ConvertConfig(input_low=-3.0, input_high=5.0, input_code="poisson"))
    assert float(wide.snn.scales[wide.snn.graph.input.name]) == 5.0
    assert any("[-3, 5]" in note for note in wide.notes)


def test_silent_channels_are_noted_with_their_place():
    model, shape = network("mlp")
    with torch.no_grad():
        model[0].weight[:2], model[0].bias[:2] = 0.0, -1.0
    notes = convert(trace(model, shape), samples(shape, 32)).notes
    silent = [re.match(r"1 \(Relu\): (\d+) channel\(s\) were never active", note) for note in notes]
    active = torch.relu(model[0](samples(shape, 32))).amax(0) > 0
    assert [int(found[1]) for found in silent if found] == [int((~active).sum())]
    assert convert(traced("tanh"), samples((8,), 32), ConvertConfig(neuron="if")).notes == ()


def test_calibration_samples_that_say_nothing_are_refused():
    with pytest.raises(CalibrationError):
        convert(traced("mlp"), torch.zeros(0, 8))
    with pytest.raises(CalibrationError):
        convert(traced("mlp"), torch.full((2, 8), torch.nan))


def test_a_conversion_is_reproducible_and_leaves_the_random_state_alone():
    model, x = traced("conv norm average"), samples((1, 6, 6), 32)
    state = torch.get_rng_state()
    a, b = (convert(model, x, ConvertConfig(input_code="poisson")).snn for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    for name, site in a.sites.items():
        assert torch.equal(site.initial, b.sites[name].initial)
        assert torch.equal(site.threshold, b.sites[name].threshold)


@pytest.mark.parametrize("low", [0.0, -2.0])
def test_the_scale_of_poisson_input_is_the_largest_magnitude_seen(low):
    model, x = traced("mlp"), samples((8,), 32) + low
    snn = convert(model, x, ConvertConfig(input_code="poisson")).snn
    assert float(snn.scales["input"]) == float(x.abs().max())


def test_black_samples_still_have_a_scale():
    snn = convert(traced("mlp"), torch.zeros(4, 8), ConvertConfig(input_code="poisson")).snn
    assert float(snn.scales["input"]) == 1.0


def test_provenance_is_added_and_not_replaced():
    conversion = with_provenance(convert(traced("mlp"), samples((8,), 8)), model="a")
    again = with_provenance(conversion, data="b")
    assert dict(again.snn.provenance) == {"model": "a", "data": "b"}
    assert dict(conversion.snn.provenance) == {"model": "a"}
