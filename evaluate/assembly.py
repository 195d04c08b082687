"""assemble(): a conversion and its measurement as a run file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from convert import Conversion
from convert.graph.readout import heads_of
from evaluate.arrivals import Arrivals
from evaluate.assumptions import limits, neuron_equations, neuron_name
from evaluate.costs import Costs
from evaluate.counts import CONVENTIONS, OpCount
from evaluate.energy import baselines_record
from evaluate.environment import environment
from evaluate.latency import milliseconds, waiting_metrics
from evaluate.layers import layer_record
from evaluate.operations import count_steps
from evaluate.records import Metric, Run, content_hash
from evaluate.runner import Measurement
from evaluate.scores import Numbers, scored
from evaluate.settings import setting_of
from evaluate.tasks import Plan, plan

__all__ = ["Case", "assemble"]

_STATISTICS = (
    "Both networks run on the same samples. Single proportions carry Wilson intervals, the accuracy difference "
    "Newcombe's paired interval (method 10), that of the paired bootstrap, and the exact McNemar test; all at 95 %.",
    "Latency is the first step from which the SNN stays within x points of the ANN until the last simulated step. It "
    "is model time (steps times dt), not the wall clock of this simulation.",
    "Agreement is the fraction of samples on which both networks give the same answer.",
)

_NUMBERS = (
    "Both networks run on the same samples. R2 is the mean over the outputs of 1 - MSE / variance; R2 and RMSE carry "
    "intervals of the delta method, the difference of R2 a paired one; all at 95 %.",
    "The relative error is the RMSE between SNN and ANN divided by the standard deviation of the ANN's outputs (root "
    "mean square over the outputs). It takes the place of the agreement, and needs no labels.",
    "Latency is the first step from which the relative error stays at 5 % (1 %) or less until the last simulated step. "
    "It is model time (steps times dt), not the wall clock of this simulation.",
)


@dataclass(frozen=True)
class Case:
    """What was asked, as plain JSON.

    Parameters
    ----------
    model, data, calibration : dict
        Name, origin, hashes and sizes.
    options : dict
        Steps, seed and limits beyond the conversion's own configuration.
    command : str
        The command that repeats the run.
    """

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    calibration: Mapping[str, Any]
    options: Mapping[str, Any]
    command: str


def assemble(
    case: Case,
    conversion: Conversion,
    measured: Measurement,
    labels: Tensor | None,
    seconds: Mapping[str, float],
    notes: Sequence[str] = (),
    asked: Plan | None = None,
    arrivals: Arrivals | None = None,
) -> Run:
    """The run file of one case.

    Parameters
    ----------
    labels : Tensor (samples,) or None
    seconds : mapping
        Wall clock of the stages before the measurement.
    asked : Plan, optional
        The one that was measured with; by default what outputs and labels suggest.
    arrivals : Arrivals, optional
        What a closer look at a few samples has seen.

    Raises
    ------
    EvaluateError
        Labels that do not belong to the outputs of the network.
    """
    asked = plan("auto", conversion.heads or heads_of(conversion.folded), labels) if asked is None else asked
    view = _View(conversion, measured, asked, arrivals)
    config = conversion.config.as_record() | dict(case.options)
    record = {
        "model": dict(case.model), "data": dict(case.data), "calibration": dict(case.calibration), "config": config,
        "coverage": [row.as_record() for row in conversion.coverage], "command": case.command,
        "task": asked.as_record(),
    }  # fmt: skip
    environ = environment()
    identity = {
        "model": case.model.get("sha256"), "data": case.data.get("sha256"), "config": config,
        "calibration": case.calibration.get("sha256"), "code": environ.get("git") or environ["packages"],
    }  # fmt: skip
    return Run(
        id=content_hash(identity),
        case=record,
        metrics=_metrics(view),
        curves={"steps": [view.at(i) for i in range(len(measured.record))], "anytime": view.anytime()},
        layers=tuple(_layer(rows, view) for rows in zip(*view.counts, strict=True)),
        assumptions=_assumptions(view),
        environment=environ | {"seconds": {k: round(v, 6) for k, v in {**seconds, **measured.seconds}.items()}},
        notes=(*conversion.notes, *asked.notes, *notes),
        samples=_samples(view),
    )


class _View:
    """The numbers that several parts of the run need."""

    def __init__(
        self, conversion: Conversion, measured: Measurement, asked: Plan, arrivals: Arrivals | None = None
    ) -> None:
        self.conversion, self.measured = conversion, measured
        self.heads = scored(asked.tasks, measured.answers, measured.ann_answers, asked.truths, conversion.snn.dt_s)
        self.n, self.steps = self.heads[0].n, self.heads[0].steps
        self.counts = count_steps(conversion, measured.spikes, measured.nonzero, measured.record)
        setting = setting_of(conversion, measured.record)
        if arrivals is not None:
            setting = replace(setting, spread=arrivals.spread)
            self.counts[-1] = tuple(
                replace(row, neuron_updates_event=arrivals.updates.get(row.node)) for row in self.counts[-1]
            )
        self.costs = Costs(self.counts, setting, self.n)

    def at(self, i: int) -> dict[str, Any]:
        """One row of the curve."""
        steps = self.measured.record[i]
        return {
            "steps": steps,
            "ms": milliseconds(steps, self.conversion.snn.dt_s),
            **self.heads[0].row(steps, interval=True),
            **self.costs.at(i),
        }

    def anytime(self) -> list[dict[str, Any]]:
        """What is kept after every step."""
        return [{"steps": t + 1, **self.heads[0].row(t + 1)} for t in range(self.steps)]


def _metrics(view: _View) -> tuple[Metric, ...]:
    waits = waiting_metrics(view.costs.setting)
    return (*view.heads[0].headline(), *waits, *view.costs.metrics(), *_head_metrics(view))


def _samples(view: _View) -> dict[str, Any]:
    """What the scores are made of, sample by sample where that is known; of the other heads under their names."""
    first, *others = view.heads
    heads = {head.task.head.name: head.each() for head in (first, *others)} if others else {}
    return first.each() | ({"heads": heads} if heads else {})


def _head_metrics(view: _View) -> list[Metric]:
    """Each head's own score, where there are several: the headline's name and that of the head."""
    if len(view.heads) == 1:
        return []
    return [replace(m, name=f"{m.name}[{head.task.head.name}]") for head in view.heads for m in head.brief()]


def _layer(rows: Sequence[OpCount], view: _View) -> dict[str, Any]:
    """One row of the layer table, from the counts of its node at each recorded step."""
    row = rows[-1]
    site = view.conversion.snn.sites.get(row.node)
    kind = {"encoder": "input synapses", "spiking": "synapses", "neuron": "neurons", "linear": "wiring",
            "hybrid": "floating point"}[row.role]  # fmt: skip
    threshold = None if site is None else site.threshold
    return {
        "name": row.node,
        "place": row.place,
        "kind": kind,
        "neuron": site and neuron_name(view.conversion, row.node),
        "threshold_low": None if threshold is None else float(threshold.min()),
        "threshold_median": None if threshold is None else float(threshold.median()),
        "threshold_high": None if threshold is None else float(threshold.max()),
        **layer_record(rows, view.measured.record),
    }


def _assumptions(view: _View) -> dict[str, Any]:
    return {
        "energy": view.costs.prices.record(),
        **view.costs.prices.records(),
        "setting": asdict(view.costs.setting),
        "baselines": baselines_record(),
        "counting": list(CONVENTIONS),
        "statistics": list(_NUMBERS if isinstance(view.heads[0], Numbers) else _STATISTICS),
        "neuron": neuron_equations(view.conversion),
        "limits": limits(view.conversion),
    }
