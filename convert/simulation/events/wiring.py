"""From the graph to connections: what a population, or a weighted layer, receives from the spikes of others.

The drive of a node is written as

    J[t] = sum over connections (weight * window of spikes of the source) + bias + nodes that are constant in time

where a connection is a convolution: a linear layer on a flattened image is one whose window is the whole image, a
gain on an identity path one of 1x1 with a group for each channel. Sum pooling in front of the weights belongs to the
connection, as do a border of zeros and the place of the source in a concatenation. Anything else has no such
form, and `drive_of` returns None. In front of neurons there may be a max pooling of that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.simulation.events.planes import geometry

__all__ = ["Connection", "Drive", "drive_of"]

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from one population, seen through one window.

    Parameters
    ----------
    source : str
        A population.
    pool : str or None
        The sum pooling between source and weights.
    weight : Tensor (neurons, channels / groups, height, width)
    """

    source: str
    pool: str | None
    shape: tuple[int, ...]
    """Of one sample of what the window moves over."""
    weight: Tensor
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Drive:
    """Connections, a bias (neurons,) in float64, and the nodes constant in time that are added.

    Parameters
    ----------
    maximum : MaxPool, optional
        Over windows of their sum, which is of the shape `before`.
    """

    connections: tuple[Connection, ...]
    bias: Tensor
    constant: tuple[str, ...] = ()
    maximum: ir.MaxPool | None = None
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """Spikes before they meet a synapse: a population, perhaps pooled, that begins at `channel` of the input."""

    source: str
    pool: str | None
    shape: tuple[int, ...]
    channel: int = 0
    border: Pair = (0, 0)


def drive_of(graph: Graph, name: str, populations: Collection[str], constant: Collection[str]) -> Drive | None:
    """What the node `name` carries, as connections from `populations`; None where it has no such form."""
    walk, node = _Walk(graph, populations, constant), graph[name]
    if not isinstance(node.op, ir.MaxPool) or name in constant:
        return walk.drive(node)
    source = graph[node.inputs[0]]
    inner = walk.drive(source)
    if inner is None or inner.constant or not inner.connections:
        return None
    return replace(inner, maximum=node.op, before=source.shape)


