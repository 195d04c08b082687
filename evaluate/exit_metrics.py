"""What an early exit is worth: steps, answers, operations and modelled joules, against the run of all steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from convert import Conversion
from evaluate.early_exit import Exited
from evaluate.operations import count_operations
from evaluate.pricing import models_for
from evaluate.records import Metric, Run
from evaluate.runner import Measurement
from evaluate.settings import activation_bits
from evaluate.statistics import describe, paired_difference, wilson
from evaluate.tasks import Plan

__all__ = ["exit_curve", "exit_metrics", "with_exits"]

Array = npt.NDArray[Any]

_PREFIX = "latency.early_exit"


def with_exits(run: Run, found: Exited, conversion: Conversion, measured: Measurement, asked: Plan) -> Run:
    """`run` with what came of stopping early on the same samples: metrics, a curve, the rule, and the time it took."""
    record = found.rule.record()
    rows = exit_metrics(found, conversion, measured, asked, run)
    changed = next(m for m in rows if m.name == f"{_PREFIX}.changed_decisions")
    share = (changed.value or 0.0) / len(found.steps)
    broken = record["rule"] == "margin" and share > record["rate"]
    notes = (
        f"Early exit changed {100 * share:.2g} % of the decisions, more than the {100 * record.get('rate', 0):.2g} % "
        "asked for: the scored samples are harder than those that the threshold was calibrated on.",
    )
    return replace(
        run, metrics=(*run.metrics, *rows), curves=run.curves | {"early_exit": exit_curve(found, measured)},
        assumptions=run.assumptions | {"early_exit": record}, notes=(*run.notes, *(notes if broken else ())),
        environment=run.environment
        | {"seconds": run.environment["seconds"] | {k: round(v, 3) for k, v in found.seconds.items()}},
    )  # fmt: skip


def exit_metrics(found: Exited, conversion: Conversion, measured: Measurement, asked: Plan, run: Run) -> list[Metric]:
    """The rows of a run file that only a run with an early exit has.

    Parameters
    ----------
    measured, run : Measurement, Run
        The same samples for all steps, and the run made of it.
    """
    rows = [*_steps_metrics(found, measured, conversion.snn.dt_s), *_decision_metrics(found, measured, asked)]
    return [*rows, *_cost_metrics(found, conversion, measured, run)]


def _steps_metrics(found: Exited, measured: Measurement, dt_s: float) -> list[Metric]:
    steps, n = found.steps.astype(np.float64), len(found.steps)
    mean, half = float(steps.mean()), 1.96 * float(steps.std(ddof=1)) / n**0.5 if n > 1 else 0.0
    of = f"of the step at which a sample stopped, of {measured.record[-1]} at most"
    late = float(np.quantile(steps, 0.99, method="higher"))
    return [
        Metric(f"{_PREFIX}.steps", mean, "steps", "lower", n, mean - half, mean + half, f"mean {of}; normal interval"),
        Metric(f"{_PREFIX}.steps_p99", late, "steps", "lower", n, note=f"99th percentile {of}"),
        Metric(f"{_PREFIX}.ms", mean * dt_s * 1e3, "ms", "lower", n, note=f"mean; steps of {dt_s * 1e3:g} ms"),
    ]


def _decision_metrics(found: Exited, measured: Measurement, asked: Plan) -> list[Metric]:
    """What stopping early does to the answers: against the labels, and against the answers after all steps."""
    final, truth, last = measured.answers[0][:, -1], asked.truths[0], measured.record[-1]
    same = _equal(found.answers, final)
    n, kept = len(same), int(same.sum())
    bound = wilson(kept, n)
    rows = [
        Metric(f"{_PREFIX}.agreement", kept / n, "fraction", "higher", n, bound.low, bound.high,
               f"same answer as after {last} steps; Wilson interval"),
        Metric(f"{_PREFIX}.changed_decisions", float(n - kept), "samples", "lower", n,
               note=f"answers that differ from those after {last} steps"),
    ]  # fmt: skip
    if truth is None:
        why = "there are no labels; name labelled samples, e.g. --data npz:FILE with arrays x and y"
        names = (f"{_PREFIX}.accuracy", f"{_PREFIX}.accuracy.difference")
        return [*rows, *(Metric(name, None, "fraction", "higher", n, note=why) for name in names)]
    right, before = _equal(found.answers, truth), _equal(final, truth)
    score, gap = wilson(int(right.sum()), n), paired_difference(before, right)
    return [
        *rows,
        Metric(f"{_PREFIX}.accuracy", float(right.mean()), "fraction", "higher", n, score.low, score.high,
               "at the step at which each sample stopped; Wilson interval"),
        Metric(f"{_PREFIX}.accuracy.difference", gap.difference, "fraction", "higher", n, gap.interval.low,
               gap.interval.high, f"early exit minus {last} steps: {describe(gap, 'early exit')}"),
    ]  # fmt: skip


def _cost_metrics(found: Exited, conversion: Conversion, measured: Measurement, run: Run) -> list[Metric]:
    """Operations and modelled joules up to the exit, and the shares saved; the rule itself is not priced."""
    mean, n, last = float(found.steps.mean()), len(found.steps), measured.record[-1]
    counts = count_operations(conversion, found.spikes, measured.nonzero, mean)
    synops = sum(row.synops for row in counts)
    note = f"up to the exit, against {last} steps; what the rule itself computes is not counted"
    rows = [
        Metric(f"{_PREFIX}.synops", synops, "SynOps", "lower", n, note=note),
        _saved(f"{_PREFIX}.synops_saved", synops, run.metric("synops.per_inference").value, n, note),
    ]
    duration = (mean + conversion.snn.look_ahead_steps()) * conversion.snn.dt_s
    for i, model in enumerate(models_for(activation_bits(conversion, last), duration)):
        name, span = model.name.lower().replace(" ", "-"), model.price(counts).energy("snn")
        unsure = f"; unverified: {model.unverified}" if model.unverified else ""
        how = f"modelled by {model.name}, not measured; {note}{unsure}"
        if i == 0:
            rows.append(Metric(f"{_PREFIX}.energy_j", span.value, "J", "lower", n, span.low, span.high, how))
        whole = run.metric(f"energy.{name}.snn_j").value
        rows.append(_saved(f"{_PREFIX}.energy_saved.{name}", span.value, whole, n, how))
    return rows


def _saved(name: str, part: float, whole: float | None, n: int, note: str) -> Metric:
    """1 - part / whole."""
    if not whole:
        return Metric(name, None, "fraction", "higher", n, note=f"undefined: nothing to save; {note}")
    return Metric(name, 1 - part / whole, "fraction", "higher", n, note=note)


def exit_curve(found: Exited, measured: Measurement) -> list[dict[str, Any]]:
    """After each step at which a sample stopped: how many stopped there, and how many of them with another answer."""
    changed = ~_equal(found.answers, measured.answers[0][:, -1])
    rows = [(int(t), found.steps == t) for t in np.unique(found.steps)]
    n = len(found.steps)
    return [{"steps": t, "stopped": int(here.sum()), "changed": int((here & changed).sum()),
             "running": float((found.steps > t).sum() / n)} for t, here in rows]  # fmt: skip


def _equal(a: Array, b: Array) -> Array:
    """Whether each sample's answer is the other; of labels, the whole set."""
    same = np.asarray(a == b)
    return np.asarray(same.all(axis=1)) if same.ndim > 1 else same
