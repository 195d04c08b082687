"""fold(): rewrite a graph into the form that becomes spikes, without changing its function.

1. identities (dropout at inference) are removed;
2. batch norm becomes an affine map, and affine maps after a linear or convolutional layer go into its weights
   (W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta);
3. adaptive pooling with equal windows becomes plain average pooling;
4. max pooling after a monotone activation moves in front of it, pool(f(x)) = f(pool(x)), so that later the
   analog drive is pooled and not the spikes (Rueckauer et al. 2017, section 2.2.4, names the problem);
5. a sigmoid becomes a curve through zero and a constant in the next bias (`centring.py`).

Arithmetic is done in float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.centring import centred
from convert.graph.ir import Graph, Node, Op
from convert.graph.semantics import apply, infer_shape

__all__ = ["fold", "rebuild"]


def fold(graph: Graph) -> Graph:
    """The same function as `graph`, ready to be normalised; see the module's docstring.

    Returns
    -------
    Graph
        Without Identity and BatchNorm; tensors in float64.
    """
    nodes = [replace(node, op=_to_float64(node.op)) for node in graph]
    output = graph.output
    for rewrite in (_drop_identities, _norm_to_affine, _merge_affine, _plain_pooling, _pool_before_neuron):
        nodes, output = rewrite(nodes, output)
    nodes, output = centred(rebuild(nodes, output).nodes, output)
    return rebuild(*_merge_affine(nodes, output))


def rebuild(nodes: list[Node], output: str) -> Graph:
    """A graph of `nodes`, shapes inferred anew."""
    shapes: dict[str, tuple[int, ...]] = {}
    rebuilt = []
    for node in nodes:
        shapes[node.name] = infer_shape(node.op, *(shapes[name] for name in node.inputs))
        rebuilt.append(replace(node, shape=shapes[node.name]))
    return Graph(tuple(rebuilt), output)


Nodes = tuple[list[Node], str]


def _to_float64(op: Op) -> Op:
    doubled: dict[str, Any] = {
        name: tensor.detach().to(device="cpu", dtype=torch.float64) for name, tensor in ir.tensors(op).items()
    }
    return replace(op, **doubled) if doubled else op


def _redirect(nodes: list[Node], output: str, names: dict[str, str]) -> Nodes:
    """Without the nodes in `names`; whoever read one reads its stand-in."""

    def final(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    kept = [replace(n, inputs=tuple(map(final, n.inputs))) for n in nodes if n.name not in names]
    return kept, final(output)


def _drop_identities(nodes: list[Node], output: str) -> Nodes:
    return _redirect(nodes, output, {n.name: n.inputs[0] for n in nodes if isinstance(n.op, ir.Identity)})


def _norm_to_affine(nodes: list[Node], output: str) -> Nodes:
    return [replace(n, op=_affine(n.op, n.shape)) if isinstance(n.op, ir.BatchNorm) else n for n in nodes], output


def _affine(norm: ir.BatchNorm, shape: tuple[int, ...]) -> ir.Affine:
    scale = norm.weight / torch.sqrt(norm.variance + norm.epsilon)
    shift = norm.bias - norm.mean * scale
    per_channel = (-1, *[1] * (len(shape) - 1))
    return ir.Affine(scale.reshape(per_channel), shift.reshape(per_channel))


def _merge_affine(nodes: list[Node], output: str) -> Nodes:
    """Affine maps that follow a weighted layer of which they are the only reader go into its weights."""
    while True:
        for node in nodes:
            source = next((n for n in nodes if n.name in node.inputs), node)
            only_reader = source.name != output and sum(source.name in n.inputs for n in nodes) == 1
            merged = _merged(source, node.op) if isinstance(node.op, ir.Affine) and only_reader else None
            if merged is not None:
                nodes = [replace(n, op=merged) if n is source else n for n in nodes]
                nodes, output = _redirect(nodes, output, {node.name: source.name})
                break
        else:
            return nodes, output


def _merged(source: Node, affine: ir.Affine) -> Op | None:
    """`source`'s operation followed by `affine`, or None where the map is not per output channel."""
    if isinstance(source.op, ir.MatMul) and affine.scale.unique().numel() == 1 and not bool(affine.shift.any()):
        return replace(source.op, scale=source.op.scale * float(affine.scale.flatten()[0]))
    if not isinstance(source.op, ir.WEIGHTED):
        return None
    weight, channels = source.op.weight, source.op.weight.shape[0]
    axis = 0 if isinstance(source.op, ir.Conv) else len(source.shape) - 1
    scale, shift = (_per_channel(t, source.shape, axis, channels) for t in (affine.scale, affine.shift))
    if scale is None or shift is None:
        return None
    bias = source.op.bias if source.op.bias is not None else torch.zeros(channels, dtype=weight.dtype)
    return replace(source.op, weight=weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias=bias * scale + shift)


