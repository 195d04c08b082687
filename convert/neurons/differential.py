"""A neuron whose spikes correct what it has said before, instead of repeating it: differential coding.

What a train says after t steps is an estimate, not its mean. Whoever receives it and whoever sends it keep the same

    r[t] = r[t-1] + g[t] s[t],      g[t] = 1 / t,      r[0] = 0                      (s: the spike's value in quanta)

so a train that has nothing to add is silent. A rate code in which the neuron emits y[t] = s[t] + r[t-1] at every step
says the same, since

    y[1] + ... + y[T] = sum over t of (t r[t] - (t-1) r[t-1]) = T r[T].

The neuron therefore is the integrate-and-fire neuron of that rate code, of which only s is sent:

    m[t] = v[t-1] + y_in[t] - r[t-1]
    emit the value s[t] that is nearest to m[t], out of 0 and +-(m_1, ..., m_n);   v[t] = m[t] - s[t]

with y_in the decoded drive. The synapses are linear, so they work on s alone: with J the weighted sum of this step's
spikes and `rest` its value while nobody fires (biases and constant currents, which enter once),

    y_in[t] = (J[t] - rest) + r_in[t-1],      r_in[t] = r_in[t-1] + g[t] (J[t] - rest),      r_in[0] = rest.

Summed up, v[t] = v[0] + t (r_in[t] - r[t]): the neuron compares two estimates. Where v stays bounded, r follows r_in as
1 / t. A rectifier sends nothing that would make its estimate negative; one with a ceiling, nothing that would lift it
above.

The least value m_n is sent once a part `v_threshold` of it is owed. At 1/2 a neuron would overshoot by as much as it
was short of, and correct itself for ever; at 1 its first spike comes late and fits best. Huang et al. take 3/4, which
is also the midpoint between the larger values, each of which is half of the one before.

The receiver divides by t. Here 1 / t is read from a table of multiples of 2^-16, the same on both sides, so all that is
decoded stays on a lattice and sums are exact. An error of g is one of both estimates: the neuron corrects it like any
other.

Source: Huang et al., ICML 2025, "Differential coding for training-free ANN-to-SNN conversion" (arXiv 2503.00301).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.neurons.graded import GradedNeuron, GradedState

__all__ = ["CORRECTION", "DifferentialNeuron", "DifferentialState", "reciprocal"]

CORRECTION = 0.75
"""The part of the least spike value that is owed before it is sent (Huang et al., ICML 2025)."""

_RECIPROCAL_BITS = 16


def reciprocal(step: int) -> float:
    """g[t]: the multiple of 2^-16 nearest to 1 / t, t counted from 1.

    >>> reciprocal(2), reciprocal(3) * 2**16
    (0.5, 21845.0)
    """
    return round(2.0**_RECIPROCAL_BITS / step) / 2.0**_RECIPROCAL_BITS


@dataclass(frozen=True)
class DifferentialState(GradedState):
    """Membrane potential v and estimate r (here `credit`), in quanta, (batch, *shape); steps so far."""

    steps: int = 0


@dataclass(frozen=True)
class DifferentialNeuron(GradedNeuron):
    """The neuron of the differential code; the module's docstring has its equations.

    Parameters
    ----------
    v_threshold : float
        The part of the least value that is owed before it is sent, above 1/2.
    values : tuple of float
        Magnitudes of its spikes in quanta, from 1 downwards, multiples of 2^-10.
    ceiling : float
        Its estimate never exceeds this many quanta; infinite for a rectifier.

    Raises
    ------
    ConfigError
        A leak or a synaptic filter, which would take from what was said once; a threshold that does not settle.
    """

    tau_mem_s: float = math.inf
    tau_syn_s: float = 0.0
    v_threshold: float = CORRECTION
    ceiling: float = math.inf

    def __post_init__(self) -> None:
        """Check the parameters at the door."""
        super().__post_init__()
        if self.tau_mem_s < math.inf or self.tau_syn_s > 0:
            raise ConfigError(
                f"differential code: got tau_mem {self.tau_mem_s} s and tau_syn {self.tau_syn_s} s; "
                "expected neither leak nor synaptic filter, since what is said once must last: use --neuron if"
            )
        if not 0.5 < self.v_threshold <= 1:
            raise ConfigError(
                f"v_threshold: got {self.v_threshold} of the least spike value; expected more than 0.5, up to 1: "
                "below, every correction calls for the next"
            )
        if not self.ceiling > 0 or not self.takes_back:
            raise ConfigError(
                f"ceiling: got {self.ceiling} quanta, takes_back {self.takes_back}; expected more than 0, and a neuron "
                "that takes back"
            )

    @property
    def trait(self) -> str:
        """What sets it apart from the plain neuron, in words."""
        return f"differential, {super().trait}"

    def rungs(self) -> list[tuple[float, float, float]]:
        """(what must be owed, value, growth over the next smaller value), largest first."""
        *larger, (_, least, growth) = super().rungs()
        return [*larger, (self.v_threshold * least, least, growth)]

    def start(self, v: Tensor) -> DifferentialState:  # type: ignore[override]
        """The state with membrane potential `v`, before the first spike."""
        return DifferentialState(v, torch.zeros_like(v))

    def step(  # type: ignore[override]
        self, state: DifferentialState, current: Tensor, quantum: Tensor, dt_s: float
    ) -> tuple[DifferentialState, Tensor]:
        """One step: the new state, and the values emitted, in quanta.

        Parameters
        ----------
        current : Tensor
            y_in, the decoded drive.
        """
        gain = reciprocal(state.steps + 1)
        v = state.v + current - quantum * state.credit
        spikes = torch.zeros_like(v)
        for owed, value, growth in self.rungs():
            up = (v >= owed * quantum) & (state.credit + gain * value <= self.ceiling)
            down = (v < -owed * quantum) & (state.credit >= gain * value)
            spikes = spikes + growth * (up.to(v.dtype) - down.to(v.dtype))
        return DifferentialState(v - quantum * spikes, state.credit + gain * spikes, state.steps + 1), spikes
