"""A graph in the number types in which its sums are exact, made once for each network."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import torch

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.lattice import Carried, carried
from convert.network import SpikingNetwork
from convert.simulation.kernels import channels_last

__all__ = ["behind_memory", "in_type", "prepared"]

_PREPARED: WeakKeyDictionary[SpikingNetwork, dict[str, tuple[dict[str, Carried], Graph]]] = WeakKeyDictionary()


def prepared(network: SpikingNetwork, device: str) -> tuple[dict[str, Carried], Graph]:
    """What each node carries, and the graph in the types that this needs; kept as long as the network lives."""
    made = _PREPARED.setdefault(network, {})
    if device not in made:
        known = carried(network.graph, network.spiking())
        made[device] = known, _typed(network.graph, known, device)
    return made[device]


def in_type(node: Node, dtype: torch.dtype) -> Node:
    """`node` with its tensors in `dtype`."""
    tensors = ir.tensors(node.op)
    if all(tensor.dtype == dtype for tensor in tensors.values()):
        return node
    return replace(node, op=replace(node.op, **{k: v.to(dtype) for k, v in tensors.items()}))  # type: ignore[arg-type]


def _typed(graph: Graph, known: dict[str, Carried], device: str) -> Graph:
    """Each node's tensors in the type that its sums need, on the device."""
    nodes = []
    for node in graph:
        typed = in_type(node, known[node.name].dtype)
        moved = {name: channels_last(tensor.to(device)) for name, tensor in ir.tensors(typed.op).items()}
        nodes.append(replace(typed, op=replace(typed.op, **moved)) if moved else typed)  # type: ignore[arg-type]
    return Graph(tuple(nodes), graph.output)


def behind_memory(graph: Graph, sites: set[str]) -> set[str]:
    """Nodes with a max pool or a difference operator between them and their spikes: the filter stands before it."""
    behind: set[str] = set()
    for node in graph:
        if node.name not in sites and (isinstance(node.op, (ir.MaxPool, *ir.RUNNING)) or behind & set(node.inputs)):
            behind.add(node.name)
    return behind
