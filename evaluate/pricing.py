"""What a run costs under every energy model: joules after each recorded step, records and metrics at the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluate.counts import OpCount
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
    model_record,
)
from evaluate.records import Metric

__all__ = ["NO_ANN", "Prices", "Setting", "Spread", "models_for"]

NO_ANN = "the model is a spiking network without its original; convert the original to compare them"

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


@dataclass(frozen=True)
class Spread:
    """How much samples differ, seen on a few of them.

    Parameters
    ----------
    samples : int
        That were looked at.
    synops_sd, spikes_sd : float
        Standard deviations over these samples, of SynOps and of spikes per neuron in an inference.
    """

    samples: int
    synops_sd: float
    spikes_sd: float


@dataclass(frozen=True)
class Setting:
    """What costs depend on beside the counts; part of the run file, so that it can be priced again without its network.

    Parameters
    ----------
    steps : tuple of int
        The recorded steps, ascending.
    bits : tuple of int
        Of an activation of the quantised ANN, at each of them.
    inference_s : tuple of float
        Model time of an inference, at each of them.
    payload_bits : int
        That one spike carries beside its time; the widest of the network.
    look_ahead : int
        Steps for which each population is tried before the first one.
    has_ann : bool
        Whether there is an original to compare with.
    hybrid : bool
        Whether there are floating-point functions at run time.
    no_break_even : str
        Why there is no rho at which the verdict flips; empty where there is one.
    spread : Spread or None
        How much samples differ; None where that was not looked at.
    populations, depth : int
        How many there are, and how many on the longest path.
    readout_delay : int
        Steps that the read-out leaves out.
    sequential : bool
        Whether the steps are those of layers that follow each other, as in a radix code.
    """

    steps: tuple[int, ...]
    bits: tuple[int, ...]
    inference_s: tuple[float, ...]
    payload_bits: int = 1
    look_ahead: int = 0
    has_ann: bool = True
    hybrid: bool = False
    no_break_even: str = ""
    spread: Spread | None = None
    populations: int = 0
    depth: int = 0
    readout_delay: int = 0
    sequential: bool = False


class Prices:
    """All models on the counts of every recorded step.

    Parameters
    ----------
    counts : sequence of sequences of OpCount
        One for each recorded step.
    setting : Setting
    """

    def __init__(self, counts: Sequence[Sequence[OpCount]], setting: Setting) -> None:
        self.steps, self.bits, self.has_ann = setting.steps, setting.bits, setting.has_ann
        self.models = [models_for(b, t) for b, t in zip(setting.bits, setting.inference_s, strict=True)]
        self.breakdowns = [
            [model.price(rows) for model in models] for models, rows in zip(self.models, counts, strict=True)
        ]
        self.no_break_even = setting.no_break_even

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
        if not self.has_ann:
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
            if not self.has_ann:
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
        if network == "ann_sparse" and not self.has_ann:
            return Metric(name, None, "J", "lower", note=NO_ANN)
        span = found.energy(network)
        bits = f"; activations of {self.bits[-1]} bits" if network == "quantised" else ""
        unsure = f"; unverified: {model.unverified}" if model.unverified else ""
        note = f"modelled by {model.name}, not measured{bits}{unsure}"
        return Metric(name, span.value, "J", "lower", samples, span.low, span.high, note)


def _without_activity(verdict: Sequence[str]) -> list[str]:
    """The sentences that need no activity of an ANN."""
    return [line for line in verdict if "skips zero activations" not in line]
