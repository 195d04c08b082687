import math

import pytest
import torch

from convert.graph.ir import Graph
from convert.graph.semantics import run
from convert.lattice import snap
from convert.neurons.leaky import LeakyNeuron
from convert.normalisation import calibration
from convert.normalisation.calibration import calibrate_potentials, staggered
from convert.normalisation.statistics import channel_axis
from convert.simulation.engine import simulate
from tests.oracles.conversions import converted, folded

STEPS = 12


def surplus(network, graph, x, steps=STEPS):
    """Site -> mean over samples and places of spike count minus T a / lam, per channel."""
    counts, found = simulate(network, x, steps).counts, {}

    def compare(node, value):
        if node.name in network.sites:
            error = counts[node.name].double() - steps * value / network.sites[node.name].threshold
            axis = channel_axis(graph, node) + 1
            found[node.name] = error.movedim(axis, 0).flatten(1).mean(1)

    run(graph, x.double(), compare)
    return found


@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
@pytest.mark.parametrize("name", ["mlp", "conv norm average", "residual", "max pool", "concat"])
@pytest.mark.parametrize("rule", ["max", "mse"])
def test_the_mean_surplus_of_every_population_shrinks(neuron, name, rule):
    network, x = converted(name, neuron, rule=rule)
    graph = folded(name)
    calibrated = calibrate_potentials(network, graph, x, STEPS)
    before, after = surplus(network, graph, x), surplus(calibrated, graph, x)
    for site in network.sites:
        assert float(after[site].abs().mean()) <= float(before[site].abs().mean()), site
    total = [sum(float(v.abs().sum()) for v in s.values()) for s in (before, after)]
    assert total[1] < 0.75 * total[0]


def test_the_potential_of_the_first_population_is_its_surplus_negated():
    network, x = converted("mlp", "if")
    calibrated = calibrate_potentials(network, folded("mlp"), x, STEPS)
    expected = snap(-surplus(network, folded("mlp"), x)["relu"])
    torch.testing.assert_close(calibrated.sites["relu"].initial, expected, rtol=0, atol=2.0**-14)


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "conv1d"])
def test_potentials_are_per_channel_on_the_lattice_and_nothing_else_changes(name):
    network, x = converted(name, "seed")
    calibrated = calibrate_potentials(network, folded(name), x, STEPS)
    assert calibrated.graph is network.graph
    for site, old in network.sites.items():
        new, shape = calibrated.sites[site], folded(name)[site].shape
        axis = channel_axis(folded(name), folded(name)[site])
        assert tuple(new.initial.shape) == tuple(n if i == axis else 1 for i, n in enumerate(shape))
        assert torch.equal(snap(new.initial), new.initial)
        assert (new.neuron, new.threshold, new.quantum) == (old.neuron, old.threshold, old.quantum)


@pytest.mark.parametrize("run_of", [5, 16, 100])
def test_staggered_starts_are_evenly_spread_over_any_run_of_neighbours(run_of):
    starts = staggered((4, 10, 10), 1.0).flatten()
    assert float(starts.min()) >= -0.5 and float(starts.max()) < 0.5
    even = (torch.arange(run_of) + 0.5) / run_of - 0.5
    for first in range(0, len(starts) - run_of, 7):
        apart = (starts[first : first + run_of].sort().values - even).abs().max()
        assert float(apart) < 2.0 / run_of, first
    assert torch.equal(staggered((4, 10, 10), 0.5).flatten(), starts / 2)
    assert not staggered((4, 10, 10), 0.0).any()


@pytest.mark.parametrize("drive", [0.1, 0.37, 0.5, 0.8])
def test_a_staggered_population_has_its_rate_from_the_first_step_on(drive):
    """With one start for all, everybody fires in the same steps."""
    neuron, one = LeakyNeuron(math.inf, 0.0), torch.ones((), dtype=torch.float64)

    def rates(width):
        state, found = neuron.start(staggered((1000,), width) + torch.zeros(1000, dtype=torch.float64)), []
        for _ in range(8):
            state, spikes = neuron.step(state, torch.full((1000,), drive, dtype=torch.float64), one, 1e-3)
            found.append(float(spikes.mean()))
        return torch.tensor(found)

    assert float((rates(1.0) - drive).abs().max()) < 0.005
    assert set(rates(0.0).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("name", ["mlp", "conv norm average"])
def test_starts_are_staggered_around_their_corrections(name):
    network, x = converted(name, "seed")
    plain = calibrate_potentials(network, folded(name), x, STEPS, per_neuron=True)
    spread = calibrate_potentials(network, folded(name), x, STEPS, per_neuron=True, width=1.0)
    first = next(iter(network.sites))  # nothing before it differs
    added = spread.sites[first].initial - plain.sites[first].initial
    torch.testing.assert_close(added, staggered(folded(name)[first].shape, 1.0), rtol=0, atol=2.0**-13)


@pytest.mark.parametrize("input_code", ["constant", "poisson"])
def test_the_result_does_not_depend_on_memory(input_code, monkeypatch):
    network, x = converted("conv norm average", "seed", input_code=input_code)
    whole = calibrate_potentials(network, folded("conv norm average"), x, STEPS)
    monkeypatch.setattr(calibration, "batch_within", lambda *_: 7)
    parts = calibrate_potentials(network, folded("conv norm average"), x, STEPS)
    for site in network.sites:
        torch.testing.assert_close(parts.sites[site].initial, whole.sites[site].initial, rtol=0, atol=2.0**-14)


def test_progress_counts_every_sample_once_for_every_population(monkeypatch):
    network, x = converted("mlp")
    monkeypatch.setattr(calibration, "batch_within", lambda *_: 50)
    seen = []
    calibrate_potentials(network, folded("mlp"), x, 4, seen.append)
    assert seen == [50, 14, 50, 14]


def test_a_population_is_corrected_behind_its_corrected_predecessors():
    """The second population's potential answers to what the corrected first one sends."""
    network, x = converted("mlp")
    graph = folded("mlp")
    calibrated = calibrate_potentials(network, graph, x, STEPS)
    first_only = calibrate_potentials(network, Graph(graph.nodes[:3], "relu"), x, STEPS)
    expected = snap(-surplus(first_only, graph, x)["relu_1"])
    torch.testing.assert_close(calibrated.sites["relu_1"].initial, expected, rtol=0, atol=2.0**-14)
    behind_uncorrected = snap(-surplus(network, graph, x)["relu_1"])
    assert not torch.allclose(calibrated.sites["relu_1"].initial, behind_uncorrected, rtol=0, atol=1e-3)
