"""A neuron that emits one of a few values per step, and can take back what it has sent.

    V[t] = beta V[t-1] + I[t]
    emit the value m that is nearest to V, out of {0, +m_1, ..., +m_n} and {-m_1, ..., -m_n}; V[t] -= m
    m < 0 only against credit: the sum of all that the neuron has emitted never falls below zero

With the single value 1 this is the *signed one-bit* neuron: it fires at V >= 1/2, and -1 at V < -1/2 if it has sent
spikes before, so an early surplus is corrected instead of carried along (Wang et al., IJCAI 2022, "signed neuron with
memory"; Hu et al., TPAMI 2023). With the values 1, 1/2, ..., 2^-(n-1) it is the multi-threshold neuron of Huang et al.,
ICML 2025, whose 3/4 points are the midpoints between neighbouring values. A spike of such a neuron says which value it
is: it carries `payload_bits` bits, and is never to be counted as one bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.neurons.leaky import LeakyNeuron, decay

__all__ = ["GradedNeuron", "GradedState", "halving"]

_MOST_BITS = 10


def halving(levels: int) -> tuple[float, ...]:
    """The values 1, 1/2, 1/4, ... of a neuron with so many thresholds.

    >>> halving(3)
    (1.0, 0.5, 0.25)
    """
    return tuple(2.0**-k for k in range(levels))


@dataclass(frozen=True)
class GradedState:
    """Membrane potential and sum of what was emitted, in quanta, (batch, *shape)."""

    v: Tensor
    credit: Tensor


@dataclass(frozen=True)
class GradedNeuron(LeakyNeuron):
    """The neuron of several values; the module's docstring has its equations.

    Parameters
    ----------
    values : tuple of float
        Magnitudes of its spikes in quanta, from 1 downwards, multiples of 2^-10.
    takes_back : bool
        Whether it emits negative spikes against credit.

    Raises
    ------
    ConfigError
        Values that are not such magnitudes.
    """

    values: tuple[float, ...] = (1.0,)
    takes_back: bool = True

    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        super().__post_init__()
        falls = all(a > b for a, b in zip(self.values, self.values[1:], strict=False))
        dyadic = all(math.isfinite(m) and m > 0 and (m * 2**_MOST_BITS).is_integer() for m in self.values)
        if not self.values or self.values[0] != 1 or not falls or not dyadic:
            raise ConfigError(f"values: got {self.values}; expected magnitudes from 1 downwards, multiples of 2^-10")

    @property
    def trait(self) -> str:
        """What sets it apart from the plain neuron, in words."""
        values = "one bit" if len(self.values) == 1 else f"{len(self.values)} values"
        return f"signed, {values}" if self.takes_back else values

    @property
    def spike_bits(self) -> int:
        """Fraction bits of a spike's value."""
        return next(b for b in range(_MOST_BITS + 1) if all((m * 2**b).is_integer() for m in self.values))

    @property
    def payload_bits(self) -> int:
        """Bits that say which of its values a spike has; 1 for a plain spike."""
        return max(1, math.ceil(math.log2(len(self.values) * (2 if self.takes_back else 1))))

    def rungs(self) -> list[tuple[float, float, float]]:
        """(midpoint to the next smaller value, value, growth over the next smaller value), largest first."""
        smaller = (*self.values[1:], 0.0)
        return [((m + low) / 2, m, m - low) for m, low in zip(self.values, smaller, strict=True)]

    def start(self, v: Tensor) -> GradedState:  # type: ignore[override]
        """The state with membrane potential `v`, before the first spike."""
        return GradedState(v, torch.zeros_like(v))

    def step(  # type: ignore[override]
        self, state: GradedState, current: Tensor, quantum: Tensor, dt_s: float
    ) -> tuple[GradedState, Tensor]:
        """One step: the new state, and the values emitted, in quanta."""
        v = decay(dt_s, self.tau_mem_s) * state.v + current
        spikes = torch.zeros_like(v)
        for midpoint, value, growth in self.rungs():
            up = v >= midpoint * quantum
            down = (v < -midpoint * quantum) & (state.credit >= value) & self.takes_back
            spikes = spikes + growth * (up.to(v.dtype) - down.to(v.dtype))
        return GradedState(v - quantum * spikes, state.credit + spikes), spikes
