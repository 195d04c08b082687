"""Numbers on a lattice, so that float32 sums are exact and every engine gives the same spike trains.

Normalised weights and biases are multiples of 2^-14 of the quantum. A spike is 0 or 1, so a sum of weights over
any set of spikes is a multiple of 2^-14 as well, and float32 holds it exactly while its magnitude stays below
2^24 2^-14 = 1024. Then the order of summation, the batch size and the number of threads do not matter. Neurons that
send several quanta in a step, or parts of one, say so, and the bound and the lattice follow. `carried()` tracks bits
and magnitude through a graph and says where float32 is enough; elsewhere float64 is used, which leaves 29 bits more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node, Op

__all__ = [
    "BITS",
    "INPUT_BITS",
    "Carried",
    "carried",
    "coarsest",
    "fraction_bits",
    "snap",
    "source_of",
    "spread",
    "through",
]

BITS = 14
"""Fraction bits of normalised weights."""

INPUT_BITS = 16
"""Fraction bits of analog inputs."""

_MANTISSA = 24
"""Significant bits of float32."""


_LATTICES: WeakKeyDictionary[Op, tuple[int | None, int | None]] = WeakKeyDictionary()
"""Fraction bits of the weights and the bias of layers, which every batch of an exact network asks for."""


@dataclass(frozen=True)
class Carried:
    """What a node carries in one step: multiples of 2^-bits, at most `bound` in magnitude.

    `bits` is None where the values lie on no lattice (a pooling window with a divisor that is not a power of
    two, a softmax, a layer norm, a product of two inputs), so that sums are exact only up to float64.
    """

    bits: int | None
    bound: float

    @property
    def dtype(self) -> torch.dtype:
        """The smallest type that holds every sum exactly."""
        fits = self.bits is not None and self.bound * 2.0**self.bits <= 2.0**_MANTISSA
        return torch.float32 if fits else torch.float64


def snap(values: Tensor, bits: int = BITS) -> Tensor:
    """The nearest multiples of 2^-bits, ties to even.

    >>> snap(torch.tensor([0.3], dtype=torch.float64), bits=2)
    tensor([0.2500], dtype=torch.float64)
    """
    return (values.double() * 2.0**bits).round_().div_(2.0**bits)


def coarsest(bound: float, least: int = 8) -> int:
    """Fraction bits that keep sums up to `bound` inside float32: BITS, or fewer where weights are large.

    >>> coarsest(3.0), coarsest(3000.0)
    (14, 12)
    """
    bits = BITS
    while bits > least and bound * 2.0**bits > 2.0**_MANTISSA:
        bits -= 1
    return bits


def carried(graph: Graph, spiking: Mapping[str, Carried]) -> dict[str, Carried]:
    """For each node of a normalised graph, what it carries in one step.

    Parameters
    ----------
    spiking : mapping
        Nodes that emit spikes -> what they send in one step. The input is analog unless it is one of them.
    """
    sources = {node.name: found for node in graph if (found := source_of(node, spiking)) is not None}
    return spread(graph, sources)


def spread(graph: Graph, sources: Mapping[str, Carried]) -> dict[str, Carried]:
    """For each node what it carries, given what the nodes of `sources` do."""
    known: dict[str, Carried] = {}
    for node in graph:
        given = sources.get(node.name)
        known[node.name] = through(node, [known[name] for name in node.inputs]) if given is None else given
    return known


def source_of(node: Node, spiking: Mapping[str, Carried]) -> Carried | None:
    """What a node carries that does not compute it from others: spikes, or the analog input."""
    if node.name in spiking:
        return spiking[node.name]
    return Carried(INPUT_BITS, float("inf")) if isinstance(node.op, ir.Input) else None


def through(node: Node, inputs: list[Carried]) -> Carried:
    """What `node` carries, given what its inputs carry."""
    op, first = node.op, inputs[0]
    if isinstance(op, (ir.Linear, ir.Conv, ir.Affine)):
        return _weighted(op, first)
    if isinstance(op, ir.AvgPool):
        window = float(torch.tensor(op.kernel).prod())
        exact = op.divisor == 1
        return Carried(first.bits if exact else None, first.bound * (window if exact else 1.0))
    if isinstance(op, ir.AdaptiveAvgPool):
        return Carried(None, first.bound)
    if isinstance(op, ir.RUNNING):
        return Carried(None, float("inf"))
    bits = None if any(c.bits is None for c in inputs) else max(c.bits or 0 for c in inputs)
    bounds = [c.bound for c in inputs]
    return Carried(bits, sum(bounds) if isinstance(op, ir.Add) else max(bounds))


def _weighted(op: ir.Linear | ir.Conv | ir.Affine, source: Carried) -> Carried:
    weight, bias = (op.scale, op.shift) if isinstance(op, ir.Affine) else (op.weight, op.bias)
    reach = weight.abs() if isinstance(op, ir.Affine) else weight.abs().flatten(1).sum(1)
    bound = float((reach * source.bound).max()) + (0.0 if bias is None else float(bias.abs().max()))
    if op not in _LATTICES:
        _LATTICES[op] = fraction_bits(weight), 0 if bias is None else fraction_bits(bias)
    of_weight, of_bias = _LATTICES[op]
    if source.bits is None or of_weight is None or of_bias is None:
        return Carried(None, bound)
    return Carried(max(source.bits + of_weight, of_bias), bound)


def fraction_bits(values: Tensor, most: int = 30) -> int | None:
    """The least number of fraction bits that holds every value, or None where `most` is not enough."""
    scaled = values.double() * 2.0**most
    if not torch.equal(scaled.round(), scaled):
        return None
    if scaled.numel() and float(scaled.abs().max()) >= 2.0**62:
        return most  # enough, if not the least: no weights are that large
    whole = scaled.long()
    lowest = (whole & -whole)[whole != 0]  # the lowest bit that is set
    return 0 if not len(lowest) else max(0, most - round(math.log2(int(lowest.min()))))
