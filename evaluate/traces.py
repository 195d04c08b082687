"""Numbers that remember how they came about, so that what computes a figure also explains it.

A `Traced` is a float: it adds, multiplies and compares like one, to the last bit. Beside its value it keeps its name,
or the operation and the numbers that it was made of. Prices are traced where they are read from their tables, and
`evaluate.explanations` names the counts of a run file; then the code that prices a run leaves its own formula behind.
Conversions (`round`, `math.log2`, ...) give plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

__all__ = ["Traced", "named", "quotient", "titled", "total"]

Operation = Literal["", "+", "-", "*", "/", "sqrt"]


class Traced(float):
    """A float with its origin.

    Parameters
    ----------
    value : float
    label : str
        What it is called, if it is a number that others are made of.
    unit : str
        Of a labelled number.
    operation : {"", "+", "-", "*", "/", "sqrt"}
        How it was made of `parts`.

    >>> synops, price = named(3.0, "SynOps"), named(0.9e-12, "E_add", "J")
    >>> joules = synops * price
    >>> float(joules) == 3.0 * 0.9e-12, joules.operation, [part.label for part in joules.parts]
    (True, '*', ['SynOps', 'E_add'])
    """

    __slots__ = ("label", "operation", "parts", "unit")

    label: str
    unit: str
    operation: Operation
    parts: tuple[Traced, ...]

    def __new__(
        cls, value: float, label: str = "", unit: str = "", operation: Operation = "", parts: Iterable[float] = ()
    ) -> Traced:
        """The number `value`; see the class."""
        made = super().__new__(cls, value)
        made.label, made.unit, made.operation = label, unit, operation
        made.parts = tuple(part if isinstance(part, Traced) else Traced(part) for part in parts)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are plain floats."""
        return float, (float(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> float:
        """A plain float."""
        return float(self)

    def __add__(self, other: Any) -> Any:
        """The sum; nothing is said of adding nothing."""
        return _made("+", self, other)

    def __radd__(self, other: Any) -> Any:
        """The sum; nothing is said of adding nothing."""
        return _made("+", other, self)

    def __sub__(self, other: Any) -> Any:
        """The difference."""
        return _made("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        """The difference."""
        return _made("-", other, self)

    def __mul__(self, other: Any) -> Any:
        """The product."""
        return _made("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        """The product."""
        return _made("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        """The quotient."""
        return _made("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        """The quotient."""
        return _made("/", other, self)


def named(value: float, label: str, unit: str = "") -> Traced:
    """`value` as a number that formulas are made of."""
    return Traced(value, label, unit)


def titled(value: float, label: str) -> Traced:
    """`value` with its origin under a name of its own."""
    if isinstance(value, Traced) and value.parts:
        return Traced(value, label, value.unit, value.operation, value.parts)
    return Traced(value, label, operation="+", parts=(value,)) if isinstance(value, Traced) else Traced(value, label)


def total(values: Iterable[float]) -> float:
    """The correctly rounded sum, as `math.fsum`; traced where a part is.

    >>> total([0.1] * 10)
    1.0
    """
    parts = list(values)
    value = math.fsum(parts)
    return Traced(value, operation="+", parts=parts) if any(isinstance(part, Traced) for part in parts) else value


def quotient(a: float, b: float) -> Traced:
    """``a / b`` with its parts, even where both are plain."""
    return Traced(float(a) / float(b), operation="/", parts=(a, b))


_FLOAT = {"+": float.__add__, "-": float.__sub__, "*": float.__mul__, "/": float.__truediv__}


def _made(operation: Operation, a: Any, b: Any) -> Any:
    """The result of an operation, with its origin; what is no number is left to Python."""
    if not (isinstance(a, int | float) and isinstance(b, int | float)):
        return NotImplemented
    if operation in "+-" and not isinstance(b, Traced) and b == 0:
        return a
    if operation == "+" and not isinstance(a, Traced) and a == 0:
        return b
    if operation == "*" and 1 in (a if not isinstance(a, Traced) else 0, b if not isinstance(b, Traced) else 0):
        return a if isinstance(a, Traced) else b
    return Traced(_FLOAT[operation](float(a), float(b)), operation=operation, parts=(a, b))
