"""predict(): accuracy against T and spike counts of a spiking network without simulating it.

One pass of the ANN, and one dense pass of the network's surrogate for each leap (`evaluate.surrogate`): at 1, 2, 4, ...
steps, at the steps asked for, and where their read-outs begin. For T = 64 that is 7 passes, where a simulation takes 64
steps. Rounding, clipping, leak, filter and delays are in closed form; unevenness is drawn at random.

How wrong it is, is measured (`evaluate.prediction_errors`): the interval of an accuracy is the largest error that was
found for its recipe at the nearest number of steps. It covers the prediction of what a simulation of the same samples
would say, and not what other samples would.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tabulate import tabulate
from torch import Tensor

from convert import Conversion
from convert.network import SpikingNetwork
from evaluate.analog import AnalogPass
from evaluate.errors import EvaluateError
from evaluate.operations import count_operations
from evaluate.prediction_errors import KnownError, known_errors
from evaluate.surrogate import Surrogate, leaps_to
from evaluate.tasks import Plan

__all__ = ["Point", "Prediction", "predict", "refuse_unpredictable"]

_ROOM = 1 << 20
"""Values of the widest node that are held at a time; with the seed, it decides what is drawn at random."""


@dataclass(frozen=True)
class Point:
    """What is predicted after so many steps.

    Parameters
    ----------
    accuracy : float or None
        Fraction of the samples; None without labels.
    agreement : float or None
        Fraction of the samples with the answer of the ANN; None without an ANN.
    spikes_per_neuron, synops : float
        Mean over the samples, up to this step.
    known : KnownError or None
        Of the recipe, at the nearest number of steps; None where it was not measured.
    """

    steps: int
    accuracy: float | None
    agreement: float | None
    spikes_per_neuron: float
    synops: float
    known: KnownError | None

    def interval(self) -> tuple[float, float] | None:
        """Accuracy less and plus the largest error measured."""
        if self.accuracy is None or self.known is None:
            return None
        return max(0.0, self.accuracy - self.known.accuracy), min(1.0, self.accuracy + self.known.accuracy)


@dataclass(frozen=True)
class Prediction:
    """The curve, and what it cost.

    Parameters
    ----------
    recipe : str
    samples : int
    ann_accuracy : float or None
    points : tuple of Point
    passes : int
        Dense passes through the surrogate; the ANN's own comes on top.
    seconds : dict
        Wall clock of the ANN and of the surrogate on this machine.
    notes : tuple of str
    """

    recipe: str
    samples: int
    ann_accuracy: float | None
    points: tuple[Point, ...]
    passes: int
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Indented JSON."""
        rows = [
            {"steps": p.steps, "accuracy": p.accuracy, "interval": p.interval(), "agreement": p.agreement,
             "spikes_per_neuron": p.spikes_per_neuron, "synops": p.synops,
             "known_error": None if p.known is None else vars(p.known)}
            for p in self.points
        ]  # fmt: skip
        return json.dumps({"schema": "ann2spike.prediction/1", "recipe": self.recipe, "samples": self.samples,
                           "ann_accuracy": self.ann_accuracy, "points": rows, "surrogate_passes": self.passes,
                           "seconds": self.seconds, "notes": self.notes}, indent=1) + "\n"  # fmt: skip

    def to_text(self) -> str:
        """A table, what it cost, and how wrong it is known to be."""
        headers = ["T", "accuracy", "interval", "loss", "agreement", "spikes/neuron", "SynOps"]
        rows = [[p.steps, _percent(p.accuracy), _span(p.interval()), self._loss(p), _percent(p.agreement),
                 f"{p.spikes_per_neuron:.3f}", f"{p.synops:.3g}"] for p in self.points]  # fmt: skip
        ann = f"ANN accuracy {_percent(self.ann_accuracy)}" if self.ann_accuracy is not None else "ANN unmeasured"
        times = self.seconds["surrogate"] / self.seconds["ann"] if self.seconds["ann"] else None
        took = "" if times is None else f"; it took the time of {times:.0f} ANN passes here"
        lines = [
            f"Predicted, not simulated: recipe {self.recipe}, {self.samples} samples, {ann}",
            tabulate(rows, headers, disable_numparse=True),
            f"Cost: one ANN pass and {self.passes} dense passes of the surrogate{took}.",
            *self._errors(),
            *self.notes,
        ]
        return "\n".join(lines) + "\n"

    def _loss(self, point: Point) -> str:
        if point.accuracy is None or self.ann_accuracy is None:
            return "unmeasured"
        return f"{100 * (self.ann_accuracy - point.accuracy):+.2f} pp"

    def _errors(self) -> list[str]:
        """How far off predictions for this recipe have been."""
        known = [p.known for p in self.points if p.known is not None]
        if not known:
            return [f"Known error: unmeasured for the recipe {self.recipe}."]
        accuracy, spikes = max(known, key=lambda k: k.accuracy), max(known, key=lambda k: k.spikes)
        return [
            f"Known error for this recipe, largest against simulation: accuracy {100 * accuracy.accuracy:.1f} pp "
            f"({accuracy.accuracy_of}), spikes {100 * spikes.spikes:.0f} % ({spikes.spikes_of}). The interval is the "
            "largest one at the nearest T."
        ]


