"""The exponential synapse, and how it is primed.

    I[t] = alpha I[t-1] + (1 - alpha) S[t],   alpha = exp(-dt / tau_syn)

starts without spikes, so a constant train S arrives as (1 - alpha^t) S: about tau_syn / dt steps of every layer are
lost, in proportion to what a neuron should receive, and no start that is the same for all samples gives that back.
A *primed* synapse is the exponentially weighted mean of the steps that there have been:

    I[t] = sum_s alpha^(t-s) S[s] / sum_s alpha^(t-s) = alpha_t I[t-1] + (1 - alpha_t) S[t],
    alpha_t = alpha (1 - alpha^(t-1)) / (1 - alpha^t),   s = 1 .. t.

So alpha_1 = 0, alpha_t grows to alpha, a constant train arrives as it is from the first step on, and nothing depends on
what comes later. It is a table of decay constants, the same for every synapse of the network: with alpha = 0.61 the
ninth entry is within 1 % of alpha. The same correction of a running mean is that of Kingma & Ba, ICLR 2015 (Adam),
section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from convert.neurons.leaky import decay

__all__ = ["Synapse"]


@dataclass(frozen=True)
class Synapse:
    """The synaptic filter of a network.

    Parameters
    ----------
    tau_s, dt_s : float
        Time constant, 0 for none, and length of a step, in seconds.
    primed : bool
        Whether it begins as a mean; see the module's docstring.
    """

    tau_s: float
    dt_s: float
    primed: bool = False

    @property
    def alpha(self) -> float:
        """What is left after one step, once many have passed; 0 where there is no filter."""
        return decay(self.dt_s, self.tau_s)

    def decay(self, step: int) -> float:
        """What is left of the current in step `step`, counted from 1.

        >>> [round(Synapse(0.002, 0.001, primed=True).decay(t), 3) for t in (1, 2, 3, 9)]
        [0.0, 0.378, 0.494, 0.602]
        """
        alpha = self.alpha
        return alpha * (1 - alpha ** (step - 1)) / (1 - alpha**step) if self.primed and alpha else alpha
