"""Softmax, layer norm, products of two data paths and attention as ATen spells them: operations of a hybrid network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from convert.graph import ir
from convert.graph.ir import Op
from convert.reading.calls import Call, Refusal

__all__ = ["ATTENTION", "HYBRID", "Step", "attention", "is_guard"]

ATTENTION = "products and softmax of running means, in floating point at each step"
"""What attention becomes."""


@dataclass(frozen=True, eq=False)
class Step:
    """One of several operations that a call is made of.

    Its inputs are arguments of the call (0, 1, ...) or earlier operations (-1, -2, ...).
    """

    op: Op
    inputs: tuple[int, ...]


def _softmax(call: Call) -> Op:
    axis = int(call.arguments["dim"]) % (len(call.shape) + 1)
    if axis == 0:
        raise Refusal("a softmax over the batch; only axes of a sample can be normalised")
    return ir.Softmax(axis - 1)


def _layer_norm(call: Call) -> Op:
    shape = tuple(call.arguments["normalized_shape"])
    if call.shape[len(call.shape) - len(shape) :] != shape:
        raise Refusal(f"normalises axes of shape {shape} of samples of shape {call.shape}; expected the last ones")
    weight, bias = call.constant("weight"), call.constant("bias")
    weight = torch.ones(shape) if weight is None else weight.detach()
    bias = torch.zeros(shape) if bias is None else bias.detach()
    return ir.LayerNorm(weight, bias, float(call.arguments["eps"]))


HYBRID = {
    "softmax": _softmax,
    "_softmax": _softmax,
    "layer_norm": _layer_norm,
}
"""Operator name -> what makes our operation of its call."""


def attention(call: Call) -> tuple[Step, ...]:
    """softmax(scale Q K^T) V of samples Q, K, V (..., tokens, width); Vaswani et al., NeurIPS 2017, section 3.2.1."""
    a = call.arguments
    if call.data[:3] != ("query", "key", "value") or a.get("attn_mask") is not None or "attn_mask" in call.data:
        raise Refusal("attention with a mask, or with fixed keys; expected queries, keys and values of the data only")
    if a.get("is_causal") or a.get("enable_gqa") or a.get("dropout_p"):
        raise Refusal("attention that is causal, has shared heads, or dropout at inference; expected plain attention")
    rank, width = len(call.in_shapes[1]), call.in_shapes[0][-1]
    scale = a.get("scale")
    turned = (*range(rank - 2), rank - 1, rank - 2)
    return (
        Step(ir.Permute(turned), (1,)),
        Step(ir.MatMul(1 / math.sqrt(width) if scale is None else float(scale)), (0, -1)),
        Step(ir.Softmax(rank - 1), (-2,)),
        Step(ir.MatMul(), (-3, 2)),
    )


def is_guard(operator: str, arguments: Sequence[object]) -> bool:
    """Whether a call asks for rows of minus infinity, which decomposed attention replaces by zeros.

    Finite data has none. `arguments` are those of the call, the tensor first.
    """
    given = arguments[1] if len(arguments) > 1 else None
    fixed = isinstance(given, (int, float))
    if operator == "eq":
        return fixed and given == -math.inf
    return fixed and given == 0 if operator == "full_like" else operator in ("logical_not", "any")
