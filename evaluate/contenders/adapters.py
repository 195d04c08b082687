"""Ten lines for each converter: what the conformance suite asks of it; see `evaluate.conformance.contract`.

Each converts with the rule that takes the largest activation where it has one, since the suite's samples leave no other
choice, and with the reset and the leak that are asked for where its neurons have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convert.config import ConvertConfig
from convert.pipeline import convert
from convert.reading.tracing import trace
from convert.simulation.engine import simulate

__all__ = ["ADAPTERS", "Known", "ours", "sinabs", "sinabs_single_spike", "spikingjelly", "spikingjelly_channelwise"]


def ours(
    model: nn.Module, calibration: Tensor, x: Tensor, steps: int, reset: str = "subtract", decay: float = 1.0
) -> Tensor:
    """Our IF neuron, or our LIF neuron where potentials are to decay."""
    tau_ms = math.inf if decay == 1 else -1 / math.log(decay)
    config = ConvertConfig(
        neuron="if" if decay == 1 else "lif", tau_mem_ms=tau_ms, rule="max", v_threshold=1.0, reset=reset,
        potential_steps=0,
    )  # fmt: skip
    network = convert(trace(model, tuple(x.shape[1:])), calibration, config).snn
    means = simulate(network, x, steps).output.double()
    sums = means * torch.arange(1, steps + 1).reshape(-1, *[1] * (means.ndim - 1))
    return sums.diff(dim=0, prepend=torch.zeros_like(sums[:1]))


def spikingjelly(
    model: nn.Module, calibration: Tensor, x: Tensor, steps: int, reset: str = "subtract", decay: float = 1.0
) -> Tensor:
    """The rate coding recipe of spikingjelly, one threshold for a layer."""
    from spikingjelly.activation_based import ann2snn, neuron

    def made(scale: float) -> nn.Module:
        options = {"v_threshold": 1.0, "v_reset": None if reset == "subtract" else 0.0}
        if decay == 1:
            return neuron.IFNode(**options)
        return neuron.LIFNode(tau=1 / (1 - decay), decay_input=False, **options)

    recipe = ann2snn.RateCodingRecipe([(calibration,)], mode="Max", neuron_factory=made)
    return _stepped(ann2snn.Converter(recipe).convert(model).eval(), x, steps)


def spikingjelly_channelwise(model: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Tensor:
    """The same with one threshold for a channel, and max pooling in front of the neurons."""
    from spikingjelly.activation_based import ann2snn

    recipe = ann2snn.RateCodingRecipe([(calibration,)], mode="Max", channel_wise=True, pre_spike_maxpool=True)
    return _stepped(ann2snn.Converter(recipe).convert(model).eval(), x, steps)


def _stepped(network: nn.Module, x: Tensor, steps: int) -> Tensor:
    """What spikingjelly's `network` puts out in each step."""
    from spikingjelly.activation_based import functional

    functional.set_step_mode(network, "s")
    functional.reset_net(network)
    return torch.stack([network(x) for _ in range(steps)])


def sinabs(
    model: nn.Module, calibration: Tensor, x: Tensor, steps: int, reset: str = "subtract", decay: float = 1.0
) -> Tensor:
    """The defaults of sinabs: threshold 1, several spikes in a step, potentials no lower than -1."""
    from sinabs.activation import MultiSpike

    return _sinabs(model, x, steps, reset, decay, MultiSpike)


def sinabs_single_spike(
    model: nn.Module, calibration: Tensor, x: Tensor, steps: int, reset: str = "subtract", decay: float = 1.0
) -> Tensor:
    """The same with at most one spike in a step."""
    from sinabs.activation import SingleSpike

    return _sinabs(model, x, steps, reset, decay, SingleSpike)


def _sinabs(model: nn.Module, x: Tensor, steps: int, reset: str, decay: float, spikes: type) -> Tensor:
    import sinabs.layers
    from sinabs.activation import MembraneReset, MembraneSubtract
    from sinabs.from_torch import from_model

    rule = MembraneSubtract() if reset == "subtract" else MembraneReset()
    leaky = {"tau_mem": -1 / math.log(decay), "norm_input": False} if decay < 1 else {}
    layer = sinabs.layers.LIFSqueeze if leaky else sinabs.layers.IAFSqueeze
    network = from_model(model, batch_size=len(x), spike_fn=spikes, reset_fn=rule, spike_layer_class=layer,
                         kwargs_backend=leaky).eval()  # fmt: skip
    train = x.unsqueeze(1).expand(-1, steps, *x.shape[1:]).flatten(0, 1)
    output: Tensor = network(train)
    return output.unflatten(0, (len(x), steps)).transpose(0, 1)


@dataclass(frozen=True)
class Known:
    """An adapter and the distribution that it needs."""

    adapter: Callable[..., Tensor]
    distribution: str


ADAPTERS = {
    "ours": Known(ours, "ann2spike"),
    "spikingjelly": Known(spikingjelly, "spikingjelly"),
    "spikingjelly-channelwise": Known(spikingjelly_channelwise, "spikingjelly"),
    "sinabs": Known(sinabs, "sinabs"),
    "sinabs-single-spike": Known(sinabs_single_spike, "sinabs"),
}
