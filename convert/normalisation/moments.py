"""Statistics without data: what batch norm remembers of the samples that a network was trained on.

A channel behind a batch norm with scale g and shift b has, on the training samples, mean b and standard deviation |g|
(less its epsilon).
Taken as normal, it is stood for by the quantiles of a normal distribution, which pass the activation like samples:
every threshold rule applies to them as it does to samples. Through a residual sum means add, and variances do, as if
the branches were independent. A population that no batch norm tells of keeps the bound of its weights (`bounds.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import apply
from convert.normalisation.statistics import LayerStats, by_magnitude, channel_axis

__all__ = ["POINTS", "moments", "remembered"]

POINTS = 4096
"""Quantiles that stand for a distribution; the outermost are 3.7 standard deviations from the mean."""

Moments = tuple[Tensor, Tensor]


def moments(graph: Graph) -> dict[str, Moments]:
    """(mean, standard deviation) of each channel, for those nodes of a graph as read of which batch norm tells them.

    Channels lie along the first axis of a sample, as they do for batch norm.
    """
    known: dict[str, Moments] = {}
    for node in graph:
        found = _through(node, [known.get(name) for name in node.inputs])
        if found is not None:
            known[node.name] = found
    return known


def _through(node: Node, inputs: list[Moments | None]) -> Moments | None:
    op = node.op
    if isinstance(op, ir.BatchNorm):
        variance = op.variance.double()
        return op.bias.double(), op.weight.double().abs() * (variance / (variance + op.epsilon)).sqrt()
    given = [found for found in inputs if found is not None]
    if not given or len(given) < len(inputs):
        return None
    if isinstance(op, ir.Identity):
        return given[0]
    if isinstance(op, ir.Add):
        return torch.stack([mean for mean, _ in given]).sum(0), torch.stack([sd**2 for _, sd in given]).sum(0).sqrt()
    if isinstance(op, ir.ACTIVATIONS):
        out = apply(op, _points(given[0], len(node.shape), 0)).flatten(1)
        return out.mean(0), out.std(0, unbiased=False)
    return None


def _points(found: Moments, dimensions: int, axis: int) -> Tensor:
    """Quantiles of each channel's normal distribution, (POINTS, *sample shape) with one entry on the other axes."""
    mean, deviation = found
    levels = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS
    values = mean + deviation * torch.special.ndtri(levels)[:, None]
    return values.reshape(POINTS, *(-1 if i == axis else 1 for i in range(dimensions)))


def remembered(graph: Graph, folded: Graph) -> dict[str, LayerStats]:
    """Statistics as `observe` gives them, of those activations of `folded` that batch norm tells of.

    Parameters
    ----------
    graph : Graph
        As read, with its batch norms; a node of it and one of `folded` that share a name hold the same value.

    A maximum that was moved in front of its activation is left out of account: neighbours in a window are much alike.
    """
    known, stats = moments(graph), dict[str, LayerStats]()
    for node in folded.sites():
        drive = _drive_of(graph, node)
        if drive in known:
            axis = channel_axis(folded, node)
            points = _points(known[drive], len(node.shape), axis)
            values = apply(node.op, points)
            stats[node.name] = _counted(values.abs() if by_magnitude(node.op) else values, axis)
            stats[node.inputs[0]] = _counted(points, axis)
    return stats


def _drive_of(graph: Graph, node: Node) -> str:
    """The node of `graph` that drives the activation which became `node`; its name if there is none."""
    found = next((n for n in graph if n.name == node.name), None)
    while found is not None and isinstance(found.op, (ir.MaxPool, ir.Pad, ir.Identity)):
        found = graph[found.inputs[0]]
    return found.inputs[0] if found is not None and isinstance(found.op, ir.ACTIVATIONS) else node.name


def _counted(values: Tensor, axis: int) -> LayerStats:
    stats = LayerStats.empty(values.shape[axis + 1], axis)
    stats.update(values)
    return stats
