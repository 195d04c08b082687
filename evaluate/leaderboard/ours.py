"""measure_ours(): one recipe of this project, made for its number of steps, as a cell; what a run has for a cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from convert.errors import ConvertError
from convert.pipeline import Conversion
from convert.recipes import RECIPES
from evaluate.job import Report, Request, perform
from evaluate.leaderboard.cells import Cell
from evaluate.leaderboard.request import LeaderboardRequest, Unit
from evaluate.leaderboard.resources import ann_seconds, watched
from evaluate.records import Metric, Run

__all__ = ["cell_of", "measure_ours", "request_of"]

_EXTRA = {"exact": "exact_levels", "radix": "radix_bits"}
"""What stands for the number of steps where a network has one of its own."""


def request_of(unit: Unit, asked: LeaderboardRequest, **changes: Any) -> Request:
    """The job of `unit`; `changes` to the options of the recipe."""
    steps = unit.steps[-1]
    own = {_EXTRA[unit.method]: steps} if unit.method in _EXTRA else {}
    config = RECIPES[unit.method].config(steps, **own, **changes)
    return Request(
        f"zoo:{unit.network}", config, steps=(steps,), limit=asked.limit, seed=asked.seed,
        calibration_samples=asked.calibration_samples,
    )  # fmt: skip


def measure_ours(unit: Unit, asked: LeaderboardRequest, report: Report) -> list[Cell]:
    """The cell of a recipe, or of its refusal.

    Returns
    -------
    list of dict
        One cell: ``network``, ``method``, ``steps``, ``kind``; ``refused``: the message; or all of `cell_of`, with
        ``calibration_samples``, ``simulated_samples``, ``convert_s``, ``time_ratio``, ``peak_bytes``.
    """
    named = {"network": unit.network, "method": unit.method, "steps": unit.steps[-1], "kind": "ours"}
    request = request_of(unit, asked)
    try:
        with watched() as peak:
            run, conversion = _performed(request, report)
    except ConvertError as error:
        return [{**named, "refused": " ".join(str(error).split())}]
    config = run.case["config"]
    simulated = any(config[key] for key in ("potential_steps", "bias_steps")) or config["rule"] == "spike-norm"
    most = max(site.neuron.largest for site in conversion.snn.sites.values())
    return [{
        **named, **cell_of(run, conversion), "largest": float(most),
        "calibration_samples": run.case["calibration"]["samples"],
        "simulated_samples": config["calibrated_on"] if simulated else 0,
        "convert_s": run.environment["seconds"].get("convert", 0.0),
        "time_ratio": _simulate_s(run) / ann_seconds(unit.network, asked.limit), "peak_bytes": peak.bytes,
        "note": "hybrid: softmax and layer norm in floating point" if conversion.snn.hybrid() else "",
    }]  # fmt: skip


def _performed(request: Request, report: Report) -> tuple[Run, Conversion]:
    """The run; of a network that has no other form, as a hybrid one."""
    try:
        return perform(request, report)
    except ConvertError as error:
        if "--hybrid" not in str(error):
            raise
        return perform(replace(request, config=replace(request.config, hybrid=True)), report)


def _simulate_s(run: Run) -> float:
    return float(run.environment["seconds"]["simulate"]) / _samples(run)


def _samples(run: Run) -> int:
    return int(run.case["data"]["samples"])


def cell_of(run: Run, conversion: Conversion) -> Cell:
    """What the last step of `run` says, the same for everybody."""
    point, own_steps = run.curves["steps"][-1], run.case["config"]["recipe"] == "radix"
    ahead, layers = conversion.snn.look_ahead_steps(), len(conversion.snn.sites)
    return {
        "samples": _samples(run),
        "accuracy": _triple(run, "snn.accuracy"), "ann_accuracy": _triple(run, "ann.accuracy"),
        "difference": _triple(run, "accuracy.difference"), "agreement": _triple(run, "agreement"),
        "snn_right": run.samples.get("snn_right"), "ann_right": run.samples.get("ann_right"),
        "spikes_per_neuron": point["spikes_per_neuron"], "synops": point["synops"],
        "payload_bits": _metric(run, "spikes.payload_bits").value,
        "energy_j": _triple(run, "energy.snn_j"), "energy_ann_j": _triple(run, "energy.ann_j"),
        "energy_model": run.assumptions["energy_models"][0]["name"],
        "energy_by_model_j": point["energy_by_model_j"],
        "steps_run": point["steps"], "look_ahead_steps": ahead,
        "latency_steps": point["steps"] + (0 if own_steps else layers - 1 + ahead),
    }  # fmt: skip


def _metric(run: Run, name: str) -> Metric:
    return run.metric(name)


def _triple(run: Run, name: str) -> list[float | None]:
    """Value, low, high."""
    found = _metric(run, name)
    return [found.value, found.low, found.high]
