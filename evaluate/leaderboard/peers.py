"""measure_peer(): another converter on the same network, samples and steps, priced by the same counts, as cells.

The counts are ours: where its populations stand where ours stand, its spikes take the place of those of our plain IF
network, and operations and joules follow from them as they do for us. Where they stand elsewhere (behind a max pool
instead of in front of it) the joules are unmeasured; the spikes are still its own.
"""

from __future__ import annotations

import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor

import zoo
from convert.config import ConvertConfig
from evaluate.assembly import assemble
from evaluate.contenders.methods import METHODS, Method
from evaluate.contenders.peers import peer_version
from evaluate.contenders.stepped import Recorded, run_stepped
from evaluate.errors import PeerError
from evaluate.leaderboard.cells import Cell
from evaluate.leaderboard.ours import cell_of
from evaluate.leaderboard.request import LeaderboardRequest, Unit
from evaluate.leaderboard.resources import ann_seconds, watched
from evaluate.preparation import Prepared, Report, Shared, prepare
from evaluate.request import Request
from evaluate.runner import Measurement, measure

__all__ = ["measure_peer"]

_LONGEST = 300
_ELSEWHERE = ("synops", "energy_j", "energy_by_model_j")


def measure_peer(unit: Unit, asked: LeaderboardRequest, report: Report, shared: Shared) -> list[Cell]:
    """A cell for each number of steps; what the converter raises is its result.

    Parameters
    ----------
    shared : Shared
        Of the network of `unit`, for all units of it.
    """
    method = METHODS[unit.method]
    named = {"network": unit.network, "method": unit.method, "kind": "peer",
             "version": f"{method.distribution} {peer_version(method.distribution)}"}  # fmt: skip
    plain = ConvertConfig(neuron="if", rule="percentile", granularity="layer", potential_steps=0, hybrid=True)
    request = Request(f"zoo:{unit.network}", plain, steps=unit.steps, limit=asked.limit, seed=asked.seed,
                      calibration_samples=asked.calibration_samples)  # fmt: skip
    prepared = prepare(request, report, shared)
    try:
        with watched() as peak:
            found, convert_s = _run(unit, method, prepared, report)
    except Exception as error:  # whatever their software raises is their answer
        return [{**named, "steps": t, **_refusal(error)} for t in unit.steps]
    made: dict[str, Any] = {
        "largest": found.largest, "convert_s": convert_s, "simulated_samples": 0,
        "calibration_samples": len(_calibration(prepared)) if method.calibrates else 0,
        "time_ratio": found.seconds / len(prepared.inputs.x) / ann_seconds(unit.network, asked.limit),
        "peak_bytes": peak.bytes, "note": method.source,
    }  # fmt: skip
    ann = measure(prepared.conversion, prepared.inputs.x, (1,), asked=prepared.asked)
    return [{**named, "steps": t, **_cell(prepared, ann, found, i, t), **_scaled(made, t, unit.steps[-1])}
            for i, t in enumerate(unit.steps)]  # fmt: skip


def _refusal(error: Exception) -> dict[str, Any]:
    """A refusal by name, or what would have been reported without a word."""
    said = " ".join(str(error).split())[:_LONGEST]
    return {"refused": said if isinstance(error, PeerError) else f"{type(error).__name__}: {said}",
            "silent": isinstance(error, PeerError)}  # fmt: skip


def _scaled(made: dict[str, Any], steps: int, most: int) -> dict[str, Any]:
    """All numbers of steps came from one run: its time is shared among its steps, evenly."""
    return {**made, "time_ratio": made["time_ratio"] * steps / most}


def _calibration(prepared: Prepared) -> Tensor:
    samples = prepared.inputs.calibration
    return torch.zeros(0) if samples is None else samples


def _run(unit: Unit, method: Method, prepared: Prepared, report: Report) -> tuple[Recorded, float]:
    module, total = zoo.load(unit.network).module.eval(), len(prepared.inputs.x)
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")  # theirs, not ours
        begin = time.perf_counter()
        made = method.make(module, _calibration(prepared))
        convert_s = time.perf_counter() - begin
    return run_stepped(made, prepared.inputs.x, unit.steps, lambda n: report("simulate", n, total)), convert_s


def _cell(prepared: Prepared, ann: Measurement, found: Recorded, i: int, steps: int) -> Cell:
    """What holds after `steps`, the i-th of those recorded, in the terms of a run."""
    conversion, asked, inputs = prepared.conversion, prepared.asked, prepared.inputs
    sites = [node for node in conversion.snn.graph.sites() if node.name in conversion.snn.sites]
    same = [tuple(node.shape) for node in sites] == [tuple(p.shape[1:]) for p in found.spikes]
    spikes = {
        node.name: found.spikes[k][i : i + 1] if same else torch.zeros(1, *node.shape, dtype=torch.float64)
        for k, node in enumerate(sites)
    }
    means = found.means[:steps]
    answers = tuple(
        a.reshape(len(means), len(inputs.x), *a.shape[1:]).swapaxes(0, 1) for a in asked.answers(means.flatten(0, 1))
    )
    measured = Measurement(answers, ann.ann_answers, spikes, ann.nonzero, (steps,), ann.seconds)
    run = assemble(prepared.case, conversion, measured, inputs.labels, prepared.seconds, (), asked)
    cell = cell_of(run, conversion) | {"look_ahead_steps": 0}
    neurons = sum(p[i].numel() for p in found.spikes)
    cell["spikes_per_neuron"] = sum(float(p[i].sum()) for p in found.spikes) / neurons
    return cell if same else {**cell, **dict.fromkeys(_ELSEWHERE, None)}
