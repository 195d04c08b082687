"""What an adapter to another converter makes: a network that is ready to run on the given samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from evaluate.errors import PeerError

__all__ = ["Prepared", "activity", "refuse_activations"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A converted network.

    Parameters
    ----------
    modes : mapping of str to callable
        Ways to run it. Each call resets the network, runs the batch for all steps and returns the sums of the output
        over the steps, (batch, *output shape).
    rate : callable
        Runs once and returns spikes per neuron and step, the mean over neurons and samples.
    note : str
        What a reader must know of its neurons.
    """

    modes: Mapping[str, Callable[[], Tensor]]
    rate: Callable[[], float]
    note: str = ""


def activity(network: nn.Module, kind: type[nn.Module], run: Callable[[], Tensor]) -> float:
    """Spikes per neuron and step of the modules of type `kind`, counted from what they put out in one run.

    Outputs of several steps or samples may come in one tensor; how many neurons there are follows from how many values
    come out altogether.

    Raises
    ------
    PeerError
        There are none.
    """
    spikes, values = 0.0, 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal spikes, values
        spikes += float(output.sum())
        values += output.numel()

    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, kind)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    if not values:
        raise PeerError("no spiking neuron was run: not a spiking network")
    return spikes / values


def refuse_activations(name: str, converted: nn.Module) -> None:
    """Refuse a converted network in which activation functions are left.

    Raises
    ------
    PeerError
        They would run in floating point, silently; what is timed would be another network.
    """
    left = sorted({type(m).__name__ for m in converted.modules() if type(m).__module__ == nn.ReLU.__module__})
    if left:
        raise PeerError(f"{name} leaves {', '.join(left)} as it is: not a spiking network")
