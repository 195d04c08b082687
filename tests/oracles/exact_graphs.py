"""Random exact networks, many side by side in one graph, and their quantised networks in whole numbers.

A *stand* is one random wiring that holds `trees` networks: the channels of each are its own, every weight between the
channels of two of them is zero, and each has its own weights, biases, inputs and, in a simulation, delays. So one
pass over a stand runs `trees` independent networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from convert.graph import ir
from convert.graph.ir import Graph, Node, Op
from convert.graph.semantics import infer_shape
from convert.network import Site, SpikingNetwork
from convert.neurons.counting import CountingNeuron, half_steps

CHANNELS = 2
"""Of each tree, at every node."""

PLACES = (2, 8)
"""Least and largest length of a sample."""

_WEIGHT_BITS, _INPUT_BITS, _TABLE_BITS = 3, 16, 4


@dataclass
class _Growing:
    """A stand in the making."""

    dice: np.random.Generator
    trees: int
    nodes: list[Node]
    sites: dict[str, Site]

    @property
    def head(self) -> Node:
        return self.nodes[-1]

    def append(self, op: Op, *inputs: str) -> None:
        inputs = inputs or (self.head.name,)
        shapes = {node.name: node.shape for node in self.nodes}
        name = f"{type(op).__name__.lower()}_{len(self.nodes)}"
        self.nodes.append(Node(name, op, inputs, infer_shape(op, *(shapes[i] for i in inputs))))

    def synapses(self) -> None:
        """A convolution whose weights join the channels of one tree only."""
        kernel = int(self.dice.choice([1, 3])) if self.head.shape[1] >= 3 else 1
        own = np.kron(np.eye(self.trees), np.ones((CHANNELS, CHANNELS)))[:, :, None]
        weight = self.dice.integers(-8, 9, (*own.shape[:2], kernel)) * own
        bias = self.dice.integers(-12, 13, len(weight)) if self.dice.random() < 0.7 else None
        tensors = [None if t is None else torch.tensor(t * 2.0**-_WEIGHT_BITS, dtype=torch.float64)
                   for t in (weight, bias)]  # fmt: skip
        self.append(ir.Conv(tensors[0], tensors[1], (1,), (kernel // 2,), (1,)))

    def neurons(self) -> None:
        """ReLU's staircase, that of another rising curve, or that of a curve that rises and falls."""
        top = int(self.dice.choice([1, 3, 7, 15]))
        kind = self.dice.random()
        if kind < 0.6:
            thresholds, levels = half_steps(top)
        else:
            edges = np.sort(self.dice.integers(-top << _TABLE_BITS, top << _TABLE_BITS, 2 * top)) / 2.0**_TABLE_BITS
            ways = np.ones(2 * top, dtype=int) if kind < 0.9 else self.dice.choice([-1, 1], 2 * top)
            thresholds = tuple(edges.tolist())
            levels = tuple(int(n) for n in np.concatenate([[0], ways.cumsum()]) - (top if kind < 0.9 else 0))
        self.append(ir.Relu())
        one = torch.ones((), dtype=torch.float64)
        neuron = CountingNeuron(thresholds=thresholds, levels=levels)
        self.sites[self.head.name] = Site(neuron, one, one, torch.zeros_like(one))

    def meeting(self) -> None:
        """A residual addition with, or a concatenation to, some earlier value."""
        shape = self.head.shape
        earlier = [n for n in self.nodes[:-1] if n.shape[1] == shape[1]]
        near = [n for n in self.nodes[:-1] if n.shape[1] + shape[1] <= PLACES[1]]
        if self.dice.random() < 0.7 and earlier:
            self.append(ir.Add(), self.head.name, earlier[self.dice.integers(len(earlier))].name)
        elif near:
            self.append(ir.Concat(1), self.head.name, near[self.dice.integers(len(near))].name)

    def pooling(self) -> None:
        """Maximum or sum over pairs or triples of places, or a wider border."""
        kind, room = self.dice.random(), self.head.shape[1]
        if room < 3 or kind > 0.9:
            if room + 2 <= PLACES[1]:
                self.append(ir.Pad((0, 1), (0, 1), "zeros" if room < 2 or kind > 0.95 else "reflect"))
        elif kind < 0.3:
            self.append(ir.MaxPool((3,), (1,), (1,), (1,)))
        elif kind < 0.6:
            self.append(ir.MaxPool((2,), (2 if room >= 6 else 1,), (0,), (1,)))
        else:
            self.append(ir.AvgPool((2,), (2 if room >= 6 else 1,), (0,), divisor=1))


