"""sinabs: `from_model`, which puts an integrate-and-fire neuron in the place of every ReLU.

Its defaults: threshold 1 in units of the activation, several spikes in one step, potentials no lower than -1. All steps
run at once, samples and steps folded into one batch. It scales nothing, so its rates are the activations themselves and
its firing rate is its own.

S. Sheik et al., sinabs, https://sinabs.readthedocs.io
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from evaluate.contenders.prepared import Prepared, activity, refuse_activations

__all__ = ["prepare"]


def prepare(module: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Prepared:
    """`module` as sinabs converts it, about to run on `x` for `steps` steps; it needs no calibration samples."""
    import sinabs.layers
    from sinabs.from_torch import from_model

    network = from_model(module, batch_size=len(x)).eval()
    refuse_activations("sinabs", network.spiking_model)
    train = x.unsqueeze(1).expand(-1, steps, *x.shape[1:]).flatten(0, 1)

    def all_steps() -> Tensor:
        network.reset_states()
        total: Tensor = network(train).unflatten(0, (len(x), steps)).sum(1)
        return total

    @torch.no_grad()
    def rate() -> float:
        return activity(network.spiking_model, sinabs.layers.StatefulLayer, all_steps)

    return Prepared({"all steps at once": all_steps}, rate, "threshold 1, several spikes a step")
