"""One threshold for each neuron where weights are not shared over places, else one for each channel."""

import json
import math
from dataclasses import replace

import pytest
import torch

from convert.config import ConvertConfig
from convert.graph import ir
from convert.graph.semantics import run
from convert.network import SpikingNetwork, threshold_balanced
from convert.normalisation.bounds import bounded_thresholds
from convert.normalisation.granularity import neuron_wise
from convert.normalisation.rules import thresholds
from convert.normalisation.statistics import observe
from convert.pipeline import convert
from convert.reading.tracing import trace
from convert.simulation.engine import simulate
from convert.simulation.quiescence import quantised, simulate_exact
from convert.simulation.reference import simulate_reference
from evaluate.operations import count_operations
from tests.oracles.conversions import folded
from tests.oracles.networks import NETWORKS, network, samples

ABLE = {
    "strided": ([True], []),
    "grouped and dilated": ([False, True], ["1"]),
    "residual": ([False] * 5, None),
    "mlp": ([False, False], []),  # channels are neurons
    "conv norm average": ([False, False], None),  # pooled
}


def each_neuron(name, **options):
    model, shape = network(name)
    x = samples(shape, 32)
    return convert(trace(model, shape), x, ConvertConfig(granularity="neuron", **options)), x


@pytest.mark.parametrize("name", ABLE)
def test_where_a_threshold_for_each_neuron_is_possible(name):
    graph = folded(name)
    able, shared = neuron_wise(graph)
    expected, places = ABLE[name]
    assert [node.name in able for node in graph.sites()] == expected
    assert places is None or [node.place for node in shared] == places
    assert not able & {node.name for node in shared}


def test_each_threshold_is_that_of_its_neuron():
    graph = folded("strided")
    (site,) = graph.sites()
    x = samples(graph.input.shape, 50)
    stats = observe(graph, x, neuron_wise={site.name})
    seen = {}
    run(graph, x.double(), lambda node, value: seen.setdefault(node.name, value))
    highest = seen[site.name].amax(0)
    found = thresholds(graph, stats, "max", True)[site.name]
    alive = highest > 0
    assert found.value.shape == site.shape and torch.equal(found.value[alive], highest[alive])
    assert found.silent == int((~alive).sum())
    bound = bounded_thresholds(graph, 0.0, 1.0, True, {site.name})[site.name].value
    assert bound.shape == site.shape and bool((bound >= highest).all())
    per_channel = bounded_thresholds(graph, 0.0, 1.0, True)[site.name].value
    assert torch.equal(bound.amax((1, 2), keepdim=True), per_channel)


@pytest.mark.parametrize("name", ["strided", "grouped and dilated"])
@pytest.mark.parametrize("rule", ["max", "mse", "ltb", "iteration"])
def test_the_network_computes_the_same_and_the_engines_agree(name, rule):
    conversion, x = each_neuron(name, neuron="if", rule=rule, potential_steps=0)
    result = simulate(conversion.snn, x, 64)
    assert torch.equal(result.output, simulate_reference(conversion.snn, x, 64).output)
    if rule == "max":
        expected = run(conversion.ann, x)
        assert float((simulate(conversion.snn, x, 512).output[-1] - expected).abs().mean() / expected.std()) < 0.1


def test_a_threshold_for_each_neuron_clips_none_and_resolves_more():
    """With the rule max nothing clips, and a smaller threshold is a finer step: the error is smaller."""
    model, shape = network("strided")
    x = samples(shape, 64)
    traced, errors = trace(model, shape), {}
    for granularity in ("layer", "channel", "neuron"):
        config = ConvertConfig(neuron="if", rule="max", granularity=granularity, potential_steps=0)
        said = simulate(convert(traced, x, config).snn, x, 32).output[-1]
        errors[granularity] = float((said - run(traced.graph, x)).abs().mean())
    assert errors["neuron"] < errors["channel"] < errors["layer"]


@pytest.mark.parametrize("options", [{"potential_per_neuron": True}, {"bias_steps": 16}, {}], ids=str)
def test_calibration_takes_them(options):
    conversion, x = each_neuron("strided", neuron="if", v_threshold=1.0, potential_steps=16, **options)
    plain, _ = each_neuron("strided", neuron="if", v_threshold=1.0, potential_steps=0)
    expected = run(conversion.ann, x)

    def error(snn: SpikingNetwork) -> float:
        return float((simulate(snn, x, 16).output[-1] - expected).mean(0).abs().sum())

    assert error(conversion.snn) < error(plain.snn)


def test_its_cost_is_one_multiplication_for_each_neuron_and_step_and_none_with_balanced_thresholds():
    conversion, _ = each_neuron("strided", neuron="if", potential_steps=0)
    (site,) = conversion.snn.sites
    gain = conversion.snn.graph[conversion.snn.graph[site].inputs[0]]
    assert isinstance(gain.op, ir.Affine)
    later, y = each_neuron("grouped and dilated", neuron="if", potential_steps=0)
    result = simulate(later.snn, y, 8)
    mean = {name: spikes[-1] / len(y) for name, spikes in result.spikes.items()}
    rows = {row.node: row for row in count_operations(later, mean, {}, 8)}
    last = list(later.snn.sites)[-1]
    factor = rows[later.snn.graph[last].inputs[0]]
    assert factor.encoder_macs == 8 * math.prod(later.snn.graph[last].shape)
    balanced = threshold_balanced(conversion.snn)
    assert torch.allclose(balanced.graph[gain.name].op.scale, torch.ones(()).double(), atol=1e-2)
    assert balanced.sites[site].quantum.shape == conversion.snn.sites[site].threshold.shape


def test_notes_name_the_populations_that_share_weights():
    notes = [n for n in each_neuron("grouped and dilated")[0].notes if "instead of each neuron" in n]
    assert len(notes) == 1 and notes[0].startswith("1: one threshold for each channel")
    assert not [n for n in each_neuron("strided")[0].notes if "instead of each neuron" in n]


def test_an_exact_network_takes_them():
    conversion, x = each_neuron("strided", recipe="exact", neuron="if")
    settled, expected = simulate_exact(conversion.snn, x), quantised(conversion.snn, x)
    assert bool(settled.certified.all())
    assert torch.equal(settled.charge, expected[conversion.snn.graph.output])
    (site,) = conversion.snn.sites.values()
    assert site.threshold.numel() > 4


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_converts_with_and_without_samples(name):
    model, shape = network(name)
    traced, config = trace(model, shape), ConvertConfig(granularity="neuron", potential_steps=4)
    for x in (samples(shape, 16), None):
        snn = convert(traced, x, config).snn
        assert bool(torch.isfinite(simulate(snn, samples(shape, 2), 2).output).all())


@pytest.mark.parametrize(("stored", "granularity"), [(True, "channel"), (False, "layer")])
def test_a_record_of_the_first_version_is_understood(stored, granularity):
    conversion, _ = each_neuron("strided")
    old = conversion.config.as_record() | {"version": 1, "per_channel": stored}
    del old["granularity"]
    network_of_then = replace(conversion.snn, provenance={"config": json.dumps(old)})
    assert ConvertConfig.of_network(network_of_then).granularity == granularity
