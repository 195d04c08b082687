"""Calls that depend on fixed tensors only, such as the transposition of a weight: done at once, while reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from convert.reading.calls import Refusal
from convert.reading.captured import operator_of

__all__ = ["computed"]

_FIXED = frozenset((
    "t", "transpose", "permute", "view", "reshape", "flatten", "squeeze", "unsqueeze", "detach", "clone", "contiguous",
    "alias", "neg", "exp", "sqrt", "rsqrt", "pow", "add", "sub", "mul", "div", "expand", "repeat",
))  # fmt: skip
"""What may be done at once to the fixed tensors of a file: arithmetic and views, nothing that reads or draws."""


def computed(node: fx.Node, known: Mapping[str, Any], from_file: bool) -> Tensor | None:
    """The value of a call of fixed tensors; None where it depends on the data, or may not be done.

    Parameters
    ----------
    known : mapping
        fx name -> the fixed tensor, or anything else for the data path.
    from_file : bool
        Whether a file chose the call: then none is made but those that are known to be harmless.

    Raises
    ------
    Refusal
        The call is random, or changes a fixed tensor.
    """
    target = node.target
    sources = [known.get(n.name) for n in node.all_input_nodes]
    if not isinstance(target, torch._ops.OpOverload) or not all(isinstance(value, Tensor) for value in sources):
        return None
    if torch.Tag.nondeterministic_seeded in target.tags or target._schema.is_mutable:
        raise Refusal("is random, or changes a fixed tensor, at inference; compute it before saving")
    if from_file and not _is_harmless(node, target, known):
        return None
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: known[n.name])
    value: Tensor = target(*args, **kwargs)
    return value


def _is_harmless(node: fx.Node, target: torch._ops.OpOverload[..., Any], known: Mapping[str, Any]) -> bool:
    """Whether a call that a file chose is plain arithmetic, with a result of the size that the file declares."""
    if operator_of(node) not in _FIXED or not isinstance(node.meta.get("val"), Tensor):
        return False
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: known[n.name].to("meta"))
    return bool(target(*args, **kwargs).shape == node.meta["val"].shape)
