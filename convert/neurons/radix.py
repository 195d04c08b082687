"""A neuron that sends its value as a binary number: one digit in each step of a period of K steps, the highest first.

A spike in step t of a period (t = 1 .. K) is worth 2^(K - t) quanta, by the clock that sender and receiver share, so K
steps carry K bits; a rate code needs 2^K - 1 steps for as many levels. Periods are synchronous from layer to layer: the
charge A of a neuron is complete before its own period begins. Then

    V[0] = min(A, N)                                        N: its highest level, at most 2^K - 1
    fire s[t] = 1 if V[t-1] >= 2^(K - t) - 1/2,   V[t] = V[t-1] - 2^(K - t) s[t]

which is an integrate-and-fire neuron whose threshold and quantum halve from step to step. The digits are those of

    S = clip(floor(A + 1/2), 0, N) = sum over t of 2^(K - t) s[t]

since V + 1/2 loses its highest binary digit in each step: the neuron is the quantiser of its layer, exactly, and what
is left, V[K], lies in [-1/2, 1/2) unless the neuron was saturated or silent. After j digits the receiver knows S cut
off behind them. The value of a spike is its place in the period, so it is a plain spike of one bit, and its addition
one of a shifted weight.

Source: Wang et al., IEEE TNNLS 35(3), 2024, "Efficient spiking neural networks with radix encoding" (arXiv 2105.06943).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.neurons.leaky import LeakyNeuron

__all__ = ["MOST_DIGITS", "RadixNeuron", "RadixState"]

MOST_DIGITS = 10
"""The longest period."""


@dataclass(frozen=True)
class RadixState:
    """Membrane potential in quanta, (batch, *shape), and the digits sent so far."""

    v: Tensor
    place: int = 0


@dataclass(frozen=True)
class RadixNeuron(LeakyNeuron):
    """The neuron of the radix code; the module's docstring has its equations.

    Parameters
    ----------
    bits : int
        K, steps and digits of a period.
    highest : int
        N, the level at which it saturates.

    Raises
    ------
    ConfigError
        A leak, which would forget charge; a period or a level out of range.
    """

    tau_mem_s: float = math.inf
    tau_syn_s: float = 0.0
    bits: int = 4
    highest: int = 15

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        super().__post_init__()
        if self.tau_mem_s < math.inf or self.tau_syn_s:
            raise ConfigError("radix neuron: got a time constant; expected none: it keeps every charge")
        if not isinstance(self.bits, int) or not 1 <= self.bits <= MOST_DIGITS:
            raise ConfigError(f"radix neuron: got {self.bits} bits; expected a whole number from 1 to {MOST_DIGITS}")
        if not isinstance(self.highest, int) or not 1 <= self.highest < 2**self.bits:
            raise ConfigError(
                f"radix neuron: got {self.highest} as its highest level; expected 1 to {2**self.bits - 1}, which "
                f"{self.bits} bits hold"
            )

    @property
    def trait(self) -> str:
        """What sets it apart from the plain neuron, in words."""
        return f"radix, {self.bits} binary digits"

    def target(self, charge: Tensor) -> Tensor:
        """S: the level that `charge` asks for, of the same type."""
        return (charge + 0.5).floor_().clamp_(0, self.highest)

    def digits(self, count: Tensor) -> Tensor:
        """The spikes that say `count`, (K, *count.shape): 0 or 1, the highest digit first.

        >>> RadixNeuron(bits=3, highest=7).digits(torch.tensor([6.0, 1.0])).tolist()
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        """
        return torch.stack([torch.floor(count / 2.0**k) % 2 for k in reversed(range(self.bits))])

    def leading(self, count: Tensor, places: int) -> Tensor:
        """What the first `places` digits say of `count`.

        >>> RadixNeuron(bits=3, highest=7).leading(torch.tensor([6.0, 1.0]), 1).tolist()
        [4.0, 0.0]
        """
        worth = 2.0 ** (self.bits - places)
        return torch.floor(count / worth) * worth

    def start(self, v: Tensor) -> RadixState:  # type: ignore[override]
        """Potential `v`, and no digit so far."""
        return RadixState(v)

    def step(  # type: ignore[override]
        self, state: RadixState, current: Tensor, quantum: Tensor, dt_s: float
    ) -> tuple[RadixState, Tensor]:
        """One step of the neuron's own period: the new state, and the digits (0 or 1).

        Parameters
        ----------
        current : Tensor
            Charge that arrives; it must all have come before the period begins.
        """
        v = state.v + current
        if state.place == 0:
            v = torch.minimum(v, self.highest * quantum)
        worth = 2.0 ** (self.bits - 1 - state.place)
        spikes = (v >= (worth - 0.5) * quantum).to(v.dtype)
        return RadixState(v - worth * quantum * spikes, state.place + 1), spikes
