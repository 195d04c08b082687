"""assemble(): a conversion and its measurement as a run file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from convert import Conversion
from convert.graph.readout import heads_of
from evaluate.assumptions import limits, neuron_equations, neuron_name, payload_bits
from evaluate.energy import baselines_record
from evaluate.environment import environment
from evaluate.latency import latency_metrics, milliseconds
from evaluate.operations import CONVENTIONS, OpCount, count_operations
from evaluate.pricing import Prices
from evaluate.records import Metric, Run, content_hash
from evaluate.runner import Measurement
from evaluate.scores import NO_ANN, Numbers, scored
from evaluate.tasks import Plan, plan

__all__ = ["Case", "assemble"]

_STATISTICS = (
    "Both networks run on the same samples. Single proportions carry Wilson intervals, the accuracy difference "
    "Newcombe's paired interval (method 10) and the exact McNemar test; all at 95 %.",
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
) -> Run:
    """The run file of one case.

    Parameters
    ----------
    labels : Tensor (samples,) or None
    seconds : mapping
        Wall clock of the stages before the measurement.
    asked : Plan, optional
        The one that was measured with; by default what outputs and labels suggest.

    Raises
    ------
    EvaluateError
        Labels that do not belong to the outputs of the network.
    """
    asked = plan("auto", conversion.heads or heads_of(conversion.folded), labels) if asked is None else asked
    view = _View(conversion, measured, asked)
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
        layers=tuple(_layer(row, view) for row in view.counts[-1]),
        assumptions=_assumptions(view),
        environment=environ | {"seconds": {k: round(v, 6) for k, v in {**seconds, **measured.seconds}.items()}},
        notes=(*conversion.notes, *asked.notes, *notes),
        samples=view.heads[0].each(),
    )


class _View:
    """The numbers that several parts of the run need."""

    def __init__(self, conversion: Conversion, measured: Measurement, asked: Plan) -> None:
        self.conversion, self.measured = conversion, measured
        self.heads = scored(asked.tasks, measured.answers, measured.ann_answers, asked.truths, conversion.snn.dt_s)
        self.n, self.steps = self.heads[0].n, self.heads[0].steps
        self.neurons = conversion.snn.neuron_count()
        self.counts = [
            count_operations(conversion, {k: v[i] for k, v in measured.spikes.items()}, measured.nonzero, steps)
            for i, steps in enumerate(measured.record)
        ]
        self.prices = Prices(conversion, self.counts, measured.record)

    def spikes_per_neuron(self, i: int) -> float:
        """Mean spikes of a neuron per inference up to the i-th recorded step."""
        return sum(row.spikes for row in self.counts[i] if row.role == "neuron") / self.neurons

    def at(self, i: int) -> dict[str, Any]:
        """One row of the curve."""
        steps = self.measured.record[i]
        return {
            "steps": steps,
            "ms": milliseconds(steps, self.conversion.snn.dt_s),
            **self.heads[0].row(steps, interval=True),
            "synops": self.prices.of_headline(i).synops,
            "spikes_per_neuron": self.spikes_per_neuron(i),
            "energy_snn_j": self.prices.of_headline(i).energy("snn").value,
            **self.prices.at(i),
        }

    def anytime(self) -> list[dict[str, Any]]:
        """What is kept after every step."""
        return [{"steps": t + 1, **self.heads[0].row(t + 1)} for t in range(self.steps)]


def _metrics(view: _View) -> tuple[Metric, ...]:
    waits = latency_metrics(view.conversion.snn, view.steps)
    return (*view.heads[0].headline(), *waits, *_cost_metrics(view), *_head_metrics(view))


def _head_metrics(view: _View) -> list[Metric]:
    """Each head's own score, where there are several: the headline's name and that of the head."""
    if len(view.heads) == 1:
        return []
    return [replace(m, name=f"{m.name}[{head.task.head.name}]") for head in view.heads for m in head.brief()]


def _cost_metrics(view: _View) -> list[Metric]:
    counts, price, n = view.counts[-1], view.prices.of_headline(-1), view.n
    name, meaning = view.prices.headline.name, view.prices.headline.low_high_meaning
    after = f"after {view.steps} steps"
    rows = [
        Metric("synops.per_inference", price.synops, "SynOps", "lower", n, note=after),
        Metric("spikes.per_neuron", view.spikes_per_neuron(-1), "spikes", "lower", n, note=after),
        Metric("spikes.payload_bits", float(payload_bits(view.conversion.snn)), "bits", "lower",
               note="that one spike carries beside its time; the widest of the network"),
        Metric("macs.ann", float(sum(c.ann_macs for c in counts)), "MACs", "lower", note="dense, padding not counted"),
        Metric("macs.encoder", float(sum(c.encoder_macs for c in counts)), "MACs", "lower",
               note="of the SNN on analog values, those in front of which nothing moves computed once and cached"
               if view.conversion.snn.hybrid() else "of the SNN on analog input, computed once and cached"),
    ]  # fmt: skip
    if view.conversion.snn.hybrid():
        rows += _hybrid_metrics(view)
    for network in ("ann", "ann_sparse", "snn"):
        if network == "ann_sparse" and view.conversion.ann is None:
            rows.append(Metric("energy.ann_sparse_j", None, "J", "lower", note=NO_ANN))
            continue
        span = price.energy(network)
        rows.append(Metric(f"energy.{network}_j", span.value, "J", "lower", n, span.low, span.high,
                           f"modelled by {name}, not measured; {meaning}"))  # fmt: skip
    efficiency = price.efficiency()
    if efficiency is None:
        rows.append(Metric("efficiency.synops_per_s_per_w", None, "SynOps/s/W", "higher", n,
                           note="undefined: no spike was delivered"))  # fmt: skip
    else:
        rows.append(Metric("efficiency.synops_per_s_per_w", efficiency.value, "SynOps/s/W", "higher", n, efficiency.low,
                           efficiency.high, f"all terms priced by {name}; read it beside the joules"))  # fmt: skip
    return [*rows, *view.prices.metrics(n)]


def _hybrid_metrics(view: _View) -> list[Metric]:
    """What a hybrid network computes in floating point, as means over the steps: what is constant is computed once."""
    macs = sum(c.encoder_macs for c in view.counts[-1]) / view.steps
    functions = sum(c.functions for c in view.counts[-1]) / view.steps
    once = f"mean over {view.steps} steps; what depends on a constant input alone is computed once"
    return [
        Metric("hybrid.macs_per_step", macs, "MACs", "lower", note=f"on analog values; {once}"),
        Metric("hybrid.functions_per_step", functions, "values", "lower", note=f"of softmax and layer norm; {once}"),
    ]


def _layer(row: OpCount, view: _View) -> dict[str, Any]:
    """One row of the layer table."""
    site = view.conversion.snn.sites.get(row.node)
    kind = {"encoder": "input synapses", "spiking": "synapses", "neuron": "neurons", "linear": "wiring",
            "hybrid": "floating point"}[row.role]  # fmt: skip
    threshold = None if site is None else site.threshold
    return {
        "name": row.node,
        "place": row.place,
        "kind": kind,
        "neuron": site and neuron_name(view.conversion, row.node),
        "neurons": row.neurons or None,
        "threshold_low": None if threshold is None else float(threshold.min()),
        "threshold_median": None if threshold is None else float(threshold.median()),
        "threshold_high": None if threshold is None else float(threshold.max()),
        "rate": row.spikes / row.neurons / view.steps if row.neurons else None,
        "spikes": row.spikes if row.role == "neuron" else None,
        "ann_macs": row.ann_macs or None,
        "encoder_macs": row.encoder_macs or None,
        "synops": row.synops if row.role == "spiking" or row.synops else None,
        "rho": row.synops / row.ann_macs if row.role == "spiking" and row.ann_macs else None,
        "neuron_updates": row.neuron_updates or None,
    }


def _assumptions(view: _View) -> dict[str, Any]:
    return {
        "energy": view.prices.record(),
        **view.prices.records(),
        "baselines": baselines_record(),
        "counting": list(CONVENTIONS),
        "statistics": list(_NUMBERS if isinstance(view.heads[0], Numbers) else _STATISTICS),
        "neuron": neuron_equations(view.conversion),
        "limits": limits(view.conversion),
    }
