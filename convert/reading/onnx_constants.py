"""What an ONNX graph computes from constants alone: shapes that flatten() asks for, weights that are transposed.

Each operation is computed by `onnx.reference`, after its size has been bounded: what is computed may in total
take a few times the file's own size, so that no chain of concatenations can fill the memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto
from onnx.reference import ReferenceEvaluator

from convert.reading.aten import Refusal

__all__ = ["Array", "Budget", "evaluate"]

Array = npt.NDArray[Any]

_KEEPING = ("Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice")
"""Operations whose result is not larger than their first input."""
_ELEMENTWISE = ("Add", "Sub", "Mul", "Div")


class Budget:
    """How many values may still be computed from constants."""

    def __init__(self, file_bytes: int) -> None:
        """Four times the file's bytes, and enough for shapes."""
        self.left = 4 * file_bytes + 65_536

    def spend(self, values: int) -> None:
        """Take `values` of what is left, or refuse."""
        self.left -= values
        if self.left < 0:
            raise Refusal("computes far more constants than the file holds; export with constant folding")


def evaluate(node: NodeProto, inputs: Sequence[Array | None], opset: int, budget: Budget) -> Array:
    """The value of `node` on constants.

    Raises
    ------
    Refusal
        It is not among the operations that shapes and weights need, or its inputs do not fit.
    """
    given = [array for array in inputs if array is not None]
    if node.op_type not in (*_KEEPING, *_ELEMENTWISE, "Concat", "Gather") or not given:
        raise Refusal("computes with constants only; export with constant folding, so that its result is stored")
    try:
        budget.spend(_bound(node, given))
        feeds = {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}
        with np.errstate(all="ignore"):
            (value,) = ReferenceEvaluator(node, opsets={"": opset}).run(None, feeds)
    except Refusal:
        raise
    except Exception as error:  # the evaluator raises whatever numpy does
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Refusal(f"its constants do not fit together ({reason[:200]}); export the model again") from error
    return np.asarray(value)


def _bound(node: NodeProto, inputs: Sequence[Array]) -> int:
    """No more values than these will come out."""
    if node.op_type in _KEEPING:
        return inputs[0].size
    if node.op_type == "Gather":
        return inputs[0].size * max(inputs[1].size, 1)
    if node.op_type == "Concat":
        return sum(array.size for array in inputs)
    return math.prod(np.broadcast_shapes(*(array.shape for array in inputs)))
