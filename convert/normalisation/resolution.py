"""What a leaky neuron cannot resolve, and how much of a layer's activation that is.

    V[t] = beta V[t-1] + d      tends to d / (1 - beta)

so with the leak-neutral threshold of half a quantum a constant drive d below (1 - beta) / 2 never makes a neuron fire,
and the rate of one that fires is known to about 1 - beta, however many steps there are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch

from convert.graph.ir import Graph
from convert.neurons.leaky import decay
from convert.normalisation.rules import Threshold
from convert.normalisation.statistics import BINS, LayerStats

__all__ = ["NAMED_FROM", "levels", "resolution", "share_below", "unresolved"]

NAMED_FROM = 0.05
"""Share of a layer's activation that is worth a warning: one part in twenty lost to the leak."""


def resolution(dt_s: float, tau_mem_s: float) -> float:
    """1 - beta, in spikes per step.

    >>> round(resolution(1e-3, 20e-3), 3), resolution(1e-3, float("inf"))
    (0.049, 0.0)
    """
    return 1 - decay(dt_s, tau_mem_s)


def levels(dt_s: float, tau_mem_s: float) -> int:
    """How many rates a leaky neuron tells apart, 1 / (1 - beta): thresholds are fitted to no finer staircase.

    >>> levels(1e-3, 20e-3), levels(1e-3, 5e-3)
    (21, 6)
    >>> levels(1e-3, float("inf")) > 10**9
    True
    """
    fraction = resolution(dt_s, tau_mem_s)
    return round(1 / fraction) if fraction else sys.maxsize


def share_below(stats: LayerStats, threshold: Threshold, rate: float) -> float:
    """Share of a layer's summed activation that activations below `rate` times lam make up.

    From the histogram of the calibration samples; of activations with both signs between bounds, such as tanh, it
    holds the positive ones.
    """
    rows = len(stats.histogram)
    lam = threshold.value.reshape(-1).expand(rows) if threshold.value.numel() == 1 else threshold.value.reshape(rows)
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) * stats.bin_width[:, None]
    carried = stats.histogram * centres
    return float(carried[centres < rate * lam[:, None]].sum() / carried.sum().clamp(min=1e-300))


def unresolved(
    graph: Graph, stats: Mapping[str, LayerStats], thresholds: Mapping[str, Threshold], dt_s: float, tau_mem_s: float
) -> dict[str, float]:
    """The activations of `graph` of which a leak takes `NAMED_FROM` or more, and the share that it takes."""
    least = resolution(dt_s, tau_mem_s) / 2
    shares = {node.name: share_below(stats[node.name], thresholds[node.name], least) for node in graph.sites()}
    return {name: share for name, share in shares.items() if share >= NAMED_FROM}
