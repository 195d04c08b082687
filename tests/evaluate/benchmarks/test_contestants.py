"""Who runs: that all compute what they should, and say how much they fire."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convert.network import SpikingNetwork
from convert.simulation.events.library import kernel
from convert.simulation.reference import simulate_reference
from evaluate.benchmarks.contestants import PEERS, config_of, forward, ours, peer, spiking
from evaluate.benchmarks.subjects import Subject, open_subject
from evaluate.contenders.prepared import Prepared
from evaluate.errors import PeerError

STEPS = 6


@pytest.fixture(scope="module")
def subject() -> Subject:
    return open_subject("mlp-12-20-20-4", 5)


@pytest.fixture(scope="module")
def network(subject: Subject) -> SpikingNetwork:
    return spiking(subject, config_of("if"))


def spikes(network: SpikingNetwork, x: Tensor) -> float:
    found = simulate_reference(network, x, STEPS)
    return sum(float(found.spikes[name][-1].sum()) for name in network.sites)


def test_the_ann_is_the_module_without_gradients(subject: Subject) -> None:
    out = forward(subject).run()
    assert isinstance(out, Tensor) and torch.equal(out, subject.module(subject.x)) and not out.requires_grad


@pytest.mark.parametrize("engine", ["dense", "events"])
def test_the_rate_is_that_of_the_slow_simulation(subject: Subject, network: SpikingNetwork, engine: str) -> None:
    if engine == "events" and kernel() is None:
        pytest.skip("the events kernel was not built")
    made = ours(network, subject.x, STEPS, engine)
    assert made.name == engine
    assert made.facts["rate"] == pytest.approx(spikes(network, subject.x) / (40 * 5 * STEPS)) and made.facts["rate"] > 0
    assert made.facts["populations_by_engine"][engine] == 2


def test_higher_thresholds_fire_less_and_say_the_same(subject: Subject, network: SpikingNetwork) -> None:
    scaled = spiking(subject, config_of("if"), 2.0)
    for name, site in scaled.sites.items():
        assert torch.allclose(site.threshold, 2 * network.sites[name].threshold)
    assert spikes(scaled, subject.x) < 0.7 * spikes(network, subject.x)
    many = 2000
    outputs = [simulate_reference(each, subject.x, many).output[-1] for each in (network, scaled)]
    assert torch.allclose(outputs[1], subject.module(subject.x).double(), atol=0.02)
    assert not torch.equal(*outputs)


def test_a_peer_runs_in_its_fastest_mode(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([0.0, 5.0, 0.0, 6.0, 0.0, 2.0, 0.0, 3.0])  # begin and end of two trials of each mode
    monkeypatch.setattr("evaluate.benchmarks.contestants.time.perf_counter", lambda: next(took))
    modes = {"slow": lambda: torch.zeros(1), "fast": lambda: torch.ones(1)}
    monkeypatch.setitem(PEERS, "sinabs", lambda *_: Prepared(modes, lambda: 0.25, "a note"))
    made = peer("sinabs", subject, STEPS)
    assert made.facts["mode"] == "fast" and made.facts["trials_s"] == {"slow": 5.0, "fast": 2.0}
    assert made.run() == torch.ones(1) and (made.facts["rate"], made.facts["note"]) == (0.25, "a note")


def test_whatever_a_peer_raises_is_its_refusal(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(module: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Prepared:
        raise RuntimeError("no such layer")

    monkeypatch.setitem(PEERS, "sinabs", fails)
    with pytest.raises(PeerError, match="RuntimeError: no such layer"):
        peer("sinabs", subject, STEPS)
