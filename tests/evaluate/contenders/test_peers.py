"""Peers, where they are installed: what is timed is the network that they were given, on every sample and step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from evaluate.contenders.peers import PEERS, peer_version
from evaluate.contenders.prepared import activity, refuse_activations
from evaluate.errors import PeerError


class Halves(nn.Module):
    """Fires at every second value."""

    def forward(self, x: Tensor) -> Tensor:
        return (torch.arange(x.numel()).reshape(x.shape) % 2).float()


def test_activity_counts_spikes_per_value_of_the_neurons_alone() -> None:
    network = nn.Sequential(nn.Linear(4, 6), Halves(), nn.Linear(6, 2), Halves())
    x = torch.rand(3, 4)

    def run() -> Tensor:
        return network(x) + network(x)

    assert activity(network, Halves, run) == 0.5
    assert not network[1]._forward_hooks, "the timed network must not count"


def test_a_network_without_neurons_is_refused() -> None:
    network = nn.Linear(4, 2)
    with pytest.raises(PeerError, match="no spiking neuron"):
        activity(network, Halves, lambda: network(torch.rand(1, 4)))


def test_activations_that_are_left_are_refused_by_name() -> None:
    refuse_activations("x", nn.Sequential(nn.Linear(4, 4), Halves()))
    with pytest.raises(PeerError, match="x leaves GELU, Tanh as it is"):
        refuse_activations("x", nn.Sequential(nn.Tanh(), nn.Sequential(nn.GELU())))


@pytest.fixture(params=PEERS)
def name(request: pytest.FixtureRequest) -> str:
    if peer_version(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.mark.filterwarnings("ignore")
def test_every_mode_of_a_peer_says_the_same_and_what_the_ann_says(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    x, steps = torch.rand(5, 8), 400
    prepared = PEERS[name](model, torch.rand(64, 8), x, steps)
    with torch.no_grad():
        outputs = [run() / steps for run in prepared.modes.values()]
        again = [run() / steps for run in prepared.modes.values()]
        expected = model(x)
    for out, same in zip(outputs, again, strict=True):
        assert torch.equal(out, same), "every call must begin anew"
        assert torch.allclose(out, outputs[0], atol=1e-5) and torch.allclose(out, expected, atol=0.03)
    assert 0 < prepared.rate() < 5


@pytest.mark.filterwarnings("ignore")
def test_a_peer_without_a_neuron_for_an_activation_does_not_run(name: str) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).eval()
    with pytest.raises(ValueError, match="Tanh"):
        PEERS[name](model, torch.rand(64, 8), torch.rand(5, 8), 4)
