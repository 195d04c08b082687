"""Metrics of answers that are numbers, from the moments of their errors: R2, RMSE, distance from the ANN, latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evaluate.decisions import model_time
from evaluate.records import Metric
from evaluate.regression import Moments
from evaluate.traces import Traced, named

__all__ = ["fit_latency_metrics", "fit_metric", "relative_error", "undefined_metrics"]

_UNDEFINED = "not defined for regression: numbers are not right or wrong; see ann.r2, snn.r2 and snn.relative_error"
_CONSTANT = "undefined: the labels are the same for every sample"
_HOW = {
    "ann.r2": "against the labels; delta-method interval",
    "snn.r2": "against the labels after {steps} steps; delta-method interval",
    "r2.difference": "SNN minus ANN, paired; delta method",
    "ann.rmse": "against the labels",
    "snn.rmse": "against the labels",
    "snn.rmse_to_ann": "SNN against ANN after {steps} steps; delta-method interval",
}


def fit_metric(name: str, found: Moments | str | None, n: int, steps: int) -> Metric:
    """A score from its moments.

    Parameters
    ----------
    found : Moments, or str, or None
        Text says why there are none; None that the labels do not vary.
    """
    unit, better = ("R2", "higher") if "r2" in name else ("output units", "lower")
    kind: Any = better
    if isinstance(found, str):
        return Metric(name, None, unit, kind, note=found)
    if found is None:
        return Metric(name, None, unit, kind, n, note=_CONSTANT)
    score = found.estimate()
    return Metric(name, score.value, unit, kind, n, score.low, score.high, _HOW[name].format(steps=steps))


def relative_error(to_ann: Moments | None, n: int, steps: int) -> Metric:
    """RMSE between SNN and ANN in units of the spread of the ANN's outputs: sqrt(1 - R2 against the ANN)."""
    if to_ann is None:
        note = "undefined: the ANN gives the same output for every sample"
        return Metric("snn.relative_error", None, "fraction", "lower", n, note=note)
    lost = 1 - to_ann.estimate().value
    value = Traced(math.sqrt(max(0.0, lost)), operation="sqrt", parts=(lost,))
    spread = "of the standard deviation of the ANN's outputs"
    note = f"RMSE between SNN and ANN in units {spread}, {steps} steps"
    return Metric("snn.relative_error", value, "fraction", "lower", n, note=note)


def fit_latency_metrics(apart: Sequence[float | None] | None, n: int, dt_s: float) -> list[Metric]:
    """Steps and milliseconds until the relative error stays low.

    Parameters
    ----------
    apart : sequence, or None
        Relative error after each step; None without an ANN.
    """
    rows: list[Metric] = []
    for percent in (5, 1) if apart is not None else ():
        late = [t for t, error in enumerate(apart or (), 1) if error is None or error > percent / 100]
        steps = len(apart or ())
        first = None if late and late[-1] == steps else (late[-1] + 1 if late else 1)
        note = (
            f"relative error to the ANN stays at {percent} % or less" if first else f"not reached within {steps} steps"
        )
        reached = None if first is None else named(first, f"first step from which the {note}", "steps")
        rows.append(Metric(f"latency.steps_within_{percent}pct", reached, "steps", "lower", n, note=note))
        if percent == 5:
            how = note if reached is None else f"steps of {dt_s * 1e3:g} ms"
            rows.append(Metric("latency.ms_within_5pct", model_time(reached, dt_s), "ms", "lower", n, note=how))
    return rows


def undefined_metrics() -> list[Metric]:
    """Those of classes, which numbers do not have."""
    names = ("ann.accuracy", "snn.accuracy", "accuracy.difference", "agreement")
    none = [Metric(name, None, "fraction", "higher", note=_UNDEFINED) for name in names]
    waits = (("steps_within_0.5pp", "steps"), ("ms_within_0.5pp", "ms"), ("steps_within_0.1pp", "steps"))
    return [*none, *(Metric(f"latency.{name}", None, unit, "lower", note=_UNDEFINED) for name, unit in waits)]
