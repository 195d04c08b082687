"""The numbers of a run file computed anew, from what the run file itself holds, by the code that computed them first.

Nothing is written down twice: scores come from `evaluate.decisions` and `evaluate.fits`, costs from `evaluate.costs`,
records of energy from `evaluate.energy`. The inputs carry the names of their places in the run file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from evaluate.costs import Costs
from evaluate.decisions import decision_metrics, label_metrics, latency_metrics, model_time, share
from evaluate.energy.meters import METRIC, simulation_metric
from evaluate.exit_metrics import exit_metrics
from evaluate.explanations.numbers import leaves
from evaluate.fits import fit_latency_metrics, fit_metric, relative_error
from evaluate.latency import waiting_metrics
from evaluate.layers import counts_of, rate_and_rho
from evaluate.pricing import Setting, Spread
from evaluate.records import BENCHMARK, Metric, Run, unpack_bits
from evaluate.regression import Moments
from evaluate.rest import rest_metrics
from evaluate.statistics import median_interval, wilson
from evaluate.traces import named, total

__all__ = ["metrics_again", "others_again"]


def metrics_again(run: Run) -> dict[str, Metric]:
    """Every metric that the run file's content gives again."""
    found = {metric.name: metric for metric in _timings(run.metrics)}
    if not _is_complete(run):
        return found
    found |= {
        m.name: m for m in (*_scores(run), *_latency(run), *waiting_metrics(_setting(run)), *_costs(run).metrics())
    }
    if "rest" in run.samples:
        found |= {m.name: m for m in rest_metrics(run.samples["rest"])}
    if "early_exit" in run.samples:
        found |= {m.name: m for m in exit_metrics(run, found)}
    if any(m.name == METRIC for m in run.metrics):
        found[METRIC] = simulation_metric(run.environment.get("joules", {}), run.samples["count"])
    return found | {m.name: m for m in _means(run)}


def others_again(run: Run) -> dict[str, float]:
    """Numbers of layers, curves and energy models that follow from others, by the names of `numbers_of`."""
    if not _is_complete(run):
        return {}
    costs = _costs(run)
    models = {row["name"]: row for row in costs.prices.records()["energy_models"]}
    energies = {"headline": costs.prices.record(), **models}
    parts = {"layer": _layers(run, costs), "curve": _curves(run, costs), "energy": energies}
    return {f"{part}:{path}": value for part, content in parts.items() for path, value in leaves(content)}


def _is_complete(run: Run) -> bool:
    """Whether the run holds what its numbers are made of: no benchmark does, nor what an earlier version wrote."""
    return run.case.get("kind") != BENCHMARK and "setting" in run.assumptions


def _timings(metrics: Iterable[Metric]) -> Iterable[Metric]:
    """Medians of what a clock said."""
    for m in metrics:
        if m.timing and m.observations and m.value is not None:
            span, values = median_interval(m.observations), [named(v, "observation", m.unit) for v in m.observations]
            yield Metric(m.name, median(values), m.unit, m.better, m.samples, span.low, span.high, m.note, True)


def _means(run: Run) -> Iterable[Metric]:
    """Means over seeds, in a run that was repeated."""
    for m in run.metrics if "seeds" in run.case else ():
        if m.observations and not m.timing and m.value is not None:
            values = [named(v, f"seed {s}", m.unit) for v, s in zip(m.observations, run.case["seeds"], strict=True)]
            mean = total(values) / named(len(values), "seeds")
            yield Metric(m.name, mean, m.unit, m.better, m.samples, m.low, m.high, m.note)


def _setting(run: Run) -> Setting:
    """The setting, its numbers named."""
    record = run.assumptions["setting"]
    times = tuple(named(t, "model time of an inference", "s") for t in record["inference_s"])
    spread = None if record.get("spread") is None else Spread(**record["spread"])
    return Setting(
        **{
            **record,
            "spread": spread,
            "steps": tuple(record["steps"]),
            "bits": tuple(record["bits"]),
            "inference_s": times,
        }
    )


def _costs(run: Run) -> Costs:
    """What the network costs, from the counts of its layers."""
    setting = _setting(run)
    return Costs(counts_of(run.layers, setting.steps), setting, run.samples["count"])