def refuse_unpredictable(network: SpikingNetwork, asked: Plan) -> None:
    """Refuse what the prediction is not made for, and was never measured on.

    Raises
    ------
    EvaluateError
    """
    if hybrid := [node.place or node.name for node in network.hybrid()]:
        raise EvaluateError(
            f"--predict: got {', '.join(hybrid)}, computed in floating point from running means; expected neurons and "
            "synapses alone, no error of a prediction is known for these: leave --predict out"
        )
    if network.code == "radix":
        raise EvaluateError(
            "--predict: got the radix code, in which a layer waits for the one before it; expected another recipe: no "
            "step before the last period has an answer, and from then on it is that of its quantised network"
        )
    if network.look_ahead:
        raise EvaluateError(
            "--predict: got --look-ahead, which tries neurons in simulation to start some of them anew; expected none: "
            "leave one of them out"
        )
    if asked.tasks[0].kind == "regression":
        raise EvaluateError(
            "--predict: got a network whose answers are numbers; expected classes or labels, whose accuracy is "
            "predicted: leave --predict out"
        )
    if other := [name for name, site in network.sites.items() if not bool((site.quantum == 1).all())]:
        raise EvaluateError(
            f"--predict: got a quantum other than 1 at {', '.join(other)}; expected a weight-normalised network: leave "
            "--predict out"
        )


def predict(
    conversion: Conversion,
    x: Tensor,
    steps: Sequence[int],
    asked: Plan,
    seed: int = 0,
    progress: Callable[[int], None] = lambda n: None,
) -> Prediction:
    """What a simulation of `conversion` on `x` would say after each of `steps`.

    Parameters
    ----------
    x : Tensor (samples, *sample shape)
    asked : Plan
        What counts as an answer, with the labels of `x`.
    progress : callable
        Called with the number of samples done.

    Raises
    ------
    EvaluateError
        See `refuse_unpredictable`.
    """
    network = conversion.snn
    refuse_unpredictable(network, asked)
    asked_steps, ends = tuple(sorted(set(steps))), leaps_to(steps, network.readout_delay)
    analog = None if conversion.ann is None else AnalogPass(conversion.ann)
    ann: list[npt.NDArray[Any]] = []
    said: dict[int, list[npt.NDArray[Any]]] = {t: [] for t in asked_steps}
    spikes: dict[int, dict[str, Tensor]] = {t: {} for t in asked_steps}
    seconds = {"ann": 0.0, "surrogate": 0.0}
    size = _batch(network)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        begin = time.perf_counter()
        if analog is not None:
            ann.append(asked.answers(analog(part))[0])
        between = time.perf_counter()
        generator = torch.Generator().manual_seed((seed * 1_000_003 + start) % 2**63)
        surrogate = Surrogate(network, part, generator)
        totals = {0: torch.zeros(())}
        for t, total in surrogate.totals(ends):
            totals[t] = total
            if t in said:
                said[t].append(asked.answers(_read(network, totals, t))[0])
                for name, fired in surrogate.spikes.items():
                    spikes[t][name] = spikes[t].get(name, torch.zeros(())) + fired.double().sum(0) / len(x)
        seconds["ann"] += between - begin
        seconds["surrogate"] += time.perf_counter() - between
        progress(len(part))
    scores = _Scores(conversion, asked, np.concatenate(ann) if ann else None, {} if analog is None else
                     analog.nonzero())  # fmt: skip
    points = tuple(scores.point(t, np.concatenate(said[t]), spikes[t]) for t in asked_steps)
    return Prediction(conversion.config.recipe, len(x), scores.right(scores.ann), points, len(ends), seconds,
                      _notes(conversion))  # fmt: skip


def _batch(network: SpikingNetwork) -> int:
    """A power of two."""
    widest = max(math.prod(node.shape) for node in network.graph)
    return 1 << max(0, (_ROOM // widest).bit_length() - 1)


def _notes(conversion: Conversion) -> tuple[str, ...]:
    if conversion.snn.code != "exact":
        return ()
    return ("Once the network is at rest the answers are those of its quantised network, exactly; spikes that correct "
            "others are not counted.",)  # fmt: skip


def _read(network: SpikingNetwork, totals: dict[int, Tensor], steps: int) -> Tensor:
    """The read-out after `steps` steps, as `convert.simulation.results.read_out` takes it."""
    scale = network.scales[network.graph.output].float()
    if network.code == "exact":
        return totals[steps] * scale
    skipped = min(network.readout_delay, steps // 2)
    return (totals[steps] - totals[skipped]) / (steps - skipped) * scale


@dataclass(frozen=True, eq=False)
class _Scores:
    """What answers are compared with."""

    conversion: Conversion
    asked: Plan
    ann: npt.NDArray[Any] | None
    nonzero: dict[str, Tensor]

    def right(self, answers: npt.NDArray[Any] | None) -> float | None:
        return _same(answers, self.asked.truths[0])

    def point(self, steps: int, answers: npt.NDArray[Any], spikes: dict[str, Tensor]) -> Point:
        network = self.conversion.snn
        fired = sum(float(spikes[name].sum()) for name in network.sites) / network.neuron_count()
        synops = sum(row.synops for row in count_operations(self.conversion, spikes, self.nonzero, steps))
        known = known_errors().get(self.conversion.config.recipe)
        return Point(steps, self.right(answers), _same(answers, self.ann), fired, synops,
                     None if known is None else known.at(steps))  # fmt: skip


def _same(answers: npt.NDArray[Any] | None, reference: npt.NDArray[Any] | None) -> float | None:
    """Fraction of samples whose answers are all those of the reference."""
    if answers is None or reference is None:
        return None
    return float((answers.reshape(len(answers), -1) == reference.reshape(len(reference), -1)).all(1).mean())


def _percent(value: float | None) -> str:
    return "unmeasured" if value is None else f"{100 * value:.2f} %"


def _span(interval: tuple[float, float] | None) -> str:
    return "unmeasured" if interval is None else f"{100 * interval[0]:.1f} .. {100 * interval[1]:.1f} %"
