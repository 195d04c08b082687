"""centred(): a sigmoid as a curve through zero, its constant half moved into the layers behind it.

    sigmoid(x) = s(x) + 1/2,   s(x) = sigmoid(x) - 1/2 = tanh(x / 2) / 2

s is worth a neuron with spikes of both signs, which is silent at x = 0 and needs to reach 1/2 only: half the quantum,
and so twice the resolution. The 1/2 is a constant. A linear operation L takes it on, L(s + 1/2) = L(s) + L(1/2) - L(0),
through pooling and reshaping up to the next weights, where it is a bias - one for each place where a border of zeros
lies inside the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply

__all__ = ["centred"]

_CARRIES = (ir.AvgPool, ir.AdaptiveAvgPool, ir.Reshape, ir.Permute, ir.Affine)
"""What takes a constant on and leaves it one."""


def centred(nodes: Sequence[Node], output: str) -> tuple[list[Node], str]:
    """`nodes` with every sigmoid in two parts, and the name of the output.

    Parameters
    ----------
    nodes : sequence of Node
        In topological order, with shapes, in float64.
    """
    owed: dict[str, Tensor] = {}
    carrying: set[str] = set()
    halves: list[Node] = []
    for node in nodes:
        if isinstance(node.op, ir.Curve) and node.op.name == "sigmoid":
            node = replace(node, op=ir.Curve("centred_sigmoid"))
            owed[node.name] = torch.full(node.shape, 0.5, dtype=torch.float64)
        elif len(node.inputs) == 1 and node.inputs[0] in owed and isinstance(node.op, (*_CARRIES, *ir.WEIGHTED)):
            carrying.add(node.name)
            owed[node.name] = _through(node, owed[node.inputs[0]])
        halves.append(node)
    return _paid(halves, output, owed, carrying)


def _through(node: Node, constant: Tensor) -> Tensor:
    """What the constant in front of the linear operation `node` is behind it."""
    return (apply(node.op, constant[None]) - apply(node.op, torch.zeros_like(constant[None])))[0]


def _paid(nodes: Sequence[Node], output: str, owed: dict[str, Tensor], carrying: set[str]) -> tuple[list[Node], str]:
    """The nodes with the constants that they owe added in front of every reader that does not carry them on."""
    paid: dict[str, str] = {}
    taken = {node.name for node in nodes}
    result: list[Node] = []
    for node in nodes:
        inputs = node.inputs if node.name in carrying else tuple(paid.get(name, name) for name in node.inputs)
        result.append(replace(node, inputs=inputs))
        readers = [n.name for n in nodes if node.name in n.inputs]
        if node.name in owed and (node.name == output or not carrying.issuperset(readers)):
            name = f"{node.name}_half"
            while name in taken:
                name += "_"
            taken.add(name)
            shift = _compact(owed[node.name])
            result.append(Node(name, ir.Affine(torch.ones_like(shift), shift), (node.name,), node.shape, node.place))
            paid[node.name] = name
    return result, paid.get(output, output)


def _compact(values: Tensor) -> Tensor:
    """The same values with axes over which they are constant reduced to one entry."""
    for axis in range(values.ndim):
        first = values.narrow(axis, 0, 1)
        if torch.equal(first.expand_as(values), values):
            values = first
    return values.clone()
