"""The integrate-and-fire neuron that forgets at a spike: reset to zero, as in Diehl et al., IJCNN 2015.

    V[t] = beta V[t-1] + I[t]
    fire if V[t] >= V_th, then V[t] = 0

The charge above the threshold is lost at every spike, so the rate falls short of the drive by up to half a quantum per
spike (Rueckauer et al. 2017, section 2.1.2). It is here to compare with, not to recommend.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convert.neurons.leaky import LeakyNeuron, LeakyState, decay

__all__ = ["HardResetNeuron"]


@dataclass(frozen=True)
class HardResetNeuron(LeakyNeuron):
    """The neuron that is reset to zero; the module's docstring has its equations."""

    v_threshold: float = 1.0

    @property
    def trait(self) -> str:
        """What sets it apart from the plain neuron, in words."""
        return "reset to zero"

    def step(self, state: LeakyState, current: Tensor, quantum: Tensor, dt_s: float) -> tuple[LeakyState, Tensor]:
        """One step: the new state, and the spikes (0 or 1)."""
        v = decay(dt_s, self.tau_mem_s) * state.v + current
        spikes = (v >= self.v_threshold * quantum).to(v.dtype)
        return LeakyState(v * (1 - spikes)), spikes
