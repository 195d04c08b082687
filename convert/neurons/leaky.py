"""The seed neuron, a leaky integrate-and-fire neuron with an exponential synapse, and its limits.

    synapse    tau_syn dI/dt + I = S(t)
    membrane   tau_mem dV/dt + V = W I + b
    spike      V >= V_th  ->  emit 1,  V <- V - 1

In one step of length dt, with alpha = exp(-dt / tau_syn), beta = exp(-dt / tau_mem) and the gain 1 / (1 - beta)
absorbed into W and b:

    I[t] = alpha I[t-1] + (1 - alpha) (W S[t] + b)
    V[t] = beta V[t-1] + I[t]
    fire if V[t] >= V_th, then V[t] -= 1

The filter stands after the weights: it is linear and has one time constant, so the order does not matter,
and W S[t] stays a sum of numbers on a lattice. The bias is constant, so it passes the filter unchanged once
I starts at the network's value at rest.

`tau_syn = 0` gives LIF with delta synapses, `tau_mem = inf` gives IF.

Summing the membrane equation over time gives rate = drive - (1 - beta) mean(V). With V_th = 1/2 an active
neuron's V lies in [-1/2, 1/2), its mean is zero and the leak is unbiased: the *leak-neutral* threshold. For IF
the same choice is the half-quantum start of Bu et al., ICLR 2022 (Optimal ANN-SNN conversion), section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convert.errors import ConfigError

__all__ = ["LeakyNeuron", "LeakyState", "decay", "leaky_rate"]


def decay(dt_s: float, tau_s: float) -> float:
    """exp(-dt / tau): what is left after one step; 0 for tau = 0 and 1 for tau = inf.

    >>> decay(0.001, 0.0), decay(0.001, math.inf)
    (0.0, 1.0)
    """
    return 0.0 if tau_s == 0 else math.exp(-dt_s / tau_s)


def leaky_rate(drive: float, dt_s: float, tau_mem_s: float, v_threshold: float = 0.5) -> float:
    """Rate in spikes per step of a leaky neuron at constant drive, in the limit of small dt.

        rate = dt / (tau_mem ln((D - V_th + 1) / (D - V_th))),   D = drive / (1 - beta)

    Between two spikes V runs from V_th - 1 towards D. With V_th = 1/2 the logarithm is
    ln((D + 1/2) / (D - 1/2)). Below D = V_th the neuron never fires.

    Parameters
    ----------
    drive : float
        Charge per step in quanta, which is also the rate that the neuron is meant to have.

    >>> round(leaky_rate(0.2, 1e-3, 20e-3), 3)
    0.204
    """
    if math.isinf(tau_mem_s):
        return max(0.0, drive)
    steady = drive / (1 - decay(dt_s, tau_mem_s))
    if steady <= v_threshold:
        return 0.0
    return dt_s / (tau_mem_s * math.log((steady - v_threshold + 1) / (steady - v_threshold)))


@dataclass(frozen=True)
class LeakyState:
    """Membrane potential in quanta, (batch, *shape)."""

    v: Tensor


@dataclass(frozen=True)
class LeakyNeuron:
    """The seed neuron; the module's docstring has its equations.

    Neurons derived from it that remember more than a potential narrow the type of `step`'s state, and silence the type
    checker there: a neuron is only ever given back the state that its own `start` or `step` made.

    Parameters
    ----------
    tau_mem_s, tau_syn_s : float
        Time constants in seconds.
    v_threshold : float
        Threshold in quanta; 1/2 is leak-neutral.

    Raises
    ------
    ConfigError
        A time constant that is not a time.
    """

    tau_mem_s: float = 0.020
    tau_syn_s: float = 0.002
    v_threshold: float = 0.5
    signed: ClassVar[bool] = False
    on_lattice: ClassVar[bool] = True
    """Whether the potential of a neuron without leak stays a sum of lattice values."""

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        if not self.tau_mem_s > 0:
            raise ConfigError(f"tau_mem: got {self.tau_mem_s} s; expected more than 0 (inf for no leak)")
        if not 0 <= self.tau_syn_s < math.inf:
            raise ConfigError(f"tau_syn: got {self.tau_syn_s} s; expected 0 (delta synapses) or more")
        if not 0 < self.v_threshold <= 1:
            raise ConfigError(f"v_threshold: got {self.v_threshold}; expected a value in (0, 1] quanta")

    @property
    def trait(self) -> str:
        """What sets it apart from the plain neuron, in words; empty for the plain one."""
        return ""

    @property
    def spike_bits(self) -> int:
        """Fraction bits of a spike's value: 0, a spike is worth one quantum."""
        return 0

    @property
    def payload_bits(self) -> int:
        """Bits that a spike carries beside its time; a sign makes it no longer than one bit."""
        return 1

    @property
    def largest(self) -> float:
        """The largest magnitude that it sends in one step, in quanta."""
        return 1.0

    def spikes_in(self, values: Tensor) -> Tensor:
        """The number of spikes that the values of one step stand for, of whatever sign and value."""
        return (values != 0).to(values.dtype)

    def start(self, v: Tensor) -> LeakyState:
        """The state with membrane potential `v`."""
        return LeakyState(v)

    def step(self, state: LeakyState, current: Tensor, quantum: Tensor, dt_s: float) -> tuple[LeakyState, Tensor]:
        """One step: the new state, and the spikes (0 or 1) as numbers of `current`'s type.

        Parameters
        ----------
        current : Tensor
            Charge that arrives in this step, in units of activation per quantum 1.
        quantum : Tensor
            What a spike takes from the membrane: 1 in a normalised network.
        """
        v = decay(dt_s, self.tau_mem_s) * state.v + current
        spikes = (v >= self.v_threshold * quantum).to(v.dtype)
        return LeakyState(v - quantum * spikes), spikes
