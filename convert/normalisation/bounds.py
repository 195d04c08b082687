"""Thresholds from the weights alone: the largest activation that any input in a given range could cause.

Interval arithmetic through the folded graph: a weighted layer maps centre c and radius r to W c + b and |W| r, a
product of two inputs (c, r) and (d, s) to c d and |c| s + r |d| + r s; a normalised value is at most sqrt(n - 1), a
softmax lies in [0, 1]; every other operation here is monotone, or falls up to its turning point and rises from there.
The bound is never exceeded, so nothing clips; it is loose, and looser with depth, so the resolution is coarse. With
calibration samples the thresholds are far better.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.curves import turning_point
from convert.graph.ir import Graph, Node
from convert.graph.running import RunningOp
from convert.graph.semantics import apply
from convert.neurons.families import fixed_threshold, takes_both_signs
from convert.normalisation.rules import Threshold
from convert.normalisation.statistics import channel_axis

__all__ = ["bounded_thresholds", "bounds"]

Interval = tuple[Tensor, Tensor]


def bounds(graph: Graph, low: float, high: float) -> dict[str, Interval]:
    """(lowest, highest) possible value of each node, of its sample shape, for inputs in [low, high].

    Parameters
    ----------
    graph : Graph
        Folded.
    """
    shape = (1, *graph.input.shape)
    known: dict[str, Interval] = {
        graph.input.name: (
            torch.full(shape, low, dtype=torch.float64),
            torch.full(shape, high, dtype=torch.float64),
        )
    }
    for node in graph.nodes[1:]:
        known[node.name] = _through(node, [known[name] for name in node.inputs])
    return {name: (lower[0], upper[0]) for name, (lower, upper) in known.items()}


def _through(node: Node, inputs: list[Interval]) -> Interval:
    op = node.op
    lower, upper = [i[0] for i in inputs], [i[1] for i in inputs]
    if isinstance(op, (ir.LeakyRelu, ir.Curve)) and not ir.rises(op):
        return _valley(op, lower[0], upper[0])
    if isinstance(op, ir.RUNNING):
        return _running(op, lower, upper)
    if not isinstance(op, (ir.Linear, ir.Conv, ir.Affine)):
        return apply(op, *lower), apply(op, *upper)
    centre, radius = (lower[0] + upper[0]) / 2, (upper[0] - lower[0]) / 2
    if isinstance(op, ir.Affine):
        spread = radius * op.scale.abs()
    else:
        spread = apply(replace(op, weight=op.weight.abs(), bias=None), radius)
    middle = apply(op, centre)
    return middle - spread, middle + spread


def _running(op: RunningOp, lower: list[Tensor], upper: list[Tensor]) -> Interval:
    """The range of a function of several values."""
    if isinstance(op, ir.Softmax):
        return torch.zeros_like(lower[0]), torch.ones_like(upper[0])
    if isinstance(op, ir.LayerNorm):
        spread = op.weight.abs().double() * math.sqrt(max(op.weight.numel() - 1, 0))
        middle = op.bias.double().expand_as(lower[0])
        return middle - spread, middle + spread
    (c, d), (r, s) = ([(u + sign * v) / 2 for u, v in zip(upper, lower, strict=True)] for sign in (1, -1))
    middle, spread = apply(op, c, d), abs(op.scale) * (c.abs() @ s + r @ d.abs() + r @ s)
    return middle - spread, middle + spread


def _valley(op: ir.LeakyRelu | ir.Curve, lower: Tensor, upper: Tensor) -> Interval:
    """The range of an activation with one turning point."""
    turn = 0.0 if isinstance(op, ir.LeakyRelu) else turning_point(op.name, op.parameters) or 0.0
    ends = [apply(op, lower), apply(op, upper)]
    bottom = apply(op, torch.maximum(lower, torch.minimum(upper, torch.full_like(lower, turn))))
    return torch.minimum(bottom, torch.minimum(*ends)), torch.maximum(*ends)


def bounded_thresholds(
    graph: Graph, low: float, high: float, per_channel: bool, neuron_wise: Collection[str] = ()
) -> dict[str, Threshold]:
    """Lam for every activation: its largest possible value, per channel or layer; per neuron for `neuron_wise`."""
    known = bounds(graph, low, high)
    found = {}
    for node in graph.sites():
        bottom, top = known[node.name]
        shape = [1] * len(node.shape)
        fixed = fixed_threshold(node.op)
        if takes_both_signs(node.op):
            top = torch.maximum(top, -bottom)
        if fixed is None or not (takes_both_signs(node.op) or isinstance(node.op, ir.Staircase)):
            kept = [channel_axis(graph, node)] if per_channel else []
            kept = list(range(top.ndim)) if node.name in neuron_wise else kept
            others = [i for i in range(top.ndim) if i not in kept]
            rows = top.amax(others, keepdim=True) if others else top
            dead = rows <= 0
            rows = torch.where(dead, rows.max() if float(rows.max()) > 0 else torch.ones(()).double(), rows)
            lam = rows if fixed is None else rows.clamp(max=fixed)
            found[node.name] = Threshold(lam, "bound from weights", int(dead.sum()))
        else:
            value = torch.full(shape, fixed, dtype=torch.float64)
            found[node.name] = Threshold(value, "fixed by the activation")
    return found
