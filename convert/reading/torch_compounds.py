"""spelled_out(): ATen calls that together are one activation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, fx

from convert.reading.compounds import Part, chains, grid, recognised

__all__ = ["SpelledOut", "spelled_out"]

_ELEMENTWISE = frozenset((
    "abs", "add", "sub", "rsub", "mul", "div", "erf", "exp", "expm1", "log", "log1p", "neg", "pow", "sqrt", "tanh",
    "sigmoid", "softplus", "hardsigmoid", "relu6", "hardtanh", "clamp", "reciprocal", "sign", "where", "gt", "lt", "ge",
    "le", "minimum", "maximum",
))  # fmt: skip
"""Arithmetic of single numbers: computing it on a grid is harmless, whoever chose the calls."""
_MOST_TRIED = 1000
"""Parts that are compared at most: a file cannot make reading slow."""


@dataclass(frozen=True)
class SpelledOut:
    """An activation in several calls.

    Parameters
    ----------
    part : Part
    operator : str
        The one ATen operator that does the same.
    arguments : dict
    """

    part: Part
    operator: str
    arguments: dict[str, float | str]

    @property
    def title(self) -> str:
        """What stands in the coverage."""
        return f"{self.operator} ({len(self.part.names)} operations)"


def spelled_out(graph: fx.Graph, constants: Mapping[str, Tensor]) -> dict[str, SpelledOut]:
    """Fx name -> the activation of which the call is a part."""
    calls = {node.name: node for node in graph.nodes if node.op == "call_function"}
    numbers = {name: value for name, value in constants.items() if value.numel() == 1}
    inputs: dict[str, list[str]] = {}
    for name, node in calls.items():
        data = [n.name for n in node.all_input_nodes if n.name not in numbers]
        if data and _is_elementwise(node):
            inputs[name] = data
    found: dict[str, SpelledOut] = {}
    for part in islice(chains(inputs), _MOST_TRIED):
        inner = set(part.names[:-1])
        shared = any(user.name not in part.names for name in inner for user in calls[name].users)
        if shared or found.keys() & set(part.names) or (values := _computed(part, calls, numbers)) is None:
            continue
        if (match := recognised(values)) is not None:
            found |= dict.fromkeys(part.names, SpelledOut(part, *match))
    return found


def _is_elementwise(node: fx.Node) -> bool:
    target = node.target
    name = str(target).partition(".")[2].partition(".")[0]
    return isinstance(target, torch._ops.OpOverload) and target.namespace == "aten" and name in _ELEMENTWISE


def _computed(part: Part, calls: Mapping[str, fx.Node], numbers: Mapping[str, Tensor]) -> Tensor | None:
    """The part on the grid."""
    known: dict[str, Tensor] = {part.source: grid()}
    known |= {name: value.reshape(()) for name, value in numbers.items()}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in part.names:
                node = calls[name]
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: known[n.name])
                known[name] = node.target(*args, **kwargs)  # type: ignore[operator]  # an overload, checked above
    except (RuntimeError, TypeError, ValueError, KeyError):  # such as a shape that only the model has
        return None
    result = known[part.names[-1]]
    return result.float() if isinstance(result, Tensor) and result.shape == grid().shape else None
