"""When accuracy was lost: where and why.

**Why.** For every population, sample and neuron, with a the ANN's activation, d the mean charge per step that really
arrived, f the activation and lam the threshold, the error telescopes into five parts:

    inherited    f(lam d) - a                         the charge is not the ANN's: layers before, corrected biases
    clipping     clamp(f(lam d), -n lam, n lam) - f(lam d)  n spikes per step are the most there is; one without bursts
    rounding     rate of the neuron without leak and filter, started at zero, at the constant drive d, times lam,
                 minus the clipped activation: the staircase of T levels
    unevenness   the same neuron on the train that really came, minus that: order and delay of spikes, and what the
                 calibrated start makes up for
    leak         lam count / T minus that: what the leak of the membrane takes from the same train

Their sum is the error, exactly. The share of a part is E[part error] / E[error^2], so shares add up to one exactly; a
part that makes up for another one has a negative share. The mean squares of the parts do not add up (they are
correlated) and are given beside.

**Where.** One population at a time is made analog in the spiking network (`given_back`: the output error that
disappears), and made spiking in the analog network (`alone`: the output error that it makes); see
`evaluate.hybrid`. Both are fractions of the spiking network's mean squared output error, and do not add up to one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convert import Conversion
from convert.graph import ir
from convert.graph.semantics import apply, run
from convert.network import Site, SpikingNetwork
from convert.normalisation.statistics import channel_axis
from evaluate.hybrid import Hybrid, input_trains, respond
from evaluate.tasks import Plan

__all__ = ["MOST_SAMPLES", "PARTS", "Sums", "diagnose", "samples_within"]

MOST_SAMPLES = 256
_LEAST_SAMPLES = 32
_WORK = 4e10
"""Multiplications that a diagnosis may take; large networks are diagnosed on fewer samples."""
_ROOM = 2e7
"""Values of one node that are held at a time."""

PARTS = ("inherited", "clipping", "rounding", "unevenness", "leak")


@dataclass
class Sums:
    """Sums over samples and neurons of one population, from which its row is made."""

    n: int = 0
    moments: Tensor = field(default_factory=lambda: torch.zeros(5, dtype=torch.float64))
    shared: Tensor = field(default_factory=lambda: torch.zeros(len(PARTS), dtype=torch.float64))
    squares: Tensor = field(default_factory=lambda: torch.zeros(len(PARTS), dtype=torch.float64))
    fired: Tensor | None = None
    active: Tensor | None = None
    full: Tensor | None = None

    def add(self, a: Tensor, rate: Tensor, parts: tuple[Tensor, ...], most: Tensor, axis: int) -> None:
        """One batch: activation, lam times rate, parts of their difference, the most there is, (batch, *shape)."""
        error = rate - a
        self.n += a.numel()
        self.moments += torch.stack([a.sum(), rate.sum(), (a * a).sum(), (rate * rate).sum(), (a * rate).sum()])
        self.shared += torch.stack([(part * error).sum() for part in parts])
        self.squares += torch.stack([(part * part).sum() for part in parts])
        channels = [(value != 0).double() for value in (rate, a)] + [(rate.abs() >= most * (1 - 1e-9)).double()]
        fired, active, full = (value.movedim(axis + 1, 0).flatten(1).sum(1) for value in channels)
        self.fired = fired if self.fired is None else self.fired + fired
        self.active = active if self.active is None else self.active + active
        self.full = full if self.full is None else self.full + full

    def row(self) -> dict[str, Any]:
        """Correlation, error and its budget; None where a ratio has no denominator."""
        assert self.fired is not None and self.active is not None and self.full is not None
        a, r, aa, rr, ar = (self.moments / max(1, self.n)).tolist()
        spread = (aa - a * a) * (rr - r * r)
        total = aa - 2 * ar + rr
        per_channel = self.n / len(self.fired)
        return {
            "correlation": (ar - a * r) / math.sqrt(spread) if spread > 1e-24 else None,
            "relative_rms_error": math.sqrt(max(0.0, total) / aa) if aa else None,
            "shares": {p: float(s) / self.n / total for p, s in zip(PARTS, self.shared, strict=True)}
            if total > 1e-24 else {},
            "relative_rms": {p: math.sqrt(float(s) / self.n / aa) for p, s in zip(PARTS, self.squares, strict=True)}
            if aa else {},
            "channels": len(self.fired),
            "dead": int(((self.fired == 0) & (self.active > 0)).sum()),
            "saturated": int((self.full >= 0.01 * per_channel).sum()),
        }  # fmt: skip


def samples_within(network: SpikingNetwork, steps: int, available: int) -> int:
    """How many samples are diagnosed: at most 256, fewer where the network is large, never fewer than 32.

    One pass through the whole network for each step, and half of one for each population.
    """
    macs = 0.0
    for node in network.graph:
        if isinstance(node.op, (ir.Linear, ir.Conv)):
            weight = node.op.weight
            macs += math.prod(node.shape) * weight[0].numel()
    passes = steps * (1 + len(network.sites) / 2)
    return min(available, MOST_SAMPLES, max(_LEAST_SAMPLES, int(_WORK / max(1.0, macs * passes))))


def diagnose(
    conversion: Conversion,
    x: Tensor,
    steps: int,
    asked: Plan,
    seed: int = 0,
    progress: Callable[[int], None] = lambda n: None,
) -> dict[str, Any]:
    """Where and why the spiking network differs from its ANN after `steps` steps; plain JSON.

    Parameters
    ----------
    conversion : Conversion
        Of a rate-coded network, with its original.
    x : Tensor (samples, *sample shape)
        As many as are to be used, see `samples_within`.
    asked : Plan
        What counts as an answer, and the labels of these samples and perhaps of more.
    progress : callable
        Called with the number of samples done.
    """
    found = _Findings(conversion, steps, seed, asked)
    network = conversion.snn
    widest = max(math.prod(node.shape) for node in network.graph)
    size = max(1, int(_ROOM / (widest * steps)))
    for start in range(0, len(x), size):
        part = x[start : start + size]
        found.add(part, range(start, start + len(part)))
        progress(len(part))
    return found.record(len(x))


class _Findings:
    """What has been found on the samples so far."""

    def __init__(self, conversion: Conversion, steps: int, seed: int, asked: Plan) -> None:
        self.conversion, self.steps, self.seed, self.asked = conversion, steps, seed, asked
        self.network, self.names = conversion.snn, [node.name for node in conversion.snn.graph.sites()]
        self.sums = {name: Sums() for name in self.names}
        self.errors: dict[str, float] = {}
        self.answers: dict[str, list[Any]] = {}

    def add(self, x: Tensor, samples: range) -> None:
        """Every comparison on one batch."""
        folded, activations = self.conversion.folded, {}

        def keep(node: ir.Node, value: Tensor) -> None:
            if node.name in self.sums:
                activations[node.name] = value

        truth = run(folded, x.double(), observe=keep)
        inputs = input_trains(self.network, x, self.steps, self.seed, samples)
        whole = Hybrid(self.network, inputs, self.steps)
        self._note("ann", truth, truth)
        self._note("snn", whole.run(), truth)
        every = frozenset(self.names)
        self._note("analog", Hybrid(self.network, inputs, self.steps, every).run(), truth)
        for name in self.names:
            self._budget(name, activations[name], whole)
            one = frozenset({name})
            known = {k: v for k, v in whole.trains.items() if not self._depends(k, name)}
            self._note(f"without {name}", Hybrid(self.network, inputs, self.steps, one, known).run(), truth)
            self._note(f"alone {name}", Hybrid(self.network, inputs, self.steps, every - one).run(), truth)

    def _depends(self, name: str, source: str) -> bool:
        return any(node.name == source for node in self.network.graph.upstream(name))

    def _note(self, which: str, output: Tensor, truth: Tensor) -> None:
        self.errors[which] = self.errors.get(which, 0.0) + float(((output - truth) ** 2).sum())
        self.answers.setdefault(which, []).append(self.asked.answers(output)[0])

    def _budget(self, name: str, a: Tensor, whole: Hybrid) -> None:
        site, node = self.network.sites[name], self.conversion.folded[name]
        lam = site.threshold
        drive = whole.drives[name]
        received = apply(node.op, drive * lam)
        most = (lam * site.neuron.largest).expand_as(received)
        clipped = received.clamp(-most, most)
        plain, lossless = self._constant(site, drive), whole.lossless[name] * lam
        rate = whole.trains[name].sum(0) / self.steps * lam
        parts = (received - a, clipped - received, plain - clipped, lossless - plain, rate - lossless)
        self.sums[name].add(a, rate, parts, most, channel_axis(self.conversion.folded, node))

    def _constant(self, site: Site, drive: Tensor) -> Tensor:
        """Lam times the rate at a constant drive, started at zero, without leak."""
        rested = replace(site, initial=torch.zeros_like(site.initial))
        ideal = replace(rested, neuron=replace(site.neuron, tau_mem_s=math.inf, tau_syn_s=0.0))
        return respond(ideal, drive[None], self.steps, self.network.dt_s).sum(0) / self.steps * site.threshold

    def record(self, n: int) -> dict[str, Any]:
        """Plain JSON for the run file, the most blamed population first."""
        said = {which: np.concatenate(parts) for which, parts in self.answers.items()}
        total = self.errors["snn"]
        rows = []
        for name in self.names:
            node = self.conversion.folded[name]
            scores = {k: self._scores(said, which) for k, which in
                      (("scores_without", f"without {name}"), ("scores_alone", f"alone {name}"))}  # fmt: skip
            blame = {
                "given_back": 1 - self.errors[f"without {name}"] / total if total else 0.0,
                "alone": self.errors[f"alone {name}"] / total if total else 0.0,
            }
            rows.append({"name": name, "place": node.place, **self.sums[name].row(), **blame, **scores})
        rows.sort(key=lambda row: (-row["given_back"], row["name"]))
        return {
            "samples": n, "steps": self.steps, **{k: self._scores(said, k) for k in ("ann", "snn", "analog")},
            "left_analog": self.errors["analog"] / total if total else 0.0, "layers": rows,
        }  # fmt: skip

    def _scores(self, said: Mapping[str, Any], which: str) -> dict[str, Any]:
        """Agreement with the ANN, and accuracy where there are labels; None for regression, which has neither."""
        task, truth = self.asked.tasks[0], self.asked.truths[0]
        if task.kind == "regression":
            return {"agreement": None, "accuracy": None}
        answers, ann = (said[k].reshape(len(said[k]), -1) for k in (which, "ann"))
        right = None
        if truth is not None:
            right = float((answers == truth[: len(answers)].reshape(len(answers), -1)).all(1).mean())
        return {"agreement": float((answers == ann).all(1).mean()), "accuracy": right}
