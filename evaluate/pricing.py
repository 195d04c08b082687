"""What a run costs under every energy model: joules after each recorded step, records and metrics at the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convert import Conversion
from convert.neurons.counting import CountingNeuron
from convert.neurons.radix import RadixNeuron
from evaluate.assumptions import payload_bits
from evaluate.energy import (
    CHIPS,
    Breakdown,
    ChipAffine,
    DavidsonFurber2021,
    EnergyModel,
    Lemaire2022,
    OpsHorowitz,
    Yan2024,
    as_record,
    constants_record,
    matched_bits,
    model_record,
)
from evaluate.operations import OpCount
from evaluate.records import Metric
from evaluate.scores import NO_ANN

__all__ = ["Prices", "activation_bits", "models_for", "no_break_even"]

_NETWORKS = ("ann", "ann_sparse", "quantised", "snn")


def models_for(bits: int, inference_s: float) -> tuple[EnergyModel, ...]:
    """The models that every run is priced with, the one of the headline first.

    Parameters
    ----------
    bits : int
        Of an activation of the quantised ANN.
    inference_s : float
        Model time of an inference.
    """
    chips = (ChipAffine(chip, inference_s) for chip in CHIPS)
    return OpsHorowitz(bits=bits), Lemaire2022(bits), DavidsonFurber2021(), Yan2024(bits), *chips


def activation_bits(conversion: Conversion, steps: int) -> int:
    """Bits of an activation of the quantised ANN that tells as many values apart as the spikes of a neuron do.

    In a rate code ``ceil(log2(T + 1))``, with the payload of T spikes in place of T where spikes carry one. The counts
    of an exact or a radix code have as many values as their neuron has levels, however long the run.
    """
    neurons = [site.neuron for site in conversion.snn.sites.values()]
    levels = [n.span if isinstance(n, CountingNeuron) else n.highest
              for n in neurons if isinstance(n, CountingNeuron | RadixNeuron)]  # fmt: skip
    return matched_bits(max(levels, default=steps * max(1, 2 ** payload_bits(conversion.snn) - 1)))


def no_break_even(conversion: Conversion) -> str:
    """Why the break-even of a rate code does not hold for this network; empty where it does."""
    network = conversion.snn
    if network.hybrid():
        return "a hybrid network computes in floating point in every step, which no number of spikes stands for"
    if network.look_ahead:
        return "a network that looks ahead spikes and updates before its first step, so its cost is not a rate times T"
    return {
        "exact": "the spikes of an exact code are signed corrections until rest, not a rate times T",
        "radix": "a spike of a radix code is a binary digit, not a unit of a rate",
        "differential": "the spikes of a differential code are corrections, which do not grow in proportion to T",
    }.get(network.code, "")


class Prices:
    """All models on the counts of every recorded step.

    Parameters
    ----------
    conversion : Conversion
    counts : sequence of sequences of OpCount
        One for each recorded step.
    steps : sequence of int
        The recorded steps.
    """

    def __init__(self, conversion: Conversion, counts: Sequence[Sequence[OpCount]], steps: Sequence[int]) -> None:
        self.conversion, self.steps = conversion, tuple(steps)
        ahead, dt_s = conversion.snn.look_ahead_steps(), conversion.snn.dt_s
        self.bits = [activation_bits(conversion, t) for t in steps]
        self.models = [models_for(b, (t + ahead) * dt_s) for b, t in zip(self.bits, steps, strict=True)]
        self.breakdowns = [
            [model.price(rows) for model in models] for models, rows in zip(self.models, counts, strict=True)
        ]
        self.no_break_even = no_break_even(conversion)

    @property
    def headline(self) -> EnergyModel:
        """The first model, at the last step."""
        return self.models[-1][0]

    def of_headline(self, i: int) -> Breakdown:
        """What the first model makes of the i-th recorded step."""
        return self.breakdowns[i][0]

    def at(self, i: int) -> dict[str, Any]:
        """Fields of the curve at the i-th recorded step: rho, and J of the spiking network under each model."""
        joules = {
            model.name: found.energy("snn").value
            for model, found in zip(self.models[i], self.breakdowns[i], strict=True)
        }
        return {"rho": self.of_headline(i).rho, "energy_by_model_j": joules}

    def record(self) -> dict[str, Any]:
        """The record of the headline's model, without what needs the activity of an ANN that is not there."""
        record = as_record(self.headline, self.of_headline(-1), self.no_break_even)
        if self.conversion.ann is None:
            for part in ("terms", "totals", "ratio"):
                record[part] = {name: value for name, value in record[part].items() if name != "ann_sparse"}
            record["verdict"] = _without_activity(record["verdict"])
        return record

    def records(self) -> dict[str, Any]:
        """``energy_models``, a record of each model after the last step, and the ``energy_constants`` of them all."""
        pairs = zip(self.models[-1], self.breakdowns[-1], strict=True)
        records = [model_record(model, found, self.steps[-1], self.no_break_even) for model, found in pairs]
        for record in records:
            record["quantised_bits"] = self.bits[-1] if "quantised" in record["totals"] else None
            if self.conversion.ann is None:
                for part in ("totals", "ratio", "break_even"):
                    record[part].pop("ann_sparse", None)
                for terms in record["terms"].values():
                    terms.pop("ann_sparse", None)
                record["verdict"] = _without_activity(record["verdict"])
        return {"energy_models": records, "energy_constants": constants_record(self.models[-1])}

    def metrics(self, samples: int) -> list[Metric]:
        """``energy.MODEL.NETWORK_j`` of every network that a model prices."""
        return [
            self._metric(model, found, network, samples)
            for model, found in zip(self.models[-1], self.breakdowns[-1], strict=True)
            for network in _NETWORKS
            if found.energy(network).value > 0 or network == "snn"
        ]

    def _metric(self, model: EnergyModel, found: Breakdown, network: str, samples: int) -> Metric:
        name = f"energy.{model.name.lower().replace(' ', '-')}.{network}_j"
        if network == "ann_sparse" and self.conversion.ann is None:
            return Metric(name, None, "J", "lower", note=NO_ANN)
        span = found.energy(network)
        bits = f"; activations of {self.bits[-1]} bits" if network == "quantised" else ""
        unsure = f"; unverified: {model.unverified}" if model.unverified else ""
        note = f"modelled by {model.name}, not measured{bits}{unsure}"
        return Metric(name, span.value, "J", "lower", samples, span.low, span.high, note)


def _without_activity(verdict: Sequence[str]) -> list[str]:
    """The sentences that need no activity of an ANN."""
    return [line for line in verdict if "skips zero activations" not in line]
