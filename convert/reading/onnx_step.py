"""One ONNX node with what is known about its inputs: what a translator receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convert.reading.aten import Call, Refusal
from convert.reading.onnx_constants import Array

__all__ = ["LARGEST_SIZE", "Data", "Step", "axis_of", "call_on"]

LARGEST_SIZE = 1 << 20
"""No stride, kernel or padding is larger."""


@dataclass(frozen=True)
class Data:
    """A value on the data path: the node that makes it, and the shape of one sample."""

    node: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One ONNX node with what is known about its inputs.

    Parameters
    ----------
    op : str
    attributes : dict
    inputs : tuple
        `Data`, a constant, or None where it is left out.
    batch : int
        The size of axis 0 while reading.
    opset : int
    from_shapes : frozenset of int
        Positions of constants that were computed from a shape of the data, and so may depend on the batch.
    """

    op: str
    attributes: dict[str, Any]
    inputs: tuple[Data | Array | None, ...]
    batch: int
    opset: int
    from_shapes: frozenset[int] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        """Sample shape of the first input on the data path."""
        return next(value.shape for value in self.inputs if isinstance(value, Data))

    def constant(self, i: int, name: str) -> Array | None:
        """Input number `i`, which must not depend on the data."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if isinstance(value, Data):
            raise Refusal(f"its {name} is computed from the data; only fixed values can be converted")
        return value

    def weight(self, i: int, name: str) -> Tensor:
        """Input number `i` as a float32 tensor."""
        value = self.constant(i, name)
        if value is None:
            raise Refusal(f"lacks its {name}; export the model again")
        if i in self.from_shapes:
            raise Refusal(f"its {name} is computed from the shape of the input; store it as a number")
        return torch.tensor(np.asarray(value, dtype=np.float32))

    def integers(self, name: str, i: int | None = None) -> tuple[int, ...] | None:
        """A list of integers, from the attribute `name` or, since some operator set, from input `i`."""
        value = self.attributes.get(name)
        if value is None and i is not None:
            value = self.constant(i, name)
        return None if value is None else tuple(int(n) for n in np.asarray(value).reshape(-1))

    def first(self) -> Data:
        """Input 0, which must be the data."""
        value = self.inputs[0]
        if not isinstance(value, Data):
            raise Refusal("its first input is a constant; expected the data there")
        return value


def call_on(step: Step, operator: str, shape: tuple[int, ...] | None = None, **arguments: Any) -> Call:
    """A call on the one input that is data."""
    return Call(operator, {"self": None, **arguments}, ("self",), (step.shape,), step.shape if shape is None else shape)


def axis_of(axis: int, rank: int) -> int:
    """`axis` counted from the front."""
    if not -rank <= axis < rank:
        raise Refusal(f"names axis {axis} of {rank}; export the model again")
    return axis % rank
