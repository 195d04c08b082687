"""What a weighted layer holds and moves: sizes of its tensors, for models that price memory."""

from __future__ import annotations

import math

from convert.graph import ir
from convert.graph.ir import Graph, Node
from evaluate.counts import Tensors

__all__ = ["tensors_of"]


def tensors_of(node: Node, graph: Graph) -> Tensors:
    """The sizes of `node` in `graph`; only its output where it has no weights.

    >>> import torch
    >>> from convert import trace
    >>> graph = trace(torch.nn.Sequential(torch.nn.Conv1d(2, 3, 5), torch.nn.ReLU()), (2, 8)).graph
    >>> tensors_of(graph.nodes[1], graph)
    Tensors(inputs=16, outputs=12, weights=30, biases=3, kernel=15)
    """
    outputs = math.prod(node.shape)
    if not isinstance(node.op, ir.WEIGHTED):
        return Tensors(outputs=outputs)
    weight, bias = node.op.weight, node.op.bias
    kernel = math.prod(weight.shape[2:]) * weight.shape[0] if isinstance(node.op, ir.Conv) else 0
    return Tensors(
        inputs=sum(math.prod(graph[name].shape) for name in node.inputs),
        outputs=outputs,
        weights=weight.numel(),
        biases=0 if bias is None else bias.numel(),
        kernel=kernel,
    )
