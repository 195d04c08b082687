"""What a network needs before anything of it is computed: values held at once, and products.

A file of a few bytes can ask for a terabyte: AdaptiveAvgPool2d(20000) has no weights. So shapes are propagated on
tensors without storage first, and what they add up to is bounded by constants that do not depend on the file.
"""

from __future__ import annotations

import math
from typing import Any

import torch.utils._pytree as pytree
from torch import Tensor, fx

from convert.errors import InputShapeError
from convert.reading.calls import MOST_VALUES
from convert.reading.captured import Captured, operator_of, place_of

__all__ = ["MOST_PRODUCTS", "affordable_batch"]

MOST_PRODUCTS = 2**38
"""Multiplications of one trial run, some tens of seconds (VGG-16 at 224 x 224 makes 2^33.9 for a sample)."""

_BATCHES = (7, 3, 1)


def affordable_batch(captured: Captured, origin: str) -> int:
    """How many samples may be run at a time to try the captured calls.

    Raises
    ------
    InputShapeError
        Not even one; the layer that asks for the most is named.
    """
    held, largest = _held(captured)
    products = _products(captured)
    sizes = (captured.batch,) if captured.from_file else (captured.batch, *(n for n in _BATCHES if n < captured.batch))
    for batch in sizes:
        share = batch / captured.batch
        if held * share <= MOST_VALUES and products * share <= MOST_PRODUCTS:
            return batch
    what = "" if captured.from_file and captured.batch > 1 else " for one sample"
    share = sizes[-1] / captured.batch
    raise InputShapeError(
        f"{origin}: {_described(largest)}; together the layers hold {_amount(held * share, 'values')} at once and make "
        f"{_amount(products * share, 'products')}{what}; expected at most {MOST_VALUES:,} ({4 * MOST_VALUES / 2**30:g} "
        f"GiB) and {MOST_PRODUCTS:,}: name smaller samples with --input-shape, or convert a part of the network"
    )


def _amount(number: float, unit: str) -> str:
    return f"{number:,.0f} {unit}" if number < 1e12 else f"{number:.1e} {unit}"


def _described(node: fx.Node) -> str:
    shape = tuple(node.meta["val"].shape[1:]) if isinstance(node.meta["val"], Tensor) else ()
    return f"{place_of(node)}: {operator_of(node) or node.op} gives samples of shape {shape}"


def _values(node: fx.Node) -> int:
    leaves = pytree.tree_leaves(node.meta.get("val"))
    return sum(size for leaf in leaves if isinstance(leaf, Tensor) and isinstance(size := leaf.numel(), int))


def _held(captured: Captured) -> tuple[int, fx.Node]:
    """The most values alive at once, each until its last use, and the call that makes the most; weights not counted."""
    nodes = [node for node in captured.graph.nodes if node.op != "output" and node.name not in captured.constants]
    position = {node: i for i, node in enumerate(captured.graph.nodes)}
    ends: dict[fx.Node, list[fx.Node]] = {}
    for node in nodes:
        ends.setdefault(max(node.users, key=position.__getitem__, default=node), []).append(node)
    alive = most = 0
    for node in nodes:
        alive += _values(node)
        most = max(most, alive)
        alive -= sum(_values(done) for done in ends.get(node, ()))
    return most, max(nodes, key=_values)


def _products(captured: Captured) -> int:
    """Multiplications of all linear layers and convolutions."""
    total = 0
    for node in captured.graph.nodes:
        tensors = [n.meta.get("val") for n in node.all_input_nodes]
        if node.op == "call_function" and len(tensors) > 1 and _weighted(operator_of(node)):
            total += _values(node) * _fan_in(operator_of(node), tensors)
    return total


def _weighted(operator: str) -> bool:
    return "conv" in operator or operator in ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm")


def _fan_in(operator: str, tensors: list[Any]) -> int:
    if operator in ("addmm", "baddbmm"):
        return int(tensors[1].shape[-1]) if isinstance(tensors[1], Tensor) else 0
    if operator in ("matmul", "mm", "bmm"):
        return int(tensors[0].shape[-1]) if isinstance(tensors[0], Tensor) and tensors[0].ndim else 0
    return math.prod(tensors[1].shape[1:]) if isinstance(tensors[1], Tensor) else 0
