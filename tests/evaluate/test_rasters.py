"""What is shown of one sample is what the engines do on it."""

from dataclasses import replace

import pytest
import torch

from convert import simulate
from convert.graph import ir
from evaluate.rasters import MOST_NEURONS, MOST_POPULATIONS, MOST_STEPS, raster
from tests.oracles.conversions import converted

NEURONS = ["if", "lif", "seed"]


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", ["mlp", "tanh", "max pool"])
def test_a_raster_is_what_the_engine_fires(name, neuron):
    network, x = converted(name, neuron)
    found = raster(network, x[0], 20)
    result = simulate(network, x[:1], 20)
    assert [row["name"] for row in found["populations"]] == list(network.sites)
    for row in found["populations"]:
        counts = result.counts[row["name"]].flatten()
        assert (row["neurons"], row["active"]) == (counts.numel(), int((result.spikes[row["name"]] > 0).sum()))
        assert len(row["shown"]) == min(MOST_NEURONS, row["active"])
        for neuron_row in row["shown"]:
            assert sum(1 if s > 0 else -1 for s in neuron_row["spikes"]) == counts[neuron_row["index"]]
        busy = [len(neuron_row["spikes"]) for neuron_row in row["shown"]]
        assert busy == sorted(busy, reverse=True) and busy[-1] > 0
        watched = [neuron_row for neuron_row in row["shown"] if "potential" in neuron_row]
        assert [len(n["potential"]) for n in watched] == [20]
        assert -0.5 in row["v_thresholds"] if "tanh" in name else row["v_thresholds"] == [0.5]


def test_a_potential_without_leak_is_charge_minus_spikes():
    network, x = converted("mlp", "if")
    first = raster(network, x[0], 12)["populations"][0]
    watched = next(row for row in first["shown"] if "potential" in row)
    node = network.graph[first["name"]]
    drive = network.graph[node.inputs[0]].op
    assert isinstance(drive, ir.Linear)
    charge = float(drive.weight.double()[watched["index"]] @ x[0].flatten().double() + drive.bias[watched["index"]])
    start = torch.zeros(node.shape).double() + network.sites[first["name"]].initial
    spikes = [0, *(1 for _ in watched["spikes"])]
    after = float(start.flatten()[watched["index"]]) + 12 * charge - sum(spikes)
    assert watched["potential"][-1] == pytest.approx(after, abs=1e-3)


def test_long_runs_are_cut_and_other_codes_are_named():
    network, x = converted("mlp", "if")
    assert raster(network, x[0], 10 * MOST_STEPS)["steps"] == MOST_STEPS
    assert len(raster(network, x[0], 4)["populations"]) <= MOST_POPULATIONS
    assert "ahead" in raster(replace(network, look_ahead=2), x[0], 4)["unmeasured"]
