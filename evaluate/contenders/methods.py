"""Ways in which other converters make a network of spikes, by the name that the leaderboard gives them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from evaluate.contenders.prepared import refuse_activations
from evaluate.contenders.stepped import Stepped

__all__ = ["METHODS", "Method"]

_BATCH = 100
"""Calibration samples that spikingjelly sees at a time; its percentiles are means over batches."""

_ROUNDS = 20
"""How often local threshold balancing sees the calibration samples: its thresholds begin at 0 and need many."""


@dataclass(frozen=True)
class Method:
    """One way to convert.

    Parameters
    ----------
    distribution : str
        What must be installed.
    make : callable
        (trained module, calibration samples) -> the spiking network; whatever it raises is a refusal.
    source : str
        What it is, for people.
    calibrates : bool
        Whether it looks at the calibration samples.
    """

    distribution: str
    make: Callable[[nn.Module, Tensor], Stepped]
    source: str
    calibrates: bool = True


def _spikingjelly(module: nn.Module, calibration: Tensor, **options: Any) -> Stepped:
    from spikingjelly.activation_based import ann2snn

    batches = [(part,) for part in calibration.split(_BATCH)]
    return _looped(ann2snn.RateCodingRecipe(batches, **options), module)


def _balanced(module: nn.Module, calibration: Tensor) -> Stepped:
    from spikingjelly.activation_based import ann2snn

    batches = [(part,) for part in calibration.split(_BATCH)] * _ROUNDS
    return _looped(ann2snn.LocalThresholdBalancingRecipe(batches), module)


def _looped(recipe: Any, module: nn.Module) -> Stepped:
    from spikingjelly.activation_based import ann2snn, functional, neuron

    network = ann2snn.Converter(recipe).convert(deepcopy(module)).eval()
    refuse_activations("spikingjelly", network)
    functional.set_step_mode(network, "s")
    return Stepped(network, neuron.BaseNode, lambda batch: functional.reset_net(network))


def _sinabs(module: nn.Module, calibration: Tensor, single: bool = False, normalised: bool = False) -> Stepped:
    from sinabs.activation import MultiSpike, SingleSpike
    from sinabs.from_torch import from_model
    from sinabs.layers import StatefulLayer
    from sinabs.utils import reset_states, set_batch_size

    module = deepcopy(module)
    if normalised:
        _normalise(module, calibration)
    spikes = SingleSpike if single else MultiSpike
    network = from_model(module, batch_size=1, spike_fn=spikes).spiking_model.eval()
    refuse_activations("sinabs", network)

    def begin(batch: int) -> None:
        set_batch_size(network, batch)
        reset_states(network)

    return Stepped(network, StatefulLayer, begin, not single)


def _normalise(module: nn.Module, calibration: Tensor) -> None:
    """Its own weight normalisation, told which layer with weights stands before which ReLU."""
    from sinabs.utils import normalize_weights

    weighted, pairs = "", []
    for name, part in module.named_children():
        if isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            weighted = name
        elif isinstance(part, nn.ReLU) and weighted:
            pairs.append((weighted, name))
    if not pairs:
        raise ValueError("normalize_weights needs layers with weights and ReLUs in a row; found none")
    normalize_weights(module, calibration, [relu for _, relu in pairs], [layer for layer, _ in pairs], 99.9)


METHODS = {
    "spikingjelly-max": Method(
        "spikingjelly", partial(_spikingjelly, mode="Max"), "rate coding recipe, largest activation of a layer"
    ),
    "spikingjelly-99.9": Method(
        "spikingjelly", partial(_spikingjelly, mode="99.9%"), "rate coding recipe, 99.9th percentile of a layer"
    ),
    "spikingjelly-channelwise": Method(
        "spikingjelly",
        partial(_spikingjelly, mode="99.9%", channel_wise=True, half_threshold=True, pre_spike_maxpool=True),
        "rate coding recipe, 99.9th percentile of a channel, start at half a threshold, max pools before neurons",
    ),
    "spikingjelly-ltb": Method(
        "spikingjelly", _balanced, f"local threshold balancing per channel, {_ROUNDS} rounds of the calibration samples"
    ),
    "sinabs-multi": Method("sinabs", _sinabs, "from_model as it comes: threshold 1, several spikes in a step", False),
    "sinabs-single": Method(
        "sinabs", partial(_sinabs, single=True), "from_model, threshold 1, at most one spike in a step", False
    ),
    "sinabs-normalised": Method(
        "sinabs", partial(_sinabs, single=True, normalised=True),
        "normalize_weights at the 99.9th percentile, then from_model with at most one spike in a step",
    ),
}  # fmt: skip
"""In the order of the table."""
