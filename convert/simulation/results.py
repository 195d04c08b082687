"""What a simulation gives, the same for every engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from convert.errors import ConfigError, InputShapeError
from convert.network import SpikingNetwork

__all__ = ["Settled", "Simulation", "check_request", "refuse_exact"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Output and activity of a spiking network on a batch of samples.

    Parameters
    ----------
    output : Tensor (steps, batch, *output shape)
        Read-out after each step: the mean over the steps so far, in the units of the original network.
    spikes : mapping
        Node -> (len(record), *shape): spikes of either sign, summed over the batch, emitted up to each
        recorded step. The input is among them where it is coded as spikes.
    counts : mapping
        Node -> (batch, *shape): signed spike count of every neuron after the last step.
    record : tuple of int
        The recorded steps.
    """

    output: Tensor
    spikes: Mapping[str, Tensor]
    counts: Mapping[str, Tensor]
    record: tuple[int, ...]
    dt_s: float


@dataclass(frozen=True, eq=False)
class Settled:
    """An exact network at rest.

    Parameters
    ----------
    output : Tensor (batch, *output shape)
        Read-out in the units of the original network: charge times scale.
    charge : Tensor (batch, *output shape)
        The same as a whole number times 2^-bits, in float64.
    bits : int
        Fraction bits of the charge.
    steps : Tensor (batch,)
        q, the step in which the last spike was fired.
    certified : Tensor (batch,)
        Whether no neuron could fire, as computed anew from the counts.
    counts : mapping
        Population -> (batch, *shape): signed spike count of every neuron.
    spikes : mapping
        Population -> (batch, *shape): spikes of either sign, corrections included.
    trace : Tensor (steps, batch, *output shape), or None
        Read-out after each step, in the units of the original network.
    emitted : mapping, or None
        Population -> (steps, *shape): spikes of either sign up to each step, summed over the batch.
    """

    output: Tensor
    charge: Tensor
    bits: int
    steps: Tensor
    certified: Tensor
    counts: Mapping[str, Tensor]
    spikes: Mapping[str, Tensor]
    trace: Tensor | None = None
    emitted: Mapping[str, Tensor] | None = None

    @property
    def logits(self) -> Tensor:
        """The output as integers, (batch, *output shape): in units of 2^-bits times the scale."""
        return (self.charge * 2.0**self.bits).long()


def refuse_exact(network: SpikingNetwork) -> None:
    """Refuse a network whose spikes are no rates.

    Raises
    ------
    ConfigError
    """
    if network.code == "exact":
        raise ConfigError(
            "simulation of rates: got an exact network, which is run until it is quiescent and not for a number of "
            "steps; expected a rate-coded one: use simulate_exact, or convert with another recipe"
        )


def check_request(network: SpikingNetwork, x: Tensor, steps: int, record: tuple[int, ...] | None) -> tuple[int, ...]:
    """The steps to record, after checking the request.

    Raises
    ------
    ConfigError, InputShapeError
    """
    refuse_exact(network)
    if steps < 1:
        raise ConfigError(f"steps: got {steps}; expected at least 1")
    record = (steps,) if record is None else tuple(sorted(set(record)))
    if not record or record[0] < 1 or record[-1] > steps:
        raise ConfigError(f"record: got {record}; expected steps between 1 and {steps}")
    if tuple(x.shape[1:]) != network.graph.input.shape:
        raise InputShapeError(
            f"the spiking network takes samples of shape {network.graph.input.shape}, got {tuple(x.shape[1:])}"
        )
    return record
