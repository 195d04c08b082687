"""A signed neuron that keeps its spike count on a curve of its charge: any activation f, monotone or not.

    A[t] = beta A[t-1] + I[t]               charge
    n[t] = beta n[t-1] + 1                  steps that the charge stands for; A / n is the mean drive
    V[t] = n f(A / n) / lam - beta S[t-1]   what the spikes still owe
    fire sign(V) if |V| >= V_th
    S[t] = beta S[t-1] + s[t]               net count

f(A / n) is the activation at the mean drive, n f / lam the count that stands for it, so after T steps without a leak

    S = T f(A / T) / lam + e,  |e| <= 1/2,

as long as one spike per step keeps up: the rate is the curve of the mean drive, whatever the order in which the
charge came. Where f is the identity, A - S = V is the potential of the signed leaky neuron, V = beta V + I - s; with
a leak both averages forget alike, and like that neuron this one resolves rates down to (1 - beta) / 2.
(Spiking quantisers with thresholds indexed by the count, such as ST-BIF of SpikeZIP, are the monotone case.)

No activation function is evaluated at run time. f is a table of straight pieces that belongs to the network; a
look-up, a product and a sum give n f. A leaky ReLU has two pieces, and needs neither the division nor lam.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.neurons.leaky import LeakyNeuron, decay

__all__ = ["CurveNeuron", "TrackingNeuron", "TrackingState", "TwoSlopeNeuron"]


@dataclass(frozen=True)
class TrackingState:
    """Charge in units of the drive and net count, (batch, *shape); the steps that they stand for."""

    charge: Tensor
    count: Tensor
    window: float = 0.0


@dataclass(frozen=True)
class TrackingNeuron(LeakyNeuron):
    """What all curves share; the module's docstring has the equations."""

    signed: ClassVar[bool] = True
    on_lattice: ClassVar[bool] = False

    def start(self, v: Tensor) -> TrackingState:  # type: ignore[override]
        """The state with potential `v` in quanta, before the first spike: no charge, and a count of -v."""
        return TrackingState(torch.zeros_like(v), -v)

    @abstractmethod
    def owed(self, charge: Tensor, window: float, quantum: Tensor, threshold: Tensor) -> Tensor:
        """The count n f(A / n) / lam that stands for `charge`, which came in `window` steps.

        Parameters
        ----------
        charge : Tensor
            In units of activation per quantum 1, like the drive.
        quantum, threshold : Tensor
            Of the population; activation = threshold * rate, and drive * threshold / quantum is in its unit.
        """

    def step(  # type: ignore[override]
        self, state: TrackingState, current: Tensor, quantum: Tensor, dt_s: float, threshold: Tensor | None = None
    ) -> tuple[TrackingState, Tensor]:
        """One step: the new state, and the spikes (-1, 0 or 1).

        `threshold` is lam, by default the quantum: then activation and drive have one unit.
        """
        beta = decay(dt_s, self.tau_mem_s)
        charge, window = beta * state.charge + current, beta * state.window + 1.0
        left = beta * state.count
        v = self.owed(charge, window, quantum, quantum if threshold is None else threshold) - left
        spikes = torch.sign(v) * (v.abs() >= self.v_threshold)
        return TrackingState(charge, left + spikes, window), spikes


@dataclass(frozen=True)
class TwoSlopeNeuron(TrackingNeuron):
    """Leaky ReLU: f(x) = x above zero and slope x below; n f(A / n) = f(A).

    Parameters
    ----------
    slopes : tuple of float
        One for all neurons, or one for each channel (the first axis of a sample); of either sign.
    """

    slopes: tuple[float, ...] = (0.01,)

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        super().__post_init__()
        if not self.slopes or not all(math.isfinite(slope) for slope in self.slopes):
            raise ConfigError("slopes: expected at least one finite number")

    def slope(self, like: Tensor) -> Tensor:
        """The slopes as a tensor that broadcasts with `like`, (batch, *shape)."""
        return torch.tensor(self.slopes, dtype=like.dtype, device=like.device).reshape(-1, *[1] * (like.ndim - 2))

    def owed(self, charge: Tensor, window: float, quantum: Tensor, threshold: Tensor) -> Tensor:
        """f(A) in quanta."""
        return torch.where(charge > 0, charge, charge * self.slope(charge)) / quantum


@dataclass(frozen=True)
class CurveNeuron(TrackingNeuron):
    """Any curve, in straight pieces: between breaks k and k + 1, f(x) = rises[k] x + offsets[k].

    Parameters
    ----------
    breaks : tuple of float
        Where a piece ends and the next begins, ascending; in units of the activation.
    rises, offsets : tuple of float
        One more than breaks: the first and the last piece reach to infinity.
    """

    breaks: tuple[float, ...] = (0.0,)
    rises: tuple[float, ...] = field(default=(0.0, 1.0), repr=False)
    offsets: tuple[float, ...] = field(default=(0.0, 0.0), repr=False)

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        super().__post_init__()
        numbers = (*self.breaks, *self.rises, *self.offsets)
        if not len(self.rises) == len(self.offsets) == len(self.breaks) + 1 or not all(map(math.isfinite, numbers)):
            raise ConfigError("curve: expected finite breaks, and one rise and offset more than breaks")
        if any(a >= b for a, b in zip(self.breaks, self.breaks[1:], strict=False)):
            raise ConfigError("curve: expected breaks in ascending order")

    def table(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(breaks, rises, offsets) as tensors of `like`'s type."""
        parts = (self.breaks, self.rises, self.offsets)
        breaks, rises, offsets = (torch.tensor(part, dtype=like.dtype, device=like.device) for part in parts)
        return breaks, rises, offsets

    def owed(self, charge: Tensor, window: float, quantum: Tensor, threshold: Tensor) -> Tensor:
        """The count by table; a value on a break belongs to the piece above it."""
        breaks, rises, offsets = self.table(charge)
        x = charge * (1.0 / window) * (threshold / quantum).to(charge)
        piece = torch.bucketize(x.contiguous(), breaks, right=True)
        return (rises[piece] * x + offsets[piece]) * (window / threshold.to(charge))