def stand(seed: int, trees: int, depth: int) -> tuple[SpikingNetwork, torch.Tensor]:
    """`trees` networks of one wiring with `depth` populations in a row, and one sample for each of them."""
    dice = np.random.default_rng(seed)
    shape = (trees * CHANNELS, int(dice.integers(PLACES[0], PLACES[1] + 1)))
    growing = _Growing(dice, trees, [Node("input", ir.Input(shape), (), shape)], {})
    for _ in range(depth):
        growing.synapses()
        if dice.random() < 0.35:
            growing.meeting()
        if dice.random() < 0.2:
            growing.pooling()
        growing.neurons()
        if dice.random() < 0.2:
            growing.pooling()
        if dice.random() < 0.15:
            growing.meeting()
    if dice.random() < 0.8:
        growing.synapses()
    scales = {node.name: torch.ones((), dtype=torch.float64) for node in growing.nodes}
    graph = Graph(tuple(growing.nodes), growing.head.name)
    x = torch.tensor(dice.integers(-3 << _INPUT_BITS, 3 << _INPUT_BITS, shape) * 2.0**-_INPUT_BITS)[None]
    return SpikingNetwork(graph, growing.sites, scales, 1e-3, code="exact"), x


def whole_numbers(network: SpikingNetwork, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Counts and output of the quantised network of a stand on its one sample, by int64 arithmetic alone.

    Each value is a whole number times 2^-e; the output is returned as that number and e as `output bits`.
    """
    known: dict[str, tuple[np.ndarray, int]] = {}
    for node in network.graph:
        inputs = [known[name] for name in node.inputs]
        if isinstance(node.op, ir.Input):
            known[node.name] = np.rint(x[0].numpy() * 2.0**_INPUT_BITS).astype(np.int64), _INPUT_BITS
        elif node.name in network.sites:
            known[node.name] = _levels(network.sites[node.name].neuron, *inputs[0]), 0
        else:
            known[node.name] = _integers(node.op, inputs)
    found = {name: known[name][0] for name in network.sites}
    return {**found, "output": known[network.graph.output][0], "output bits": np.array(known[network.graph.output][1])}


def _levels(neuron: CountingNeuron, value: np.ndarray, bits: int) -> np.ndarray:
    ticks = [round(t * 2**_TABLE_BITS) << bits for t in neuron.thresholds]
    reached = sum(((value << _TABLE_BITS) >= tick).astype(np.int64) for tick in ticks)
    return np.array(neuron.levels, dtype=np.int64)[reached]


def _integers(op: Op, inputs: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, int]:
    value, bits = inputs[0]
    if isinstance(op, ir.Conv):
        weight = np.rint(op.weight.numpy() * 2.0**_WEIGHT_BITS).astype(np.int64)
        wide = np.pad(value, ((0, 0), (op.padding[0], op.padding[0])))
        places = wide.shape[1] - weight.shape[2] + 1
        total = sum(weight[:, :, k] @ wide[:, k : k + places] for k in range(weight.shape[2]))
        if op.bias is not None:
            total = total + (np.rint(op.bias.numpy() * 2.0**_WEIGHT_BITS).astype(np.int64) << bits)[:, None]
        return total, bits + _WEIGHT_BITS
    if isinstance(op, (ir.Add, ir.Concat)):
        most = max(e for _, e in inputs)
        first, second = (v << (most - e) for v, e in inputs)
        return (first + second if isinstance(op, ir.Add) else np.concatenate([first, second], 1)), most
    if isinstance(op, ir.Pad):
        return np.pad(value, ((0, 0), (1, 1)), "constant" if op.mode == "zeros" else "reflect"), bits
    assert isinstance(op, (ir.MaxPool, ir.AvgPool))
    border = np.iinfo(np.int64).min
    wide = np.pad(value, ((0, 0), (op.padding[0], op.padding[0])), constant_values=border)
    windows = np.lib.stride_tricks.sliding_window_view(wide, op.kernel[0], axis=1)[:, :: op.stride[0]]
    return (windows.max(2) if isinstance(op, ir.MaxPool) else windows.sum(2)), bits
