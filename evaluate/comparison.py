"""compare(): the same network by several recipes, on the same samples, as rows of one table.

A recipe fits thresholds to a number of steps T. It has one aim, read out at all steps, or one for each T: then its row
is the table theta(T), each cell of a network of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convert.config import ConvertConfig
from convert.errors import ConfigError, ConvertError
from convert.pipeline import Conversion
from convert.recipes import RECIPES
from evaluate.job import perform
from evaluate.preparation import Report, Shared
from evaluate.records import Run
from evaluate.request import Request

__all__ = ["SCHEMA", "Aim", "compare"]

SCHEMA = "ann2spike.recipes/1"

Aim = tuple[ConvertConfig, tuple[int, ...]]
"""A way to convert, and the steps at which its network is read out."""


def compare(
    request: Request,
    aims: Mapping[str, Sequence[Aim]],
    report: Callable[[str], Report],
    keep: Callable[[str, Run, Conversion], None] = lambda label, run, conversion: None,
) -> dict[str, Any]:
    """Plain JSON: one row for each entry of `aims`.

    Parameters
    ----------
    request : Request
        Model, samples and steps; its configuration and steps are replaced by those of each aim.
    aims : mapping
        Recipe -> configurations, each with the steps at which it is read out; together they are those of `request`.
    report : callable
        Label -> progress callback of its run. A label is the recipe, with the steps where it has several aims.
    keep : callable
        Called with the label, the run and its conversion as soon as they are there.

    Raises
    ------
    ConvertError, zoo.ZooError, EvaluateError
        What concerns the model or the data. A recipe that does not fit the network, or whose options exclude each
        other, is a row with the reason, as long as there is another.
    """
    rows: list[dict[str, Any]] = []
    run: Run | None = None
    shared = Shared()
    for name, several in aims.items():
        parts: list[_Part] = []
        try:
            for config, _ in several:
                config.check_code()
        except ConfigError as error:
            rows.append({"recipe": name, "failed": str(error)})
            continue
        try:
            for config, steps in several:
                label = name if len(several) == 1 else f"{name}.T{steps[-1]}"
                run, conversion = perform(replace(request, config=config, steps=steps), report(label), shared=shared)
                keep(label, run, conversion)
                parts.append(_Part(run, conversion.snn.look_ahead_steps(), steps))
        except ConvertError as error:
            if run is None:
                raise
            rows.append({"recipe": name, "failed": str(error)})
        else:
            rows.append(_row(name, parts))
    if run is None:
        raise ConfigError(str(rows[-1]["failed"]))
    case = {key: run.case[key] for key in ("model", "data", "calibration", "task")}
    each = any(len(several) > 1 for several in aims.values())
    return {"schema": SCHEMA, "case": case, "steps": list(request.steps), "each": each, "rows": rows,
            "ann": _value(run, "ann.accuracy"), "samples": run.metric("synops.per_inference").samples,
            "environment": run.environment}  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """A run, its network's steps of look-ahead, and the steps that it answers for."""

    run: Run
    ahead: int
    steps: tuple[int, ...]


def _row(name: str, parts: Sequence[_Part]) -> dict[str, Any]:
    entry, last = RECIPES.get(name), parts[-1]
    run, config = last.run, last.run.case["config"]
    ahead = last.ahead
    simulated = any(config[key] for key in ("potential_steps", "bias_steps")) or config["rule"] == "spike-norm"
    return {
        "recipe": name,
        "source": entry.source if entry else "",
        "differs": entry.differs if entry else "",
        "run": run.id,
        "curve": [_point(part.run.curves["steps"], t) for part in parts for t in part.steps],
        "payload_bits": _value(run, "spikes.payload_bits"),
        "sequential_latency_steps": round(run.metric("latency.sequential_steps").value or 0),
        "look_ahead_steps": ahead,
        "calibration_samples": run.case["calibration"]["samples"],
        "simulated_samples": config["calibrated_on"] if simulated else 0,
        "convert_seconds": sum(part.run.environment["seconds"].get("convert", 0.0) for part in parts),
        "thresholds": _thresholds(parts) if len(parts) > 1 else [],
    }


def _thresholds(parts: Sequence[_Part]) -> list[dict[str, Any]]:
    """theta(T): the lowest, middle and highest threshold of each population, for each number of steps."""
    wanted = ("threshold_low", "threshold_median", "threshold_high")
    return [
        {"layer": layer["place"] or layer["name"], "steps": part.steps[-1], **{key: layer[key] for key in wanted}}
        for part in parts
        for layer in part.run.layers
        if layer["threshold_median"] is not None
    ]


def _point(curve: Sequence[dict[str, Any]], steps: int) -> dict[str, Any]:
    """What holds after so many steps: a network that came to rest earlier stays as it is."""
    wanted = ("accuracy", "agreement", "spikes_per_neuron", "synops", "energy_snn_j")
    known = [point for point in curve if point["steps"] <= steps]
    return {"steps": steps} | {key: known[-1].get(key) if known else None for key in wanted}


def _value(run: Run, name: str) -> float | None:
    return next((metric.value for metric in run.metrics if metric.name == name), None)
