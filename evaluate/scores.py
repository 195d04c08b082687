"""What the answers of both networks are worth: the metrics and the curves of one head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluate.latency import milliseconds, steps_within
from evaluate.records import Metric, pack_bits
from evaluate.regression import Estimate, r2, r2_curve, r2_difference, rmse
from evaluate.statistics import describe, paired_difference, wilson
from evaluate.tasks import Task

__all__ = ["NO_ANN", "Decisions", "Numbers", "Scores", "scored"]

Array = npt.NDArray[Any]

_UNLABELLED = "there are no labels; name labelled samples, e.g. --data npz:FILE with arrays x and y"
NO_ANN = "the model is a spiking network without its original; convert the original to compare them"
_NUMBERS = "not defined for regression: numbers are not right or wrong; see ann.r2, snn.r2 and snn.relative_error"
_SAME = {
    "classes": "same class as the ANN",
    "binary": "same answer as the ANN",
    "labels": "the same set of labels as the ANN",
}
_RIGHT = {"classes": "", "binary": "", "labels": "a sample is right if all its labels are; "}


class Decisions:
    """Answers that are right or wrong: a class, yes or no, a set of labels.

    Parameters
    ----------
    answers : (n, steps) integers, or (n, steps, labels) booleans
    ann : (n,) or (n, labels), or None
        None for a spiking network without its original.
    truth : like `ann`, or None
    """

    def __init__(self, task: Task, answers: Array, ann: Array | None, truth: Array | None, dt_s: float) -> None:
        self.task, self.answers, self.ann, self.truth, self.dt_s = task, answers, ann, truth, dt_s
        self.n, self.steps = answers.shape[:2]
        self.same = None if ann is None else _equal(answers, ann[:, None])
        self.right = None if truth is None else _equal(answers, truth[:, None])
        self.ann_right = None if truth is None or ann is None else _equal(ann, truth)

    def headline(self) -> list[Metric]:
        """Every metric of a run that depends on the answers."""
        return [*self.brief(), *self._latency()]

    def each(self) -> dict[str, Any]:
        """Which samples each network gets right after the last step, and on which they agree: bits."""
        known = {
            "snn_right": None if self.right is None else self.right[:, -1],
            "ann_right": self.ann_right,
            "agree": None if self.same is None else self.same[:, -1],
        }
        return {"count": self.n} | {k: pack_bits(bits.tolist()) for k, bits in known.items() if bits is not None}

    def brief(self) -> list[Metric]:
        """The score of each network, their difference, their agreement."""
        if self.right is None:
            names = ("ann.accuracy", "snn.accuracy", "accuracy.difference")
            return [*(Metric(n, None, "fraction", "higher", note=_UNLABELLED) for n in names), self._agreement()]
        right, after = self.right[:, -1], f" after {self.steps} steps"
        snn = self._proportion("snn.accuracy", right, f"{_RIGHT[self.task.kind]}Wilson interval{after}")
        if self.ann_right is None:
            none = (Metric(n, None, "fraction", "higher", note=NO_ANN) for n in ("ann.accuracy", "accuracy.difference"))
            return [*none, snn, self._agreement(), *self._labels()]
        ann = self._proportion("ann.accuracy", self.ann_right, f"{_RIGHT[self.task.kind]}Wilson interval")
        gap = paired_difference(self.ann_right, right)
        difference = Metric("accuracy.difference", gap.difference, "fraction", "higher", self.n, gap.interval.low,
                            gap.interval.high, describe(gap))  # fmt: skip
        return [ann, snn, difference, self._agreement(), *self._labels()]

    def _agreement(self) -> Metric:
        if self.same is None:
            return Metric("agreement", None, "fraction", "higher", note=NO_ANN)
        note = f"{_SAME[self.task.kind]} after {self.steps} steps; Wilson interval"
        return self._proportion("agreement", self.same[:, -1], note)

    def _proportion(self, name: str, right: Array, note: str) -> Metric:
        count = int(right.sum())
        bound = wilson(count, self.n)
        return Metric(name, count / self.n, "fraction", "higher", self.n, bound.low, bound.high, note)

    def _labels(self) -> list[Metric]:
        """Label by label: what a set that must be right as a whole does not show."""
        if self.task.kind != "labels" or self.truth is None:
            return []
        rows = []
        for name, said in (("ann", self.ann), ("snn", self.answers[:, -1])):
            if said is None:
                continue
            hits = int((said & self.truth).sum())
            marked = int(said.sum()) + int(self.truth.sum())
            rows.append(Metric(f"{name}.label_accuracy", float((said == self.truth).mean()), "fraction", "higher",
                               self.n, note="of all single labels"))  # fmt: skip
            none = "undefined: no label was set or named" if not marked else "2 TP / (2 TP + FP + FN) over all labels"
            rows.append(Metric(f"{name}.f1", 2 * hits / marked if marked else None, "F1", "higher", self.n, note=none))
        return rows

    def _latency(self) -> list[Metric]:
        rows = []
        for points in (0.5, 0.1):
            name = f"latency.steps_within_{points}pp"
            if self.right is None or self.ann_right is None:
                reached, note = None, _UNLABELLED if self.right is None else NO_ANN
            else:
                counts = self.right.sum(0).tolist()
                reached = steps_within(counts, int(self.ann_right.sum()), self.n, points)
                within = f"stays within {points} points of the ANN"
                note = within if reached else f"not reached within {self.steps} steps"
            rows.append(Metric(name, reached, "steps", "lower", self.n, note=note))
            if points == 0.5:
                how = note if reached is None else f"steps of {self.dt_s * 1e3:g} ms"
                time_ms = milliseconds(reached, self.dt_s)
                rows.append(Metric("latency.ms_within_0.5pp", time_ms, "ms", "lower", self.n, note=how))
        return rows

    def row(self, t: int, interval: bool = False) -> dict[str, Any]:
        """Fields of the curve after step `t`, which counts from 1."""
        agreement = None if self.same is None else float(self.same[:, t - 1].mean())
        if self.right is None:
            none = {"accuracy_low": None, "accuracy_high": None} if interval else {}
            return {"accuracy": None, **none, "agreement": agreement}
        right = int(self.right[:, t - 1].sum())
        bound = wilson(right, self.n)
        ends = {"accuracy_low": bound.low, "accuracy_high": bound.high} if interval else {}
        return {"accuracy": right / self.n, **ends, "agreement": agreement}


class Numbers:
    """Answers that are numbers.

    Parameters
    ----------
    answers : (n, steps, outputs)
    ann, truth : (n, outputs), or None
    """

    def __init__(self, task: Task, answers: Array, ann: Array | None, truth: Array | None, dt_s: float) -> None:
        self.task, self.answers, self.ann, self.truth, self.dt_s = task, answers, ann, truth, dt_s
        self.n, self.steps = answers.shape[:2]
        self.to_ann = None if ann is None else r2_curve(answers, ann)
        self.to_truth = None if truth is None else r2_curve(answers, truth)

    def headline(self) -> list[Metric]:
        """Every metric of a run that depends on the answers; those of classes have no value and say why."""
        names = ("ann.accuracy", "snn.accuracy", "accuracy.difference", "agreement")
        none = [Metric(name, None, "fraction", "higher", note=_NUMBERS) for name in names]
        waits = (("steps_within_0.5pp", "steps"), ("ms_within_0.5pp", "ms"), ("steps_within_0.1pp", "steps"))
        later = [Metric(f"latency.{name}", None, unit, "lower", note=_NUMBERS) for name, unit in waits]
        return [*self.brief(), *self._latency(), *none, *later]

    def each(self) -> dict[str, Any]:
        """Numbers are not right or wrong."""
        return {}

    def brief(self) -> list[Metric]:
        """R2 and RMSE against the labels, and the distance of the SNN from the ANN."""
        last = self.answers[:, -1]
        after = f"after {self.steps} steps; delta-method interval"
        if self.ann is None:
            return self._alone(last, after)
        apart, off = self._relative(self.steps), rmse(last, self.ann)
        spread = "of the standard deviation of the ANN's outputs"
        missing = "undefined: the ANN gives the same output for every sample"
        relative = Metric("snn.relative_error", apart, "fraction", "lower", self.n, note=missing if apart is None else
                          f"RMSE between SNN and ANN in units {spread}, {self.steps} steps")  # fmt: skip
        own = [_metric("snn.rmse_to_ann", off, "output units", "lower", self.n, f"SNN against ANN {after}"), relative]
        if self.truth is None:
            names = ("ann.r2", "snn.r2", "r2.difference", "ann.rmse", "snn.rmse")
            units = ("R2", "R2", "R2", "output units", "output units")
            ways = ("higher", "higher", "higher", "lower", "lower")
            rows = zip(names, units, ways, strict=True)
            return [*(Metric(a, None, b, c, note=_UNLABELLED) for a, b, c in rows), *own]  # type: ignore[arg-type]
        constant = "undefined: the labels are the same for every sample"
        scores = (
            ("ann.r2", r2(self.ann, self.truth), "against the labels; delta-method interval"),
            ("snn.r2", r2(last, self.truth), f"against the labels {after}"),
            ("r2.difference", r2_difference(self.ann, last, self.truth), "SNN minus ANN, paired; delta method"),
        )
        fits = [_metric(name, found, "R2", "higher", self.n, how if found else constant) for name, found, how in scores]
        errors = [
            _metric(f"{name}.rmse", rmse(said, self.truth), "output units", "lower", self.n, "against the labels")
            for name, said in (("ann", self.ann), ("snn", last))
        ]
        return [*fits, *errors, *own]

    def _alone(self, last: Array, after: str) -> list[Metric]:
        """The score of a spiking network without its original."""
        if self.truth is None:
            return [Metric("snn.r2", None, "R2", "higher", note=_UNLABELLED)]
        found = r2(last, self.truth)
        note = f"against the labels {after}" if found else "undefined: the labels are the same for every sample"
        off = _metric("snn.rmse", rmse(last, self.truth), "output units", "lower", self.n, "against the labels")
        return [_metric("snn.r2", found, "R2", "higher", self.n, note), off]

    def _relative(self, t: int) -> float | None:
        return None if self.to_ann is None else math.sqrt(max(0.0, 1 - float(self.to_ann[t - 1])))

    def _is_within(self, t: int, percent: int) -> bool:
        relative = self._relative(t)
        return relative is not None and relative <= percent / 100

    def _latency(self) -> list[Metric]:
        rows: list[Metric] = []
        for percent in (5, 1) if self.ann is not None else ():
            late = [t for t in range(1, self.steps + 1) if not self._is_within(t, percent)]
            reached = None if late and late[-1] == self.steps else (late[-1] + 1 if late else 1)
            within = f"relative error to the ANN stays at {percent} % or less"
            note = within if reached else f"not reached within {self.steps} steps"
            rows.append(Metric(f"latency.steps_within_{percent}pct", reached, "steps", "lower", self.n, note=note))
            if percent == 5:
                how = note if reached is None else f"steps of {self.dt_s * 1e3:g} ms"
                time_ms = milliseconds(reached, self.dt_s)
                rows.append(Metric("latency.ms_within_5pct", time_ms, "ms", "lower", self.n, note=how))
        return rows

    def row(self, t: int, interval: bool = False) -> dict[str, Any]:
        """Fields of the curve after step `t`, which counts from 1."""
        none = {"accuracy_low": None, "accuracy_high": None} if interval else {}
        return {
            "accuracy": None, **none, "agreement": None,
            "r2": None if self.to_truth is None else float(self.to_truth[t - 1]),
            "r2_to_ann": None if self.to_ann is None else float(self.to_ann[t - 1]),
            "relative_error": self._relative(t),
        }  # fmt: skip


Scores = Decisions | Numbers


def scored(tasks: Sequence[Task], answers: Sequence[Array], ann: Sequence[Array] | None, truths: Sequence[Array | None],
           dt_s: float) -> list[Scores]:  # fmt: skip
    """The scores of every head."""
    originals: Sequence[Array | None] = [None] * len(tasks) if ann is None else ann
    return [
        (Numbers if task.kind == "regression" else Decisions)(task, said, of_ann, truth, dt_s)
        for task, said, of_ann, truth in zip(tasks, answers, originals, truths, strict=True)
    ]


def _equal(a: Array, b: Array) -> Array:
    """Whether each sample's answer is the other: for labels, the whole set."""
    same = np.asarray(a == b)
    return np.asarray(same.all(axis=-1)) if a.dtype == bool else same


def _metric(name: str, found: Estimate | None, unit: str, better: Any, n: int, note: str) -> Metric:
    if found is None:
        return Metric(name, None, unit, better, n, note=note)
    return Metric(name, found.value, unit, better, n, found.low, found.high, note)
