"""Populations one after the other: the same counts as a whole run, whatever is kept, dropped or run again."""

import pytest
import torch

from convert.simulation import relay
from convert.simulation.engine import simulate
from convert.simulation.relay import Relay
from tests.oracles.conversions import converted

STEPS, AMPLE = 40, relay.ROOM
NAMES = ("mlp", "conv norm average", "residual", "max pool", "concat")


@pytest.mark.parametrize("room", [0, 20_000, AMPLE])
@pytest.mark.parametrize("neuron", ["if", "seed"])
@pytest.mark.parametrize("name", NAMES)
def test_the_counts_are_those_of_the_whole_network(name, neuron, room, monkeypatch):
    monkeypatch.setattr(relay, "ROOM", room)
    network, x = converted(name, neuron)
    expected = simulate(network, x, STEPS).counts
    sites = [node.name for node in network.graph if node.name in network.sites]
    run, bytes_kept = Relay(x, STEPS, 24), []
    for i, site in enumerate(sites):
        assert torch.equal(run.counts(network, site), expected[site].double().sum(0)), site
        run.keep(network, site, sites[i + 1 :])
        bytes_kept.append(sum(Relay._bytes(trains) for trains in run.kept.values()))
    assert max(bytes_kept) <= room and any(bytes_kept) >= (room == AMPLE)


@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
@pytest.mark.parametrize("input_code", ["constant", "poisson"])
def test_dense_populations_too(neuron, input_code, monkeypatch):
    monkeypatch.setattr("convert.simulation.engine.plan_of", lambda network: None)
    network, x = converted("residual", neuron, input_code=input_code)
    expected = simulate(network, x, STEPS).counts
    sites = [node.name for node in network.graph if node.name in network.sites]
    run = Relay(x, STEPS, 50)
    for i, site in enumerate(sites):
        assert torch.equal(run.counts(network, site), expected[site].double().sum(0)), site
        run.keep(network, site, sites[i + 1 :])
        assert len(run.kept) <= 2, "a residual sum reads two populations, and what nobody reads is forgotten"


def test_only_what_is_not_kept_is_run(monkeypatch):
    network, x = converted("mlp")
    ran, fire = [], relay.Run.fire
    monkeypatch.setattr(relay.Run, "fire", lambda run, stop: (ran.append(sorted(run.firing)), fire(run, stop))[1])
    sites = [node.name for node in network.graph if node.name in network.sites]
    run = Relay(x, 8, len(x))
    run.keep(network, sites[0], sites[1:])
    run.counts(network, sites[1])
    assert ran == [[sites[0]], [sites[1]]]
