"""What a simulation gives, the same for every engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import ConfigError, InputShapeError
from convert.network import SpikingNetwork

__all__ = ["Exits", "Settled", "Simulation", "check_request", "read_out", "refuse_exact"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Output and activity of a spiking network on a batch of samples.

    Parameters
    ----------
    output : Tensor (steps, batch, *output shape)
        Read-out after each step, in the units of the original network: the mean over the steps so far, see
        `read_out`.
    spikes : mapping
        Node -> (len(record), *shape): number of spikes, of whatever sign and value, summed over the batch, emitted up
        to each recorded step. The input is among them where it is coded as spikes. Those that a network sends while it
        looks ahead are among them from the first step on.
    counts : mapping
        Node -> (batch, *shape): sum of the spikes' values of every neuron after the last step; for plain spikes, their
        number.
    record : tuple of int
        The recorded steps.
    """

    output: Tensor
    spikes: Mapping[str, Tensor]
    counts: Mapping[str, Tensor]
    record: tuple[int, ...]
    dt_s: float


@dataclass(frozen=True, eq=False)
class Exits:
    """A spiking network on a batch of which every sample left when it was finished.

    Parameters
    ----------
    output : Tensor (batch, *output shape)
        Read-out of each sample at the step at which it left.
    steps : Tensor (batch,)
        That step; those of a look-ahead came before, and are not among them.
    counts : mapping
        Node -> (batch, *shape): sum of the spikes' values of every neuron until then; empty where it was not wanted.
    spikes : mapping
        Node -> (*shape): number of spikes until then, summed over the batch.
    """

    output: Tensor
    steps: Tensor
    counts: Mapping[str, Tensor]
    spikes: Mapping[str, Tensor]
    dt_s: float


def read_out(totals: Tensor, network: SpikingNetwork) -> Tensor:
    """What the network says after each step, in the units of the original.

        y[t] = scale (total[t] - total[d]) / (t - d),   d = min(delay, floor(t / 2))

    The first `delay` steps are those in which activity has not reached the output yet (Bu et al., CVPR 2025,
    "delayed evaluation").

    Parameters
    ----------
    totals : Tensor (steps, batch, *output shape)
        Sums of the output node's values up to each step.
    """
    steps = torch.arange(1, len(totals) + 1, device=totals.device)
    skipped = torch.clamp(steps // 2, max=network.readout_delay)
    before = torch.cat([torch.zeros_like(totals[:1]), totals])[skipped]
    count = (steps - skipped).double().reshape(-1, *[1] * (totals.ndim - 1))
    return (totals - before).div_(count) * network.scales[network.graph.output].to(totals.device)


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
    if network.code == "radix":
        raise ConfigError(
            "simulation of rates: got a radix-coded network, whose spikes are digits of a number, layer after layer; "
            "expected a rate-coded one: use simulate_radix, or convert with another recipe"
        )
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
    if x.numel() and not all(math.isfinite(end) for end in x.aminmax()):  # NaN is either end
        bad = (~torch.isfinite(x)).flatten(1).any(1).nonzero().flatten()
        raise InputShapeError(
            f"{len(bad)} of {len(x)} samples hold NaN or infinity, the first is number {int(bad[0])}; expected finite "
            "numbers: drop or repair these samples"
        )
    return record
