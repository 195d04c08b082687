"""perform(): one case from a model to its run, the main job without its command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

import zoo
from convert.network import SpikingNetwork
from convert.pipeline import Conversion
from convert.simulation.engine import engines_of, kernel_is_missing
from convert.simulation.periods import period_steps
from convert.simulation.quiescence import simulate_exact
from evaluate.arrivals import look_closely
from evaluate.assembly import assemble
from evaluate.diagnosis import diagnose, samples_within
from evaluate.early_exit import Simulated, exit_rule, run_to_exits
from evaluate.energy.meters import Meter, counters, simulation_metric
from evaluate.exactness import exactness_record, measure_exact
from evaluate.exit_metrics import with_exits
from evaluate.exit_rules import ExitRule
from evaluate.inputs import Wanted, calibration_samples
from evaluate.preparation import Prepared, Report, Shared, prepare
from evaluate.rasters import raster
from evaluate.records import Metric, Run
from evaluate.remedies import verdict
from evaluate.request import Request
from evaluate.rest import rest_metrics
from evaluate.runner import measure

__all__ = ["Export", "perform", "run_prepared"]

Export = Callable[[SpikingNetwork, Tensor], Sequence[dict[str, Any]]]
"""Called with the spiking network and the scored samples."""


_UNBUILT = (
    "The events engine was not built (no C++ compiler when the package was installed): the simulation ran densely, "
    "with the same spikes, at many times the cost. Install again where there is a compiler."
)


def perform(
    request: Request,
    report: Report = lambda stage, done, total: None,
    export: Export | None = None,
    shared: Shared | None = None,
) -> tuple[Run, Conversion]:
    """Read, convert, run both networks, compare.

    Parameters
    ----------
    export : callable, optional
        Writes the spiking network in other formats and tells how each is understood; its records go into the run.
    shared : Shared, optional
        What requests that differ in nothing but configuration and steps need not do again.

    Raises
    ------
    ConvertError, zoo.ZooError, EvaluateError
        An unsupported model is refused before any data are loaded.
    """
    prepared = prepare(request, report, shared)
    return run_prepared(request, prepared, report, export), prepared.conversion


def run_prepared(
    request: Request,
    prepared: Prepared,
    report: Report = lambda stage, done, total: None,
    export: Export | None = None,
) -> Run:
    """Run both networks, and compare; parameters as of `perform`."""
    conversion, inputs = prepared.conversion, prepared.inputs
    total = len(inputs.x)

    def progress(n: int) -> None:
        report("simulate", n, total)

    memory, asked = request.memory_mb << 20, prepared.asked
    more: tuple[Metric, ...] = ()
    rule = _exit_rule(request, prepared, report)
    rest: dict[str, Any] = {}
    meter = Meter(counters(request.device))
    if conversion.snn.code == "exact":
        measured, found = measure_exact(conversion, inputs.x, request.steps, memory, progress, asked, meter)
        rest = exactness_record(found, asked)
        more = rest_metrics(rest)
    else:
        measured = measure(
            conversion, inputs.x, request.steps, request.seed, memory, request.device, progress, asked, request.engine,
            meter,
        )  # fmt: skip
    arrivals = look_closely(conversion, inputs.x, measured.record[-1], partial(_trains, request, conversion))
    notes = (*prepared.notes, *inputs.notes)
    steps_through = conversion.snn.code in ("rate", "differential")
    if steps_through and kernel_is_missing(request.engine, request.device):
        notes = (*notes, _UNBUILT)
    run = assemble(prepared.case, conversion, measured, inputs.labels, prepared.seconds, notes, asked, arrivals)
    if rule is not None:
        exits = run_to_exits(
            conversion.snn, inputs.x, rule, asked.tasks[0], _how(request), lambda n: report("early exit", n, total)
        )
        run = with_exits(run, exits, conversion, measured, asked)
    if steps_through:
        ran = list(engines_of(conversion.snn, request.engine, request.device).values())
        engines = {name: ran.count(name) for name in ("events", "dense")}
        run = replace(run, environment=run.environment | {"populations_by_engine": engines})
    exports = () if export is None else export(conversion.snn, inputs.x)
    found_wrong = _diagnosis(request, prepared, report) if request.diagnose else {}
    more = (*more, simulation_metric(meter.joules, total))
    run = replace(run, environment=run.environment | {"joules": dict(meter.joules)})
    samples = run.samples | ({"rest": rest} if rest else {})
    seen = raster(conversion.snn, inputs.x[0], request.steps[-1], request.seed)
    return replace(run, metrics=(*run.metrics, *more), exports=tuple(exports), diagnosis=found_wrong, samples=samples,
                   trace=seen)  # fmt: skip


def _trains(request: Request, conversion: Conversion, x: Tensor) -> dict[str, Tensor]:
    """Spikes of one sample up to each step."""
    every = range(1, request.steps[-1] + 1)
    if conversion.snn.code == "exact":
        found = simulate_exact(conversion.snn, x, trace=True).emitted
        assert found is not None  # it was asked for
        return dict(found)
    if conversion.snn.code == "radix":
        every = range(1, period_steps(conversion.snn) + 1)
    return measure(conversion, x, every, request.seed, request.memory_mb << 20, request.device, None, None,
                   request.engine).spikes  # fmt: skip


def _how(request: Request) -> Simulated:
    return Simulated(
        request.steps[-1], request.seed, request.memory_mb << 20, request.device, request.engine
    )  # fmt: skip


def _exit_rule(request: Request, prepared: Prepared, report: Report) -> ExitRule | None:
    """The rule of the early exit that was asked for, calibrated where it needs it; before anything is measured."""
    if request.early_exit is None:
        return None
    named = prepared.case.data["spec"]
    spec = None if named == "synthetic" else named

    def draw(n: int) -> zoo.Samples | None:
        """The draw of the thresholds' samples goes on: the same samples first, which are left out, then others."""
        first = request.calibration_samples
        source = Wanted(spec, request.calibration, None, first + n, request.seed, *request.config.input_range,
                        request.data_dir)  # fmt: skip
        drawn = calibration_samples(source, prepared.conversion.snn.graph.input.shape)
        return None if drawn is None else drawn.take(torch.arange(first, max(first, len(drawn))))

    return exit_rule(
        request.early_exit, prepared.conversion, prepared.asked, _how(request), draw,
        lambda done, total: report("exit rule", done, total),
    )  # fmt: skip


