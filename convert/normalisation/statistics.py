"""observe(): statistics of every activation, per channel, in one pass over the calibration samples.

A channel's histogram covers [0, 2^k) with the smallest k that holds its maximum. When a larger value arrives,
pairs of bins are merged and k grows: the result is that of a histogram over the final range, whatever the
order or the batch size. Memory depends on channels, not on samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import CalibrationError
from convert.graph import ir
from convert.graph.ir import Graph, Node, Op
from convert.graph.semantics import run
from convert.neurons.families import fixed_threshold, takes_both_signs

__all__ = ["BINS", "LayerStats", "by_magnitude", "channel_axis", "observe"]

BINS = 1024

_LEAST_EXPONENT = -40


@dataclass
class LayerStats:
    """Statistics of one activation over the calibration samples, per channel or per neuron.

    Parameters
    ----------
    axis : int or None
        Channel axis of one sample; None where each neuron is a channel of its own.
    low, high, total, squares : Tensor (channels,)
        Minimum, maximum, sum, sum of squares.
    exponent : Tensor (channels,)
        The histogram of channel c covers [0, 2^exponent[c]).
    histogram : Tensor (channels, BINS)
        Counts of non-negative values.
    values : int
        Values per channel seen so far.
    samples : int
    """

    axis: int | None
    low: Tensor
    high: Tensor
    total: Tensor
    squares: Tensor
    exponent: Tensor
    histogram: Tensor
    values: int = 0
    samples: int = 0

    @property
    def mean(self) -> Tensor:
        """Mean per channel."""
        return self.total / max(self.values, 1)

    @property
    def variance(self) -> Tensor:
        """Variance per channel (population)."""
        return (self.squares / max(self.values, 1) - self.mean**2).clamp(min=0)

    @property
    def bin_width(self) -> Tensor:
        """Width of a histogram bin, (channels,)."""
        return torch.exp2(self.exponent.double()) / BINS

    @classmethod
    def empty(cls, channels: int, axis: int | None) -> LayerStats:
        """No samples yet."""
        zeros = torch.zeros(channels, dtype=torch.float64)
        return cls(
            axis, zeros + math.inf, zeros - math.inf, zeros.clone(), zeros.clone(),
            torch.full((channels,), _LEAST_EXPONENT), torch.zeros(channels, BINS, dtype=torch.float64),
        )  # fmt: skip

    def update(self, x: Tensor) -> None:
        """Add a batch of shape (batch, *sample)."""
        x = x.detach().flatten(1) if self.axis is None else x.detach()
        by_channel = x.movedim((self.axis or 0) + 1, 0).flatten(1).double()
        self.low = torch.minimum(self.low, by_channel.amin(1))
        self.high = torch.maximum(self.high, by_channel.amax(1))
        self.total += by_channel.sum(1)
        self.squares += (by_channel**2).sum(1)
        self.values += by_channel.shape[1]
        self.samples += x.shape[0]
        self._widen()
        self._count(by_channel)

    def _widen(self) -> None:
        needed = torch.frexp(self.high.clamp(min=2.0**_LEAST_EXPONENT)).exponent.long()
        while bool((grow := needed > self.exponent).any()):
            if not bool(self.histogram[grow].any()):
                self.exponent[grow] = needed[grow]
                return
            merged = self.histogram[grow].reshape(-1, BINS // 2, 2).sum(2)
            self.histogram[grow] = torch.cat([merged, torch.zeros_like(merged)], dim=1)
            self.exponent[grow] += 1

    def _count(self, by_channel: Tensor) -> None:
        channels = by_channel.shape[0]
        index = (by_channel / self.bin_width[:, None]).long().clamp(0, BINS - 1)
        index += torch.arange(channels)[:, None] * BINS
        counted = index[by_channel >= 0]
        self.histogram += torch.bincount(counted, minlength=channels * BINS).reshape(channels, BINS)


def by_magnitude(op: Op) -> bool:
    """Whether statistics of the activation `op` are those of its magnitude: it takes both signs without a bound."""
    return takes_both_signs(op) and fixed_threshold(op) is None


def channel_axis(graph: Graph, node: Node) -> int:
    """The axis of one sample that counts channels: the last after a linear layer, else the first.

    Where axes are permuted on the way, the axis moves with them.
    """
    axis, permutations = 0, []
    while node.inputs:
        node = graph[node.inputs[0]]
        if isinstance(node.op, ir.Permute):
            permutations.append(node.op.axes)
        if isinstance(node.op, ir.Linear):
            axis = len(node.shape) - 1
        if isinstance(node.op, ir.LayerNorm):
            axis = len(node.shape) - 1
        if isinstance(node.op, (ir.Linear, ir.Conv, ir.Reshape, *ir.RUNNING)):
            break
    for axes in reversed(permutations):
        axis = axes.index(axis)
    return axis


def observe(
    graph: Graph,
    x: Tensor,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
    neuron_wise: Collection[str] = (),
) -> dict[str, LayerStats]:
    """Statistics of the input, of every activation of `graph` and of what drives it, on samples `x`.

    Parameters
    ----------
    neuron_wise : collection of str
        Activations whose statistics are per neuron; those of the others are per channel.

    Returns
    -------
    dict
        Node -> statistics; what drives the activation `name` is `graph[name].inputs[0]`, counted along the
        activation's channels.

    Where an activation takes both signs without a bound, such as leaky ReLU, they are those of its magnitude: a
    threshold has to fit both sides.

    Raises
    ------
    CalibrationError
        No samples, or values that are not finite.
    """
    if len(x) == 0:
        raise CalibrationError("calibration: got 0 samples; expected at least 1: check --calibration")
    if not bool(torch.isfinite(x).all()):
        raise CalibrationError("calibration: NaN or infinite values in the samples; clean the data first")
    watched: dict[str, int | None] = {graph.input.name: channel_axis(graph, graph.input)}
    for node in graph.sites():
        axis = None if node.name in neuron_wise else channel_axis(graph, node)
        watched[node.name] = watched[node.inputs[0]] = axis
    rows = {n: math.prod(graph[n].shape) if axis is None else graph[n].shape[axis] for n, axis in watched.items()}
    stats = {n: LayerStats.empty(rows[n], axis) for n, axis in watched.items()}
    sided = {n.name for n in graph.sites() if by_magnitude(n.op)}

    def update(node: Node, value: Tensor) -> None:
        if node.name in stats:
            stats[node.name].update(value.abs() if node.name in sided else value)

    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        run(graph, part.double(), observe=update)
        if progress is not None:
            progress(len(part))
    return stats
