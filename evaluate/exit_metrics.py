"""What an early exit is worth: steps, answers, operations and modelled joules, against the run of all steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from convert import Conversion
from evaluate.decisions import share
from evaluate.early_exit import Exited
from evaluate.errors import RunFileError
from evaluate.layers import counts_of, layer_record
from evaluate.operations import count_operations
from evaluate.pricing import models_for
from evaluate.records import Metric, Run, pack_bits, unpack_bits
from evaluate.runner import Measurement
from evaluate.statistics import describe, paired_difference, wilson
from evaluate.tasks import Plan
from evaluate.traces import named, titled, total

__all__ = ["exit_curve", "exit_metrics", "with_exits"]

Array = npt.NDArray[Any]

_PREFIX = "latency.early_exit"


def with_exits(run: Run, found: Exited, conversion: Conversion, measured: Measurement, asked: Plan) -> Run:
    """`run` with what came of stopping early on the same samples: metrics, a curve, the rule, and the time it took."""
    record = found.rule.record()
    made = replace(
        run, curves=run.curves | {"early_exit": exit_curve(found, measured)},
        samples=run.samples | {"early_exit": _record(found, conversion, measured, asked)},
        assumptions=run.assumptions | {"early_exit": record},
        environment=run.environment
        | {"seconds": run.environment["seconds"] | {k: round(v, 3) for k, v in found.seconds.items()}},
    )  # fmt: skip
    rows = exit_metrics(made, {m.name: m for m in run.metrics})
    changed = next(m for m in rows if m.name == f"{_PREFIX}.changed_decisions")
    share = (changed.value or 0.0) / len(found.steps)
    broken = record["rule"] == "margin" and share > record["rate"]
    notes = (
        f"Early exit changed {100 * share:.2g} % of the decisions, more than the {100 * record.get('rate', 0):.2g} % "
        "asked for: the scored samples are harder than those that the threshold was calibrated on.",
    )
    return replace(made, metrics=(*run.metrics, *rows), notes=(*run.notes, *(notes if broken else ())))


def _record(found: Exited, conversion: Conversion, measured: Measurement, asked: Plan) -> dict[str, Any]:
    """What the metrics are made of beside the curve: counts up to the exit, and which samples were right there."""
    mean, truth = float(found.steps.mean()), asked.truths[0]
    counts = count_operations(conversion, found.spikes, measured.nonzero, mean)
    layers = [{"name": row.node, "place": row.place, **layer_record([row], (mean,))} for row in counts]
    if truth is None:
        return {"layers": layers}
    final = measured.answers[0][:, -1]
    return {"layers": layers, "right": pack_bits(_equal(found.answers, truth).tolist()),
            "right_in_the_end": pack_bits(_equal(final, truth).tolist())}  # fmt: skip


def exit_metrics(run: Run, others: Mapping[str, Metric]) -> list[Metric]:
    """The rows of a run file that only a run with an early exit has, from what else the run holds.

    Parameters
    ----------
    others : mapping
        Name -> metric of the same samples after all steps.

    Raises
    ------
    RunFileError
        The curve is not one of so many samples.
    """
    n, dt_s, rows = run.samples["count"], run.case["config"]["dt_ms"] / 1e3, run.curves["early_exit"]
    found = [row["stopped"] for row in rows]
    if any(type(count) is not int or count < 0 for count in found) or sum(found) != n:
        raise RunFileError(f"curves.early_exit: {found[:8]} samples stop; expected {n} in all; convert the model again")
    stops = [(named(row["steps"], "steps", "steps"), row["stopped"]) for row in rows]
    mean = total(t * named(count, "samples that stop there") for t, count in stops) / named(n, "samples")
    return [*_steps_metrics(run, mean, dt_s), *_decision_metrics(run), *_cost_metrics(run, mean, dt_s, others)]


def _last(run: Run) -> int:
    return int(run.assumptions["setting"]["steps"][-1])


def _steps_metrics(run: Run, mean: float, dt_s: float) -> list[Metric]:
    rows, n = run.curves["early_exit"], run.samples["count"]
    of = f"of the step at which a sample stopped, of {_last(run)} at most"
    squares = math.fsum(row["stopped"] * (row["steps"] - float(mean)) ** 2 for row in rows)
    half = 1.96 * math.sqrt(squares / (n - 1) / n) if n > 1 else 0.0
    late = float(_quantile(rows, 0.99))
    ms = mean * named(dt_s * 1e3, "dt", "ms")
    low, high = float(mean) - half, float(mean) + half
    return [
        Metric(f"{_PREFIX}.steps", mean, "steps", "lower", n, low, high, f"mean {of}; normal interval"),
        Metric(f"{_PREFIX}.steps_p99", late, "steps", "lower", n, note=f"99th percentile {of}"),
        Metric(f"{_PREFIX}.ms", ms, "ms", "lower", n, note=f"mean; steps of {dt_s * 1e3:g} ms"),
    ]


def _quantile(rows: Sequence[Mapping[str, int]], share: float) -> int:
    """The step by which `share` of the samples have stopped; NumPy's method "higher"."""
    stopped = list(accumulate(row["stopped"] for row in rows))
    place = math.ceil(share * (stopped[-1] - 1))
    return next(row["steps"] for row, count in zip(rows, stopped, strict=True) if count > place)