def _diagnosis(request: Request, prepared: Prepared, report: Report) -> dict[str, Any]:
    """Where and why accuracy was lost, or why there is nothing to say.

    It looks at calibration samples, the last ones first: who chose a remedy on the scored ones would tune to them.
    """
    conversion, steps, samples = prepared.conversion, request.steps[-1], prepared.inputs.calibration
    x = prepared.inputs.x if samples is None else samples.flip(0)
    if conversion.snn.code in ("exact", "radix"):
        return {"verdict": ["nothing is lost but quantisation: the spiking network is its quantised network"]}
    if conversion.snn.code == "differential":
        return {"verdict": ["unmeasured: a diagnosis compares rates, and the spikes of this code are corrections; "
                            "diagnose the same options with --code rate"]}  # fmt: skip
    if conversion.snn.look_ahead:
        return {"verdict": ["unmeasured: a diagnosis follows neurons that start alike for all samples; diagnose the "
                            "same options without --look-ahead"]}  # fmt: skip
    if conversion.ann is None:
        return {"verdict": ["unmeasured: the file holds no original to compare with; diagnose its conversion"]}
    x = x[: samples_within(conversion.snn, steps, len(x))]
    unlabelled = replace(prepared.asked, truths=(None,) * len(prepared.asked.tasks))
    found = diagnose(conversion, x, steps, unlabelled, request.seed, lambda n: report("diagnose", n, len(x)))
    return {**found, "verdict": verdict(found, conversion, request.command)}
