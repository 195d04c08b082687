"""What each ATen operation becomes: a table from operator name to a function that makes our operation.

A function receives the call and returns an operation, or a `Chain` of them, or raises `Refusal` with the
reason and the way out. What stands in no table is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Op

__all__ = ["OPERATORS", "Call", "Chain", "Refusal"]


class Refusal(Exception):  # noqa: N818  not an error of the program: an answer
    """Why an operation cannot be converted, and what to do instead."""


class Chain(tuple[Op, ...]):
    """Several operations in a row that together mean one of the model's."""


@dataclass(frozen=True)
class Call:
    """One call of an ATen operator.

    Parameters
    ----------
    operator : str
        Such as ``conv2d``, without overload and in-place underscore.
    arguments : dict
        By name, defaults filled in; tensors of the data path are replaced by `None`.
    data : tuple of str
        Names of the arguments, in order, that come from the data path.
    in_shapes : tuple
        Sample shapes of those.
    shape : tuple of int
        Sample shape of the result.
    """

    operator: str
    arguments: dict[str, Any]
    data: tuple[str, ...]
    in_shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]

    def constant(self, name: str) -> Any:
        """The argument called `name`, which must not depend on the data."""
        if name in self.data:
            raise Refusal(f"its {name} is computed from the data; only fixed weights can become synapses")
        return self.arguments[name]


def _sizes(value: Any, count: int) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return tuple(int(n) for n in (numbers * count if len(numbers) == 1 else numbers))


def _linear(call: Call) -> Op:
    return ir.Linear(call.constant("weight"), call.constant("bias"))


def _conv(call: Call) -> Op:
    weight = call.constant("weight")
    spatial = weight.ndim - 2
    dilation = _sizes(call.arguments["dilation"], spatial)
    padding = call.arguments["padding"]
    if padding == "same":
        total = tuple(d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True))
        if any(n % 2 for n in total):
            raise Refusal("padding='same' with an even kernel pads unevenly; give the padding as numbers")
        padding = [n // 2 for n in total]
    padding = 0 if padding == "valid" else padding
    return ir.Conv(
        weight, call.constant("bias"), _sizes(call.arguments["stride"], spatial), _sizes(padding, spatial),
        dilation, int(call.arguments["groups"]),
    )  # fmt: skip


def _convolution(call: Call) -> Op:
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


def _clamp(low: Any, high: Any) -> Op:
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise Refusal("a clamp between tensors has no neuron; give its bounds as numbers")
    if low == 0 and high is None:
        return ir.Relu()
    if low is None or high is None:
        raise Refusal("a clamp open on one side, other than ReLU, has no neuron; use ReLU, ReLU6 or hard tanh")
    low, high = float(low), float(high)
    if not (high > 0 and (low == 0 or low == -high)):
        raise Refusal(f"clamp({low:g}, {high:g}) has no neuron; supported: (0, h) and (-h, h)")
    return ir.Clamp(low, high)


def _avg_pool(call: Call) -> Op:
    spatial = 2 if call.operator.endswith("2d") else 1
    a = call.arguments
    kernel = _sizes(a["kernel_size"], spatial)
    return ir.AvgPool(
        kernel, _sizes(a["stride"] or kernel, spatial), _sizes(a["padding"], spatial), bool(a["ceil_mode"]),
        bool(a["count_include_pad"]), a.get("divisor_override"),
    )  # fmt: skip


def _max_pool(call: Call) -> Op:
    spatial = 2 if call.operator.endswith("2d") else 1
    a = call.arguments
    kernel = _sizes(a["kernel_size"], spatial)
    return ir.MaxPool(
        kernel, _sizes(a["stride"] or kernel, spatial), _sizes(a["padding"], spatial),
        _sizes(a["dilation"], spatial), bool(a["ceil_mode"]),
    )  # fmt: skip


def _mean(call: Call) -> Op | Chain:
    """The mean over all spatial axes is global average pooling."""
    shape = call.in_shapes[0]
    rank = len(shape) + 1
    axes = sorted(axis % rank for axis in call.arguments.get("dim") or ())
    if rank not in (3, 4) or axes != list(range(2, rank)) or call.arguments.get("dtype") is not None:
        raise Refusal("a mean over these axes has no spiking counterpart; supported: all spatial axes (global pooling)")
    pool = ir.AdaptiveAvgPool((1,) * (rank - 2))
    return pool if call.arguments["keepdim"] else Chain((pool, ir.Reshape(call.shape)))


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


def _offset(call: Call, scale: float, factor: float) -> Op:
    """Y = scale * x + factor * constant."""
    other = call.arguments["other" if call.data == ("self",) else "self"]
    shift = factor * _broadcastable(call, other)
    return ir.Affine(torch.full_like(shift, scale), shift)


def _mul(call: Call) -> Op:
    if len(call.data) == 2:
        raise Refusal("a product of two data paths (gating, attention) has no spiking counterpart here")
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


def _cat(call: Call) -> Op:
    axis = call.arguments["dim"] % (len(call.shape) + 1)
    if axis == 0:
        raise Refusal("concatenates along the batch; only axes of a sample can be concatenated")
    return ir.Concat(axis - 1)


def _dropout(call: Call) -> Op:
    if call.arguments["train"] and call.arguments["p"]:
        raise Refusal("dropout is active at inference (training=True is fixed in the code); use nn.Dropout")
    return ir.Identity()


def _adaptive(call: Call) -> Op:
    spatial = 2 if call.operator.endswith("2d") else 1
    sizes = _sizes(call.arguments["output_size"], spatial)
    return ir.AdaptiveAvgPool(sizes)


Maker = Callable[[Call], Op | Chain]

_RESHAPES: Maker = lambda call: ir.Reshape(call.shape)  # noqa: E731  one expression for seven names
_NOTHING: Maker = lambda call: ir.Identity()  # noqa: E731

OPERATORS: dict[str, Maker] = {
    "linear": _linear,
    "conv1d": _conv,
    "conv2d": _conv,
    "convolution": _convolution,
    "_convolution": _convolution,
    "batch_norm": _batch_norm,
    "relu": lambda call: ir.Relu(),
    "relu6": lambda call: ir.Clamp(0.0, 6.0),
    "hardtanh": lambda call: _clamp(call.arguments["min_val"], call.arguments["max_val"]),
    "clamp": lambda call: _clamp(call.arguments["min"], call.arguments["max"]),
    "clamp_min": lambda call: _clamp(call.arguments["min"], None),
    "tanh": lambda call: ir.Tanh(),
    "avg_pool1d": _avg_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool1d": _adaptive,
    "adaptive_avg_pool2d": _adaptive,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "mean": _mean,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "cat": _cat,
    "concat": _cat,
    "flatten": _RESHAPES,
    "view": _RESHAPES,
    "reshape": _RESHAPES,
    "squeeze": _RESHAPES,
    "unsqueeze": _RESHAPES,
    "unflatten": _RESHAPES,
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "alpha_dropout": _dropout,
    "contiguous": _NOTHING,
    "clone": _NOTHING,
    "detach": _NOTHING,
    "alias": _NOTHING,
}
