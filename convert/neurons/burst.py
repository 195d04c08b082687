"""A neuron that may fire several times in one step: a burst.

    V[t] = beta V[t-1] + I[t]
    s[t] = clip(floor(V[t] - V_th) + 1, 0, n),   V[t] -= s[t]

It is the integrate-and-fire neuron with soft reset whose membrane is asked again after every spike, up to n times in a
step: one spike if V >= V_th, a second one if V - 1 >= V_th, and so on. What a plain neuron would carry over to later
steps leaves at once, and rates reach n spikes per step. At a constant drive z, without leak and from V = 0 on, it has
sent floor(T z + 1 - V_th) spikes after T steps as long as z <= n: a staircase of n T levels.

Every spike is a plain one of one bit, so a step with k of them counts as k spikes, delivers k times through every
synapse and costs k additions. A link that carries one spike at a time needs n slots for a step; number for number, a
burst says as much as one spike of ceil(log2(n + 1)) bits.

Source: Li & Zeng, IJCAI 2022, "Efficient and accurate conversion of spiking neural network with burst spikes"
(arXiv 2204.13271); bursts in a conversion without training also in Wang et al., AAAI 2025 (arXiv 2412.16219).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.neurons.leaky import LeakyNeuron, LeakyState, decay

__all__ = ["MOST_IN_A_BURST", "BurstNeuron"]

MOST_IN_A_BURST = 64
"""The longest burst of a step."""

_THRESHOLD_BITS = 10


@dataclass(frozen=True)
class BurstNeuron(LeakyNeuron):
    """The neuron that fires in bursts; the module's docstring has its equations.

    Parameters
    ----------
    v_threshold : float
        In quanta, a multiple of 2^-10, so that the number of spikes is computed without rounding.
    most : int
        n, the most spikes of one step.

    Raises
    ------
    ConfigError
        A burst of no or too many spikes, or another threshold.
    """

    most: int = 5

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        super().__post_init__()
        if not isinstance(self.most, int) or not 1 <= self.most <= MOST_IN_A_BURST:
            raise ConfigError(f"burst: got {self.most} spikes; expected a whole number from 1 to {MOST_IN_A_BURST}")
        if not (self.v_threshold * 2**_THRESHOLD_BITS).is_integer():
            raise ConfigError(f"v_threshold: got {self.v_threshold}; expected a multiple of 2^-10 in a bursting neuron")

    @property
    def trait(self) -> str:
        """What sets it apart from the plain neuron, in words."""
        return f"bursts of up to {self.most}"

    @property
    def largest(self) -> float:
        """The largest magnitude that it sends in one step, in quanta."""
        return float(self.most)

    def spikes_in(self, values: Tensor) -> Tensor:
        """The number of spikes that the values of one step stand for: as many as quanta."""
        return values

    def step(self, state: LeakyState, current: Tensor, quantum: Tensor, dt_s: float) -> tuple[LeakyState, Tensor]:
        """One step: the new state, and how many spikes (0 to n) there were."""
        v = decay(dt_s, self.tau_mem_s) * state.v + current
        spikes = (torch.floor(v / quantum - self.v_threshold) + 1).clamp(0, self.most)
        return LeakyState(v - quantum * spikes), spikes
