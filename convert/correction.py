"""calibrated(): starts and biases corrected, in the first of several ways that is not clearly worse than the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from convert.config import ConvertConfig
from convert.graph.ir import Graph
from convert.network import SpikingNetwork
from convert.normalisation.calibration import (
    Progress,
    calibrate_biases,
    calibrate_potentials,
    centred_output,
    output_errors,
)
from convert.normalisation.resolution import levels

__all__ = ["calibrated", "preferred", "sample_passes"]

Way = TypeVar("Way")

_CLEARLY = 2.0
"""Standard errors of a paired difference, about 95 % of a normal one: less is taken for chance."""

_TRIED_ON = 256
"""The most calibration samples on which several ways are tried."""


def calibrated(
    snn: SpikingNetwork, folded: Graph, few: Tensor, config: ConvertConfig, progress: Progress | None
) -> tuple[SpikingNetwork, tuple[str, ...]]:
    """`snn` with starts and biases calibrated on `few`, and what was found on the way.

    Whether to stagger the starts, and how late to read out, is tried on the first of these samples. Of the ways, in the
    order of preference, the first is taken that is not clearly worse than the best: staggered starts also serve fewer
    steps than asked for, and an early read-out leaves out less.
    """
    if not _tries(config):
        return _corrected(snn, folded, few, config, config.start_spread, progress), ()
    first, (starts, biases) = few[:_TRIED_ON], _corrected_steps(config)
    steps = max(starts, biases)
    delays = list(dict.fromkeys((snn.readout_delay, config.later_readout or snn.readout_delay)))
    tried: dict[float, SpikingNetwork] = {}
    errors: dict[tuple[float, int], Tensor] = {}
    for spread in _spreads(config):
        tried[spread] = _corrected(snn, folded, first, config, spread, progress)
        found = output_errors(tried[spread], folded, first, steps, delays, centred=biases > 0)
        errors |= {(spread, delay): error for delay, error in zip(delays, found, strict=True)}
    spread, delay = taken = preferred(errors)
    later = replace(snn, readout_delay=delay)
    if len(first) < len(few):
        later = _corrected(later, folded, few, config, spread, progress)
    else:
        later = replace(tried[spread], readout_delay=delay)
        if biases and delay != snn.readout_delay:
            later = centred_output(later, folded, first, biases)
    told = "; ".join(f"{_way(*way)}: {float(error.mean()):.3g}" for way, error in errors.items())
    return later, (
        f"Tried on {len(first)} calibration samples, by the mean square of the output's error after {steps} steps: "
        f"{told}. Taken: {_way(*taken)}, the first that is not clearly worse than the best.",
    )


def preferred(errors: Mapping[Way, Tensor]) -> Way:
    """The first key whose mean exceeds the lowest by no more than `_CLEARLY` standard errors of the paired difference.

    Parameters
    ----------
    errors : mapping
        Way, in the order of preference, -> error of each sample (samples,); the same samples for all.

    >>> import torch
    >>> preferred({"a": torch.tensor([2.0, 1.0, 1.0]), "b": torch.tensor([1.0, 1.0, 1.0])})
    'a'
    >>> preferred({"a": torch.tensor([2.0, 2.1, 2.2]), "b": torch.tensor([1.0, 1.0, 1.0])})
    'b'
    """
    best = min(errors, key=lambda way: float(errors[way].mean()))

    def clearly_worse(way: Way) -> bool:
        excess = errors[way] - errors[best]
        spread = float(excess.std()) if len(excess) > 1 else 0.0
        return float(excess.mean()) > _CLEARLY * spread / len(excess) ** 0.5

    return next(way for way in errors if not clearly_worse(way))


def _way(spread: float, delay: int) -> str:
    """One of the ways that are tried, in words."""
    return (
        f"{f'starts staggered over {spread:g} quanta' if spread else 'even starts'}, read-out from step {delay + 1} on"
    )


def _tries(config: ConvertConfig) -> bool:
    """Whether networks are calibrated in several ways first."""
    return config.potential_steps > 0 and (len(_spreads(config)) > 1 or config.later_readout > 0)


def _spreads(config: ConvertConfig) -> list[float]:
    """Widths over which starts are staggered, the preferred one first."""
    return list(dict.fromkeys((config.start_spread, 0.0 if config.spread_on_trial else config.start_spread)))


def _corrected(
    snn: SpikingNetwork,
    folded: Graph,
    few: Tensor,
    config: ConvertConfig,
    spread: float,
    progress: Progress | None,
) -> SpikingNetwork:
    """`snn` with starts staggered over `spread` and calibrated, and with biases calibrated."""
    starts, biases = _corrected_steps(config)
    if starts:
        snn = calibrate_potentials(snn, folded, few, starts, progress, config.potential_per_neuron, spread)
    if biases:
        snn = calibrate_biases(snn, folded, few, biases, progress)
    return snn


def _corrected_steps(config: ConvertConfig) -> tuple[int, int]:
    """Steps for which potentials and biases are corrected.

    A membrane forgets its start within 1 / (1 - beta) steps, so no start is fitted to more: it would have to give back
    at once what is missing later, and the network would be wrong until that has leaked. Biases give back the rest.
    """
    memory = levels(config.dt_s, config.taus_s[0])
    if config.potential_steps <= memory:
        return config.potential_steps, config.bias_steps
    return memory, max(config.bias_steps, config.potential_steps)


def sample_passes(samples: int, config: ConvertConfig) -> int:
    """How many samples `calibrated` simulates for each population."""
    few = min(samples, config.calibrated_on)
    if _tries(config):
        first = min(few, _TRIED_ON)
        few = len(_spreads(config)) * first + (few if few > first else 0)
    return few * sum(map(bool, _corrected_steps(config)))
