"""Look-ahead repair: each sample is tried for a few steps; neurons that fired too often or too seldom start anew.

After rho steps an integrate-and-fire neuron that started at V[0] has sent S = V[0] + (sum of its drive) - V[rho]. The
count that the charge asks for leaves V[rho] in [V_th - 1, V_th). Below that it has sent a spike too many, because
charge came early that was taken back later; above, one too few. Both are cured at the start:

    V[rho] < V_th - 1 and it has fired:      V[0] -= max(1, m - V_th + eps),   m: least V at which it fired
    V[rho] >= V_th and it has been silent:   V[0] += max(1, V_th - M),         M: largest V at which it did not

(V before the reset, in quanta): the weakest spike falls away, or the strongest silence becomes a spike. Layers are
repaired in depth order, each on the corrected trains of those before it, and then the network runs from the start.

It is paid for. A population can be tried only when those before it have been corrected, so the run begins rho steps
later for every population; in those steps membranes are updated twice, once to try and once corrected, and the
corrected spikes are sent. All of that is counted. A network that repairs itself is not causal either: its first step
uses what arrives in the first rho.

Source: Hao et al., ICLR 2023, "Bridging the gap between ANNs and SNNs by calibrating offset spikes" (arXiv 2302.10685),
there on networks that were retrained with a quantised activation, whose pooling is by averages; here on any network of
rectifiers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convert.lattice import BITS
from convert.neurons.leaky import LeakyNeuron

__all__ = ["repairs", "restarted"]

_EPS = 2.0**-BITS


def repairs(neuron: LeakyNeuron) -> bool:
    """Whether neurons of this kind are repaired: plain ones without leak, reset by subtraction."""
    return type(neuron) is LeakyNeuron and neuron.tau_mem_s == float("inf")


def restarted(neuron: LeakyNeuron, initial: Tensor, current: Tensor, steps: int) -> Tensor:
    """Potentials to start from, for each sample of a batch: (batch, *shape), on the lattice where `initial` is.

    Parameters
    ----------
    initial : Tensor
        Potential at the start of the trial, in quanta; broadcasts against one sample.
    current : Tensor
        Drive of the trial, (steps, batch, *shape), or (1, batch, *shape) where it is constant.
    steps : int
        rho.
    """
    threshold = neuron.v_threshold
    start = torch.zeros_like(current[0], dtype=torch.float64) + initial.to(current.device)
    v, weakest, strongest = start.clone(), torch.full_like(start, torch.inf), torch.full_like(start, -torch.inf)
    for t in range(steps):
        v += current[0 if len(current) == 1 else t]
        fired = v >= threshold
        weakest = torch.where(fired, torch.minimum(weakest, v), weakest)
        strongest = torch.where(fired, strongest, torch.maximum(strongest, v))
        v -= fired.double()
    surplus = (v < threshold - 1) & weakest.isfinite()
    lack = (v >= threshold) & strongest.isfinite()
    less = (torch.floor((weakest - threshold) / _EPS) + 1) * _EPS  # the least multiple above the excess
    more = torch.ceil((threshold - strongest) / _EPS) * _EPS
    down = torch.where(surplus, less.clamp(min=1), torch.zeros_like(v))
    return start - down + torch.where(lack, more.clamp(min=1), torch.zeros_like(v))
