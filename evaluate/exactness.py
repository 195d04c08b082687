"""measure_exact(): an exact network, its quantised network and the ANN on the same samples, to quiescence.

Every sample ends at a step of its own. The measurement ends where the last of them does; those that are at rest
before keep what they say, and fire no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convert import Conversion, Settled, quantised, simulate_exact
from convert.graph.readout import heads_of
from convert.simulation.engine import batch_within
from evaluate.analog import AnalogPass
from evaluate.energy.meters import Meter
from evaluate.runner import Measurement
from evaluate.tasks import Plan, plan

__all__ = ["Exactness", "exactness_record", "measure_exact"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Exactness:
    """How an exact network came to rest.

    Parameters
    ----------
    identical : int
        Samples whose counts and logits are, integer for integer, those of the quantised network.
    certified : int
        Samples for which no neuron could fire, as computed anew from the counts.
    steps : Tensor (samples,)
        Step of the last spike of each sample.
    answers : tuple of arrays (samples, ...)
        What the quantised network says, head by head.
    """

    identical: int
    certified: int
    steps: Tensor
    answers: tuple[Array, ...]


def measure_exact(
    conversion: Conversion,
    x: Tensor,
    record: Sequence[int],
    memory_bytes: int = 32 << 20,
    progress: Callable[[int], None] | None = None,
    asked: Plan | None = None,
    meter: Meter | None = None,
) -> tuple[Measurement, Exactness]:
    """Run the ANN, the quantised network and the exact network of `conversion` on samples `x`.

    Parameters
    ----------
    record : sequence of int
        Steps at which spikes are counted, as far as the samples need so many; the last step always is one of them.
    memory_bytes : int
        Bound on the spikes held at a time.
    progress : callable, optional
        Called with the number of samples done.
    asked : Plan, optional
        What counts as an answer; by default what the outputs alone suggest.
    meter : Meter, optional
        Runs while the spiking network is simulated, batch by batch.
    """
    asked = plan("auto", conversion.heads or heads_of(conversion.folded), None) if asked is None else asked
    totals = _Totals(conversion, asked, meter or Meter(()), tuple(sorted(set(record))))
    size = batch_within(conversion.snn, memory_bytes)
    for start in range(0, len(x), size):
        totals.add(x[start : start + size])
        if progress is not None:
            progress(len(x[start : start + size]))
    return totals.measurement(), totals.exactness()


class _Totals:
    """What the batches so far have given."""

    def __init__(self, conversion: Conversion, asked: Plan, meter: Meter, record: tuple[int, ...]) -> None:
        self.snn, self.asked, self.meter, self.record = conversion.snn, asked, meter, record
        self.analog = None if conversion.ann is None else AnalogPass(conversion.ann)
        self.ann: list[list[Array]] = []
        self.quantised: list[list[Array]] = []
        self.answers: list[list[Array]] = []
        self.steps: list[Tensor] = []
        self.emitted: dict[str, Tensor] = {}
        self.identical = self.certified = 0
        self.seconds = {"ann": 0.0, "simulate": 0.0}

    def add(self, x: Tensor) -> None:
        """All three networks on one batch."""
        begin = time.perf_counter()
        if self.analog is not None:
            self.ann.append(self.asked.answers(self.analog(x)))
        between = time.perf_counter()
        with self.meter.running():
            settled = simulate_exact(self.snn, x, trace=True, record=self.record)
        self.seconds["ann"] += between - begin
        self.seconds["simulate"] += time.perf_counter() - between
        self._compare(x, settled)
        self._trace(settled)

    def _compare(self, x: Tensor, settled: Settled) -> None:
        expected = quantised(self.snn, x)
        output = self.snn.graph.output
        same = (settled.charge == expected[output]).flatten(1).all(1)
        for name, count in settled.counts.items():
            same &= (count == expected[name]).flatten(1).all(1)
        self.identical += int(same.sum())
        self.certified += int(settled.certified.sum())
        self.quantised.append(self.asked.answers(expected[output] * self.snn.scales[output]))

    def _trace(self, settled: Settled) -> None:
        assert settled.trace is not None and settled.emitted is not None  # asked for in add()
        said = self.asked.answers(settled.trace.flatten(0, 1))
        shape = settled.trace.shape[:2]
        self.answers.append([a.reshape(*shape, *a.shape[1:]).swapaxes(0, 1) for a in said])
        self.steps.append(settled.steps)
        for name, spikes in settled.emitted.items():
            self.emitted[name] = self.emitted[name] + spikes if name in self.emitted else spikes

    def measurement(self) -> Measurement:
        """Means over the samples, up to the step in which the last of them came to rest."""
        steps = torch.cat(self.steps)
        last, samples = int(steps.max()), len(steps)
        before = [step for step in self.record if step < last]
        kept, at = (*before, last), [*range(len(before)), -1]
        answers = tuple(np.concatenate([_padded(part, last) for part in parts])
                        for parts in zip(*self.answers, strict=True))  # fmt: skip
        return Measurement(
            answers,
            tuple(np.concatenate(parts) for parts in zip(*self.ann, strict=True)) if self.ann else None,
            {name: total[at] / samples for name, total in self.emitted.items()},
            {} if self.analog is None else self.analog.nonzero(),
            kept,
            self.seconds,
        )

    def exactness(self) -> Exactness:
        """How the samples came to rest."""
        answers = tuple(np.concatenate(parts) for parts in zip(*self.quantised, strict=True))
        return Exactness(self.identical, self.certified, torch.cat(self.steps), answers)


def _padded(answers: Array, length: int) -> Array:
    """Answers (samples, steps, ...) of samples that are at rest after those steps."""
    return np.concatenate([answers, np.repeat(answers[:, -1:], length - answers.shape[1], axis=1)], axis=1)


def exactness_record(found: Exactness, asked: Plan) -> dict[str, Any]:
    """What the metrics of an exact network are made of, for the run file; see `evaluate.rest.rest_metrics`."""
    truth = asked.truths[0]
    why = "unmeasured: the data have no labels" if truth is None else "undefined: the answers are numbers"
    right: int | str = why
    if truth is not None and asked.tasks[0].kind != "regression":
        same = np.asarray(found.answers[0] == truth)
        right = int((same.all(axis=-1) if same.ndim > 1 else same).sum())
    steps, samples = found.steps.unique(return_counts=True)
    quiet = [[int(t), int(n)] for t, n in zip(steps, samples, strict=True)]
    return {"identical": found.identical, "certified": found.certified, "quantised_right": right, "quiet_after": quiet}