def _per_channel(tensor: Tensor, shape: tuple[int, ...], axis: int, channels: int) -> Tensor | None:
    """`tensor`, which broadcasts with `shape`, as one value for each channel; None if it is more than that."""
    padded = tensor.reshape(*[1] * (len(shape) - tensor.ndim), *tensor.shape)
    if any(size not in (1, channels if i == axis else 1) for i, size in enumerate(padded.shape)):
        return None
    return padded.reshape(-1).expand(channels)


def _plain_pooling(nodes: list[Node], output: str) -> Nodes:
    shape = {n.name: n.shape for n in nodes}
    plain = []
    for node in nodes:
        if isinstance(node.op, ir.AdaptiveAvgPool):
            sizes = shape[node.inputs[0]][-len(node.op.size) :]
            if all(size % target == 0 for size, target in zip(sizes, node.op.size, strict=True)):
                kernel = tuple(size // target for size, target in zip(sizes, node.op.size, strict=True))
                node = replace(node, op=ir.AvgPool(kernel, kernel, (0,) * len(kernel)))
        plain.append(node)
    return plain, output


def _pool_before_neuron(nodes: list[Node], output: str) -> Nodes:
    """Swap every max pool with the activation in front of it, until none is left behind an activation.

    A border between the two is swapped as well, where the activation leaves it as it is.
    """
    while True:
        by_name = {n.name: n for n in nodes}
        behind = [n for n in nodes if n.inputs and _is_rising(by_name[n.inputs[0]])]
        moved = next((n for n in behind if isinstance(n.op, ir.MaxPool) or _is_border(n, by_name, nodes, output)), None)
        if moved is None:
            return nodes, output
        activation = by_name[moved.inputs[0]]
        first = replace(moved, name=_fresh(f"{moved.name}_drive", by_name), inputs=activation.inputs)
        second = replace(activation, name=moved.name, inputs=(first.name,))
        at = nodes.index(moved)
        nodes = [*nodes[:at], first, second, *nodes[at + 1 :]]
        if activation.name != output and not any(activation.name in n.inputs for n in nodes):
            nodes.remove(activation)


def _is_border(node: Node, by_name: dict[str, Node], nodes: list[Node], output: str) -> bool:
    """Whether `node` pads what nothing but max pools read, with values that the activation before it keeps."""
    if not isinstance(node.op, ir.Pad) or node.name == output:
        return False
    readers = [n for n in nodes if node.name in n.inputs]
    activation = by_name[node.inputs[0]].op
    if isinstance(activation, ir.LeakyRelu):  # 0 stays 0; a slope belongs to its channel
        keeps = not (node.op.before[0] or node.op.after[0])
    else:
        zero = torch.zeros((1, 1), dtype=torch.float64)
        keeps = node.op.mode != "zeros" or not bool(apply(activation, zero).any())
    return keeps and bool(readers) and all(isinstance(n.op, ir.MaxPool) for n in readers)


def _is_rising(node: Node) -> bool:
    return isinstance(node.op, ir.ACTIVATIONS) and ir.rises(node.op)


def _fresh(name: str, taken: dict[str, Node]) -> str:
    while name in taken:
        name += "_"
    return name
