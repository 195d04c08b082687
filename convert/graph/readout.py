"""What stands behind the last layer: heads, and functions that are applied to a sum and not to a spike.

A graph has one output. A network with several has them flattened and concatenated, and its heads say which
values belong to which. A final softmax, log-softmax or sigmoid is not part of the graph: no neuron computes it.
It is applied to the read-out where probabilities are wanted; the class that is named does not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import GraphError
from convert.graph.ir import Graph

__all__ = ["READOUTS", "Head", "heads_of", "split"]

READOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda values: values,
    "sigmoid": torch.sigmoid,
    "softmax": lambda values: torch.softmax(values, dim=-1),
    "log_softmax": lambda values: torch.log_softmax(values, dim=-1),
}
"""Functions of the read-out, on (..., values of a head)."""


@dataclass(frozen=True)
class Head:
    """One output of the network.

    Parameters
    ----------
    name : str
        As the model's forward() returns it: a key, or a position; "" for an only output.
    shape : tuple of int
        Of one sample.
    readout : {"identity", "sigmoid", "softmax", "log_softmax"}
        What the original applies to the values of this head.
    """

    name: str
    shape: tuple[int, ...]
    readout: str = "identity"

    @property
    def width(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def original(self, values: Tensor) -> Tensor:
        """What the original network returns, for values (..., width) of the graph.

        >>> Head("", (2,), "softmax").original(torch.zeros(1, 2))
        tensor([[0.5000, 0.5000]])
        """
        return READOUTS[self.readout](values)


def heads_of(graph: Graph, heads: Sequence[Head] = ()) -> tuple[Head, ...]:
    """`heads`, or the single one of a graph that names none."""
    return tuple(heads) or (Head("", graph[graph.output].shape),)


def split(output: Tensor, heads: Sequence[Head]) -> list[Tensor]:
    """The values of each head, (batch, width), from an output (batch, *output shape).

    Raises
    ------
    GraphError
        The heads are not those of this output.
    """
    flat = output.reshape(len(output), -1)
    widths = [head.width for head in heads]
    if sum(widths) != flat.shape[1]:
        raise GraphError(
            f"read-out: {flat.shape[1]} values for heads of {widths}; expected as many values as the heads have "
            "together: pass the heads that belong to this graph"
        )
    return list(flat.split(widths, dim=1))
