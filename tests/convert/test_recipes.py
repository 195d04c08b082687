"""Recipes: each converts, each does what its name stands for, and what they share is calibration only."""

import copy
import itertools
import math
import re
from dataclasses import replace

import pytest
import torch

from convert import convert, correction, trace
from convert.config import ConvertConfig
from convert.correction import preferred
from convert.errors import CalibrationError, ConfigError
from convert.graph import ir
from convert.graph.ir import Graph
from convert.graph.semantics import run
from convert.neurons.burst import BurstNeuron
from convert.neurons.graded import GradedNeuron
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.radix import RadixNeuron
from convert.normalisation.calibration import calibrate_biases
from convert.normalisation.rules import Threshold
from convert.normalisation.spike_norm import STEPS, spike_norm
from convert.pipeline import effort
from convert.recipes import RECIPES, recipe
from convert.simulation.engine import simulate
from convert.simulation.reference import simulate_reference
from convert.simulation.results import read_out
from tests.oracles.conversions import converted, folded
from tests.oracles.networks import NETWORKS, network, samples

RATES = [name for name in RECIPES if name not in ("exact", "radix")]


def made(name, of="conv norm average", steps=8):
    shape = NETWORKS[of][1]
    traced = trace(network(of)[0], shape, of)
    return convert(traced, samples(shape, 20), recipe(name).config(steps))


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("of", ["mlp", "conv norm average", "residual", "max pool", "tanh"])
def test_every_recipe_converts_and_runs_as_the_oracle_does(name, of):
    if "differential" in name and of == "tanh":
        with pytest.raises(ConfigError, match="--code differential: got a network with Tanh"):
            made(name, of)
        return
    conversion, x = made(name, of), samples(NETWORKS[of][1], 3)
    fast, slow = simulate(conversion.snn, x, 9), simulate_reference(conversion.snn, x, 9)
    for site in conversion.snn.sites:
        assert torch.equal(fast.counts[site].double(), slow.counts[site])
    torch.testing.assert_close(fast.output, slow.output, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", RATES)
def test_every_recipe_comes_near_the_network_in_the_long_run(name):
    conversion, x = made(name, "mlp", 64), samples((8,), 40)
    said, expected = simulate(conversion.snn, x, 512).output[-1], run(conversion.folded, x.double())
    error = (said - expected).norm() / expected.norm()
    # Poisson input has the noise of its code, a reset to zero loses charge for good
    assert float(error) < (0.6 if conversion.config.input_code == "poisson" else 0.1)


def test_a_recipe_is_what_its_source_says():
    assert all(isinstance(s.neuron, HardResetNeuron) for s in made("diehl2015").snn.sites.values())
    assert made("diehl2015").snn.input_code == "poisson"
    assert all(s.threshold.numel() == 1 and s.neuron.v_threshold == 1 for s in made("rueckauer2017").snn.sites.values())
    assert any(s.threshold.numel() > 1 for s in made("kim2020-channelwise").snn.sites.values())
    assert made("li2021-light").config.bias_steps == made("li2021-light").config.mse_steps == 8
    graded = [s.neuron for s in made("multi-threshold").snn.sites.values()]
    assert all(isinstance(n, GradedNeuron) and n.values == (1.0, 0.5, 0.25, 0.125) for n in graded)
    differential = made("huang2025-differential").snn
    assert differential.code == "differential"
    assert all(s.neuron.v_threshold == 0.75 and len(s.neuron.values) == 4 for s in differential.sites.values())
    bursting = [s.neuron for s in made("burst").snn.sites.values()]
    assert all(isinstance(n, BurstNeuron) and n.most == 5 and n.payload_bits == 1 for n in bursting)
    radix = made("radix").snn
    assert radix.code == "radix" and all(s.neuron == RadixNeuron(bits=6, highest=63) for s in radix.sites.values())
    assert made("bu2025-ltb").snn.readout_delay > 0
    assert {RECIPES[n].config().recipe for n in RECIPES} == set(RECIPES)


def test_the_seed_s_synapses_are_primed_and_its_read_out_late():
    assert made("seed").snn.primed and not made("best-onebit").snn.primed  # which has no filter
    assert made("seed").snn.readout_delay in (2, 4)  # of 8 steps


@pytest.mark.parametrize("of", ["mlp", "residual", "tanh"])
@pytest.mark.parametrize("name", ["seed", "best-onebit", "best-signed"])
@pytest.mark.parametrize("steps", [4, 32])  # with the leak, more than a membrane remembers: biases are corrected too
def test_starts_are_staggered_and_the_read_out_is_late_only_where_that_brings_the_output_nearer(of, name, steps):
    shape, config = NETWORKS[of][1], recipe(name).config(steps, calibrated_on=30)
    traced, x, few = trace(network(of)[0], shape, of), samples(shape, 40), samples(shape, 40)[:30]
    done, width, first = [], config.start_spread, config.readout_delay
    assert width > 0
    found = convert(traced, x, config, done.append)
    errors = {}
    for spread in (width, 0.0):
        for delay in dict.fromkeys((first, config.later_readout or first)):
            simple = replace(config, spread_on_trial=False, start_spread=spread, readout_delay=delay, later_readout=0)
            alone = convert(traced, x, simple)
            said, meant = simulate(alone.snn, few, steps).output[-1], run(alone.folded, few.double())
            errors[spread, delay] = (said - meant).square().mean(1), alone
    best = preferred({way: error for way, (error, _) in errors.items()})
    expected = errors[best][1].snn
    assert found.snn.readout_delay == best[1]
    for site, same in expected.sites.items():
        assert torch.equal(found.snn.sites[site].initial, same.initial)
    torch.testing.assert_close(
        simulate(found.snn, few, steps).output, simulate(expected, few, steps).output, rtol=0, atol=1e-3
    )
    assert sum(done) == effort(traced, len(x), config)
    (why,) = found.tried
    told = [float(text) for text in re.findall(r" on: (\d[\d.e-]*\d)", why)]
    assert told == pytest.approx([float(error.mean()) for error, _ in errors.values()], rel=0.02)


def test_of_ways_the_first_is_taken_that_is_not_clearly_worse_than_the_best():
    draw = torch.Generator().manual_seed(0)
    best = 1 + 0.1 * torch.rand(100, generator=draw)
    noise = 0.1 * torch.rand(100, generator=draw) - 0.05
    near, far = best + noise - noise.mean() + 0.001, best + noise + 0.1
    assert preferred({"far": far, "near": near, "best": best}) == "near"
    assert preferred({"far": far, "best": best, "near": near}) == "best"
    assert preferred({"one": best[:1] + 1, "other": best[:1]}) == "other"


def test_who_names_a_delay_gets_it():
    assert recipe("seed").config(8).later_readout == 4
    named = recipe("seed").config(8, readout_delay=1)
    assert (named.readout_delay, named.later_readout) == (1, 0)


def test_a_trial_looks_at_few_samples_and_the_network_is_calibrated_on_all(monkeypatch):
    monkeypatch.setattr(correction, "_TRIED_ON", 10)
    shape, config = NETWORKS["mlp"][1], recipe("seed").config(8)
    traced, x, done = trace(network("mlp")[0], shape, "mlp"), samples(shape, 40), []
    found = convert(traced, x, config, done.append)
    assert "Tried on 10 calibration samples" in found.tried[0] and sum(done) == effort(traced, len(x), config)
    width = 0.0 if "Taken: even" in found.tried[0] else config.start_spread
    alone = convert(traced, x, replace(config, spread_on_trial=False, start_spread=width, later_readout=0))
    for site, expected in alone.snn.sites.items():
        assert torch.equal(found.snn.sites[site].initial, expected.initial)
    assert not alone.tried


def test_a_readout_may_wait_for_the_synapses_of_every_layer():
    late = replace(recipe("seed").config(8), readout_delay=None)
    snn = convert(trace(network("mlp")[0], (8,), "mlp"), samples((8,), 20), late).snn
    assert snn.readout_delay == 2 * len(snn.sites)  # tau_syn is 2 steps
    plain = convert(trace(network("mlp")[0], (8,), "mlp"), samples((8,), 20), replace(late, neuron="if"))
    assert plain.snn.readout_delay == 0


def test_unknown_recipes_and_options_are_refused_with_what_there_is():
    with pytest.raises(ConfigError, match=r"--recipe: got 'diehl2014'; expected one of seed, .*did you mean diehl2015"):
        recipe("diehl2014")
    for steps in (0, -1, 100_001, 10**20):
        with pytest.raises(ConfigError, match=f"--for-steps: got {steps}; expected 1 to 100000"):
            recipe("seed").config(steps)


def test_the_read_out_leaves_out_its_delay_and_never_more_than_half():
    snn, _x = converted("mlp", "if")
    late = replace(snn, readout_delay=3)
    totals = torch.randn((10, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for network_, delay in ((snn, 0), (late, 3)):
        said = read_out(totals, network_) / network_.scales[network_.graph.output]
        for t in range(1, 11):
            skipped = min(delay, t // 2)
            before = totals[skipped - 1] if skipped else 0 * totals[0]
            torch.testing.assert_close(said[t - 1], (totals[t - 1] - before) / (t - skipped))


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "residual", "max pool"])
@pytest.mark.parametrize("neuron", ["if", "seed"])
def test_corrected_biases_bring_mean_rates_and_outputs_closer(name, neuron):
    snn, x = converted(name, neuron)
    graph, steps = folded(name), 8
    corrected = calibrate_biases(snn, graph, x, steps)
    expected = run(graph, x.double())

    def off(network_):
        return float((simulate(network_, x, steps).output[-1] - expected).mean(0).abs().sum())

    assert off(corrected) < 0.3 * off(snn)
    assert corrected.sites is snn.sites


def test_the_spike_norm_is_the_largest_charge_of_a_step():
    shape = (8,)
    conversion = convert(
        trace(network("mlp")[0], shape, "mlp"), samples(shape, 20), recipe("sengupta2019").config(input_code="constant")
    )
    snn, x = conversion.snn, samples(shape, 20)
    sites = list(snn.sites)
    drives = {name: [] for name in sites}
    for steps in range(1, STEPS + 1):
        part = simulate_reference(snn, x, steps).counts
        drives[sites[0]].append(part[sites[0]])
    rates = torch.stack(drives[sites[0]])
    spikes = torch.diff(rates, dim=0, prepend=torch.zeros_like(rates[:1]))
    second = snn.graph[snn.graph[sites[1]].inputs[0]]
    charge = (spikes @ second.op.weight.T.double() + second.op.bias) * snn.sites[sites[1]].threshold
    assert float(snn.sites[sites[1]].threshold) == pytest.approx(float(charge.max()), rel=2e-3)


def test_a_layer_that_nothing_reaches_is_named():
    snn, x = converted("mlp", "if")
    graph = folded("mlp")
    start = {n.name: Threshold(torch.ones(1).double() * 1e9, "max") for n in graph.sites()}
    silent = replace(snn, sites={k: replace(s, threshold=s.threshold * 1e9) for k, s in snn.sites.items()})
    with pytest.raises(CalibrationError, match="no positive charge arrived"):
        spike_norm(graph, -1e9 * x.abs() - 1e9, start, lambda found: _without_drive(silent))


def _without_drive(snn):
    nodes = [
        replace(n, op=replace(n.op, weight=0 * n.op.weight, bias=None)) if isinstance(n.op, ir.Linear) else n
        for n in snn.graph
    ]
    return replace(snn, graph=Graph(tuple(nodes), snn.graph.output))


@pytest.mark.parametrize("scale", [1e4, 1e-4])
@pytest.mark.parametrize("name", ["seed", "best-onebit", "best-signed", "li2021-light", "kim2020-channelwise"])
def test_rescaled_channels_change_nothing(name, scale):
    """Weights of a channel times s before a ReLU and 1/s after it: the same function, the same spikes."""
    module = copy.deepcopy(network("mlp")[0])
    shape, x = (8,), samples((8,), 20)
    plain = convert(trace(module, shape, "mlp"), x, recipe(name).config(8))
    layers = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad():
        for first, second in itertools.pairwise(layers):
            factor = torch.ones(first.out_features)
            factor[::2], factor[1::2] = scale, 1 / scale
            first.weight *= factor[:, None]
            first.bias *= factor
            second.weight /= factor
    rescaled = convert(trace(module, shape, "mlp"), x, recipe(name).config(8))
    a, b = simulate(plain.snn, x, 16).output[-1], simulate(rescaled.snn, x, 16).output[-1]
    assert float((a - b).norm() / a.norm()) < 0.02


def test_a_configuration_without_a_recipe_says_so():
    assert ConvertConfig().recipe == "none"
    assert math.isinf(recipe("best-onebit").config().taus_s[0])


@pytest.mark.parametrize(("neuron", "memory"), [("lif", 6), ("if", 32)])
def test_a_start_is_fitted_to_no_more_steps_than_the_membrane_remembers(neuron, memory):
    """tau_mem of 5 ms is a memory of 1 / (1 - beta) = 6 steps; biases give back what is missing in all 32."""
    traced, x = trace(network("mlp")[0], (8,), "mlp"), samples((8,), 20)

    def converted_for(**changes):
        return convert(traced, x, recipe("seed").config(32, **changes, neuron=neuron, tau_mem_ms=5.0)).snn

    asked, short = converted_for(), converted_for(potential_steps=memory, bias_steps=32 * (neuron == "lif"))
    assert all(torch.equal(asked.sites[name].initial, short.sites[name].initial) for name in asked.sites)
    biases = [[n.op.bias for n in snn.graph if isinstance(n.op, ir.Linear)] for snn in (asked, short)]
    assert all(torch.equal(a, b) for a, b in zip(*biases, strict=True))
    plain = converted_for(potential_steps=4)
    shifted = [torch.equal(a, n.op.bias) for a, n in
               zip(biases[0], (n for n in plain.graph if isinstance(n.op, ir.Linear)), strict=True)]  # fmt: skip
    assert any(shifted) == (neuron == "if")
