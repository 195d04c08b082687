"""Bursts in whole networks: the engine against the reference, exact sums at large drives, and what is counted."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from convert import convert, trace
from convert.config import ConvertConfig
from convert.errors import ConfigError, UnsupportedOpError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import run
from convert.lattice import BITS, Carried, carried, snap
from convert.network import Site, SpikingNetwork, threshold_balanced
from convert.neurons.burst import BurstNeuron
from convert.neurons.families import Law
from convert.normalisation.scaling import normalise
from convert.recipes import recipe
from convert.simulation.engine import engines_of, simulate
from convert.simulation.events.plan import values_of
from convert.simulation.inputs import constant_current
from convert.simulation.module import SpikingModule
from convert.simulation.reference import simulate_reference
from convert.writing.artefact import from_bytes, to_bytes
from convert.writing.nir import to_nir
from tests.oracles.conversions import fitted, folded, neurons
from tests.oracles.networks import network, samples

RELU_NETWORKS = ["mlp", "relu6", "conv norm average", "residual", "max pool", "ends with neurons"]


def bursting(name, most=5, neuron="if", **options):
    """The named network with thresholds low enough for long bursts, and samples."""
    graph = folded(name)
    x = samples(graph.input.shape, 16)
    lams = {k: replace(t, value=t.value / most) for k, t in fitted(graph, x).items()}
    return normalise(graph, lams, neurons(neuron, Law(burst=most)), 1e-3, **options), x


@pytest.mark.parametrize("name", RELU_NETWORKS)
@pytest.mark.parametrize("neuron", ["if", "seed"])
@pytest.mark.parametrize("engine", ["dense", "auto"])
def test_the_engine_gives_the_bursts_of_the_reference(name, neuron, engine):
    snn, x = bursting(name, neuron=neuron)
    record = (1, 7, 20)
    fast = simulate(snn, x, 20, record, engine=engine)
    slow = simulate_reference(snn, x, 20, record)
    for site in snn.sites:
        assert torch.equal(fast.counts[site].double(), slow.counts[site])
        assert torch.equal(fast.spikes[site], slow.spikes[site])
        assert torch.equal(slow.spikes[site][-1], slow.counts[site].sum(0))  # k quanta in a step are k spikes
    torch.testing.assert_close(fast.output, slow.output, rtol=1e-9, atol=1e-9)
    assert max(float(v.max()) for v in slow.counts.values()) > 20  # more than one in a step


@pytest.mark.parametrize("seed", [0, 3])
def test_poisson_input_and_bursts(seed):
    snn, x = bursting("mlp", input_code="poisson", input_scale=3.0)
    fast, slow = simulate(snn, x, 20, seed=seed), simulate_reference(snn, x, 20, seed=seed)
    for name, counts in slow.counts.items():
        assert torch.equal(fast.counts[name].double(), counts)
        assert torch.equal(fast.spikes[name], slow.spikes[name])


def test_a_module_steps_through_bursts_as_the_reference_does():
    snn, x = bursting("residual")
    module, state, totals = SpikingModule(snn), None, 0
    for _ in range(9):
        y, state = module(constant_current(x), state)
        totals = totals + y
    torch.testing.assert_close(totals / 9, simulate_reference(snn, x, 9).output[-1], rtol=1e-12, atol=1e-12)


def test_both_forms_of_the_map_burst_alike():
    snn, x = bursting("mlp")
    a, b = simulate_reference(snn, x, 12), simulate_reference(threshold_balanced(snn), x, 12)
    for name in snn.sites:
        assert torch.equal(a.counts[name], b.counts[name])


def test_the_events_engine_leaves_bursts_to_the_dense_one():
    snn, _ = bursting("mlp")
    assert [values_of(snn, name) for name in snn.sites] == [None] * len(snn.sites)
    assert set(engines_of(snn, "auto").values()) == {"dense"}


def large(most, width=64):
    """Two populations between which float32 holds the sums of single spikes, but not those of bursts."""
    g = torch.Generator().manual_seed(4)
    first = snap(most * torch.linspace(0.5, 2, width, dtype=torch.float64))[:, None]
    second = snap(14 + torch.rand((8, width), generator=g, dtype=torch.float64))  # 64 of them: nearly 1,000 quanta
    second[1::2] *= -1
    second[:, 0] += 2.0**-BITS
    nodes = (
        Node("input", ir.Input((1,)), (), (1,)),
        Node("l", ir.Linear(first), ("input",), (width,)),
        Node("s", ir.Relu(), ("l",), (width,)),
        Node("m", ir.Linear(second), ("s",), (8,)),
        Node("r", ir.Relu(), ("m",), (8,)),
        Node("both", ir.Concat(0), ("m", "r"), (16,)),  # what arrives, and what is fired
    )
    one = torch.ones((), dtype=torch.float64)
    neuron = BurstNeuron(math.inf, 0.0, 0.5, most)
    sites = {name: Site(neuron, one, one, 0 * one) for name in ("s", "r")}
    return SpikingNetwork(Graph(nodes, "both"), sites, {node.name: one for node in nodes}, 1e-3)


@pytest.mark.parametrize("most", [5, 15, 64])
def test_sums_of_long_bursts_are_exact_at_any_drive(most):
    """With the bound of a plain spike these sums would be made in float32, which does not hold them."""
    snn = large(most)
    reach = float(snn.graph["m"].op.weight.abs().sum(1).max())
    assert snn.spiking() == dict.fromkeys(snn.sites, Carried(0, float(most)))
    known = carried(snn.graph, snn.spiking())
    assert known["m"] == Carried(BITS, most * reach)
    plain = carried(snn.graph, dict.fromkeys(snn.sites, Carried(0, 1.0)))
    assert (plain["m"].dtype, known["m"].dtype) == (torch.float32, torch.float64)
    bursts = most - torch.arange(64.0)[None] % 3
    inexact = bursts @ snn.graph["m"].op.weight.float().T
    assert not torch.equal(inexact.double(), bursts.double() @ snn.graph["m"].op.weight.T)
    x = torch.tensor([[1.0], [0.37], [0.5]])
    fast, slow = simulate(snn, x, 9), simulate_reference(snn, x, 9)
    for name in snn.sites:
        assert torch.equal(fast.counts[name].double(), slow.counts[name])
    assert torch.equal(fast.output, slow.output)


def of_one(thresholds):
    """The lam of the only population."""
    (threshold,) = thresholds.values()
    return threshold.value


@pytest.mark.parametrize("rule", ["mse", "iteration", "percentile", "max"])
def test_thresholds_are_of_the_staircase_that_a_burst_climbs(rule):
    """Rules that fit a staircase fit that of n T levels, which n spikes per step reach; a clamp ends there anyway."""
    traced, x = trace(network("mlp")[0], (8,), "mlp"), samples((8,), 60)
    usual = {"neuron": "if", "rule": rule, "potential_steps": 0}
    burst = convert(traced, x, ConvertConfig(**usual, burst=5, mse_steps=4))
    plain = convert(traced, x, ConvertConfig(**usual, mse_steps=20 if rule in ("mse", "iteration") else 4))
    share = 5 if rule in ("mse", "iteration") else 1
    for name, threshold in burst.thresholds.items():
        torch.testing.assert_close(threshold.value * share, plain.thresholds[name].value)
    six = trace(network("relu6")[0], (8,), "relu6")
    lams = {n: of_one(convert(six, x, ConvertConfig(**usual, burst=n)).thresholds) for n in (1, 5)}
    assert bool((lams[5] * 5 <= 6).all())
    if share == 1:
        torch.testing.assert_close(lams[5] * 5, lams[1])


def test_without_samples_a_burst_means_the_bound():
    traced = trace(network("relu6")[0], (8,), "relu6")
    lams = {n: of_one(convert(traced, None, ConvertConfig(neuron="if", burst=n)).thresholds) for n in (1, 4)}
    torch.testing.assert_close(lams[4] * 4, lams[1])


def test_mixed_networks_burst_where_there_are_rectifiers():
    module = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 3))
    x = samples((8,), 40)
    config = ConvertConfig(neuron="if", burst=4)
    made = convert(trace(module, (8,), "mixed"), x, config)
    assert [type(site.neuron) is BurstNeuron for site in made.snn.sites.values()] == [False, True]
    alone = convert(trace(module, (8,), "mixed"), x, replace(config, burst=1))
    first, _ = made.thresholds
    assert torch.equal(made.thresholds[first].value, alone.thresholds[first].value)


def test_bursts_come_nearer_to_the_network_in_few_steps():
    traced, x = trace(network("mlp")[0], (8,), "mlp"), samples((8,), 60)

    def error(burst):
        made = convert(traced, x, recipe("burst").config(4, burst=burst))
        expected = run(made.folded, x.double())
        return float((simulate(made.snn, x, 4).output[-1] - expected).norm() / expected.norm())

    assert error(5) < 0.4 * error(1)


@pytest.mark.parametrize("name", ["mlp", "max pool"])
def test_a_saved_network_bursts_as_before(name):
    snn, x = bursting(name)
    again = from_bytes(to_bytes(snn))
    assert all(site.neuron == BurstNeuron(math.inf, 0.0, most=5) for site in again.sites.values())
    assert torch.equal(simulate(again, x, 9).output, simulate(snn, x, 9).output)
    assert ConvertConfig.of_network(again).neuron == "if"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"signed": True}, "--signed"), ({"spike_values": 4}, "--spike-values 4"), ({"reset": "zero"}, "--reset zero"),
     ({"code": "differential"}, "--code differential"), ({"rule": "spike-norm"}, "--rule spike-norm")],
)  # fmt: skip
def test_what_does_not_go_with_bursts_is_refused(options, said):
    with pytest.raises(ConfigError, match=f"--burst: got 3 with {said}; expected neither"):
        ConvertConfig(burst=3, neuron="if", **options).check_code()
    ConvertConfig(burst=3, neuron="if").check_code()
    ConvertConfig(neuron="if", **options).check_code()


@pytest.mark.parametrize("form", ["native", "faithful"])
def test_nir_has_no_bursting_neuron(form):
    with pytest.raises(UnsupportedOpError, match="several spikes in one step, which no NIR node is"):
        to_nir(bursting("mlp")[0], form)
