"""Calls that only move values, wherever the batch lies: views, permutations, parts; and what computes on the moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from convert.errors import ConvertError
from convert.graph.ir import Op
from convert.reading.activations import ACTIVATIONS
from convert.reading.calls import Refusal
from convert.reading.layouts import Layout
from convert.reading.wiring import order

__all__ = ["MOVES", "PERMUTES", "PIECES", "PRODUCTS", "VIEWS", "arranged", "carried_on", "fitting", "piece"]

_UNFIT = (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError)


@contextmanager
def fitting() -> Iterator[None]:
    """Arguments of a call that a file chose may be of any kind; those that make no sense are refused.

    Raises
    ------
    Refusal
    """
    try:
        yield
    except ConvertError:  # a ValueError as well, with a message of its own
        raise
    except _UNFIT as error:
        raise Refusal(f"has arguments that do not fit together ({error}); capture the network again") from error


VIEWS = frozenset(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "_unsafe_view"))
PERMUTES = frozenset(("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "mT", "adjoint"))
_PARTS = frozenset(("select", "slice", "narrow", "expand"))
PIECES = frozenset(("chunk", "split", "split_with_sizes", "unbind"))
"""Give several tensors, of which `operator.getitem` takes one."""

MOVES = VIEWS | PERMUTES | _PARTS | PIECES
PRODUCTS = frozenset(("matmul", "bmm", "scaled_dot_product_attention"))
"""Of several data paths."""

_FORBIDDEN = "takes a part of the batch; only axes of a sample can be taken apart"

Arranged = tuple[Layout, list[Op]]


def arranged(operator: str, arguments: dict[str, Any], layout: Layout, shape: tuple[int, ...]) -> Arranged | None:
    """The layout of the result and what happens to a sample; None where `operator` does more than move values.

    Parameters
    ----------
    arguments : dict
        Of the call, by name.
    layout : Layout
        Of the tensor that is moved.
    shape : tuple of int
        Of the captured result, with the batch.
    """
    if operator in VIEWS:
        found = layout.viewed(shape)
        if found is None:
            raise Refusal(
                f"moves or mixes the batch axis (its result has shape {shape} for a batch of {layout.batch}); keep the "
                "batch in front"
            )
        return found
    if operator in PERMUTES:
        axes = order(operator, arguments, len(layout.axes))
        if sorted(axes) != list(range(len(layout.axes))):
            raise Refusal(f"puts the axes in the order {axes}; expected each of them once: capture the network again")
        return layout.permuted(axes)
    return _part(operator, arguments, layout, shape) if operator in _PARTS else None


def _part(operator: str, a: dict[str, Any], layout: Layout, shape: tuple[int, ...]) -> Arranged:
    if operator == "expand":
        if shape != layout.shape:
            raise Refusal("repeats values along an axis; only fixed tensors can be repeated: write it as a layer")
        return layout, []
    axis, size = _axis(layout, a["dim"])
    if operator == "select":
        start = int(a["index"]) % max(size, 1)
        return _taken(layout, axis, start, start + 1, drop=True)
    if operator == "narrow":
        start = int(a["start"]) % max(size, 1)
        return _taken(layout, axis, start, start + int(a["length"]))
    start, stop, step = slice(a["start"], a["end"], a["step"]).indices(size)
    if step != 1 and stop - start > 1:
        raise Refusal(f"takes a part of a tensor in steps of {step}; take neighbours, or use a convolution with stride")
    return _taken(layout, axis, start, stop)


def _axis(layout: Layout, dim: Any) -> tuple[int, int]:
    """An axis as a number, and its size."""
    axis = int(dim) % len(layout.axes)
    return axis, layout.shape[axis]


def _taken(layout: Layout, axis: int, start: int, stop: int, drop: bool = False) -> Arranged:
    size = layout.shape[axis]
    if layout.holds_batch(axis):
        if (start, stop, drop) == (0, size, False):
            return layout, []
        raise Refusal(_FORBIDDEN)
    if not 0 <= start < stop <= size:
        raise Refusal("takes an empty part of a tensor; remove it")
    return layout.cropped(axis, start, stop, drop)


def piece(operator: str, a: dict[str, Any], layout: Layout, index: int) -> Arranged:
    """What the piece number `index` of a tensor that is taken apart is."""
    axis, size = _axis(layout, a["dim"])
    bounds = _BOUNDS[operator](a, size)
    if not 0 <= index < len(bounds):
        raise Refusal(f"takes piece {index} of {len(bounds)}; expected one of them: capture the network again")
    return _taken(layout, axis, *bounds[index], drop=operator == "unbind")


def _even(length: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + length, size)) for start in range(0, size, max(length, 1))]


def _given(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return [(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]


def _split(a: dict[str, Any], size: int) -> list[tuple[int, int]]:
    length = a["split_size"] if "split_size" in a else a["split_sizes"]
    return _given(length) if isinstance(length, (list, tuple)) else _even(int(length), size)


_BOUNDS: dict[str, Callable[[dict[str, Any], int], list[tuple[int, int]]]] = {
    "chunk": lambda a, size: _even(-(-size // int(a["chunks"])), size),
    "split": _split,
    "split_with_sizes": _split,
    "unbind": lambda a, size: _even(1, size),
}


_LAST = frozenset(("linear", "matmul", "mm", "addmm", "bmm"))
_ELEMENTWISE = frozenset((
    *(name for name in ACTIVATIONS if name != "prelu"), "add", "sub", "rsub", "mul", "div", "neg", "dropout",
    "feature_dropout", "alpha_dropout", "contiguous", "clone", "detach", "alias",
))  # fmt: skip
_NORMS = frozenset(("softmax", "_softmax", "layer_norm"))


def carried_on(
    operator: str, a: dict[str, Any], layouts: Sequence[Layout], shape: tuple[int, ...]
) -> tuple[Layout, dict[str, Any]]:
    """The layout of what a call computes whose arguments have the batch anywhere, and its arguments for our sample.

    Raises
    ------
    Refusal
        The call would compute across the batch, or needs it in front.
    """
    first, last = layouts[0], layouts[0].axes[-1:]
    fixed = [value for value in a.values() if isinstance(value, Tensor)]
    if operator in PRODUCTS and len(layouts) > 1:
        rows = [layout.axes[:-2] for layout in layouts]
        fits = all(row == rows[0] for row in rows) and any(_holds(axis) for axis in rows[0])
    elif operator in _LAST:
        fits = len(layouts) == 1 and not _holds(*last)
    elif operator in _NORMS:
        axes = a["normalized_shape"] if operator == "layer_norm" else [a["dim"]]
        places = range(-len(axes), 0) if operator == "layer_norm" else axes
        fits = not any(first.holds_batch(int(axis)) for axis in places)
        a = a if operator == "layer_norm" or not fits else {**a, "dim": first.position(int(a["dim"])) + 1}
    else:
        behind = next(i for i, axis in enumerate(reversed(first.axes)) if _holds(axis))
        fits = operator in _ELEMENTWISE and all(layout == first for layout in layouts)
        fits = fits and all(math.prod(value.shape[: max(value.ndim - behind, 0)]) == 1 for value in fixed)
    if operator == "mean":
        axes, keep = a["dim"] or (), bool(a["keepdim"])
        fits = bool(axes) and not any(first.holds_batch(int(axis)) for axis in axes)
        if fits:
            a, result = {**a, "dim": [first.position(int(axis)) + 1 for axis in axes]}, first.without(axes, keep)
    else:
        result = Layout((*first.axes[:-1], (shape[-1],)), first.batch) if fits and not _holds(*last) else first
    if not fits or shape != result.shape:
        raise Refusal(
            f"needs the batch in front, or mixes it (its result has shape {shape} for a batch of {first.batch}); keep "
            "the batch in front"
        )
    return result, a


def _holds(axis: tuple[int, ...]) -> bool:
    return 0 in axis
