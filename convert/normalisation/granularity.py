"""How many thresholds a layer has: one, one for each channel, or one for each neuron.

Spikes of a neuron with threshold lam stand for lam, so whoever reads them takes lam into its weights. A linear layer
has weights of its own for each neuron. A convolution uses the same weights at every place: with a lam for each neuron
it would need a multiplication for each spike, which is then no longer one bit. So a population has a threshold for
each neuron only where nothing but linear layers reads it, and else one for each channel (Kim et al., AAAI 2020).

What drives such a population may be a convolution: its output is rescaled neuron by neuron, one multiplication for each
neuron and step, which is counted; on a machine with a threshold for each neuron it is none (`threshold_balanced`).
"""

from __future__ import annotations

import math

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.normalisation.statistics import channel_axis

__all__ = ["GRANULARITIES", "neuron_wise"]

GRANULARITIES = ("layer", "channel", "neuron")
"""What one threshold can be for."""

_CARRIES = (ir.Reshape, ir.Permute, ir.Concat)
"""What takes each neuron's spikes on as they are."""


def neuron_wise(graph: Graph) -> tuple[frozenset[str], tuple[Node, ...]]:
    """The activations of a folded `graph` that can have a threshold for each neuron, and those that can not.

    An activation without extent in space is in neither: its channels are its neurons.
    """
    spread = [node for node in graph.sites() if math.prod(node.shape) > node.shape[channel_axis(graph, node)]]
    able = frozenset(
        node.name for node in spread if _driven_alone(graph, node) and _read_by_linear_layers(graph, node.name)
    )
    return able, tuple(node for node in spread if node.name not in able)


def _driven_alone(graph: Graph, node: Node) -> bool:
    """Whether what drives `node` drives no other population: statistics of the drive are of one kind."""
    drive = graph[node.inputs[0]]
    others = [reader for reader in graph.consumers(drive.name) if isinstance(reader.op, ir.ACTIVATIONS)]
    return len(others) == 1 and not isinstance(drive.op, ir.ACTIVATIONS)


def _read_by_linear_layers(graph: Graph, name: str) -> bool:
    """Whether weights of their own receive every element of the node called `name`."""
    for reader in graph.consumers(name):
        if isinstance(reader.op, _CARRIES):
            if not _read_by_linear_layers(graph, reader.name):
                return False
        elif not isinstance(reader.op, ir.Linear) or math.prod(graph[name].shape[:-1]) > 1:
            return False
    return True
