"""Whether the arithmetic of an exact or radix-coded network is that of integers: lattice and bound of every charge.

Weights, biases, inputs and counts are whole numbers times 2^-bits. A float64 holds every whole number below 2^53, so a
sum whose terms stay below 2^(53 - bits) in total is exact in whatever order it is made.
"""

from __future__ import annotations

import math
from dataclasses import replace

from convert.errors import InputShapeError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.lattice import BITS, INPUT_BITS, Carried, snap, spread, through
from convert.network import SpikingNetwork
from convert.neurons.counting import CountingNeuron
from convert.neurons.radix import RadixNeuron

__all__ = ["capacity", "shared_bits"]

_MANTISSA = 53
"""Significant bits of float64."""


def capacity(network: SpikingNetwork, largest: float) -> dict[str, Carried]:
    """For each node of an exact or radix-coded network the lattice and the bound of its charge.

    Parameters
    ----------
    largest : float
        The largest input in magnitude.

    Raises
    ------
    InputShapeError
        A sum that float64 does not hold exactly; all such nodes are named.
    """
    known = spread(network.graph, _sources(network, largest))
    too_much = [
        f"{network.graph[name].place or name} ({'no lattice' if c.bits is None else f'{c.bits} fraction bits'}, "
        f"up to {c.bound:.3g})"
        for name, c in known.items()
        if c.bits is None or not c.bound * 2.0**c.bits < 2.0 ** (_MANTISSA - 1)
    ]
    if too_much:
        raise InputShapeError(
            f"{', '.join(too_much)}: sums need more than the {_MANTISSA} bits of float64, so they would not be exact; "
            "expected smaller inputs or weights between two activations: scale the data, or use another recipe"
        )
    return known


def shared_bits(network: SpikingNetwork, largest: float) -> SpikingNetwork:
    """`network` with coarser weights where layers without neurons between them would need more bits than there are.

    Raises
    ------
    InputShapeError
        Too few are left; see `capacity`.
    """
    sources = _sources(network, largest)
    ahead = _ahead(network, {name: c.bound for name, c in spread(network.graph, sources).items()})
    known: dict[str, Carried] = {}
    nodes: list[Node] = []
    for node in network.graph:
        inputs = [known[name] for name in node.inputs]
        if _is_weighted(node):
            layers, highest = ahead[node.name]
            room = _MANTISSA - 2 - math.ceil(math.log2(max(highest, 1.0)))
            bits = min(BITS, (room - (inputs[0].bits or 0)) // layers)
            if bits < BITS:
                snapped = {name: snap(tensor, max(bits, 0)) for name, tensor in ir.tensors(node.op).items()}
                node = replace(node, op=replace(node.op, **snapped))  # type: ignore[arg-type]
        nodes.append(node)
        known[node.name] = sources.get(node.name) or through(node, inputs)
    shared = replace(network, graph=Graph(tuple(nodes), network.graph.output))
    capacity(shared, largest)
    return shared


def _sources(network: SpikingNetwork, largest: float) -> dict[str, Carried]:
    """What populations and the input carry."""
    counts = {
        name: Carried(0, float(site.neuron.highest))
        for name, site in network.sites.items()
        if isinstance(site.neuron, (CountingNeuron, RadixNeuron))
    }
    return {**counts, network.graph.input.name: Carried(INPUT_BITS, largest)}


def _is_weighted(node: Node) -> bool:
    return isinstance(node.op, (*ir.WEIGHTED, ir.Affine))


def _ahead(network: SpikingNetwork, bounds: dict[str, float]) -> dict[str, tuple[int, float]]:
    """For each node, the weighted layers from it up to the next neurons, and the largest bound on the way."""
    found: dict[str, tuple[int, float]] = {}
    for node in reversed(network.graph.nodes):
        readers = [found[r.name] for r in network.graph.consumers(node.name) if r.name not in network.sites]
        layers = max((layers for layers, _ in readers), default=0) + _is_weighted(node)
        found[node.name] = layers, max([bounds[node.name], *(highest for _, highest in readers)])
    return found
