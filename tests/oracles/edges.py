"""SynOps and MACs by brute force: a loop over every output, kernel offset and input. Slow and obvious.

Each element of a value is the list of the elements it comes from: neurons, with repeats, or the analog input. A
product of a weight and an element is one MAC, and one SynOp for each spike of each neuron in the list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from convert.graph import ir
from convert.graph.ir import Graph, Node

ANALOG = ("input", ())


def windows(op, in_space, out_space) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """(output position, kernel offset, input position) wherever the input exists."""
    dilation = getattr(op, "dilation", (1,) * len(in_space))
    kernel = op.weight.shape[2:] if isinstance(op, ir.Conv) else op.kernel
    for out in product(*map(range, out_space)):
        for offset in product(*map(range, kernel)):
            at = tuple(
                o * s - p + k * d for o, s, p, k, d in zip(out, op.stride, op.padding, offset, dilation, strict=True)
            )
            if all(0 <= i < n for i, n in zip(at, in_space, strict=True)):
                yield out, offset, at


class BruteForce:
    """SynOps and MACs per node of a spiking network with constant input."""

    def __init__(self, graph: Graph, sites: Mapping, spikes: Mapping[str, np.ndarray]) -> None:
        self.graph, self.sites, self.spikes = graph, sites, spikes
        self.values: dict[str, np.ndarray] = {}
        """Node -> array of lists of origins; an empty list is a zero."""
        self.synops: dict[str, float] = {}
        self.macs: dict[str, int] = {}
        self.encoder: dict[str, int] = {}
        self.met_a_synapse: dict[str, bool] = {}
        for node in graph:
            self.visit(node)

    def visit(self, node: Node) -> None:
        if isinstance(node.op, ir.Input):
            self.values[node.name] = self.fresh(node.shape, lambda at: [ANALOG])
            self.met_a_synapse[node.name] = False
            return
        inputs = [self.values[name] for name in node.inputs]
        met = any(self.met_a_synapse[name] for name in node.inputs)
        if node.name in self.sites:
            self.synops[node.name] = 0.0 if met else sum(self.delivered(e) for e in inputs[0].flat)
            self.values[node.name] = self.fresh(node.shape, lambda at: [(node.name, at)])
            self.met_a_synapse[node.name] = False
        elif isinstance(node.op, (ir.Linear, ir.Conv, ir.Affine)):
            self.weigh(node, inputs[0])
        elif isinstance(node.op, ir.Add):
            raw = [v for v, name in zip(inputs, node.inputs, strict=True) if not self.met_a_synapse[name]]
            self.synops[node.name] = sum(self.delivered(e) for v in raw for e in v.flat)
            self.values[node.name] = self.fresh(node.shape, lambda at: [o for v in inputs for o in v[at]])
            self.met_a_synapse[node.name] = True
        else:
            self.values[node.name] = self.wire(node, inputs)
            self.met_a_synapse[node.name] = met

    def fresh(self, shape, make) -> np.ndarray:
        values = np.empty(shape, dtype=object)
        for at in product(*map(range, shape)):
            values[at] = make(at)
        return values

    def delivered(self, origins) -> float:
        return sum(float(self.spikes[name][at]) for name, at in origins if name != "input")

    def weigh(self, node: Node, value: np.ndarray) -> None:
        self.synops[node.name], self.macs[node.name], self.encoder[node.name] = 0.0, 0, 0
        drives = self.fresh(node.shape, lambda at: [])
        for out, source in self.products(node, value.shape):
            origins = value[source]
            if origins:
                self.macs[node.name] += 1
                self.synops[node.name] += self.delivered(origins)
                self.encoder[node.name] += any(o == ANALOG for o in origins)
                drives[out] = drives[out] + origins
        self.values[node.name] = value if isinstance(node.op, ir.Affine) else drives
        self.met_a_synapse[node.name] = True

    def products(self, node: Node, in_shape) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        op = node.op
        if isinstance(op, ir.Affine):
            yield from ((at, at) for at in product(*map(range, node.shape)))
        elif isinstance(op, ir.Linear):
            for out in product(*map(range, node.shape)):
                for i in range(in_shape[-1]):
                    yield out, (*out[:-1], i)
        else:
            per_group_out, per_group_in = op.weight.shape[0] // op.groups, op.weight.shape[1]
            for channel in range(node.shape[0]):
                first = channel // per_group_out * per_group_in
                for out, _, at in windows(op, in_shape[1:], node.shape[1:]):
                    for c in range(first, first + per_group_in):
                        yield (channel, *out), (c, *at)

    def wire(self, node: Node, inputs: list[np.ndarray]) -> np.ndarray:
        op, value = node.op, inputs[0]
        if isinstance(op, ir.Reshape):
            return value.reshape(op.shape)
        if isinstance(op, ir.Permute):
            return value.transpose(op.axes)
        if isinstance(op, ir.Concat):
            return np.concatenate(inputs, axis=op.axis)
        if isinstance(op, ir.Pad):
            return self.pad(op, value)
        pooled = self.fresh(node.shape, lambda at: [])
        for channel in range(node.shape[0]):
            if isinstance(op, ir.AvgPool):
                for out, _, at in windows(op, value.shape[1:], node.shape[1:]):
                    pooled[(channel, *out)] = pooled[(channel, *out)] + value[(channel, *at)]
            else:
                assert isinstance(op, ir.AdaptiveAvgPool)
                for out in product(*map(range, op.size)):
                    spans = [
                        range(math.floor(i * n / m), math.ceil((i + 1) * n / m))
                        for i, n, m in zip(out, value.shape[1:], op.size, strict=True)
                    ]
                    pooled[(channel, *out)] = [o for at in product(*spans) for o in value[(channel, *at)]]
        return pooled

    def pad(self, op: ir.Pad, value: np.ndarray) -> np.ndarray:
        shape = tuple(n + b + a for n, b, a in zip(value.shape, op.before, op.after, strict=True))

        def source(at):
            where = []
            for i, before, n in zip(at, op.before, value.shape, strict=True):
                j = i - before
                if not 0 <= j < n:
                    if op.mode == "zeros":
                        return []
                    j = {"reflect": -j if j < 0 else 2 * (n - 1) - j, "replicate": min(max(j, 0), n - 1),
                         "circular": j % n}[op.mode]  # fmt: skip
                where.append(j)
            return value[tuple(where)]

        return self.fresh(shape, source)
