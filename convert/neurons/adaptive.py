"""A signed neuron whose quantum grows with its own rate: spike-frequency adaptation as an activation function.

    V[t] = beta V[t-1] + I[t]
    q    = q(|r[t-1]|),           q(r) = f^-1(r) / r
    fire sign(V) if |V| >= q / 2, then V[t] -= q sign(V)
    r[t] = r[t-1] + (s[t] - r[t-1]) max(1 / t, dt / tau_adapt)

At a steady rate r the charge that leaves per step is r q(r) = f^-1(r), and it equals the drive, so r = f(drive):
the rate is the curve. For tanh, q(r) = artanh(r) / r = 1 + r^2 / 3 + ...; for hard tanh q = 1 and the rate
saturates by itself. No activation function is evaluated at run time: q is a table of 257 numbers that
belongs to the network. V lies in [-q/2, q/2), so the leak is unbiased here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.neurons.leaky import LeakyNeuron, decay

__all__ = ["AdaptiveNeuron", "AdaptiveState", "constant_quantum", "quantum_of_tanh"]

_ENTRIES = 257


def quantum_of_tanh() -> tuple[float, ...]:
    """q(r) = artanh(r) / r at r = 0, 1/256, ..., 1; the last entry stands at r = 1 - 1/512, where q is finite.

    >>> table = quantum_of_tanh()
    >>> table[0], round(table[128], 4)  # artanh(1/2) / (1/2)
    (1.0, 1.0986)
    """
    top = _ENTRIES - 1
    rates = [min(i / top, 1 - 0.5 / top) for i in range(_ENTRIES)]
    return tuple(math.atanh(r) / r if r else 1.0 for r in rates)


def constant_quantum() -> tuple[float, ...]:
    """q(r) = 1: the identity, saturating at one spike per step of either sign (hard tanh)."""
    return (1.0,) * _ENTRIES


@dataclass(frozen=True)
class AdaptiveState:
    """Membrane potential in quanta, own rate in spikes per step, (batch, *shape); steps since the start."""

    v: Tensor
    rate: Tensor
    steps: int = 0


@dataclass(frozen=True)
class AdaptiveNeuron(LeakyNeuron):
    """The signed neuron with a growing quantum; the module's docstring has its equations.

    Parameters
    ----------
    tau_adapt_s : float
        Time over which the neuron averages its own rate, in seconds.
    quanta : tuple of float
        q at equally spaced rates from 0 to 1.
    """

    tau_adapt_s: float = 0.100
    quanta: tuple[float, ...] = field(default_factory=quantum_of_tanh, repr=False)
    signed: ClassVar[bool] = True
    on_lattice: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        super().__post_init__()
        if not self.tau_adapt_s > 0:
            raise ConfigError(f"tau_adapt: got {self.tau_adapt_s} s; expected more than 0")
        if len(self.quanta) < 2 or not all(math.isfinite(q) and q > 0 for q in self.quanta):
            raise ConfigError("quanta: expected at least two positive numbers")

    def start(self, v: Tensor) -> AdaptiveState:  # type: ignore[override]
        """The state with membrane potential `v`, before the first spike."""
        return AdaptiveState(v, torch.zeros_like(v))

    def gain(self, step: int, dt_s: float) -> float:
        """Weight of the newest spike in the neuron's own rate; `step` counts from 1."""
        return max(1.0 / step, min(1.0, dt_s / self.tau_adapt_s))

    def quantum(self, rate: Tensor, table: Tensor) -> Tensor:
        """Q at the nearest tabulated rate."""
        index = (rate.abs() * (len(table) - 1)).round().clamp(max=len(table) - 1).long()
        return table[index]

    def step(  # type: ignore[override]
        self, state: AdaptiveState, current: Tensor, quantum: Tensor, dt_s: float
    ) -> tuple[AdaptiveState, Tensor]:
        """One step: the new state, and the spikes (-1, 0 or 1)."""
        v = decay(dt_s, self.tau_mem_s) * state.v + current
        table = torch.tensor(self.quanta, dtype=v.dtype, device=v.device)
        q = self.quantum(state.rate, table) * quantum
        spikes = torch.sign(v) * (v.abs() >= self.v_threshold * q)
        rate = state.rate + (spikes - state.rate) * self.gain(state.steps + 1, dt_s)
        return AdaptiveState(v - q * spikes, rate, state.steps + 1), spikes
