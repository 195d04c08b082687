"""Threshold of a layer = the largest charge that reaches it in one step of the spiking network itself.

    lam_l = max over samples, steps and neurons of W_l s_{l-1}[t] + b_l

found layer by layer in depth order, each behind its predecessors with their thresholds (Sengupta et al., Front.
Neurosci. 13:95, 2019, "Spike-Norm").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from convert.errors import CalibrationError
from convert.graph.ir import Graph
from convert.network import SpikingNetwork, upstream
from convert.normalisation.rules import Threshold
from convert.simulation.engine import batch_within, simulate

__all__ = ["STEPS", "spike_norm"]

STEPS = 64
"""Steps over which the largest charge is looked for."""

_MEMORY = 64 << 20


def spike_norm(
    folded: Graph,
    x: Tensor,
    start: Mapping[str, Threshold],
    normalised: Callable[[Mapping[str, Threshold]], SpikingNetwork],
) -> dict[str, Threshold]:
    """Lam for every activation of `folded`, one for each layer.

    Parameters
    ----------
    x : Tensor (samples, *sample shape)
        Calibration samples.
    start : mapping
        Thresholds of every activation; each is replaced when its turn comes, unless the activation fixes it.
    normalised : callable
        Thresholds -> spiking network.

    Raises
    ------
    CalibrationError
        A layer that nothing reaches.
    """
    found = dict(start)
    for node in folded.sites():
        if found[node.name].rule.startswith("fixed"):
            continue
        drive = _prefix(normalised(found), node.name)
        largest = max(_largest(drive, part, first) for first, part in _batches(drive, x))
        if largest <= 0:
            raise CalibrationError(
                f"{node.place or node.name}: no positive charge arrived on any calibration sample, so no threshold can "
                "be set; calibrate on real samples (--calibration SPEC), in the scaling the network was trained with"
            )
        value = torch.full([1] * len(node.shape), largest, dtype=torch.float64)
        found[node.name] = Threshold(value, "spike-norm", found[node.name].silent)
    return found


def _prefix(network: SpikingNetwork, name: str) -> SpikingNetwork:
    """The part of `network` whose output is the drive of the population `name`, read out from the first step."""
    return replace(upstream(network, network.graph[name].inputs[0]), readout_delay=0)


def _batches(network: SpikingNetwork, x: Tensor) -> list[tuple[int, Tensor]]:
    size = batch_within(network, _MEMORY)
    return [(first, x[first : first + size]) for first in range(0, len(x), size)]


def _largest(drive: SpikingNetwork, x: Tensor, first: int) -> float:
    """The largest value that the output takes in one step, in the units of the original."""
    means = simulate(drive, x, STEPS, samples=range(first, first + len(x))).output
    count = torch.arange(1, STEPS + 1, dtype=torch.float64).reshape(-1, *[1] * (means.ndim - 1))
    sums = means * count
    return float(torch.diff(sums, dim=0, prepend=torch.zeros_like(sums[:1])).max())
