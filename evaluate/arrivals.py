"""Step by step on a few samples, one at a time: which neurons something arrives at, and how samples differ.

The counts of a run are sums over samples and steps, which say nothing of either. So a few samples, evenly spaced in the
data, run once more alone, and every step of theirs is looked at. That is the same whatever the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convert import Conversion
from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply
from evaluate.operations import Geometry, count_steps
from evaluate.pricing import Spread

__all__ = ["Arrivals", "chosen", "event_updates", "look_closely"]

_MOST_BYTES = 64 << 20
"""Of the trains of one sample; a network that needs more is not looked at."""

Trains = Mapping[str, Tensor]
"""Node that emits -> whether one sample's spikes, of either sign, are there in each step: (steps, *shape) of bool."""


@dataclass(frozen=True)
class Arrivals:
    """What the samples looked at say.

    Parameters
    ----------
    updates : dict
        Population -> mean number of (neuron, step) at which something arrives, in one inference.
    spread : Spread
        How much samples differ.
    """

    updates: dict[str, float]
    spread: Spread


def chosen(samples: int) -> list[int]:
    """The samples to look at: one in a hundred, two to sixteen, evenly spaced.

    >>> chosen(5), chosen(450)
    ([0, 2], [0, 112, 225, 337])
    """
    wanted = min(samples, max(2, min(16, samples // 100)))
    return [i * samples // wanted for i in range(wanted)]


def look_closely(
    conversion: Conversion, x: Tensor, steps: int, run: Callable[[Tensor], Mapping[str, Tensor]]
) -> Arrivals | None:
    """Run a few samples of `x` alone.

    Parameters
    ----------
    steps : int
        T, for the room that it takes.
    run : callable
        Gives the spikes up to each step, cumulated, of a batch of one sample.

    Returns
    -------
    Arrivals or None
        None for fewer than two samples, or where the spikes of one would take too much room.
    """
    if len(x) < 2 or 8 * steps * conversion.snn.neuron_count() > _MOST_BYTES:
        return None
    updates: dict[str, list[float]] = {}
    synops, spikes, geometry = [], [], Geometry(conversion)
    for i in chosen(len(x)):
        upto = run(x[i : i + 1])
        trains = {name: torch.cat([each[:1] != 0, each[1:] != each[:-1]]) for name, each in upto.items()}
        for name, count in event_updates(conversion, trains).items():
            updates.setdefault(name, []).append(count)
        last = {name: each[-1:] for name, each in upto.items()}
        (rows,) = count_steps(conversion, last, {}, (steps,), geometry)
        synops.append(math.fsum(row.synops for row in rows))
        spikes.append(math.fsum(row.spikes for row in rows if row.role == "neuron") / conversion.snn.neuron_count())
    spread = Spread(len(synops), _deviation(synops), _deviation(spikes))
    return Arrivals({name: math.fsum(each) / len(each) for name, each in updates.items()}, spread)


def event_updates(conversion: Conversion, trains: Trains) -> dict[str, float]:
    """Population -> number of (neuron, step) at which a spike arrives through a synapse, or a constant current does.

    A bias is no arrival. What lies between a spike and a population, pooling included, hands arrivals on; a
    floating-point function of a hybrid network sends in every step in which anything arrives at it.
    """
    graph, steps = conversion.snn.graph, len(next(iter(trains.values())))
    carried: dict[str, Tensor] = {}
    found: dict[str, float] = {}
    for node in graph:
        if node.name in conversion.snn.sites:
            found[node.name] = float(carried[node.inputs[0]].sum())
        if node.name in trains:
            carried[node.name] = trains[node.name]
        elif isinstance(node.op, ir.Input):
            carried[node.name] = torch.ones(steps, *node.shape, dtype=torch.bool)
        else:
            carried[node.name] = _handed_on(node, [carried[name] for name in node.inputs])
    return found


def _handed_on(node: Node, arriving: list[Tensor]) -> Tensor:
    """Where something leaves `node` in each step."""
    if isinstance(node.op, ir.Affine):
        return arriving[0]
    if isinstance(node.op, ir.RUNNING):
        anything = torch.stack([each.flatten(1).any(1) for each in arriving]).any(0)
        return anything.reshape(-1, *[1] * len(node.shape)).expand(-1, *node.shape)
    op = node.op
    if isinstance(op, ir.WEIGHTED) and not isinstance(op, ir.Affine):
        op = replace(op, weight=torch.ones_like(op.weight, dtype=torch.float32), bias=None)
    return apply(op, *(each.float() for each in arriving)) > 0


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation over the samples."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
