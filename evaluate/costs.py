"""What a run costs in operations and in modelled joules: metrics and curve, from counts and their setting alone.

The run file holds both, so `evaluate.explanations` runs this code again, on numbers that remember where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from evaluate.counts import OpCount
from evaluate.pricing import NO_ANN, Prices, Setting
from evaluate.records import Metric
from evaluate.traces import named, total

__all__ = ["Costs"]


class Costs:
    """The costs of a network at every recorded step.

    Parameters
    ----------
    counts : sequence of sequences of OpCount
        One for each recorded step.
    setting : Setting
    samples : int
        That the counts are means over.
    """

    def __init__(self, counts: Sequence[Sequence[OpCount]], setting: Setting, samples: int) -> None:
        self.counts, self.setting, self.samples = counts, setting, samples
        self.prices = Prices(counts, setting)

    def spikes_per_neuron(self, i: int) -> float:
        """Mean spikes of a neuron per inference up to the i-th recorded step."""
        populations = [row for row in self.counts[i] if row.role == "neuron"]
        return total(row.spikes for row in populations) / total(row.neurons for row in populations)

    def at(self, i: int) -> dict[str, Any]:
        """Fields of the curve at the i-th recorded step."""
        price = self.prices.of_headline(i)
        return {
            "synops": price.synops,
            "spikes_per_neuron": self.spikes_per_neuron(i),
            "energy_snn_j": price.energy("snn").value,
            **self.prices.at(i),
        }

    def metrics(self) -> list[Metric]:
        """Every metric of cost after the last step."""
        rows = [*self._work(), *self._kinds()]
        rows += [self._energy(network) for network in ("ann", "ann_sparse", "snn")]
        return [*rows, self._efficiency(), *self.prices.metrics(self.samples)]

    def _work(self) -> list[Metric]:
        """Spikes and operations."""
        counts, setting = self.counts[-1], self.setting
        after = f"after {setting.steps[-1]} steps"
        cached = "of the SNN on analog input, computed once and cached"
        if setting.hybrid:
            cached = "of the SNN on analog values, those in front of which nothing moves computed once and cached"
        payload = named(setting.payload_bits, "payload bits", "bits")
        return [
            self._mean("synops.per_inference", self.prices.of_headline(-1).synops, "SynOps", after),
            self._mean("spikes.per_neuron", self.spikes_per_neuron(-1), "spikes", after),
            Metric("spikes.payload_bits", payload, "bits", "lower",
                   note="that one spike carries beside its time; the widest of the network"),
            Metric("macs.ann", total(c.ann_macs for c in counts), "MACs", "lower", note="dense, padding not counted"),
            Metric("macs.encoder", total(c.encoder_macs for c in counts), "MACs", "lower", note=cached),
        ]  # fmt: skip

    def _mean(self, name: str, value: float, unit: str, after: str) -> Metric:
        """A mean over the samples; its interval ``value -+ 1.96 sd / sqrt(n)`` from how much a few of them differ."""
        spread = self.setting.spread
        if spread is None:
            return Metric(name, value, unit, "lower", self.samples, note=after)
        sd = spread.synops_sd if unit == "SynOps" else spread.spikes_sd
        half = NormalDist().inv_cdf(0.975) * sd / math.sqrt(self.samples)
        note = f"{after}; mean over the samples, interval from the spread over {spread.samples} of them"
        low, high = max(0.0, float(value) - half), float(value) + half
        return Metric(name, value, unit, "lower", self.samples, low, high, note)

    def _kinds(self) -> list[Metric]:
        """What only hybrid networks have."""
        counts, setting, rows = self.counts[-1], self.setting, []
        if setting.hybrid:
            steps = named(setting.steps[-1], "steps")
            macs, functions = (total(getattr(c, key) for c in counts) for key in ("encoder_macs", "functions"))
            once = f"mean over {setting.steps[-1]} steps; what depends on a constant input alone is computed once"
            rows += [
                Metric("hybrid.macs_per_step", macs / steps, "MACs", "lower", note=f"on analog values; {once}"),
                Metric("hybrid.functions_per_step", functions / steps, "values", "lower",
                       note=f"of softmax and layer norm; {once}"),
            ]  # fmt: skip
        return rows

    def _energy(self, network: str) -> Metric:
        """Joules of the headline's model."""
        if network == "ann_sparse" and not self.setting.has_ann:
            return Metric("energy.ann_sparse_j", None, "J", "lower", note=NO_ANN)
        model, span = self.prices.headline, self.prices.of_headline(-1).energy(network)
        note = f"modelled by {model.name}, not measured; {model.low_high_meaning}"
        return Metric(f"energy.{network}_j", span.value, "J", "lower", self.samples, span.low, span.high, note)

    def _efficiency(self) -> Metric:
        """SynOps per joule under the headline's model."""
        name, unit, found = "efficiency.synops_per_s_per_w", "SynOps/s/W", self.prices.of_headline(-1).efficiency()
        if found is None:
            return Metric(name, None, unit, "higher", self.samples, note="undefined: no spike was delivered")
        note = f"all terms priced by {self.prices.headline.name}; read it beside the joules"
        return Metric(name, found.value, unit, "higher", self.samples, found.low, found.high, note)