def _scores(run: Run) -> Iterable[Metric]:
    """Scores of the first head, and of each where there are several."""
    task, steps = run.case["task"], run.assumptions["setting"]["steps"][-1]
    heads = task["heads"]
    yield from _score(run.samples, heads[0]["kind"], steps)
    for head in heads if "heads" in run.samples else ():
        for m in _score(run.samples["heads"][head["name"]], head["kind"], steps):
            yield Metric(**{**_shallow(m), "name": f"{m.name}[{head['name']}]"})


def _shallow(m: Metric) -> dict[str, Any]:
    """The fields of a metric as they are: `asdict` would copy, and a copy has no trace."""
    return {name: getattr(m, name) for name in Metric.__dataclass_fields__}


def _score(samples: Mapping[str, Any], kind: str, steps: int) -> Iterable[Metric]:
    """Scores of one head."""
    n = samples["count"]
    if kind == "regression":
        fits = {name: _moments(record) for name, record in samples["fits"].items()}
        yield from (fit_metric(name, fits[name], n, steps) for name in fits if name != "snn.r2_to_ann")
        yield relative_error(fits.get("snn.r2_to_ann"), n, steps)
        return
    keys = ("snn_right", "ann_right", "agree")
    right, ann, same = (np.array(unpack_bits(samples[k], n)) if k in samples else None for k in keys)
    yield from decision_metrics(kind, steps, right, ann, same)
    yield from label_metrics(samples.get("labels", {}), n)


def _moments(record: Mapping[str, Any]) -> Moments:
    """Moments as they were written."""
    lists = {key: tuple(record[key]) for key in ("errors", "variances", "others")}
    return Moments(**{**record, **lists})


def _latency(run: Run) -> Iterable[Metric]:
    """Steps to come near the ANN, from the curve after every step."""
    rows, n, dt_s = run.curves["anytime"], run.samples["count"], run.case["config"]["dt_ms"] / 1e3
    if run.case["task"]["heads"][0]["kind"] == "regression":
        apart = [row["relative_error"] for row in rows]
        return fit_latency_metrics(apart if "snn.rmse_to_ann" in run.samples["fits"] else None, n, dt_s)
    counts = [round(row["accuracy"] * n) for row in rows] if "snn_right" in run.samples else None
    ann = sum(unpack_bits(run.samples["ann_right"], n)) if "ann_right" in run.samples else None
    return latency_metrics(counts, ann, n, dt_s)


def _layers(run: Run, costs: Costs) -> list[dict[str, Any]]:
    """What follows from the counts of each layer."""
    steps: Any = named(costs.setting.steps[-1], "steps")
    rows = []
    for stored, row in zip(run.layers, costs.counts[-1], strict=True):
        found: dict[str, Any] = {key: value for key, value in rate_and_rho(row, steps).items() if value is not None}
        rows.append({"name": stored["name"], **found})
    return rows


def _curves(run: Run, costs: Costs) -> dict[str, list[dict[str, Any]]]:
    """The rows of the curves that follow from counts."""
    dt_s, n = run.case["config"]["dt_ms"] / 1e3, run.samples["count"]
    steps = []
    for i, t in enumerate(costs.setting.steps):
        row = run.curves["steps"][i]
        asked = {"steps": t, "ms": model_time(named(t, "steps"), dt_s), **costs.at(i), **_shares(row, n)}
        steps.append(asked)
    return {"steps": steps, "anytime": [{"steps": r["steps"], **_shares(r, n)} for r in run.curves["anytime"]]}


def _shares(row: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Accuracy and agreement of a row as shares of the samples, and the Wilson interval."""
    found: dict[str, Any] = {}
    what = {"accuracy": "samples that the SNN gets right", "agreement": "samples on which both networks agree"}
    for key, words in what.items():
        if row.get(key) is not None:
            found[key] = share(round(row[key] * n), n, f"{words} after {row['steps']} steps")
    if row.get("accuracy_low") is not None:
        found |= {f"accuracy_{end}": value for end, value in asdict(wilson(round(row["accuracy"] * n), n)).items()
                  if end != "confidence"}  # fmt: skip
    return found
