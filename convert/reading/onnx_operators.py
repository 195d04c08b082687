"""What each ONNX operator is in ATen's terms; `convert.reading.aten` then says what that becomes.

One table of meanings serves both formats: an operation that gains a neuron there is read from ONNX as well. A
translator receives a `Step` and returns the call, or several in a row, or raises `Refusal`. Operators that ATen's
table does not hold, and operators without a translator, are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from convert.reading import onnx_shapes, onnx_windows
from convert.reading.aten import Call, Refusal
from convert.reading.onnx_compounds import SPELLED_OUT
from convert.reading.onnx_step import Data, Step, call_on

__all__ = ["TRANSLATORS", "Translator"]

Translator = Callable[[Step], Call | tuple[Call, ...]]

_LARGEST = 3.4e38
"""A bound of Clip at the end of float32 is no bound."""


def _unary(operator: str) -> Translator:
    return lambda step: call_on(step, operator)


def _gemm(step: Step) -> Call:
    """Y = alpha A B + beta C, with A the data."""
    step.first()
    if step.attributes.get("transA"):
        raise Refusal("transposes the data, which moves the batch axis; export without transA")
    weight = step.weight(1, "weight")
    weight = weight if step.attributes.get("transB") else weight.T
    if weight.ndim != 2:
        raise Refusal(f"its weight has the shape {tuple(weight.shape)}; expected a matrix")
    bias = None
    if step.constant(2, "bias") is not None:
        bias = step.attributes.get("beta", 1.0) * step.weight(2, "bias")
        if bias.numel() not in (1, weight.shape[0]):
            raise Refusal(f"its bias has the shape {tuple(bias.shape)}; expected one value per output")
        bias = bias.reshape(-1).expand(weight.shape[0]).contiguous()
    weight = step.attributes.get("alpha", 1.0) * weight
    return Call("linear", {"weight": weight.contiguous(), "bias": bias}, ("input",), (step.shape,), ())


def _matmul(step: Step) -> Call:
    if all(isinstance(value, Data) for value in step.inputs):
        raise Refusal("a product of two data paths (gating, attention) has no spiking counterpart here")
    step.first()
    weight = step.weight(1, "weight")
    if weight.ndim != 2:
        raise Refusal(f"its weight has the shape {tuple(weight.shape)}; expected a matrix")
    return Call("linear", {"weight": weight.T.contiguous(), "bias": None}, ("input",), (step.shape,), ())


def _batch_norm(step: Step) -> Call:
    if step.attributes.get("training_mode"):
        raise Refusal("it normalises with the statistics of the batch; export the model in evaluation mode")
    weight, bias, mean, variance = (step.weight(i + 1, name) for i, name in enumerate(("scale", "B", "mean", "var")))
    if any(tensor.shape != step.first().shape[:1] for tensor in (weight, bias, mean, variance)):
        raise Refusal("its statistics are not one value per channel; export the model again")
    return call_on(step, "batch_norm", running_mean=mean, running_var=variance, weight=weight, bias=bias,
                 training=False, eps=float(step.attributes.get("epsilon", 1e-5)))  # fmt: skip


def _clip(step: Step) -> Call:
    bounds: list[float | None] = []
    for i, name in ((1, "min"), (2, "max")):
        value = step.attributes.get(name) if step.opset < 11 else step.constant(i, name)
        number = None if value is None else float(np.asarray(value).reshape(-1)[0]) if np.asarray(value).size else None
        bounds.append(None if number is None or abs(number) >= _LARGEST else number)
    return call_on(step, "clamp", min=bounds[0], max=bounds[1])


def _binary(operator: str) -> Callable[[Step], Call]:
    def translate(step: Step) -> Call:
        names = ("self", "other")
        data = tuple(name for name, value in zip(names, step.inputs, strict=True) if isinstance(value, Data))
        shapes = tuple(value.shape for value in step.inputs if isinstance(value, Data))
        arguments: dict[str, Any] = dict.fromkeys(names)
        for i, name in enumerate(names):
            if name not in data:
                arguments[name] = _fitting(step, step.weight(i, "constant"), shapes[0])
        return Call(operator, arguments, data, shapes, shapes[0])

    return translate


def _fitting(step: Step, constant: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`constant`, which must not make the data larger."""
    full = (1, *shape)
    if constant.ndim > len(full) or any(
        size not in (1, own) for size, own in zip(reversed(constant.shape), reversed(full), strict=False)
    ):
        raise Refusal(f"combines samples {shape} with a constant of shape {tuple(constant.shape)}; expected one that "
                      "has the same shape or 1 along each axis, and 1 along the batch")  # fmt: skip
    return constant


