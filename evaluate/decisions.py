"""Metrics of answers that are right or wrong, from counts of samples alone: proportions, their difference, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluate.latency import milliseconds, steps_within
from evaluate.pricing import NO_ANN
from evaluate.records import Metric
from evaluate.statistics import bootstrap_interval, describe, paired_difference, wilson
from evaluate.traces import Traced, named, quotient

__all__ = ["UNLABELLED", "decision_metrics", "label_metrics", "latency_metrics", "model_time", "proportion", "share"]

Right = npt.NDArray[np.bool_]

UNLABELLED = "there are no labels; name labelled samples, e.g. --data npz:FILE with arrays x and y"

_SAME = {
    "classes": "same class as the ANN",
    "binary": "same answer as the ANN",
    "labels": "the same set of labels as the ANN",
}
_RIGHT = {"classes": "", "binary": "", "labels": "a sample is right if all its labels are; "}


def decision_metrics(
    kind: str, steps: int, right: Right | None, ann_right: Right | None, same: Right | None
) -> list[Metric]:
    """The accuracy of each network, their difference, and their agreement, after the last step.

    Parameters
    ----------
    kind : {"classes", "binary", "labels"}
    right, ann_right, same : bool array (samples,), or None
        Which samples the SNN and the ANN get right, and on which they agree; None where that is not known.
    """
    if right is None:
        names = ("ann.accuracy", "snn.accuracy", "accuracy.difference")
        none = [Metric(name, None, "fraction", "higher", note=UNLABELLED) for name in names]
        return [*none, _agreement(kind, steps, same)]
    snn = proportion("snn.accuracy", int(right.sum()), len(right), f"{_RIGHT[kind]}Wilson interval after {steps} steps",
                     "samples that the SNN gets right")  # fmt: skip
    if ann_right is None:
        none = [Metric(n, None, "fraction", "higher", note=NO_ANN) for n in ("ann.accuracy", "accuracy.difference")]
        return [*none, snn, _agreement(kind, steps, same)]
    ann = proportion("ann.accuracy", int(ann_right.sum()), len(ann_right), f"{_RIGHT[kind]}Wilson interval",
                     "samples that the ANN gets right")  # fmt: skip
    return [ann, snn, *_difference(ann_right, right), _agreement(kind, steps, same)]


def _difference(ann_right: Right, right: Right) -> list[Metric]:
    """Newcombe's interval, that of the paired bootstrap, and McNemar's test."""
    gap, n = paired_difference(ann_right, right), len(right)
    won = named(gap.only_b, "samples that only the SNN gets right")
    lost = named(gap.only_a, "samples that only the ANN gets right")
    value = (won - lost) / named(n, "samples")
    boot = bootstrap_interval(gap.only_a, gap.only_b, n)
    point = "; a single point, since no sample is discordant: read Newcombe's interval" if not won + lost else ""
    return [
        Metric("accuracy.difference", value, "fraction", "higher", n, gap.interval.low, gap.interval.high,
               describe(gap)),
        Metric("accuracy.difference_bootstrap", value, "fraction", "higher", n, boot.low, boot.high,
               f"the same difference with the percentile interval of the paired bootstrap{point}"),
        Metric("accuracy.mcnemar_p", gap.p_value, "p", "neither", n,
               note=f"exact McNemar test of no difference: {gap.only_a} samples lost, {gap.only_b} won"),
    ]  # fmt: skip


def _agreement(kind: str, steps: int, same: Right | None) -> Metric:
    if same is None:
        return Metric("agreement", None, "fraction", "higher", note=NO_ANN)
    note = f"{_SAME[kind]} after {steps} steps; Wilson interval"
    return proportion("agreement", int(same.sum()), len(same), note, "samples on which both networks agree")


def proportion(name: str, count: int, n: int, note: str, what: str = "samples counted") -> Metric:
    """A share of the samples with its Wilson interval."""
    bound = wilson(count, n)
    return Metric(name, share(count, n, what), "fraction", "higher", n, bound.low, bound.high, note)


def share(count: int, n: int, what: str) -> Traced:
    """``count / n``, traced."""
    return quotient(named(count, what), named(n, "samples"))


def label_metrics(found: Mapping[str, Mapping[str, int]], n: int) -> list[Metric]:
    """Label by label: what a set that must be right as a whole does not show.

    Parameters
    ----------
    found : mapping
        Network -> ``same``: single labels that are right, ``of`` so many; ``hits``: labels that are set and named;
        ``marked``: labels that are set plus labels that are named.
    """
    rows = []
    for network, facts in found.items():
        same, of, hits, marked = (named(facts[key], f"labels: {key}") for key in ("same", "of", "hits", "marked"))
        rows.append(
            Metric(f"{network}.label_accuracy", same / of, "fraction", "higher", n, note="of all single labels")
        )
        none = "undefined: no label was set or named" if not marked else "2 TP / (2 TP + FP + FN) over all labels"
        rows.append(Metric(f"{network}.f1", 2 * hits / marked if marked else None, "F1", "higher", n, note=none))
    return rows


def latency_metrics(counts: Sequence[int] | None, ann_count: int | None, n: int, dt_s: float) -> list[Metric]:
    """Steps and milliseconds until the SNN stays near the ANN.

    Parameters
    ----------
    counts : sequence of int, or None
        Samples that the SNN gets right after each step.
    ann_count : int or None
        Samples that the ANN gets right.
    """
    rows: list[Metric] = []
    for points in (0.5, 0.1):
        if counts is None or ann_count is None:
            reached, note = None, UNLABELLED if counts is None else NO_ANN
        else:
            reached = steps_within(counts, ann_count, n, points)
            within = f"stays within {points} points of the ANN"
            note = within if reached else f"not reached within {len(counts)} steps"
        steps: Any = reached if reached is None else named(reached, f"first step from which it {note}", "steps")
        rows.append(Metric(f"latency.steps_within_{points}pp", steps, "steps", "lower", n, note=note))
        if points == 0.5:
            how = note if reached is None else f"steps of {dt_s * 1e3:g} ms"
            rows.append(Metric("latency.ms_within_0.5pp", model_time(steps, dt_s), "ms", "lower", n, note=how))
    return rows


def model_time(steps: float | None, dt_s: float) -> float | None:
    """Milliseconds of model time, traced; see `evaluate.latency.milliseconds`."""
    time_ms = milliseconds(None if steps is None else int(steps), dt_s)
    if steps is None or time_ms is None:
        return None
    return Traced(time_ms, operation="*", parts=(steps, named(dt_s * 1e3, "dt", "ms")))
