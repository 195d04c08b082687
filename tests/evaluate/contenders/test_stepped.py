"""Another converter's network run step by step: outputs, spikes of each population, what is no spiking network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from evaluate.contenders.stepped import Stepped, run_stepped
from evaluate.errors import PeerError


class IF(nn.Module):
    """Integrate and fire, threshold 1; several spikes in a step where `most` allows."""

    def __init__(self, most: float = 1.0) -> None:
        super().__init__()
        self.most, self.potential = most, torch.zeros(())

    def forward(self, charge: Tensor) -> Tensor:
        self.potential = self.potential + charge
        spikes = self.potential.floor().clamp(0, self.most)
        self.potential = self.potential - spikes
        return spikes


def made(neuron: IF, weight: float = 1.0) -> Stepped:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, weight)

    def begin(batch: int) -> None:
        neuron.potential = torch.zeros(())

    return Stepped(nn.Sequential(layer, neuron, nn.Linear(1, 1, bias=False)), IF, begin, neuron.most > 1)


X = torch.tensor([[0.25], [0.5], [0.75], [1.0]]).repeat(30, 1)  # more than one batch


def test_spikes_are_counted_up_to_each_recorded_step() -> None:
    found = run_stepped(made(IF()), X, (2, 8))
    (spikes,) = found.spikes
    assert spikes.flatten().tolist() == [(0 + 1 + 1 + 2) / 4, (2 + 4 + 6 + 8) / 4]
    assert found.means.shape == (8, 120, 1) and found.largest == 1


def test_a_graded_spike_of_k_is_k_spikes() -> None:
    found = run_stepped(made(IF(9.0), 3.0), X, (8,))
    assert found.spikes[0].item() == 3 * (2 + 4 + 6 + 8) / 4 and found.largest == 3


def test_the_output_is_the_mean_over_the_steps_so_far_and_the_network_is_left_as_it_was() -> None:
    network = made(IF())
    read = network.network[2].weight.item()
    means = run_stepped(network, X[:4], (4,)).means
    assert means[-1].flatten().tolist() == pytest.approx([read / 4, read / 2, read * 3 / 4, read])
    assert not network.network[1]._forward_hooks
    assert torch.equal(means, run_stepped(network, X[:4], (4,)).means), "every run begins anew"


@pytest.mark.parametrize("weight, message", [(-1.0, "no neuron spiked"), (float("nan"), "not finite")])
def test_what_is_no_spiking_network_is_refused(weight: float, message: str) -> None:
    with pytest.raises(PeerError, match=message):
        run_stepped(made(IF(), weight), X, (4,))
