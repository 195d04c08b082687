"""What a leak hides is stated by layer, and is what really never fires."""

import math

import pytest
import torch

from convert.config import ConvertConfig
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.neurons.leaky import LeakyNeuron
from convert.normalisation.resolution import NAMED_FROM, resolution, share_below, unresolved
from convert.normalisation.rules import Threshold
from convert.normalisation.statistics import observe
from convert.pipeline import convert
from convert.reading.tracing import trace
from tests.oracles.networks import network, samples

SHAPE = (3,)
GRAPH = Graph((Node("input", ir.Input(SHAPE), (), SHAPE), Node("act", ir.Relu(), ("input",), SHAPE)), "act")


def lam(*values):
    return Threshold(torch.tensor(values, dtype=torch.float64), "by hand")


@pytest.mark.parametrize("tau_mem_ms", [2.0, 5.0, 20.0])
def test_a_drive_below_half_the_resolution_never_fires(tau_mem_ms):
    least = resolution(1e-3, tau_mem_ms / 1000) / 2
    neuron, quantum = LeakyNeuron(tau_mem_ms / 1000, 0.0), torch.ones(())
    state, fired = neuron.start(torch.zeros(2, dtype=torch.float64)), torch.zeros(2)
    for _ in range(2000):
        state, spikes = neuron.step(state, torch.tensor([0.99, 1.01]).double() * least, quantum, 1e-3)
        fired += spikes.float()
    assert fired[0] == 0 < fired[1]


@pytest.mark.parametrize("thresholds", [(1.0, 2.0, 4.0), (3.0,)])
def test_the_share_is_that_of_the_raw_activations_within_a_bin(thresholds):
    x = torch.rand((4000, 3), generator=torch.Generator().manual_seed(0)).double() ** 3 - 0.1
    stats, rate = observe(GRAPH, x)["act"], 0.09
    a = x.clamp(min=0)
    share = float(a[a < rate * torch.tensor(thresholds)].sum() / a.sum())
    assert 0 < share < 1
    assert share_below(stats, lam(*thresholds), rate) == pytest.approx(share, abs=0.01)


def test_layers_are_named_from_a_twentieth_on():
    x = torch.full((100, 3), 0.05).double()
    x[:, 0] = 1.0
    stats = observe(GRAPH, x)
    for tau_mem_s, named in ((0.002, True), (math.inf, False)):
        found = unresolved(GRAPH, stats, {"act": lam(1.0, 1.0, 1.0)}, 1e-3, tau_mem_s)
        assert bool(found) == named
        assert all(share == pytest.approx(0.1 / 1.1, rel=0.05) and share >= NAMED_FROM for share in found.values())


@pytest.mark.parametrize(
    ("options", "warned"), [({"neuron": "lif", "tau_mem_ms": 2.0}, True), ({"neuron": "if"}, False)]
)
def test_a_note_names_layers_and_ways_out(options, warned):
    model, shape = network("mlp")
    conversion = convert(trace(model, shape), samples(shape, 64), ConvertConfig(rule="max", **options))
    notes = [note for note in conversion.notes if note.startswith("Leak: ")]
    assert len(notes) == warned
    if warned:
        assert "0.197 of the threshold" in notes[0] and "--tau-mem-ms" in notes[0] and "--neuron if" in notes[0]
        assert " %)" in notes[0]
