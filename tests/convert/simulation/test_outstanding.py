"""The sound bound: no decision that it calls final ever changes, and the worst case is no worse than it says."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

from convert import convert, trace
from convert.config import ConvertConfig
from convert.errors import CalibrationError, ConfigError
from convert.graph.folding import fold
from convert.neurons.families import Law
from convert.normalisation.scaling import normalise
from convert.recipes import recipe
from convert.simulation.engine import simulate
from convert.simulation.outstanding import outstanding
from tests.oracles.conversions import converted, fitted, neurons
from tests.oracles.graphs import WORDS, grown

LAWS = {
    "plain": Law(), "reset to zero": Law(reset="zero"), "signed": Law(signed=True), "bursts": Law(burst=3),
    "values": Law(signed=True, levels=3),
}  # fmt: skip
TAIL = [word for word in WORDS if "max" not in word]


@st.composite
def networks(draw):
    """A network that the bound covers, and samples: any graph, law, neuron, input code and delay of the read-out."""
    first, last = draw(st.lists(st.sampled_from(WORDS), max_size=4)), draw(st.lists(st.sampled_from(TAIL), max_size=2))
    words, outputs = (
        [*first, "conv", draw(st.sampled_from(["relu", "tanh", "gelu"])), *last],
        draw(st.sampled_from([2, 5])),
    )
    graph = fold(grown(words, draw(st.integers(0, 10**6)), (2, 4, 4), outputs))
    x = torch.rand((12, *graph.input.shape), generator=torch.Generator().manual_seed(1)) * 2 - 0.5
    try:
        lams = fitted(graph, x)
    except CalibrationError as silent:
        assert "no neuron was active" in str(silent)
        reject()
    law = LAWS[draw(st.sampled_from(list(LAWS)))]
    made = neurons(draw(st.sampled_from(["if", "lif", "seed"])), law)
    code = draw(st.sampled_from(["constant", "constant", "poisson"]))
    network = normalise(graph, lams, made, 1e-3, code, 2.0)
    return replace(network, readout_delay=draw(st.sampled_from([0, 0, 3, 9]))), x


def sums_of(said, step, skipped):
    return said.flatten(1).double() * (step - skipped)


@settings(max_examples=40)
@given(made=networks(), steps=st.sampled_from([1, 2, 7, 16, 30]))
def test_no_final_decision_ever_changes(made, steps):
    hold(*made, steps)


@pytest.mark.slow
@settings(max_examples=1500)
@given(made=networks(), steps=st.sampled_from([3, 12, 31, 60]))
def test_no_final_decision_ever_changes_in_many_networks(made, steps):
    hold(*made, steps)


def hold(network, x, steps):
    """Every step of a run keeps within the bound, and what it calls final is what the run ends with."""
    try:
        bound = outstanding(network)
    except ConfigError as error:
        assert "past all neurons" in str(error)
        return
    output = simulate(network, x, steps).output
    last, skipped = output[-1].flatten(1), min(network.readout_delay, steps // 2)
    for step in range(1, steps + 1):
        said = output[step - 1].flatten(1)
        final = bound.leader_is_final(said, step, steps)
        assert torch.equal(said.argmax(1)[final], last.argmax(1)[final])
        certain = bound.signs_are_final(said, step, steps)
        assert torch.equal((said > 0)[certain], (last > 0)[certain])
        if step // 2 >= skipped:
            grown_by = sums_of(last, steps, skipped) - sums_of(said, step, skipped)
            left, room = steps - step, 1e-6
            assert (grown_by >= left * bound.low - room).all()
            assert (grown_by <= left * bound.high + room).all()
            assert (grown_by[:, :, None] - grown_by[:, None, :] >= left * bound.gain - room).all()
    assert bound.signs_are_final(last, steps, steps).sum() >= ((last.abs() > 1e-6).all(1)).sum()


def test_the_bound_is_reached_by_the_worst_that_neurons_can_do():
    network, _ = converted("mlp", "if")  # seven last neurons, three outputs
    bound, output = outstanding(network), network.graph[network.graph.output].op
    corners = torch.tensor(list(product([0.0, 1.0], repeat=7)), dtype=torch.float64)
    scale = network.scales[network.graph.output].double()
    added = (corners @ output.weight.double().T + output.bias.double()) * scale
    assert torch.allclose(bound.low, added.amin(0), atol=1e-12)
    assert torch.allclose(bound.high, added.amax(0), atol=1e-12)
    apart = added[:, :, None] - added[:, None, :]
    assert torch.allclose(bound.gain, apart.amin(0), atol=1e-12)


def test_it_decides_before_the_end_and_not_too_late():
    network, x = converted("mlp without bias", "if")
    bound, steps = outstanding(network), 40
    output = simulate(network, x, steps).output
    final = torch.stack([bound.leader_is_final(output[t - 1], t, steps) for t in range(1, steps)])
    assert 0 < final.double().mean() < 1
    assert (final[1:] | ~final[:-1]).all()  # what is final stays so
    sums = output.double() * torch.arange(1, steps + 1)[:, None, None]
    for t in range(1, steps):
        leader = sums[t - 1].argmax(1)
        ahead = sums[t - 1].gather(1, leader[:, None]) - sums[t - 1] + (steps - t) * bound.gain[leader]
        ahead[torch.arange(len(x)), leader] = 1.0
        assert torch.equal(final[t - 1], (ahead > 1e-9).all(1))


def test_an_output_of_neurons_moves_by_a_spike_a_step():
    network, _ = converted("ends with neurons", "seed")
    bound, scale = outstanding(network), network.scales[network.graph.output].double().flatten()
    assert torch.equal(bound.low, torch.zeros(3, dtype=torch.float64))
    assert torch.equal(bound.high, scale.expand(3))


def test_a_delayed_read_out_decides_only_when_it_is_known_what_is_left_out():
    network, _ = converted("mlp", "if")
    bound = outstanding(replace(network, readout_delay=5))
    sure = torch.tensor([[1e6, 0.0, 0.0]])
    assert [bool(bound.leader_is_final(sure, t, 20)) for t in range(1, 21)] == [t >= 10 for t in range(1, 21)]


def refused(network, *parts):
    with pytest.raises(ConfigError) as error:
        outstanding(network)
    assert all(part in str(error.value) for part in ("sound early exit", *parts)), error.value


class PastNeurons(nn.Module):
    """What neurons say, and the input beside it."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.past = nn.Linear(8, 6), nn.Linear(6, 3), nn.Linear(8, 3)

    def forward(self, x):
        return self.second(torch.relu(self.first(x))) + self.past(x)


class OneHead(nn.Module):
    """Softmax of what neurons say: no synapse, and no neuron."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.second(torch.softmax(torch.relu(self.first(x)), 1))


def test_what_has_no_bound_is_refused_by_name():
    model, x = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), torch.rand(32, 8)
    refused(convert(trace(model, (8,)), x, recipe("exact").config(16)).snn, "'exact'")
    refused(convert(trace(model, (8,)), x, recipe("huang2025-differential").config(16)).snn, "'differential'")
    falling = nn.Sequential(nn.Conv1d(1, 3, 3), nn.GELU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(9, 3))
    refused(convert(trace(falling, (1, 8)), x[:, None], ConvertConfig()).snn, "MaxPool")
    refused(convert(trace(PastNeurons(), (8,)), x, ConvertConfig()).snn, "past all neurons")
    refused(convert(trace(OneHead(), (8,)), x, ConvertConfig(hybrid=True)).snn, "Softmax")
