"""Samples that are finished leave the batch: with what they would have had in a batch that stays."""

import pytest
import torch

from convert.errors import ConfigError
from convert.network import SpikingNetwork
from convert.neurons.families import Law
from convert.normalisation.scaling import normalise
from convert.simulation.engine import simulate, simulate_until
from tests.oracles.conversions import converted, fitted, folded, neurons
from tests.oracles.networks import NETWORKS, samples

STEPS, EVERY = 30, 4

LAWS = {
    "signed": Law(signed=True), "values": Law(levels=3), "reset to zero": Law(reset="zero", v_threshold=1.0),
    "bursts": Law(burst=3), "differential": Law(levels=3, code="differential"),
}  # fmt: skip


@pytest.mark.parametrize("engine", ["auto", "dense"])
@pytest.mark.parametrize("input_code", ["constant", "poisson"])
@pytest.mark.parametrize("neuron", ["if", "seed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_sample_leaves_with_what_it_has_at_that_step(name, neuron, input_code, engine):
    network, x = converted(name, neuron, input_code=input_code)
    check_exits(network, x[:6], EVERY, engine)


@pytest.mark.parametrize("engine", ["auto", "dense"])
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["conv norm average", "residual"])
def test_that_holds_for_every_law_of_spikes(name, law, every, engine):
    graph = folded(name)
    x = samples(graph.input.shape, 64)
    network = normalise(graph, fitted(graph, x), neurons("if", LAWS[law]), 1e-3)
    check_exits(network, x[:6], every, engine)


@pytest.mark.parametrize("engine", ["auto", "dense"])
def test_and_for_neurons_with_a_growing_quantum(engine):
    network, x = converted("tanh", "if")
    check_exits(network, x[:6], 1, engine)


def check_exits(network: SpikingNetwork, x: torch.Tensor, every: int, engine: str) -> None:
    """Samples that leave at different steps have what they have in a simulation of so many steps."""
    asked = []

    def finished(said, step):
        asked.append((len(said), step))
        return torch.arange(len(said)) % 2 == (step // every) % 2 if step > 4 else torch.zeros(len(said)).bool()

    torch.set_num_threads(1)
    found = simulate_until(network, x, STEPS, finished, every, seed=3, engine=engine)
    assert [step for _, step in asked] == sorted({step for _, step in asked})
    assert len(set(found.steps.tolist())) > 2
    total = dict.fromkeys(found.spikes, 0.0)
    for i, step in enumerate(found.steps.tolist()):
        alone = simulate(network, x[i : i + 1], step, seed=3, samples=[i], engine=engine)
        torch.testing.assert_close(found.output[i], alone.output[-1, 0], rtol=0, atol=0)
        for node, counts in alone.counts.items():
            assert torch.equal(found.counts[node][i].double(), counts[0].double()), (node, i)
            total[node] = total[node] + alone.spikes[node][0].double()
    assert all(torch.equal(found.spikes[node].double(), total[node]) for node in total)
    sparing = simulate_until(network, x, STEPS, lambda said, step: finished(said, step), every, 3, engine=engine,
                             counted=False)  # fmt: skip
    assert sparing.counts == {}
    assert torch.equal(sparing.output, found.output)
    assert all(torch.equal(sparing.spikes[node], found.spikes[node]) for node in total)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_time_of_those_who_left_is_saved(threads):
    network, x = converted("mlp", "if")
    torch.set_num_threads(threads)
    sizes = []

    def finished(said, step):
        sizes.append(len(said))
        return torch.ones(len(said), dtype=torch.bool)

    found = simulate_until(network, x, 10**6, finished, 8)  # would take minutes if they stayed
    assert sum(sizes) == len(x)
    assert found.steps.tolist() == [8] * len(x)


def test_all_are_finished_at_the_last_step():
    network, x = converted("mlp", "if")
    found = simulate_until(network, x, 10, lambda said, step: torch.zeros(len(said), dtype=torch.bool))
    assert found.steps.tolist() == [10] * len(x)
    assert torch.equal(found.output, simulate(network, x, 10).output[-1])


def test_questions_need_a_step_between_them():
    network, x = converted("mlp", "if")
    with pytest.raises(ConfigError, match="every: got 0"):
        simulate_until(network, x, 10, lambda said, step: said, 0)
