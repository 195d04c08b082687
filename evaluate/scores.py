"""What the answers of both networks are worth: the metrics and the curves of one head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluate.decisions import UNLABELLED, decision_metrics, label_metrics, latency_metrics
from evaluate.fits import fit_latency_metrics, fit_metric, relative_error, undefined_metrics
from evaluate.records import Metric, pack_bits
from evaluate.regression import Moments, r2, r2_curve, r2_difference, rmse
from evaluate.statistics import wilson
from evaluate.tasks import Task

__all__ = ["Decisions", "Numbers", "Scores", "scored"]

Array = npt.NDArray[Any]


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
        bits = {k: pack_bits(each.tolist()) for k, each in known.items() if each is not None}
        labels = self._labels()
        return {"count": self.n, **bits} | ({"labels": labels} if labels else {})

    def brief(self) -> list[Metric]:
        """The score of each network, their difference, their agreement."""
        right, same = (None if bits is None else bits[:, -1] for bits in (self.right, self.same))
        rows = decision_metrics(self.task.kind, self.steps, right, self.ann_right, same)
        return [*rows, *label_metrics(self._labels(), self.n)]

    def _labels(self) -> dict[str, dict[str, int]]:
        """Counts of single labels, where an answer is a set of them."""
        if self.task.kind != "labels" or self.truth is None:
            return {}
        said = {"ann": self.ann, "snn": self.answers[:, -1]}
        return {
            name: {
                "same": int((labels == self.truth).sum()), "of": int(self.truth.size),
                "hits": int((labels & self.truth).sum()), "marked": int(labels.sum()) + int(self.truth.sum()),
            }
            for name, labels in said.items()
            if labels is not None
        }  # fmt: skip

    def _latency(self) -> list[Metric]:
        counts = None if self.right is None else [int(count) for count in self.right.sum(0)]
        ann_count = None if self.ann_right is None else int(self.ann_right.sum())
        return latency_metrics(counts, ann_count, self.n, self.dt_s)

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
        return [*self.brief(), *self._latency(), *undefined_metrics()]

    def each(self) -> dict[str, Any]:
        """Numbers are not right or wrong: the moments that the scores are made of."""
        return {"count": self.n, "fits": {name: asdict(moments) for name, moments in self.fits.items()}}

    def brief(self) -> list[Metric]:
        """R2 and RMSE against the labels, and the distance of the SNN from the ANN."""
        if self.ann is None:
            return [self._fit(name) for name in (["snn.r2"] if self.truth is None else ["snn.r2", "snn.rmse"])]
        relative = relative_error(self.fits.get("snn.r2_to_ann"), self.n, self.steps)
        names = ("ann.r2", "snn.r2", "r2.difference", "ann.rmse", "snn.rmse", "snn.rmse_to_ann")
        return [*(self._fit(name) for name in names), relative]

    def _fit(self, name: str) -> Metric:
        """A score from its moments, or why there is none."""
        if self.truth is None and name != "snn.rmse_to_ann":
            return fit_metric(name, UNLABELLED, self.n, self.steps)
        return fit_metric(name, self.fits.get(name), self.n, self.steps)

    @cached_property
    def fits(self) -> dict[str, Moments]:
        """What the scores are made of, of those that are defined."""
        last, found = self.answers[:, -1], dict[str, Moments | None]()
        if self.truth is not None:
            found |= {"snn.r2": r2(last, self.truth), "snn.rmse": rmse(last, self.truth)}
        if self.ann is not None:
            found |= {"snn.rmse_to_ann": rmse(last, self.ann), "snn.r2_to_ann": r2(last, self.ann)}
        if self.truth is not None and self.ann is not None:
            gap = r2_difference(self.ann, last, self.truth)
            found |= {"ann.r2": r2(self.ann, self.truth), "r2.difference": gap, "ann.rmse": rmse(self.ann, self.truth)}
        return {name: moments for name, moments in found.items() if moments is not None}

    def _relative(self, t: int) -> float | None:
        return None if self.to_ann is None else math.sqrt(max(0.0, 1 - float(self.to_ann[t - 1])))

    def _latency(self) -> list[Metric]:
        apart = None if self.ann is None else [self._relative(t) for t in range(1, self.steps + 1)]
        return fit_latency_metrics(apart, self.n, self.dt_s)

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
