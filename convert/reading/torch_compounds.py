"""spelled_out(): ATen calls that together are one activation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, fx

from convert.reading.compounds import Part, chains, grid, recognised, staircase

__all__ = ["SpelledOut", "spelled_out"]

_ELEMENTWISE = frozenset((
    "abs", "add", "sub", "rsub", "mul", "div", "erf", "exp", "expm1", "log", "log1p", "neg", "pow", "sqrt", "tanh",
    "sigmoid", "softplus", "hardsigmoid", "relu6", "hardtanh", "clamp", "reciprocal", "sign", "where", "gt", "lt", "ge",
    "le", "minimum", "maximum", "floor", "round", "relu",
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
    numbers = _numbers(calls, constants)
    inputs: dict[str, list[str]] = {}
    for name, node in calls.items():
        data = [n.name for n in node.all_input_nodes if n.name not in numbers]
        if data and name not in numbers and _is_elementwise(node):
            inputs[name] = data
    found: dict[str, SpelledOut] = {}
    for part in islice(chains(inputs), _MOST_TRIED):
        inner = set(part.names[:-1])
        shared = any(user.name not in part.names for name in inner for user in calls[name].users)
        if shared or found.keys() & set(part.names):
            continue
        if (match := _match(part, calls, numbers)) is not None:
            found |= dict.fromkeys(part.names, SpelledOut(part, *match))
    return found


def _numbers(calls: Mapping[str, fx.Node], constants: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fx name -> the single number that it always has: a constant, or arithmetic of such."""
    known = {name: value.detach().reshape(()) for name, value in constants.items() if value.numel() == 1}
    for name, node in calls.items():
        if node.all_input_nodes and all(n.name in known for n in node.all_input_nodes) and _is_elementwise(node):
            values = _called((node,), known)
            if values is not None and values[name].numel() == 1:
                known[name] = values[name].reshape(())
    return known


def _match(
    part: Part, calls: Mapping[str, fx.Node], numbers: Mapping[str, Tensor]
) -> tuple[str, dict[str, float | str]] | None:
    """The activation that the part is, and its arguments."""
    if any(_name(calls[name]) in ("floor", "round") for name in part.names):
        found = staircase(lambda points: _computed(part, calls, numbers, points))
        return None if found is None else ("staircase", {"threshold": found[0], "levels": found[1]})
    values = _computed(part, calls, numbers, grid())
    return None if values is None else recognised(values)


def _name(node: fx.Node) -> str:
    return str(node.target).partition(".")[2].partition(".")[0].removesuffix("_")


def _is_elementwise(node: fx.Node) -> bool:
    target = node.target
    name = _name(node)
    return isinstance(target, torch._ops.OpOverload) and target.namespace == "aten" and name in _ELEMENTWISE


def _computed(part: Part, calls: Mapping[str, fx.Node], numbers: Mapping[str, Tensor], points: Tensor) -> Tensor | None:
    """The part at `points`."""
    values = _called([calls[name] for name in part.names], {part.source: points.clone(), **numbers})
    result = None if values is None else values[part.names[-1]]
    return result.float() if isinstance(result, Tensor) and result.shape == points.shape else None


def _called(nodes: Iterable[fx.Node], given: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The values of `nodes`, each of which is elementwise, and those that were `given`."""
    known = dict(given)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for node in nodes:
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: known[n.name])
                known[node.name] = node.target(*args, **kwargs)  # type: ignore[operator]  # an overload, checked before
    except (RuntimeError, TypeError, ValueError, KeyError):  # such as a shape that only the model has
        return None
    return known
