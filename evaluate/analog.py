"""The analog network on a batch, with what the energy of a sparsity-aware machine depends on."""

from __future__ import annotations

from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import run

__all__ = ["AnalogPass"]


class AnalogPass:
    """Runs a graph, batch after batch.

    Parameters
    ----------
    graph : Graph

    Attributes
    ----------
    active : dict
        Weighted node -> in how many samples so far each element of its input was not zero.
    samples : int
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.samples = graph, 0
        self.active: dict[str, Tensor] = {}
        self._read_by: dict[str, list[str]] = {}
        for node in graph:
            if isinstance(node.op, ir.WEIGHTED):
                self._read_by.setdefault(node.inputs[0], []).append(node.name)

    def __call__(self, x: Tensor) -> Tensor:
        """The output on a batch `x`."""
        self.samples += len(x)
        return run(self.graph, x, observe=self._observe)

    def _observe(self, node: Node, value: Tensor) -> None:
        for reader in self._read_by.get(node.name, ()):
            active = (value != 0).sum(0).double()
            self.active[reader] = self.active[reader] + active if reader in self.active else active

    def nonzero(self) -> dict[str, Tensor]:
        """Weighted node -> fraction of the samples in which each element of its input was not zero."""
        return {name: total / self.samples for name, total in self.active.items()}