def _decision_metrics(run: Run) -> list[Metric]:
    """What stopping early does to the answers: against the labels, and against the answers after all steps."""
    n, last, record = run.samples["count"], _last(run), run.samples["early_exit"]
    changed = total(named(row["changed"], f"changed at step {row['steps']}") for row in run.curves["early_exit"])
    kept = n - round(changed)
    bound = wilson(kept, n)
    rows = [
        Metric(f"{_PREFIX}.agreement", share(kept, n, "samples whose answer is the same"), "fraction", "higher", n,
               bound.low, bound.high, f"same answer as after {last} steps; Wilson interval"),
        Metric(f"{_PREFIX}.changed_decisions", changed, "samples", "lower", n,
               note=f"answers that differ from those after {last} steps"),
    ]  # fmt: skip
    if "right" not in record:
        why = "there are no labels; name labelled samples, e.g. --data npz:FILE with arrays x and y"
        names = (f"{_PREFIX}.accuracy", f"{_PREFIX}.accuracy.difference")
        return [*rows, *(Metric(name, None, "fraction", "higher", n, note=why) for name in names)]
    right, before = (np.array(unpack_bits(record[key], n)) for key in ("right", "right_in_the_end"))
    hits = int(right.sum())
    score, gap = wilson(hits, n), paired_difference(before, right)
    return [
        *rows,
        Metric(f"{_PREFIX}.accuracy", share(hits, n, "samples that are right at the exit"), "fraction", "higher", n,
               score.low, score.high, "at the step at which each sample stopped; Wilson interval"),
        Metric(f"{_PREFIX}.accuracy.difference", gap.difference, "fraction", "higher", n, gap.interval.low,
               gap.interval.high, f"early exit minus {last} steps: {describe(gap, 'early exit')}"),
    ]  # fmt: skip


def _cost_metrics(run: Run, mean: float, dt_s: float, others: Mapping[str, Metric]) -> list[Metric]:
    """Operations and modelled joules up to the exit, and the shares saved; the rule itself is not priced."""
    n, last, setting = run.samples["count"], _last(run), run.assumptions["setting"]
    (counts,) = counts_of(run.samples["early_exit"]["layers"], (float(mean),))
    synops = total(row.synops for row in counts)
    note = f"up to the exit, against {last} steps; what the rule itself computes is not counted"
    rows = [
        Metric(f"{_PREFIX}.synops", synops, "SynOps", "lower", n, note=note),
        _saved(f"{_PREFIX}.synops_saved", synops, others["synops.per_inference"], n, note),
    ]
    duration = setting["inference_s"][-1] - (last - mean) * dt_s
    for i, model in enumerate(models_for(setting["bits"][-1], duration)):
        name, span = model.name.lower().replace(" ", "-"), model.price(counts).energy("snn")
        unsure = f"; unverified: {model.unverified}" if model.unverified else ""
        how = f"modelled by {model.name}, not measured; {note}{unsure}"
        if i == 0:
            rows.append(Metric(f"{_PREFIX}.energy_j", span.value, "J", "lower", n, span.low, span.high, how))
        whole = others[f"energy.{name}.snn_j"]
        rows.append(_saved(f"{_PREFIX}.energy_saved.{name}", span.value, whole, n, how))
    return rows


def _saved(name: str, part: float, whole: Metric, n: int, note: str) -> Metric:
    """1 - part / whole."""
    if not whole.value:
        return Metric(name, None, "fraction", "higher", n, note=f"undefined: nothing to save; {note}")
    return Metric(name, 1 - part / titled(whole.value, whole.name), "fraction", "higher", n, note=note)


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
