"""ATen operations that move values and compute nothing: padding, permutation, reshaping.

All of them are exact: a spike is moved, repeated or dropped as the value would be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from convert.graph import ir
from convert.graph.ir import Op
from convert.reading.calls import MOST_VALUES, Call, Chain, Maker, Refusal

__all__ = ["WIRING", "order", "same_padding"]


def same_padding(
    kernel: Sequence[int], dilation: Sequence[int], shape: tuple[int, ...]
) -> tuple[list[int], ir.Pad | None]:
    """Padding 'same' of a convolution: its own padding where that is even, else a border before it.

    Torch puts the odd one at the end: dilation (kernel - 1) = before + after, before = floor(half).

    >>> same_padding((3,), (1,), (4, 9))
    ([1], None)
    >>> same_padding((4,), (1,), (4, 9))
    ([0], Pad(before=(0, 1), after=(0, 2), mode='zeros'))
    """
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if not any(n % 2 for n in total):
        return [n // 2 for n in total], None
    fixed = (0,) * (len(shape) - len(total))
    return [0] * len(total), ir.Pad((*fixed, *(n // 2 for n in total)), (*fixed, *(n - n // 2 for n in total)))


def _pad(call: Call) -> Op | Chain:
    """``pad`` and its older names; amounts come in pairs from the last axis on."""
    amounts = [int(n) for n in call.arguments["pad" if "pad" in call.arguments else "padding"]]
    rank = len(call.in_shapes[0])
    if len(amounts) > 2 * rank and any(amounts[2 * rank :]):
        raise Refusal("pads the batch; only axes of a sample can be padded")
    before = [0] * rank
    after = [0] * rank
    for i, (first, last) in enumerate(list(zip(amounts[::2], amounts[1::2], strict=True))[:rank]):
        before[rank - 1 - i], after[rank - 1 - i] = first, last
    mode = _mode(call)
    border = ir.Pad(tuple(before), tuple(after), mode)
    value = float(call.arguments.get("value") or 0.0)
    if mode != "zeros" or value == 0.0:
        return border
    wide = math.prod(n + a + b for n, a, b in zip(call.in_shapes[0], before, after, strict=True))
    if wide > MOST_VALUES:
        raise Refusal(f"makes {wide:,} values of a sample; expected at most {MOST_VALUES:,}: pad less")
    frame = torch.nn.functional.pad(torch.zeros(call.in_shapes[0]), amounts[: 2 * rank], value=value)
    return Chain((border, ir.Affine(torch.ones([1] * rank), frame)))


def _mode(call: Call) -> str:
    named: dict[str, str] = {"reflection": "reflect", "replication": "replicate", "_pad": "circular"}
    for start, mode in named.items():
        if call.operator.startswith(start):
            return mode
    mode = str(call.arguments.get("mode", "constant"))
    mode = "zeros" if mode == "constant" else mode
    if mode not in ir.PAD_MODES:
        raise Refusal(f"padding mode {mode!r} is not known; use constant, reflect, replicate or circular")
    return mode


def _permute(call: Call) -> Op:
    rank = len(call.in_shapes[0]) + 1
    axes = order(call.operator, call.arguments, rank)
    if axes[0] != 0:
        raise Refusal("moves the batch axis; only axes of a sample can change places: keep the batch in front")
    return ir.Permute(tuple(axis - 1 for axis in axes[1:]))


def order(operator: str, a: dict[str, Any], rank: int) -> list[int]:
    """Axis of the input at each place of the result, the batch included; `a` are the arguments by name."""
    if operator == "permute":
        return [axis % rank for axis in a["dims"]]
    if operator in ("movedim", "moveaxis"):
        return _moved(_axes(a["source"], rank), _axes(a["destination"], rank), rank)
    names = next((n for n in (("dim0", "dim1"), ("axis0", "axis1")) if n[0] in a), None)
    first, second = (a[name] % rank for name in names) if names else (rank - 2, rank - 1)  # .t() and .mT
    axes = list(range(rank))
    axes[first], axes[second] = axes[second], axes[first]
    return axes


def _axes(value: Any, rank: int) -> list[int]:
    return [axis % rank for axis in (value if isinstance(value, (list, tuple)) else [value])]


def _moved(source: list[int], destination: list[int], rank: int) -> list[int]:
    rest = iter(axis for axis in range(rank) if axis not in source)
    placed = dict(zip(destination, source, strict=True))
    return [placed[i] if i in placed else next(rest) for i in range(rank)]


_RESHAPES: Maker = lambda call: ir.Reshape(call.shape)  # noqa: E731  one expression for many names

WIRING: dict[str, Maker] = {
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "_unsafe_view"), _RESHAPES),
    **dict.fromkeys(
        ("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d",
         "_pad_circular"), _pad,
    ),
    **dict.fromkeys(
        ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "mT", "adjoint"), _permute,
    ),
}  # fmt: skip
"""Operator name -> what makes our operation of its call."""