def _dropout(step: Step) -> Call:
    training = step.constant(2, "training_mode")
    if training is not None and bool(np.asarray(training).any()):
        raise Refusal("dropout is active at inference; export the model in evaluation mode")
    return call_on(step, "clone")


def _leaky_relu(step: Step) -> Call:
    return call_on(step, "leaky_relu", negative_slope=float(step.attributes.get("alpha", 0.01)))


def _prelu(step: Step) -> Call:
    slope = step.weight(1, "slope")
    full = (*[1] * (len(step.shape) + 1 - slope.ndim), *slope.shape)
    if any(size != 1 for i, size in enumerate(full) if i != 1):
        raise Refusal(f"its slope of shape {tuple(slope.shape)} is not one value, or one for each channel")
    return call_on(step, "prelu", weight=slope.reshape(-1))


def _numbers(operator: str, **names: tuple[str, float]) -> Translator:
    """An activation whose numbers are attributes: our name of each -> ONNX's, and its default there."""

    def translate(step: Step) -> Call:
        given: dict[str, Any] = {
            ours: float(step.attributes.get(name, default)) for ours, (name, default) in names.items()
        }
        return call_on(step, operator, **given)

    return translate


def _selu(step: Step) -> Call:
    """SELU is gamma (alpha e^x - alpha) below zero and gamma x above it."""
    alpha, gamma = (float(step.attributes.get(name, value)) for name, value in (("alpha", 1.67326), ("gamma", 1.0507)))
    return call_on(step, "elu", alpha=alpha, scale=gamma)


def _gelu(step: Step) -> Call:
    kind = step.attributes.get("approximate", b"none")
    return call_on(step, "gelu", approximate=kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind))


def _swish(step: Step) -> Call:
    if float(step.attributes.get("alpha", 1.0)) != 1.0:
        raise Refusal("x sigmoid(alpha x) with alpha other than 1 has no neuron; use alpha = 1")
    return call_on(step, "silu")


def _shrink(step: Step) -> Call:
    bias, bound = (float(step.attributes.get(name, value)) for name, value in (("bias", 0.0), ("lambd", 0.5)))
    if bias not in (0.0, bound):
        raise Refusal("a shrink whose bias is neither 0 nor its bound has no neuron; use soft or hard shrink")
    return call_on(step, "softshrink" if bias else "hardshrink", lambd=bound)


def _thresholded(step: Step) -> Call:
    raise Refusal("x above a threshold and 0 below it has no neuron; use Relu")


def _spelled_out(step: Step) -> Call:
    given: dict[str, Any] = {k: v.decode() if isinstance(v, bytes) else v for k, v in step.attributes.items()}
    given.pop("title")
    return call_on(step, given.pop("operator"), **given)


TRANSLATORS: dict[str, Translator] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Conv": onnx_windows.conv,
    "BatchNormalization": _batch_norm,
    "Relu": _unary("relu"),
    "Tanh": _unary("tanh"),
    "Sigmoid": _unary("sigmoid"),
    SPELLED_OUT: _spelled_out,
    "HardSigmoid": _numbers("hardsigmoid", alpha=("alpha", 0.2), beta=("beta", 0.5)),
    "HardSwish": _unary("hardswish"),
    "Softplus": _unary("softplus"),
    "Softsign": _unary("softsign"),
    "Mish": _unary("mish"),
    "Swish": _swish,
    "Gelu": _gelu,
    "Elu": _numbers("elu", alpha=("alpha", 1.0)),
    "Selu": _selu,
    "Celu": _numbers("celu", alpha=("alpha", 1.0)),
    "Shrink": _shrink,
    "ThresholdedRelu": _thresholded,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Clip": _clip,
    "AveragePool": onnx_windows.pool,
    "MaxPool": onnx_windows.pool,
    "GlobalAveragePool": onnx_windows.global_pool,
    "GlobalMaxPool": onnx_windows.global_pool,
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Concat": onnx_shapes.concat,
    "Flatten": onnx_shapes.flatten,
    "Reshape": onnx_shapes.reshape,
    "Squeeze": onnx_shapes.squeeze,
    "Unsqueeze": onnx_shapes.unsqueeze,
    "ReduceMean": onnx_shapes.reduce_mean,
    "Transpose": onnx_shapes.transpose,
    "Pad": onnx_shapes.pad,
    "Identity": _unary("clone"),
    "Cast": _unary("clone"),
    "Dropout": _dropout,
}
