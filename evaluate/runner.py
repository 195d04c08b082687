"""measure(): both networks on the same samples, in batches, with memory that does not depend on their number."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convert import Conversion, Graph, simulate
from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import run
from convert.simulation.engine import batch_within

__all__ = ["Measurement", "measure"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measurement:
    """What both networks did on the same samples.

    Parameters
    ----------
    predictions : (samples, steps) integers
        Class that the spiking network names after each step.
    ann_predictions : (samples,) integers or None
        None where there is no ANN to run: a spiking network read from its file.
    spikes : dict
        Node -> (len(record), *shape): mean spikes per sample of each element up to each recorded step.
    nonzero : dict
        Weighted node of the ANN -> fraction of samples in which each element of its input is not zero.
    record : tuple of int
        The recorded steps.
    seconds : dict
        Wall clock of both simulations on this machine: not the latency of any chip.
    """

    predictions: Integers
    ann_predictions: Integers | None
    spikes: dict[str, Tensor]
    nonzero: dict[str, Tensor]
    record: tuple[int, ...]
    seconds: dict[str, float]


def measure(
    conversion: Conversion,
    x: Tensor,
    record: Sequence[int],
    seed: int = 0,
    memory_bytes: int = 32 << 20,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Measurement:
    """Run the ANN and the SNN of `conversion` on samples `x`.

    Parameters
    ----------
    record : sequence of int
        Steps at which spikes are counted; the last one is where the simulation ends.
    seed : int
        For Poisson input.
    memory_bytes : int
        Bound on the spikes held at a time.
    progress : callable, optional
        Called with the number of samples done.
    """
    kept = tuple(sorted(set(record)))
    totals = _Totals(conversion, kept)
    size = batch_within(conversion.snn, memory_bytes)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        totals.add(part, seed, range(start, start + len(part)), device)
        if progress is not None:
            progress(len(part))
    return totals.measurement()


class _Totals:
    """Sums over the samples so far."""

    def __init__(self, conversion: Conversion, record: tuple[int, ...]) -> None:
        self.conversion, self.record, self.samples = conversion, record, 0
        self.predictions: list[Tensor] = []
        self.ann: list[Tensor] = []
        self.spikes: dict[str, Tensor] = {}
        self.nonzero: dict[str, Tensor] = {}
        self.seconds = {"ann": 0.0, "simulate": 0.0}
        self.read_by: dict[str, list[str]] = {}
        for node in conversion.ann or ():
            if isinstance(node.op, ir.WEIGHTED):
                self.read_by.setdefault(node.inputs[0], []).append(node.name)

    def add(self, x: Tensor, seed: int, samples: range, device: str) -> None:
        """Both networks on one batch."""
        begin = time.perf_counter()
        if self.conversion.ann is not None:
            self.ann.append(_classes(self._analog(self.conversion.ann, x)))
        between = time.perf_counter()
        result = simulate(self.conversion.snn, x, self.record[-1], self.record, seed, samples, device)
        self.predictions.append(_classes(result.output.flatten(0, 1)).reshape(len(result.output), len(x)).T)
        self.seconds["ann"] += between - begin
        self.seconds["simulate"] += time.perf_counter() - between
        for name, spikes in result.spikes.items():
            self.spikes[name] = self.spikes[name] + spikes if name in self.spikes else spikes
        self.samples += len(x)

    def _analog(self, graph: Graph, x: Tensor) -> Tensor:
        def observe(node: Node, value: Tensor) -> None:
            for reader in self.read_by.get(node.name, ()):
                active = (value != 0).sum(0).double()
                self.nonzero[reader] = self.nonzero[reader] + active if reader in self.nonzero else active

        return run(graph, x, observe=observe)

    def measurement(self) -> Measurement:
        """Means over the samples."""
        return Measurement(
            torch.cat(self.predictions).numpy().astype(np.int64),
            torch.cat(self.ann).numpy().astype(np.int64) if self.ann else None,
            {name: total / self.samples for name, total in self.spikes.items()},
            {name: total / self.samples for name, total in self.nonzero.items()},
            self.record,
            self.seconds,
        )


def _classes(output: Tensor) -> Tensor:
    """The class with the largest output; of a single output, whether it is positive."""
    flat = output.flatten(1)
    return flat.argmax(1) if flat.shape[1] > 1 else (flat[:, 0] > 0).long()
