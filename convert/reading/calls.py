"""One call of an ATen operator as a reader hands it to the function that knows what it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convert.graph.ir import Op

__all__ = ["MOST_VALUES", "Call", "Chain", "Maker", "Refusal", "sizes"]

MOST_VALUES = 2**28
"""Values that a trial run may hold at once: 1 GiB of float32 (VGG-16 at 224 x 224 holds 2^22.6 for a sample)."""


class Refusal(Exception):  # noqa: N818  not an error of the program: an answer
    """Why an operation cannot be converted, and what to do instead."""


class Chain(tuple[Op, ...]):
    """Several operations in a row that together mean one of the model's."""


@dataclass(frozen=True)
class Call:
    """One call of an ATen operator.

    Parameters
    ----------
    operator : str
        Such as ``conv2d``, without overload and in-place underscore.
    arguments : dict
        By name, defaults filled in; tensors of the data path are replaced by `None`.
    data : tuple of str
        Names of the arguments, in order, that come from the data path.
    in_shapes : tuple
        Sample shapes of those.
    shape : tuple of int
        Sample shape of the result.
    """

    operator: str
    arguments: dict[str, Any]
    data: tuple[str, ...]
    in_shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]

    def constant(self, name: str) -> Any:
        """The argument called `name`, which must not depend on the data."""
        if name in self.data:
            raise Refusal(f"its {name} is computed from the data; only fixed weights can become synapses")
        return self.arguments[name]


Maker = Callable[[Call], Op | Chain]
"""Makes our operation of a call, or raises a `Refusal`."""


def sizes(value: Any, count: int) -> tuple[int, ...]:
    """A size as torch takes it, one number or one for each of `count` axes, as a tuple."""
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return tuple(int(n) for n in (numbers * count if len(numbers) == 1 else numbers))
