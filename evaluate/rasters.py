"""raster(): one sample, spike by spike: a few neurons of each population, and the potential of one.

The network is stepped as `convert.simulation.module.SpikingModule`, whose spikes are those of every engine. What is
shown is chosen by the sample's own spikes: of the neurons that fire, those at equal distances in the order of their
spike counts, from the busiest to the quietest, and the potential of the middle one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from convert.graph import ir
from convert.network import SpikingNetwork
from convert.simulation.module import ModuleState, SpikingModule
from evaluate.hybrid import input_trains

__all__ = ["MOST_NEURONS", "MOST_POPULATIONS", "MOST_STEPS", "raster"]

MOST_NEURONS = 8
MOST_POPULATIONS = 6
MOST_STEPS = 128
_WORK = 4e9
"""Multiplications that a raster may take."""


def raster(network: SpikingNetwork, sample: Tensor, steps: int, seed: int = 0) -> dict[str, Any]:
    """The sample `sample`, number 0 of its data set, for at most `MOST_STEPS` steps.

    Parameters
    ----------
    sample : Tensor (*sample shape)
    seed : int
        For Poisson input.

    Returns
    -------
    dict
        ``steps``; ``populations``: for each its ``name``, how many neurons it has (``neurons``), how many fire
        (``active``), and ``shown``: flat ``index`` and ``spikes``, the steps of its spikes from 1 on, below zero where
        the spike is negative. One of them has ``potential`` as well, after each step, in quanta, and the population
        ``v_thresholds``, those that it fires at. ``unmeasured`` says why there is none.
    """
    if reason := _refused(network, steps):
        return {"unmeasured": reason}
    steps = min(steps, MOST_STEPS)
    module, state = SpikingModule(network), None
    trains = input_trains(network, sample[None], steps, seed, range(1))
    names = _spread([node.name for node in network.graph if node.name in network.sites], MOST_POPULATIONS)
    fired: dict[str, list[Tensor]] = {name: [] for name in names}
    potentials: dict[str, list[Tensor]] = {name: [] for name in names}
    for t in range(steps):
        _, state = module(trains[0 if len(trains) == 1 else t], state)
        for name in names:
            fired[name].append(state.spikes[name].flatten())
            potentials[name] += _potential(state, name)
    rows = [_population(network, name, torch.stack(fired[name]), potentials[name]) for name in names]
    return {"steps": steps, "populations": rows}


def _refused(network: SpikingNetwork, steps: int) -> str:
    """Why there is nothing to show; empty where there is."""
    if network.code not in ("rate", "differential"):
        return f"the {network.code} code is not run step by step on one clock"
    if network.look_ahead:
        return "a network that looks ahead cannot be taken one step at a time"
    ops = [(node.shape, node.op) for node in network.graph]
    macs = sum(math.prod(shape) * op.weight[0].numel() for shape, op in ops if isinstance(op, (ir.Linear, ir.Conv)))
    if 2 * macs * min(steps, MOST_STEPS) > _WORK:
        return f"too large to be stepped for a picture ({2 * macs:.2g} multiplications in each step)"
    return ""


def _spread(rows: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of `rows`, at equal distances, the first and the last among them.

    >>> _spread(range(9), 3), _spread("ab", 3)
    ([0, 4, 8], ['a', 'b'])
    """
    if len(rows) <= most:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _potential(state: ModuleState, name: str) -> list[Tensor]:
    """The membrane potentials after this step; nothing for neurons that keep a count in place of one."""
    v = getattr(state.neurons[name], "v", None)
    return [v.flatten()] if isinstance(v, Tensor) else []


def _population(network: SpikingNetwork, name: str, spikes: Tensor, potentials: Sequence[Tensor]) -> dict[str, Any]:
    """The row of one population; `spikes` are (steps, neurons)."""
    counts = (spikes != 0).sum(0)
    order = torch.argsort(counts, descending=True, stable=True)
    active = order[: int((counts > 0).sum())].tolist()
    shown: list[dict[str, Any]] = [
        {"index": i, "spikes": [(t + 1) * (1 if value > 0 else -1) for t, value in enumerate(train) if value]}
        for i, train in ((i, spikes[:, i].tolist()) for i in _spread(active, MOST_NEURONS))
    ]
    row: dict[str, Any] = {"name": name, "neurons": spikes.shape[1], "active": len(active), "shown": shown}
    if shown and potentials:
        site, middle = network.sites[name], shown[len(shown) // 2]
        quantum = site.quantum.expand(network.graph[name].shape).flatten()[middle["index"]]
        middle["potential"] = [round(float(v[middle["index"]] / quantum), 4) for v in potentials]
        v = site.neuron.v_threshold
        row["v_thresholds"] = [v, -v] if site.neuron.signed else [v]
    return row
