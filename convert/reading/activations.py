"""What each ATen activation becomes: a table from operator name to a function that makes our operation."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Op
from convert.reading.calls import Call, Chain, Maker, Refusal

__all__ = ["ACTIVATIONS", "principal"]

_SELU = (1.6732632423543772, 1.0507009873554805)
"""alpha and scale by which torch writes SELU as an ELU (Klambauer et al., NeurIPS 2017)."""


def principal(ops: tuple[Op, ...] | list[Op]) -> Op:
    """The one of `ops`, which together mean one operation of the model, that says what became of it."""
    neurons = [op for op in ops if isinstance(op, ir.ACTIVATIONS)]
    layers = [op for op in ops if not isinstance(op, (ir.Pad, ir.Reshape))]
    return (neurons or layers or list(ops))[0]


def _clamp(low: Any, high: Any) -> Op:
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise Refusal("a clamp between tensors has no neuron; give its bounds as numbers")
    low, high = float(-math.inf if low is None else low), float(math.inf if high is None else high)
    if (low, high) == (-math.inf, math.inf):
        return ir.Identity()
    if (low, high) == (0.0, math.inf):
        return ir.Relu()
    if math.isinf(low) or math.isinf(high):
        raise Refusal("a clamp open on one side, other than ReLU, has no neuron; use ReLU, ReLU6 or hard tanh")
    if not (high > 0 and (low == 0 or low == -high)):
        raise Refusal(f"clamp({low:g}, {high:g}) has no neuron; supported: (0, h) and (-h, h)")
    return ir.Clamp(low, high)


def _threshold(call: Call) -> Op:
    if call.arguments["threshold"] != 0 or call.arguments["value"] != 0:
        raise Refusal("a threshold other than that of ReLU has no neuron; use ReLU")
    return ir.Relu()


def _hard_sigmoid(call: Call) -> Chain:
    """clamp(alpha x + beta, 0, 1); torch's is clamp(x / 6 + 1 / 2, 0, 1)."""
    flat = [1] * len(call.shape)
    alpha, beta = (_number(call, name, default) for name, default in (("alpha", 1 / 6), ("beta", 1 / 2)))
    return Chain((ir.Affine(torch.full(flat, alpha), torch.full(flat, beta)), ir.Clamp(0.0, 1.0)))


def _leaky(slope: float) -> Op:
    return ir.LeakyRelu(torch.tensor([slope], dtype=torch.float64)) if slope else ir.Relu()


def _prelu(call: Call) -> Op:
    slope = call.constant("weight").detach().reshape(-1)
    channels = call.in_shapes[0][0] if call.in_shapes[0] else 1
    if slope.numel() not in (1, channels):
        raise Refusal(f"its slope has {slope.numel()} values for {channels} channels; expected one, or one for each")
    return ir.LeakyRelu(slope)


def _rrelu(call: Call) -> Op:
    if call.arguments.get("training"):
        raise Refusal("draws its slopes at inference; save the model in evaluation mode")
    return _leaky((_number(call, "lower", 1 / 8) + _number(call, "upper", 1 / 3)) / 2)


def _elu(call: Call) -> Op:
    alpha, scale, inner = (_number(call, name, 1.0) for name in ("alpha", "scale", "input_scale"))
    if inner == 1 and math.isclose(alpha, _SELU[0], rel_tol=1e-4) and math.isclose(scale, _SELU[1], rel_tol=1e-4):
        return ir.Curve("selu")
    if (scale, inner) != (1, 1):
        raise Refusal(f"an ELU scaled by {scale:g} with its input scaled by {inner:g}; use ELU or SELU")
    return ir.Curve("elu", (alpha,))


def _positive(curve: str, *names: tuple[str, float]) -> Maker:
    """A curve whose numbers must be positive."""

    def make(call: Call) -> Op:
        numbers = tuple(_number(call, name, default) for name, default in names)
        if wrong := [name for (name, _), n in zip(names, numbers, strict=True) if not 0 < n < math.inf]:
            raise Refusal(f"its {', '.join(wrong)} must be more than 0, got {numbers}; train with a positive one")
        return ir.Curve(curve, numbers)

    return make


def _gelu(call: Call) -> Op:
    kind = str(call.arguments.get("approximate", "none"))
    if kind not in ("none", "tanh"):
        raise Refusal(f"GELU in the form {kind!r} is not known; use 'none' or 'tanh'")
    return ir.Curve("gelu_tanh" if kind == "tanh" else "gelu")


def _number(call: Call, name: str, default: float) -> float:
    value = call.arguments.get(name)
    if isinstance(value, Tensor):
        raise Refusal(f"its {name} is a tensor; give it as a number")
    return default if value is None else float(value)


def _staircase(call: Call) -> Op:
    """What `torch_compounds` finds where a model rounds to levels."""
    return ir.Staircase(torch.tensor(call.arguments["threshold"], dtype=torch.float64), int(call.arguments["levels"]))


def _plain(curve: str) -> Maker:
    return lambda call: ir.Curve(curve)


ACTIVATIONS: dict[str, Maker] = {
    "relu": lambda call: ir.Relu(),
    "relu6": lambda call: ir.Clamp(0.0, 6.0),
    "hardtanh": lambda call: _clamp(call.arguments["min_val"], call.arguments["max_val"]),
    "clamp": lambda call: _clamp(call.arguments["min"], call.arguments["max"]),
    "clip": lambda call: _clamp(call.arguments["min"], call.arguments["max"]),
    "clamp_min": lambda call: _clamp(call.arguments["min"], None),
    "threshold": _threshold,
    "tanh": lambda call: ir.Tanh(),
    "leaky_relu": lambda call: _leaky(_number(call, "negative_slope", 0.01)),
    "prelu": _prelu,
    "rrelu": _rrelu,
    "sigmoid": _plain("sigmoid"),
    "hardsigmoid": _hard_sigmoid,
    "log_sigmoid": _plain("log_sigmoid"),
    "softplus": _positive("softplus", ("beta", 1.0), ("threshold", 20.0)),
    "softsign": _plain("softsign"),
    "elu": _elu,
    "selu": _plain("selu"),
    "celu": _positive("celu", ("alpha", 1.0)),
    "gelu": _gelu,
    "silu": _plain("silu"),
    "hardswish": _plain("hardswish"),
    "mish": _plain("mish"),
    "tanhshrink": _plain("tanhshrink"),
    "softshrink": _positive("softshrink", ("lambd", 0.5)),
    "hardshrink": _positive("hardshrink", ("lambd", 0.5)),
    "staircase": _staircase,
}
"""Operator name -> what makes our operation of its call."""
