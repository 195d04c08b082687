"""Which nodes of an ONNX graph matter, and what they say about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import AttributeProto, NodeProto, helper

__all__ = ["READ_OUT", "ancestors", "attributes", "before_read_out", "place", "printable"]

READ_OUT = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
"""At the very end these keep the order of the values; the name of each in the read-out."""
_TRANSPARENT = ("Identity", "Cast", "Dropout")


def before_read_out(nodes: Sequence[NodeProto], output: str) -> tuple[str, list[NodeProto]]:
    """The name before a softmax that only the output reads, and the nodes behind it; or `output` itself."""
    made_by = {name: node for node in nodes for name in node.output}
    behind: list[NodeProto] = []
    name = output
    while name in made_by and made_by[name].op_type in (*READ_OUT, *_TRANSPARENT) and made_by[name].input:
        behind.append(made_by[name])
        name = made_by[name].input[0]
        if behind[-1].op_type in READ_OUT:
            return name, behind
    return output, []


def ancestors(nodes: Sequence[NodeProto], output: str) -> list[NodeProto]:
    """The nodes that `output` needs, in the order of the file, which is topological."""
    wanted, found = {output}, []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def attributes(node: NodeProto) -> dict[str, Any]:
    """By name; graphs inside a node are of no use to us and left out."""
    graphs = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    return {a.name: helper.get_attribute_value(a) for a in node.attribute if a.type not in graphs}


def place(node: NodeProto) -> str:
    """Where it stands: its name, or that of its result."""
    return printable(node.name or (node.output[0] if node.output else node.op_type))


def printable(text: str) -> str:
    """`text` from the file, as it may stand in a message: short and without control characters.

    >>> printable("conv\x1b[2J")
    'conv?[2J'
    """
    return "".join(character if character.isprintable() else "?" for character in text[:120])
