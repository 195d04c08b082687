"""The counting neuron: signed one-bit spikes that bring its count to the level that its charge asks for.

    A[t] = A[t-1] + I[t]                              charge since the start: nothing leaks, nothing is reset
    s[t] = sign(S*(A[t]) - S[t-1])                    -1, 0 or 1
    S[t] = S[t-1] + s[t]                              count: what has been sent so far
    S*(A) = level of the staircase at A

The staircase is a table: `levels[k]` holds where k of the ascending `thresholds` are at or below A. Of a monotone
curve the levels are consecutive, so the neuron fires +1 when A reaches the threshold above its count, and -1 when
A falls below the one under it: an integrate-and-fire neuron whose threshold is looked up under its own count. No
activation function is evaluated at run time.

For ReLU the thresholds are 1/2, 3/2, ..., N - 1/2 quanta. Then V = A - S is a membrane with soft reset that fires
+1 if V >= 1/2 and S < N, and -1 if V < -1/2 and S > 0: the signed neuron of Wang et al. (IJCAI 2022, "Signed neuron
with memory") and the ST-BIF neuron of You et al. (ICML 2024, "SpikeZIP-TF").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.neurons.leaky import LeakyNeuron

__all__ = ["MOST_LEVELS", "Counting", "CountingNeuron", "half_steps", "staircase"]

MOST_LEVELS = 1023
"""The largest count in magnitude: a neuron needs up to one step for each level."""

_BITS = 14
"""Fraction bits of a tabulated threshold."""

_REACH = 4096
"""Charge, in multiples of the highest level, beyond which a curve has said all it has to say."""

_PER_OCTAVE = 32
"""Points of the scan for each doubling of the charge."""

Steps = tuple[tuple[float, ...], tuple[int, ...]]
"""Thresholds and levels."""


@dataclass(frozen=True)
class Counting:
    """State: charge in quanta and count of spikes, (batch, *shape)."""

    charge: Tensor
    count: Tensor


@dataclass(frozen=True)
class CountingNeuron(LeakyNeuron):
    """The neuron of the exact mode; the module's docstring has its equations.

    Parameters
    ----------
    thresholds : tuple of float
        Charges in quanta at which the level changes, ascending.
    levels : tuple of int
        Level below the first threshold, and from each threshold on.

    Raises
    ------
    ConfigError
        A table that is no staircase, or a leak, which would forget charge.
    """

    tau_mem_s: float = math.inf
    tau_syn_s: float = 0.0
    thresholds: tuple[float, ...] = ()
    levels: tuple[int, ...] = (0,)
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the table at the door."""
        super().__post_init__()
        if self.tau_mem_s < math.inf or self.tau_syn_s:
            raise ConfigError("counting neuron: got a time constant; expected none: it keeps every charge")
        rising = all(a <= b for a, b in pairwise(self.thresholds))
        if len(self.levels) != len(self.thresholds) + 1 or not rising or not all(map(math.isfinite, self.thresholds)):
            raise ConfigError(
                f"counting neuron: got {len(self.levels)} levels and {len(self.thresholds)} thresholds; expected "
                "ascending finite thresholds and one level more"
            )
        if not all(isinstance(level, int) for level in self.levels):
            raise ConfigError("counting neuron: got a level that is no whole number; expected whole numbers")
        if self.highest > MOST_LEVELS:
            raise ConfigError(f"counting neuron: got a level of {self.highest}; expected at most {MOST_LEVELS}")

    @property
    def span(self) -> int:
        """The most spikes that separate two counts: the range of the levels and of the count at the start, 0."""
        return max(*self.levels, 0) - min(*self.levels, 0)

    @property
    def highest(self) -> int:
        """The largest count in magnitude."""
        return max(abs(level) for level in self.levels)

    def target(self, charge: Tensor) -> Tensor:
        """S*(A): the level that `charge` asks for, of the same type."""
        if (self.thresholds, self.levels) == half_steps(len(self.thresholds)):
            return (charge + 0.5).floor_().clamp_(0, len(self.thresholds))
        edges = torch.tensor(self.thresholds, dtype=torch.float64, device=charge.device)
        levels = torch.tensor(self.levels, dtype=charge.dtype, device=charge.device)
        return levels[torch.bucketize(charge.double().contiguous(), edges, right=True)]

    def start(self, v: Tensor) -> Counting:  # type: ignore[override]
        """Charge `v`, and no spike so far."""
        return Counting(v, torch.zeros_like(v))

    def step(  # type: ignore[override]
        self, state: Counting, current: Tensor, quantum: Tensor, dt_s: float
    ) -> tuple[Counting, Tensor]:
        """One step: the new state, and the spikes (-1, 0 or 1)."""
        charge = state.charge + current
        spikes = torch.sign(self.target(charge / quantum) - state.count)
        return Counting(charge, state.count + spikes), spikes


def half_steps(top: int) -> Steps:
    """The staircase of ReLU: level k from k - 1/2 quanta on, up to `top`.

    >>> half_steps(2)
    ((0.5, 1.5), (0, 1, 2))
    """
    return tuple(k + 0.5 for k in range(top)), tuple(range(top + 1))


def staircase(curve: Callable[[Tensor], Tensor], unit: float, top: int) -> Steps:
    """The table of floor(f(A unit) / unit + 1/2), clipped to [-top, top], over charges A in quanta.

    Parameters
    ----------
    curve : callable
        f, on float64 tensors; continuous, monotone or not.
    unit : float
        What one quantum is worth, in units of f and of its argument.
    top : int
        The highest level.

    Returns
    -------
    thresholds, levels
        Each threshold is the least multiple of 2^-14 at or beyond the step.

    >>> staircase(lambda x: x.clamp(min=0), 1.0, 2)
    ((0.5, 1.5), (0, 1, 2))
    """

    def level(ticks: list[int]) -> list[int]:
        charge = torch.tensor(ticks, dtype=torch.float64) * 2.0**-_BITS
        return torch.floor(curve(charge * unit) / unit + 0.5).clamp(-top, top).long().tolist()

    scan = _scan(_REACH * max(top, 1) << _BITS)
    seen = level(scan)
    thresholds, levels = [], [seen[0]]
    for (left, before), (right, after) in pairwise(zip(scan, seen, strict=True)):
        way = 1 if after > before else -1
        for wanted in range(before + way, after + way, way) if after != before else ():
            thresholds.append(_first(level, left, right, wanted, way) * 2.0**-_BITS)
            levels.append(wanted)
    return tuple(thresholds), tuple(levels)


def _scan(reach: int) -> list[int]:
    """Whole numbers from -reach to reach, dense around 0 and ever wider apart."""
    octaves = reach.bit_length()
    magnitudes = {min(reach, round(2.0 ** (i / _PER_OCTAVE))) for i in range(octaves * _PER_OCTAVE + 1)}
    return [-m for m in sorted(magnitudes, reverse=True)] + [0, *sorted(magnitudes)]


def _first(level: Callable[[list[int]], list[int]], left: int, right: int, wanted: int, way: int) -> int:
    """The least tick in (left, right] whose level has come as far as `wanted`, going `way`."""
    while right - left > 1:
        middle = (left + right) // 2
        if (level([middle])[0] - wanted) * way >= 0:
            right = middle
        else:
            left = middle
    return right
