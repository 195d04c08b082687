"""spikingjelly: its rate-coding recipe, torch backend.

ReLU becomes an integrate-and-fire neuron with soft reset whose threshold is the same percentile of the activations as
ours; its potentials start at zero. Three ways to run it are offered: a loop over steps, all steps at once, and blocks
of steps, which it recommends for many steps without gradients.

W. Fang et al., "SpikingJelly: an open-source machine learning infrastructure platform for spike-based intelligence",
Science Advances 9(40), 2023.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from evaluate.contenders.prepared import Prepared, activity, refuse_activations

__all__ = ["prepare"]

_BLOCK = 8


def prepare(module: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Prepared:
    """`module` as spikingjelly converts it, about to run on `x` for `steps` steps."""
    from spikingjelly.activation_based import ann2snn, functional, neuron

    recipe = ann2snn.RateCodingRecipe([(calibration,)], mode="99.9%")
    looped = ann2snn.Converter(recipe).convert(deepcopy(module)).eval()
    refuse_activations("spikingjelly", looped)
    at_once = deepcopy(looped)
    functional.set_step_mode(looped, "s")
    functional.set_step_mode(at_once, "m")
    train = x.expand(steps, *x.shape)

    def single_step() -> Tensor:
        functional.reset_net(looped)
        total = looped(x)
        for _ in range(steps - 1):
            total = total + looped(x)
        return total

    def multi_step() -> Tensor:
        functional.reset_net(at_once)
        total: Tensor = at_once(train).sum(0)
        return total

    def multi_step_in_blocks() -> Tensor:
        functional.reset_net(at_once)
        total: Tensor = functional.chunk_multi_step_forward(_BLOCK, train, at_once).sum(0)
        return total

    @torch.no_grad()
    def rate() -> float:
        return activity(looped, neuron.BaseNode, single_step)

    modes = {"single step": single_step, "multi-step": multi_step}
    if steps > _BLOCK:
        modes[f"multi-step in blocks of {_BLOCK}"] = multi_step_in_blocks
    return Prepared(modes, rate, "potentials start at zero, thresholds of its own from the same samples")
