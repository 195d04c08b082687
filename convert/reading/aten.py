"""What each ATen operation becomes: a table from operator name to a function that makes our operation.

A function receives the call and returns an operation, or a `Chain` of them, or raises `Refusal` with the
reason and the way out. What stands in no table is refused by name.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Op
from convert.reading.activations import ACTIVATIONS
from convert.reading.attention import HYBRID
from convert.reading.calls import Call, Chain, Maker, Refusal, sizes
from convert.reading.wiring import WIRING, same_padding

__all__ = ["OPERATORS", "Call", "Chain", "Refusal"]


def _linear(call: Call) -> Op:
    return ir.Linear(call.constant("weight"), call.constant("bias"))


def _conv(call: Call) -> Op | Chain:
    weight = call.constant("weight")
    spatial = weight.ndim - 2
    dilation = sizes(call.arguments["dilation"], spatial)
    padding = call.arguments["padding"]
    border = None
    if padding == "same":
        padding, border = same_padding(weight.shape[2:], dilation, call.in_shapes[0])
    padding = 0 if padding == "valid" else padding
    conv = ir.Conv(
        weight, call.constant("bias"), sizes(call.arguments["stride"], spatial), sizes(padding, spatial),
        dilation, int(call.arguments["groups"]),
    )  # fmt: skip
    return conv if border is None else Chain((border, conv))


def _matmul(call: Call) -> Op:
    """``x @ W``, and ``addmm(b, x, W)``: a linear layer that somebody wrote out."""
    data, weight = ("self", "other") if "other" in call.arguments else ("mat1", "mat2")
    weight = "mat2" if call.operator in ("mm", "bmm") else weight
    data = "self" if call.operator in ("mm", "bmm") else data
    if call.operator in ("matmul", "bmm") and len(call.data) == 2:
        return ir.MatMul()
    if call.data != (data,):
        raise Refusal("a product with the data on the right; write x @ W with a fixed matrix W")
    matrix = _one_matrix(call.arguments[weight])
    if matrix.ndim != 2 or any(call.arguments.get(name, 1) != 1 for name in ("alpha", "beta")):
        raise Refusal(f"its matrix has shape {tuple(matrix.shape)}; expected two axes and no alpha or beta")
    bias = call.arguments["self"] if call.operator == "addmm" else None
    if bias is not None and (bias.ndim != 1 or bias.numel() != matrix.shape[1]):
        raise Refusal(f"its bias has shape {tuple(bias.shape)}; expected one value for each output")
    return ir.Linear(matrix.t(), bias)


def _one_matrix(matrix: Tensor) -> Tensor:
    """A stack of the same matrix, one for each place, as that matrix."""
    same = matrix.ndim > 2 and bool((matrix == matrix.reshape(-1, *matrix.shape[-2:])[0]).all())
    return matrix.reshape(-1, *matrix.shape[-2:])[0] if same else matrix


def _convolution(call: Call) -> Op | Chain:
    """What conv1d and conv2d are made of; graphs from TorchScript hold it bare."""
    if call.arguments["transposed"]:
        raise Refusal("a transposed convolution has no spiking counterpart here; use conv2d")
    return _conv(call)


def _batch_norm(call: Call) -> Op:
    mean, variance = call.constant("running_mean"), call.constant("running_var")
    if call.arguments["training"] or mean is None or variance is None:
        raise Refusal("it normalises with the statistics of the batch; train with track_running_stats=True, "
                      "and save the model in evaluation mode")  # fmt: skip
    weight, bias = call.constant("weight"), call.constant("bias")
    weight = torch.ones_like(mean) if weight is None else weight
    return ir.BatchNorm(mean, variance, weight, torch.zeros_like(mean) if bias is None else bias,
                        float(call.arguments["eps"]))  # fmt: skip


def _avg_pool(call: Call) -> Op:
    spatial = 2 if call.operator.endswith("2d") else 1
    a = call.arguments
    kernel = sizes(a["kernel_size"], spatial)
    return ir.AvgPool(
        kernel, sizes(a["stride"] or kernel, spatial), sizes(a["padding"], spatial), bool(a["ceil_mode"]),
        bool(a["count_include_pad"]), a.get("divisor_override"),
    )  # fmt: skip


def _max_pool(call: Call) -> Op:
    spatial = 2 if call.operator.endswith("2d") else 1
    a = call.arguments
    kernel = sizes(a["kernel_size"], spatial)
    return ir.MaxPool(
        kernel, sizes(a["stride"] or kernel, spatial), sizes(a["padding"], spatial),
        sizes(a["dilation"], spatial), bool(a["ceil_mode"]),
    )  # fmt: skip


def _mean(call: Call) -> Op | Chain:
    """The mean over all spatial axes is global average pooling; over others, of the sample with those axes last."""
    shape = call.in_shapes[0]
    rank = len(shape) + 1
    axes = sorted(axis % rank for axis in call.arguments.get("dim") or range(rank))
    if 0 in axes or call.arguments.get("dtype") is not None:
        raise Refusal("a mean over the batch, or in another type; supported: over axes of a sample")
    if rank in (3, 4) and axes == list(range(2, rank)):
        pool = ir.AdaptiveAvgPool((1,) * (rank - 2))
        return pool if call.arguments["keepdim"] else Chain((pool, ir.Reshape(call.shape)))
    gone = [axis - 1 for axis in axes]
    kept = [axis for axis in range(rank - 1) if axis not in gone]
    sizes_of = [math.prod(shape[axis] for axis in part) for part in (kept, gone)]
    return Chain((ir.Permute((*kept, *gone)), ir.Reshape(tuple(sizes_of)), ir.AdaptiveAvgPool((1,)),
                  ir.Reshape(call.shape)))  # fmt: skip


def _add(call: Call) -> Op:
    scale = call.arguments.get("alpha", 1)
    if len(call.data) == 1:
        return _offset(call, 1.0, scale) if call.data == ("self",) else _offset(call, scale, 1.0)
    if scale != 1:
        raise Refusal(f"add with alpha={scale}; write x + {scale} * y with a layer of its own")
    if call.in_shapes[0] != call.in_shapes[1]:
        raise Refusal(f"adds shapes {call.in_shapes[0]} and {call.in_shapes[1]}; only equal shapes can be added")
    return ir.Add()


def _sub(call: Call) -> Op:
    if len(call.data) == 2:
        raise Refusal("a difference of two data paths; write x + layer(y) with a layer that has negative weights")
    alpha = call.arguments.get("alpha", 1)
    return _offset(call, 1.0, -alpha) if call.data == ("self",) else _offset(call, -alpha, 1.0)


def _rsub(call: Call) -> Op:
    """``other - alpha * self``."""
    if len(call.data) == 2:
        return _sub(call)
    return _offset(call, -float(call.arguments.get("alpha", 1)), 1.0)


def _offset(call: Call, scale: float, factor: float) -> Op:
    """Y = scale * x + factor * constant."""
    other = call.arguments["other" if call.data == ("self",) else "self"]
    shift = factor * _broadcastable(call, other)
    return ir.Affine(torch.full_like(shift, scale), shift)


def _mul(call: Call) -> Op:
    if len(call.data) == 2:
        raise Refusal("a product of two data paths, element by element (gating), has no spiking counterpart here")
    factor = _broadcastable(call, call.arguments["other" if call.data == ("self",) else "self"])
    return ir.Affine(factor, torch.zeros_like(factor))


def _div(call: Call) -> Op:
    if call.data != ("self",) or call.arguments.get("rounding_mode"):
        raise Refusal("only a division of the data by a constant can be converted")
    factor = 1.0 / _broadcastable(call, call.arguments["other"])
    return ir.Affine(factor, torch.zeros_like(factor))


def _broadcastable(call: Call, value: Any) -> Tensor:
    """`value` as a tensor that broadcasts against one sample of the result."""
    tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value))
    if tensor.ndim > len(call.shape) + 1 or (tensor.ndim == len(call.shape) + 1 and tensor.shape[0] != 1):
        raise Refusal(f"its constant of shape {tuple(tensor.shape)} varies with the batch")
    tensor = tensor[0] if tensor.ndim == len(call.shape) + 1 else tensor
    return tensor.reshape(*[1] * (len(call.shape) - tensor.ndim), *tensor.shape)


def _cat(call: Call) -> Op | Chain:
    axis = call.arguments["dim"] % (len(call.shape) + 1)
    if axis == 0:
        raise Refusal("concatenates along the batch; only axes of a sample can be concatenated")
    parts = call.arguments["tensors"] or []
    fixed = [part for part in parts if part is not None]
    if not fixed:
        return ir.Concat(axis - 1)
    if len(parts) != len(fixed) + 1:
        raise Refusal("concatenates fixed tensors with several data paths; join one path at a time")
    return _framed(call, parts, axis)


def _framed(call: Call, parts: list[Tensor | None], axis: int) -> Chain:
    """Fixed values beside the data, such as a class token: a border of zeros, and a constant on it."""
    at = parts.index(None)
    sides = [sum(p.shape[axis] for p in part if p is not None) for part in (parts[:at], parts[at + 1 :])]
    before, after = ([n if i == axis - 1 else 0 for i in range(len(call.shape))] for n in sides)
    blank = torch.zeros(call.in_shapes[0])
    frame = torch.cat([blank if p is None else _same_for_all(p) for p in parts], dim=axis - 1)
    return Chain((ir.Pad(tuple(before), tuple(after)), ir.Affine(torch.ones([1] * frame.ndim), frame)))


def _same_for_all(part: Tensor) -> Tensor:
    """A fixed tensor with a batch axis as that of one sample."""
    if not bool((part == part[:1]).all()):
        raise Refusal("concatenates a fixed tensor that varies with the batch")
    return part[0].detach()


def _dropout(call: Call) -> Op:
    if call.arguments["train"] and call.arguments["p"]:
        raise Refusal("dropout is active at inference: training=True, the default of F.dropout, is fixed in the code; "
                      "write training=self.training, or use nn.Dropout")  # fmt: skip
    return ir.Identity()


def _adaptive(call: Call) -> Op:
    spatial = 2 if call.operator.endswith("2d") else 1
    return ir.AdaptiveAvgPool(sizes(call.arguments["output_size"], spatial))


_NOTHING: Maker = lambda call: ir.Identity()  # noqa: E731  one expression for many names

OPERATORS: dict[str, Maker] = {
    **WIRING,
    **ACTIVATIONS,
    **HYBRID,
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "bmm": _matmul,
    "addmm": _matmul,
    "conv1d": _conv,
    "conv2d": _conv,
    "convolution": _convolution,
    "_convolution": _convolution,
    "batch_norm": _batch_norm,
    "avg_pool1d": _avg_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool1d": _adaptive,
    "adaptive_avg_pool2d": _adaptive,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "mean": _mean,
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "neg": lambda call: ir.Affine(-torch.ones([1] * len(call.shape)), torch.zeros([1] * len(call.shape))),
    "mul": _mul,
    "div": _div,
    "cat": _cat,
    "concat": _cat,
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "alpha_dropout": _dropout,
    "contiguous": _NOTHING,
    "clone": _NOTHING,
    "detach": _NOTHING,
    "alias": _NOTHING,
}
"""Operator name -> what makes our operation of its call; `wiring.py` has those that only move values,
`activations.py` those that become neurons."""
