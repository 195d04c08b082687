"""compare(): the same network by several recipes, on the same samples, as rows of one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from convert.config import ConvertConfig
from convert.errors import ConvertError
from convert.recipes import RECIPES
from evaluate.job import Report, Request, perform
from evaluate.records import Run

__all__ = ["SCHEMA", "compare"]

SCHEMA = "ann2spike.recipes/1"


def compare(
    request: Request,
    configs: dict[str, ConvertConfig],
    report: Callable[[str], Report],
    keep: Callable[[str, Run], None] = lambda name, run: None,
) -> dict[str, Any]:
    """Plain JSON: one row for each entry of `configs`.

    Parameters
    ----------
    request : Request
        Model, samples and steps; its configuration is replaced by each of `configs`.
    configs : dict
        Recipe -> configuration.
    report : callable
        Recipe -> progress callback of its run.
    keep : callable
        Called with each run as soon as it is there.

    Raises
    ------
    ConvertError, zoo.ZooError, EvaluateError
        What concerns the model or the data. A recipe that does not fit the network is a row with the reason.
    """
    rows: list[dict[str, Any]] = []
    run: Run | None = None
    for name, config in configs.items():
        try:
            run, conversion = perform(replace(request, config=config), report(name))
        except ConvertError as error:
            if run is None:
                raise
            rows.append({"recipe": name, "failed": str(error)})
            continue
        keep(name, run)
        rows.append(_row(name, run, len(conversion.snn.sites), request.steps))
    assert run is not None  # at least one recipe ran
    case = {key: run.case[key] for key in ("model", "data", "calibration", "task")}
    return {"schema": SCHEMA, "case": case, "steps": list(request.steps), "rows": rows,
            "ann": _value(run, "ann.accuracy"), "samples": run.metric("synops.per_inference").samples,
            "environment": run.environment}  # fmt: skip


def _row(name: str, run: Run, layers: int, steps: Sequence[int]) -> dict[str, Any]:
    entry = RECIPES.get(name)
    config = run.case["config"]
    simulated = any(config[key] for key in ("potential_steps", "bias_steps")) or config["rule"] == "spike-norm"
    return {
        "recipe": name,
        "source": entry.source if entry else "",
        "differs": entry.differs if entry else "",
        "run": run.id,
        "curve": [_point(run.curves["steps"], t) for t in steps],
        "payload_bits": _value(run, "spikes.payload_bits"),
        "sequential_latency_steps": run.curves["steps"][-1]["steps"] + layers - 1,
        "look_ahead_steps": 0,
        "calibration_samples": run.case["calibration"]["samples"],
        "simulated_samples": config["calibrated_on"] if simulated else 0,
        "convert_seconds": run.environment["seconds"].get("convert"),
    }


def _point(curve: Sequence[dict[str, Any]], steps: int) -> dict[str, Any]:
    """What holds after so many steps: an exact network that came to rest earlier stays as it is."""
    wanted = ("accuracy", "agreement", "spikes_per_neuron", "synops", "energy_snn_j")
    known = [point for point in curve if point["steps"] <= steps]
    return {"steps": steps} | {key: known[-1].get(key) if known else None for key in wanted}


def _value(run: Run, name: str) -> float | None:
    return next((metric.value for metric in run.metrics if metric.name == name), None)