class _Walk:
    """The way back from a node to the populations."""

    def __init__(self, graph: Graph, populations: Collection[str], constant: Collection[str]) -> None:
        self.graph, self.populations, self.constant = graph, populations, constant

    def drive(self, node: Node) -> Drive | None:
        channels = geometry(node.shape)[0] if len(node.shape) <= 3 else 0
        nothing = torch.zeros(channels, dtype=torch.float64)
        if not channels:
            return None
        if node.name in self.constant:
            return Drive((), nothing, (node.name,))
        if isinstance(node.op, ir.Add):
            return _sum([self.drive(self.graph[name]) for name in node.inputs])
        if isinstance(node.op, ir.Conv):
            return self._conv(node, node.op)
        if isinstance(node.op, ir.Linear):
            return self._linear(node, node.op)
        if isinstance(node.op, ir.Affine):
            scale, shift = (_per_channel(t, node.shape) for t in (node.op.scale, node.op.shift))
            seen = self._seen(node.inputs[0])
            return None if scale is None or shift is None or seen is None else Drive(_gains(seen, scale), shift)
        seen = self._seen(node.name)
        return None if seen is None else Drive(_gains(seen, torch.ones(channels, dtype=torch.float64)), nothing)

    def _conv(self, node: Node, op: ir.Conv) -> Drive | None:
        seen = self._seen(node.inputs[0])
        if seen is None or (op.groups > 1 and len(seen) > 1):
            return None
        one = op.weight.ndim == 3
        weight = op.weight.double()[:, :, None] if one else op.weight.double()
        stride, dilation = (((1, *p) if one else p) for p in (op.stride, op.dilation))
        padding = (0, *op.padding) if one else op.padding
        connections = tuple(
            Connection(
                part.source, part.pool, part.shape,
                weight if op.groups > 1 else weight[:, part.channel : part.channel + part.shape[0]],
                stride, (padding[0] + part.border[0], padding[1] + part.border[1]), dilation, op.groups,  # type: ignore[arg-type]
            )
            for part in seen
        )  # fmt: skip
        return Drive(connections, _bias(op))

    def _linear(self, node: Node, op: ir.Linear) -> Drive | None:
        parts = self._flat(node.inputs[0]) if len(node.shape) == 1 else None
        if parts is None:
            return None
        connections, at = [], 0
        for part in parts:
            channels, height, width = geometry(part.shape)
            columns = op.weight[:, at : at + channels * height * width].double()
            at += columns.shape[1]
            weight = columns.reshape(-1, channels, height, width)
            connections.append(Connection(part.source, part.pool, part.shape, weight))
        return Drive(tuple(connections), _bias(op))

    def _seen(self, name: str) -> list[_Seen] | None:
        """The spikes at `name`, one entry for each population among its channels."""
        node = self.graph[name]
        if len(node.shape) > 3:
            return None
        if name in self.populations:
            return [_Seen(name, None, node.shape)]
        if isinstance(node.op, ir.AvgPool):
            summed = node.op.divisor == 1 and node.inputs[0] in self.populations and len(node.shape) > 1
            return [_Seen(node.inputs[0], name, node.shape)] if summed else None
        if isinstance(node.op, ir.Concat) and node.op.axis == 0:
            return _joined([self._seen(source) for source in node.inputs])
        if isinstance(node.op, ir.Pad) and node.op.mode == "zeros" and not (node.op.before[0] or node.op.after[0]):
            inner, before = self._seen(node.inputs[0]), node.op.before[1:]
            border = (0, *before) if len(before) == 1 else before
            if inner is None or min(*node.op.before, *node.op.after) < 0 or len(before) not in (1, 2):
                return None
            return [replace(p, border=(p.border[0] + border[0], p.border[1] + border[1])) for p in inner]
        return None

    def _flat(self, name: str) -> list[_Seen] | None:
        """The spikes at a flat node, in the order of its features."""
        node = self.graph[name]
        if isinstance(node.op, ir.Reshape) and len(node.shape) == 1:
            source = self.graph[node.inputs[0]]
            return self._flat(source.name) if len(source.shape) == 1 else _borderless(self._seen(source.name))
        if isinstance(node.op, ir.Concat) and len(node.shape) == 1:
            parts = [self._flat(source) for source in node.inputs]
            return None if any(p is None for p in parts) else [seen for p in parts for seen in p or ()]
        return self._seen(name) if len(node.shape) == 1 else None


def _borderless(seen: list[_Seen] | None) -> list[_Seen] | None:
    return None if seen is None or any(any(part.border) for part in seen) else seen


def _joined(parts: list[list[_Seen] | None]) -> list[_Seen] | None:
    found, channel = [], 0
    for part in parts:
        if part is None:
            return None
        found += [replace(seen, channel=seen.channel + channel) for seen in part]
        channel += sum(seen.shape[0] for seen in part)
    return found


def _gains(seen: list[_Seen], scale: Tensor) -> tuple[Connection, ...]:
    """Each channel to itself, times `scale`."""
    found = []
    total = len(scale)
    for part in seen:
        channels = part.shape[0]
        if channels == total:
            weight, groups = scale.reshape(-1, 1, 1, 1), channels
        else:  # some of the channels: the others have no synapse
            weight, groups = torch.zeros((total, channels, 1, 1), dtype=torch.float64), 1
            own = torch.arange(channels)
            weight[part.channel + own, own, 0, 0] = scale[part.channel : part.channel + channels]
        found.append(Connection(part.source, part.pool, part.shape, weight, padding=part.border, groups=groups))
    return tuple(found)


def _sum(drives: list[Drive | None]) -> Drive | None:
    known = [d for d in drives if d is not None]
    if len(known) < len(drives):
        return None
    return Drive(
        tuple(c for d in known for c in d.connections),
        torch.stack([d.bias for d in known]).sum(0),
        tuple(name for d in known for name in d.constant),
    )


def _bias(op: ir.Conv | ir.Linear) -> Tensor:
    return torch.zeros(len(op.weight), dtype=torch.float64) if op.bias is None else op.bias.double()


def _per_channel(value: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """`value`, which broadcasts with `shape`, as one number for each channel; None where it varies over space."""
    padded = value.double().reshape(*[1] * (len(shape) - value.ndim), *value.shape)
    return padded.reshape(-1).expand(shape[0]) if all(n == 1 for n in padded.shape[1:]) else None
