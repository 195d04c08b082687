"""measure(): both networks on the same samples, in batches, with memory that does not depend on their number."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convert import Conversion, Graph, Simulation, simulate
from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.readout import heads_of
from convert.graph.semantics import run
from convert.simulation.engine import batch_within
from convert.simulation.periods import period_steps, simulate_radix
from evaluate.energy.meters import Meter
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
    engine: str = "auto",
    meter: Meter | None = None,
) -> Measurement:
    """Run the ANN and the SNN of `conversion` on samples `x`.

    Parameters
    ----------
    record : sequence of int
        Steps at which spikes are counted; the last one is where the simulation ends. A radix-coded network ends with
        its last period, and is recorded there and at those steps that come before.
    seed : int
        For Poisson input.
    memory_bytes : int
        Bound on the spikes held at a time.
    progress : callable, optional
        Called with the number of samples done.
    asked : Plan, optional
        What counts as an answer; by default what the outputs alone suggest.
    engine : str
        One of `convert.simulation.engine.ENGINES`.
    meter : Meter, optional
        Runs while the spiking network is simulated, batch by batch.
    """
    asked = plan("auto", conversion.heads or heads_of(conversion.folded), None) if asked is None else asked
    kept = tuple(sorted(set(record)))
    if conversion.snn.code == "radix":
        last = period_steps(conversion.snn)
        kept = (*(step for step in kept if step < last), last)
    totals = _Totals(conversion, kept, asked, len(x), meter or Meter(()))
    size = batch_within(conversion.snn, memory_bytes, engine, device)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        totals.add(part, seed, range(start, start + len(part)), device, engine)
        if progress is not None:
            progress(len(part))
    return totals.measurement()


class _Totals:
    """Answers of every sample and sums over the samples so far, in room that is taken once.

    Small arrays kept between the large ones of two batches would pin the heap: the process would grow with the
    number of samples, by far more than the answers hold.
    """

    def __init__(
        self, conversion: Conversion, record: tuple[int, ...], asked: Plan, samples: int, meter: Meter
    ) -> None:
        self.conversion, self.record, self.asked, self.samples, self.meter = conversion, record, asked, samples, meter
        self.answers: tuple[Array, ...] = ()
        self.ann: tuple[Array, ...] = ()
        self.spikes: dict[str, Tensor] = {}
        self.nonzero: dict[str, Tensor] = {}
        self.seconds = {"ann": 0.0, "simulate": 0.0}
        self.read_by: dict[str, list[str]] = {}
        for node in conversion.ann or ():
            if isinstance(node.op, ir.WEIGHTED):
                self.read_by.setdefault(node.inputs[0], []).append(node.name)

    def add(self, x: Tensor, seed: int, samples: range, device: str, engine: str) -> None:
        """Both networks on the batch `x`, which are the `samples` of the data set."""
        begin = time.perf_counter()
        if self.conversion.ann is not None:
            self.ann = self._stored(self.ann, self.asked.answers(self._analog(self.conversion.ann, x)), samples)
        between = time.perf_counter()
        with self.meter.running():
            result = self._simulated(x, seed, samples, device, engine)
        said = self.asked.answers(result.output.flatten(0, 1))
        by_sample = [a.reshape(len(result.output), len(x), *a.shape[1:]).swapaxes(0, 1) for a in said]
        self.answers = self._stored(self.answers, by_sample, samples)
        self.seconds["ann"] += between - begin
        self.seconds["simulate"] += time.perf_counter() - between
        for name, spikes in result.spikes.items():
            _accumulate(self.spikes, name, spikes)

    def _simulated(self, x: Tensor, seed: int, samples: range, device: str, engine: str) -> Simulation:
        if self.conversion.snn.code == "radix":
            return simulate_radix(self.conversion.snn, x, self.record)
        return simulate(self.conversion.snn, x, self.record[-1], self.record, seed, samples, device, engine)

    def _stored(self, room: tuple[Array, ...], said: Sequence[Array], samples: range) -> tuple[Array, ...]:
        """`room` for all samples, made at the first batch, with what was said of `samples` in its place."""
        room = room or tuple(np.empty((self.samples, *a.shape[1:]), a.dtype) for a in said)
        for whole, part in zip(room, said, strict=True):
            whole[samples.start : samples.stop] = part
        return room

    def _analog(self, graph: Graph, x: Tensor) -> Tensor:
        def observe(node: Node, value: Tensor) -> None:
            for reader in self.read_by.get(node.name, ()):
                _accumulate(self.nonzero, reader, (value != 0).sum(0).double())

        return run(graph, x, observe=observe)

    def measurement(self) -> Measurement:
        """Means over the samples."""
        return Measurement(
            self.answers,
            self.ann if self.conversion.ann is not None else None,
            {name: total / self.samples for name, total in self.spikes.items()},
            {name: total / self.samples for name, total in self.nonzero.items()},
            self.record,
            self.seconds,
        )


def _accumulate(totals: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Add `value` to the total called `name`, in place."""
    if name in totals:
        totals[name] += value
    else:
        totals[name] = value.clone()
