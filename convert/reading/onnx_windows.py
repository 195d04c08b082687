"""ONNX convolutions and pooling in ATen's terms; padding as ONNX defines it."""

from __future__ import annotations

import math
from typing import Any

from convert.reading.aten import Call, Refusal
from convert.reading.onnx_step import LARGEST_SIZE, Step, call_on

__all__ = ["conv", "global_pool", "pool"]


def conv(step: Step) -> Call | tuple[Call, ...]:
    """Cross-correlation in one or two dimensions."""
    weight = step.weight(1, "weight")
    spatial = weight.ndim - 2
    if spatial not in (1, 2) or len(step.first().shape) != spatial + 1:
        raise Refusal(f"a convolution over {max(spatial, 0)} axes of samples {step.shape}; supported: conv1d, conv2d")
    kernel = tuple(weight.shape[2:])
    stride, dilation = _positive(step, "strides", spatial), _positive(step, "dilations", spatial)
    if step.integers("kernel_shape") not in (None, kernel):
        raise Refusal(f"its kernel_shape is not that of its weight {kernel}; export the model again")
    pads = _pads(step, kernel, stride, dilation)
    bias = None if step.constant(2, "bias") is None else step.weight(2, "bias")
    groups = int(step.attributes.get("group", 1))
    if groups < 1 or (bias is not None and bias.shape != weight.shape[:1]):
        raise Refusal("its groups or its bias do not fit its weight; export the model again")
    before, padding = _split(step, pads)
    return *before, call_on(step, f"conv{spatial}d", weight=weight, bias=bias, stride=list(stride),
                          padding=padding, dilation=list(dilation), groups=groups)  # fmt: skip


def _positive(step: Step, name: str, count: int) -> tuple[int, ...]:
    """An attribute of `count` sizes of at least 1, which is also what each is by default."""
    sizes = step.integers(name) or (1,) * count
    if len(sizes) != count or any(not 1 <= size <= LARGEST_SIZE for size in sizes):
        raise Refusal(f"{name} {sizes[:8]} for {count} axes; expected sizes of 1 or more")
    return sizes


def _pads(
    step: Step, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """(begin, end) for each axis; automatic padding as ONNX defines it: output size = ceil(size / stride)."""
    spatial = len(kernel)
    mode = step.attributes.get("auto_pad", b"NOTSET").decode(errors="replace")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for size, k, s, d in zip(step.shape[-spatial:], kernel, stride, dilation, strict=True):
            total = max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
            less, more = total // 2, total - total // 2
            pads.append((less, more) if mode == "SAME_UPPER" else (more, less))
        return tuple(pads)
    flat = (0,) * (2 * spatial) if mode == "VALID" else step.integers("pads") or (0,) * (2 * spatial)
    if mode not in ("VALID", "NOTSET") or len(flat) != 2 * spatial or any(not 0 <= pad <= LARGEST_SIZE for pad in flat):
        raise Refusal(f"padding {mode} {flat[:8]}; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID and sizes from 0")
    return tuple(zip(flat[:spatial], flat[spatial:], strict=True))


def _split(step: Step, pads: tuple[tuple[int, int], ...]) -> tuple[tuple[Call, ...], list[int]]:
    """A call that pads where the sides differ, and the padding that is left for the layer itself."""
    if all(begin == end for begin, end in pads):
        return (), [begin for begin, _ in pads]
    last_axis_first = [size for pair in reversed(pads) for size in pair]
    return (call_on(step, "pad", pad=last_axis_first, mode="constant", value=None),), [0] * len(pads)


def _even(step: Step, pads: tuple[tuple[int, int], ...]) -> list[int]:
    if any(begin != end for begin, end in pads):
        raise Refusal(f"pads unevenly {pads}, which no pooling here does; use the same padding on both sides")
    return [begin for begin, _ in pads]


def pool(step: Step) -> Call:
    """Average or maximum over windows."""
    average = step.op == "AveragePool"
    kernel = step.integers("kernel_shape") or ()
    spatial = len(kernel)
    if spatial not in (1, 2) or len(step.shape) != spatial + 1:
        raise Refusal(f"pooling over {spatial} axes of samples {step.shape}; supported: one or two")
    kernel, stride = _positive(step, "kernel_shape", spatial), _positive(step, "strides", spatial)
    dilation = _positive(step, "dilations", spatial)
    shared: dict[str, Any] = {"kernel_size": list(kernel), "stride": list(stride),
              "padding": _even(step, _pads(step, kernel, stride, dilation)),
              "ceil_mode": bool(step.attributes.get("ceil_mode", 0))}  # fmt: skip
    if not average:
        return call_on(step, f"max_pool{spatial}d", dilation=list(dilation), **shared)
    if dilation != (1,) * spatial:
        raise Refusal("dilated average pooling has no counterpart here; use a dilation of 1")
    count_pads = bool(step.attributes.get("count_include_pad", 0))
    return call_on(step, f"avg_pool{spatial}d", count_include_pad=count_pads, **shared)


def global_pool(step: Step) -> Call:
    """Average or maximum over everything but the channels."""
    spatial = len(step.shape) - 1
    if spatial not in (1, 2):
        raise Refusal(f"global pooling of samples {step.shape}; supported: one or two spatial axes")
    if step.op == "GlobalAveragePool":
        return call_on(step, f"adaptive_avg_pool{spatial}d", output_size=[1] * spatial)
    size = list(step.shape[1:])
    return call_on(step, f"max_pool{spatial}d", kernel_size=size, stride=size, padding=[0] * spatial,
                 dilation=[1] * spatial, ceil_mode=False)  # fmt: skip
