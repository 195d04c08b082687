"""A trace as text: the formula that was computed, with its inputs."""

from __future__ import annotations

from collections.abc import Iterator

from evaluate.traces import Traced

__all__ = ["formula", "inputs"]

_SIGNS = {"+": " + ", "-": " - ", "*": " x ", "/": " / "}
_KINDS = {"+": "sum of", "-": "difference of", "*": "product of", "/": "quotient of", "sqrt": "square root of"}

_SHORT, _SHOWN = 4, 12
"""Inputs of a formula that fits on a line, and parts of a sum that are shown one by one."""


def formula(value: float) -> list[str]:
    """How `value` was computed: one line where it has few inputs, else an outline with the value of every part.

    What was told before is not told again.
    """
    if not isinstance(value, Traced) or not value.operation:
        return []
    return [f"= {line}" if i == 0 else line for i, line in enumerate(_outline(value, set()))]


def inputs(value: float) -> Iterator[Traced]:
    """The named numbers that `value` was made of, each as often as it enters."""
    if not isinstance(value, Traced):
        return
    if not value.parts and value.label:
        yield value
    for part in value.parts:
        yield from inputs(part)


def _outline(node: Traced, told: set[tuple[str, float]]) -> list[str]:
    """The formula of `node` without its own name."""
    if _size(node) <= _SHORT:
        return [_line(node)]
    told.add((node.label, float(node)))
    parts = list(_flat(node, node.operation))
    if len(parts) == 1:
        return _outline(parts[0], told)
    lines = [_KINDS[node.operation]]
    for part in parts[:_SHOWN]:
        lines += [f"  {line}" for line in _part(part, told)]
    if len(parts) > _SHOWN:
        rest = sum(map(float, parts[_SHOWN:]))
        lines.append(f"  {rest:.6g}  in {len(parts) - _SHOWN} more parts of the same kind")
    return lines


def _part(node: Traced, told: set[tuple[str, float]]) -> list[str]:
    """Value and name of a part, and its formula below."""
    if not node.parts:
        return [_leaf(node)]
    head = f"{float(node):.6g}  {node.label}".rstrip()
    if node.label and (node.label, float(node)) in told:
        return [f"{head}, as above"]
    first, *more = _outline(node, told)
    return [f"{head} = {first}", *more]


def _line(node: Traced, inside: str = "") -> str:
    """A formula on one line, in brackets where it stands in one that binds more closely."""
    if not node.parts:
        return _leaf(node)
    if node.operation == "sqrt":
        return f"sqrt({_line(node.parts[0])})"
    if len(node.parts) == 1:
        return _line(node.parts[0], inside)
    text = _SIGNS[node.operation].join(_line(part, node.operation) for part in node.parts)
    return f"({text})" if inside in "-*/" and inside and node.operation in "+-/" else text


def _leaf(node: Traced) -> str:
    """A number with its name."""
    shown = f"{float(node):.6g} {node.unit}".rstrip()
    return f"{node.label} [{shown}]" if node.label else shown


def _flat(node: Traced, operation: str) -> Iterator[Traced]:
    """The parts of `node`, those of unnamed sums in a sum and of unnamed products in a product among them; no zeros."""
    for part in node.parts:
        if operation in "+*" and part.operation == operation and not part.label:
            yield from _flat(part, operation)
        elif operation != "+" or float(part):
            yield part


def _size(node: Traced) -> int:
    """Inputs of a formula."""
    return 1 if not node.parts else sum(_size(part) for part in node.parts)
