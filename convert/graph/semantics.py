"""What each operation means: one function per type, on tensors with a batch axis in front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convert.errors import GraphError, InputShapeError
from convert.graph import ir, running
from convert.graph.curves import evaluate
from convert.graph.ir import Graph, Node, Op

__all__ = ["MEANING", "apply", "infer_shape", "run"]


def _linear(op: ir.Linear, x: Tensor) -> Tensor:
    return F.linear(x, op.weight, op.bias)


def _conv(op: ir.Conv, x: Tensor) -> Tensor:
    conv: Callable[..., Tensor] = F.conv1d if op.weight.ndim == 3 else F.conv2d
    return conv(x, op.weight, op.bias, op.stride, op.padding, op.dilation, op.groups)


def _batch_norm(op: ir.BatchNorm, x: Tensor) -> Tensor:
    return F.batch_norm(x, op.mean, op.variance, op.weight, op.bias, training=False, eps=op.epsilon)


def _avg_pool(op: ir.AvgPool, x: Tensor) -> Tensor:
    if len(op.kernel) == 2:
        return F.avg_pool2d(x, op.kernel, op.stride, op.padding, op.ceil_mode, op.count_include_pad, op.divisor)
    # avg_pool1d takes no divisor, and its own count differs from window to window
    kernel, stride, padding = (1, *op.kernel), (1, *op.stride), (0, *op.padding)
    flat = F.avg_pool2d(x.unsqueeze(-2), kernel, stride, padding, op.ceil_mode, op.count_include_pad, op.divisor)
    return flat.squeeze(-2)


def _adaptive_avg_pool(op: ir.AdaptiveAvgPool, x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, op.size) if len(op.size) == 2 else F.adaptive_avg_pool1d(x, op.size[0])


def _max_pool(op: ir.MaxPool, x: Tensor) -> Tensor:
    pool: Callable[..., Tensor] = F.max_pool2d if len(op.kernel) == 2 else F.max_pool1d
    return pool(x, op.kernel, op.stride, op.padding, op.dilation, op.ceil_mode)


def _staircase(op: ir.Staircase, x: Tensor) -> Tensor:
    step = op.threshold.to(x) / op.levels
    return step * torch.floor(x / step + 0.5).clamp(0, op.levels)


def _pad(op: ir.Pad, x: Tensor) -> Tensor:
    sides = [(before, after) for before, after in zip(op.before, op.after, strict=True)]
    if op.mode == "zeros":
        return F.pad(x, [n for pair in reversed(sides) for n in pair])
    touched = next((i for i, pair in enumerate(sides) if any(pair)), len(sides))
    spatial = max(1, len(sides) - touched)  # torch pads the last 1, 2 or 3 axes of (batch, channels, *space)
    folded = x.reshape(x.shape[0], -1, *x.shape[x.ndim - spatial :])
    wide = F.pad(folded, [n for pair in reversed(sides[len(sides) - spatial :]) for n in pair], op.mode)
    return wide.reshape(*x.shape[: x.ndim - spatial], *wide.shape[2:])


MEANING: dict[type, Callable[..., Tensor]] = {
    ir.Input: lambda op, x: x,
    ir.Linear: _linear,
    ir.Conv: _conv,
    ir.BatchNorm: _batch_norm,
    ir.Affine: lambda op, x: x * op.scale + op.shift,
    ir.Relu: lambda op, x: F.relu(x),
    ir.Clamp: lambda op, x: x.clamp(op.low, op.high),
    ir.Tanh: lambda op, x: torch.tanh(x),
    ir.LeakyRelu: lambda op, x: F.prelu(x, op.slope.to(x)),
    ir.Curve: lambda op, x: evaluate(op.name, op.parameters, x),
    ir.AvgPool: _avg_pool,
    ir.AdaptiveAvgPool: _adaptive_avg_pool,
    ir.MaxPool: _max_pool,
    ir.Add: lambda op, x, y: x + y,
    ir.Concat: lambda op, *xs: torch.cat(xs, dim=op.axis + 1),
    ir.Reshape: lambda op, x: x.reshape(x.shape[0], *op.shape),
    ir.Pad: _pad,
    ir.Permute: lambda op, x: x.permute(0, *(axis + 1 for axis in op.axes)),
    ir.Identity: lambda op, x: x,
    ir.Staircase: _staircase,
    ir.Softmax: running.softmax,
    ir.LayerNorm: running.layer_norm,
    ir.MatMul: running.matrix_product,
}
"""Operation type -> function(op, *inputs); a test checks that no type is forgotten."""


def apply(op: Op, *inputs: Tensor) -> Tensor:
    """The value of `op` on `inputs`, each (batch, *sample shape)."""
    return MEANING[type(op)](op, *inputs)


def infer_shape(op: Op, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one sample of the output, without computing it.

    Raises
    ------
    GraphError
        The operation does not accept these shapes.

    >>> infer_shape(ir.AvgPool((2, 2), (2, 2), (0, 0)), (8, 14, 14))
    (8, 7, 7)
    """
    if isinstance(op, ir.Input):
        return op.shape
    on_meta = type(op)(**{name: _to_meta(value) for name, value in vars(op).items()})
    try:
        out = apply(on_meta, *(torch.empty((1, *shape), device="meta") for shape in shapes))
        if isinstance(op, ir.Add) and len(set(shapes)) > 1:
            raise ValueError("the two must have one shape")
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise GraphError(f"{type(op).__name__} does not accept inputs of shape {shapes}: {reason}") from error
    return tuple(out.shape[1:])


def _to_meta(value: Any) -> Any:
    return value.to(device="meta", dtype=torch.float32) if isinstance(value, Tensor) else value


@torch.no_grad()
def run(
    graph: Graph,
    x: Tensor,
    observe: Callable[[Node, Tensor], None] | None = None,
    replace: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """The output of `graph` on a batch `x` of shape (batch, *sample shape).

    Parameters
    ----------
    observe : callable, optional
        Called with every node and its value.
    replace : mapping, optional
        Values that stand in for those of the named nodes.

    Raises
    ------
    InputShapeError
        `x` is not a batch of the graph's input.
    """
    if tuple(x.shape[1:]) != graph.input.shape:
        raise InputShapeError(
            f"the network takes samples of shape {graph.input.shape}, got {tuple(x.shape[1:])}; "
            "reshape the data, or name the shape with --input-shape"
        )
    last_use = {name: i for i, node in enumerate(graph) for name in node.inputs}
    values: dict[str, Tensor] = {}
    for i, node in enumerate(graph):
        if replace is not None and node.name in replace:
            value = replace[node.name]
        else:
            value = apply(node.op, *([x] if i == 0 else [values[name] for name in node.inputs]))
        values[node.name] = value
        if observe is not None:
            observe(node, value)
        for name in set(node.inputs):
            if last_use[name] == i and name != graph.output:
                del values[name]
    return values[graph.output]
