"""measure_ours(): a network that one recipe of this project makes, as cells; what a run has for a cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from convert.config import SPIKE_NORM
from convert.errors import ConvertError
from convert.pipeline import Conversion
from convert.recipes import OWN_STEPS, RECIPES
from evaluate.assembly import assemble
from evaluate.exactness import measure_exact
from evaluate.leaderboard.cells import Cell
from evaluate.leaderboard.request import LeaderboardRequest, Unit
from evaluate.leaderboard.resources import ann_seconds, watched
from evaluate.preparation import Prepared, Report, Shared, prepare
from evaluate.records import Metric, Run
from evaluate.request import Request
from evaluate.runner import Measurement, measure

__all__ = ["cell_of", "measure_ours", "request_of"]


def request_of(unit: Unit, asked: LeaderboardRequest, **changes: Any) -> Request:
    """The job of `unit`; `changes` to the options of the recipe."""
    steps = unit.steps[-1]
    own = {OWN_STEPS[unit.method]: steps} if unit.method in OWN_STEPS else {}
    config = RECIPES[unit.method].config(steps, **own, **changes)
    return Request(
        f"zoo:{unit.network}", config, steps=unit.steps, limit=asked.limit, seed=asked.seed,
        calibration_samples=asked.calibration_samples,
    )  # fmt: skip


def measure_ours(unit: Unit, asked: LeaderboardRequest, report: Report, shared: Shared) -> list[Cell]:
    """The cells of a recipe's network, or of its refusal.

    Parameters
    ----------
    shared : Shared
        Of the network of `unit`, for all units of it.

    Returns
    -------
    list of dict
        For each number of steps ``network``, ``method``, ``steps``, ``kind``; ``refused``: the message; or all of
        `cell_of`, with ``calibration_samples``, ``simulated_samples``, ``convert_s``, ``time_ratio``, ``peak_bytes``.
    """
    named = {"network": unit.network, "method": unit.method, "kind": "ours"}
    request = request_of(unit, asked)
    try:
        with watched() as peak:
            prepared = _prepared(request, report, shared)
            measured = _measured(request, prepared, report)
    except ConvertError as error:
        return [{**named, "steps": t, "refused": " ".join(str(error).split())} for t in unit.steps]
    conversion, config = prepared.conversion, request.config
    simulated = bool(config.potential_steps or config.bias_steps) or config.rule == SPIKE_NORM
    calibration = prepared.case.calibration["samples"]
    made = {
        "largest": float(max(site.neuron.largest for site in conversion.snn.sites.values())),
        "calibration_samples": calibration,
        "simulated_samples": min(calibration, config.calibrated_on) if simulated else 0,
        "convert_s": prepared.seconds["convert"], "peak_bytes": peak.bytes,
        "note": "hybrid: softmax and layer norm in floating point" if conversion.snn.hybrid() else "",
    }  # fmt: skip
    ratio = measured.seconds["simulate"] / len(prepared.inputs.x) / ann_seconds(unit.network, asked.limit)
    parts = [_up_to(measured, i, t) for i, t in enumerate(unit.steps)] if len(unit.steps) > 1 else [measured]
    return [{**named, "steps": t, **_cell(prepared, part), **made, "time_ratio": ratio * t / unit.steps[-1]}
            for t, part in zip(unit.steps, parts, strict=True)]  # fmt: skip


def _prepared(request: Request, report: Report, shared: Shared) -> Prepared:
    """The network; one that has no other form, as a hybrid one."""
    try:
        return prepare(request, report, shared)
    except ConvertError as error:
        if "--hybrid" not in str(error):
            raise
        return prepare(replace(request, config=replace(request.config, hybrid=True)), report, shared)


def _measured(request: Request, prepared: Prepared, report: Report) -> Measurement:
    """Both networks up to the last step."""
    conversion, x = prepared.conversion, prepared.inputs.x
    memory = request.memory_mb << 20

    def progress(n: int) -> None:
        report("simulate", n, len(x))

    if conversion.snn.code == "exact":
        return measure_exact(conversion, x, request.steps, memory, progress, prepared.asked)[0]
    return measure(conversion, x, request.steps, request.seed, memory, request.device, progress, prepared.asked)


def _up_to(measured: Measurement, i: int, steps: int) -> Measurement:
    """What was measured up to the i-th of the recorded steps."""
    spikes = {name: counts[i : i + 1] for name, counts in measured.spikes.items()}
    answers = tuple(said[:, :steps] for said in measured.answers)
    return replace(measured, answers=answers, spikes=spikes, record=(steps,))


def _cell(prepared: Prepared, measured: Measurement) -> Cell:
    asked, conversion = prepared.asked, prepared.conversion
    run = assemble(prepared.case, conversion, measured, prepared.inputs.labels, prepared.seconds, (), asked)
    return cell_of(run, conversion)


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
