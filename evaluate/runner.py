"""measure(): both networks on the same samples, in batches, with memory that does not depend on their number."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convert import Conversion, Graph, simulate
from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.readout import heads_of
from convert.graph.semantics import run
from convert.simulation.engine import batch_within
from evaluate.tasks import Plan, plan

__all__ = ["Measurement", "measure"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Measurement:
    """What both networks did on the same samples.

    Parameters
    ----------
    answers : tuple of arrays (samples, steps, ...)
        What the spiking network says after each step, head by head; see `evaluate.tasks.Task.answers`.
    ann_answers : tuple of arrays (samples, ...), or None
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

    answers: tuple[Array, ...]
    ann_answers: tuple[Array, ...] | None
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
    asked: Plan | None = None,
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
    asked : Plan, optional
        What counts as an answer; by default what the outputs alone suggest.
    """
    asked = plan("auto", conversion.heads or heads_of(conversion.folded), None) if asked is None else asked
    kept = tuple(sorted(set(record)))
    totals = _Totals(conversion, kept, asked)
    size = batch_within(conversion.snn, memory_bytes)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        totals.add(part, seed, range(start, start + len(part)), device)
        if progress is not None:
            progress(len(part))
    return totals.measurement()


class _Totals:
    """Sums over the samples so far."""

    def __init__(self, conversion: Conversion, record: tuple[int, ...], asked: Plan) -> None:
        self.conversion, self.record, self.asked, self.samples = conversion, record, asked, 0
        self.answers: list[list[Array]] = []
        self.ann: list[list[Array]] = []
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
            self.ann.append(self.asked.answers(self._analog(self.conversion.ann, x)))
        between = time.perf_counter()
        result = simulate(self.conversion.snn, x, self.record[-1], self.record, seed, samples, device)
        said = self.asked.answers(result.output.flatten(0, 1))
        self.answers.append([a.reshape(len(result.output), len(x), *a.shape[1:]).swapaxes(0, 1) for a in said])
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
            tuple(np.concatenate(parts) for parts in zip(*self.answers, strict=True)),
            tuple(np.concatenate(parts) for parts in zip(*self.ann, strict=True)) if self.ann else None,
            {name: total / self.samples for name, total in self.spikes.items()},
            {name: total / self.samples for name, total in self.nonzero.items()},
            self.record,
            self.seconds,
        )
