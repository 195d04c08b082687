"""Bench: one way to convert, measured on calibration samples that it was not fitted to.

The calibration samples are drawn once. The first part fits thresholds and potentials, and is exactly what a later run
with `fitted` calibration samples fits them to; the rest is held out and scores. What `perform` scores is never read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

import zoo
from convert.config import ConvertConfig
from convert.errors import ConfigError
from convert.graph.readout import heads_of
from convert.pipeline import convert
from convert.reading.tracing import Traced
from evaluate.assembly import Case, assemble
from evaluate.goals import Goal
from evaluate.inputs import calibration_samples
from evaluate.preparation import read_model, wanted
from evaluate.request import Request
from evaluate.runner import Measurement, measure
from evaluate.scores import Decisions, scored
from evaluate.statistics import paired_difference, wilson
from evaluate.tasks import Plan, plan

__all__ = ["HELD_OUT", "ONE_SIDED", "Bench"]

HELD_OUT = 2000
"""Most samples that a trial is scored on; ``--limit`` asks for fewer."""

ONE_SIDED = 0.95
"""Confidence of the bound on the loss."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Where trials are measured.

    Parameters
    ----------
    request : Request
        Its steps are read out; its configuration is replaced by that of each trial.
    goal : Goal
        Whether answers are held against labels or against the ANN.
    traced : Traced
    fit, held_out : zoo.Samples
        Two parts of the calibration samples.
    asked : Plan
    model_sha256 : str
    """

    request: Request
    goal: Goal
    traced: Traced
    fit: zoo.Samples
    held_out: zoo.Samples
    asked: Plan
    model_sha256: str

    @classmethod
    def open(cls, request: Request, goal: Goal) -> Bench:
        """Read the model and the calibration samples of `request`.

        Raises
        ------
        ConvertError, zoo.ZooError, EvaluateError
            As in `perform`.
        ConfigError
            No samples, fewer than two, or answers that are neither right nor wrong.
        """
        model, traced, shape, _ = read_model(request)
        most = min(HELD_OUT, request.limit or HELD_OUT)
        if (parts := _seen_and_unseen(request, shape)) is not None:
            fit, held_out = parts[0], parts[1].take(torch.arange(min(most, len(parts[1]))))
            return cls.of(request, goal, traced, fit, held_out, model.sha256)
        more = replace(wanted(request, model), calibration_samples=request.calibration_samples + most)
        drawn = calibration_samples(more, shape)
        if drawn is None or len(drawn) < 2:
            raise ConfigError(
                f"--auto: got {0 if drawn is None else len(drawn)} calibration samples; expected 2 at least, to fit "
                "networks and to compare them: name samples with --data or --calibration"
            )
        size = min(request.calibration_samples, max(len(drawn) - most, len(drawn) // 2))
        order = torch.arange(len(drawn))
        fit, held_out = drawn.take(order[:size]), drawn.take(order[size : size + most])
        return cls.of(request, goal, traced, fit, held_out, model.sha256)

    @classmethod
    def of(
        cls, request: Request, goal: Goal, traced: Traced, fit: zoo.Samples, held_out: zoo.Samples, model_sha256: str
    ) -> Bench:
        """A bench of samples at hand.

        Raises
        ------
        ConfigError
            Answers that are neither right nor wrong.
        """
        asked = plan(request.task, heads_of(traced.graph, traced.heads), held_out.y)
        if asked.tasks[0].kind == "regression":
            raise ConfigError(
                f"--auto: got {goal.text}, but the answers of {request.model} are numbers; expected classes or labels, "
                "which are right or wrong: convert with --recipe all, and choose by R2"
            )
        return cls(request, goal, traced, fit, held_out, asked, model_sha256)

    @property
    def against(self) -> str:
        """What the loss is: lost ``accuracy``, or lost ``agreement`` with the ANN, which bounds it."""
        labelled = self.asked.truths[0] is not None
        return "accuracy" if self.goal.kind == "accuracy_drop" and labelled else "agreement"

    def points(self, config: ConvertConfig, progress: Callable[[int], None] | None = None) -> list[dict[str, Any]]:
        """Loss and costs at each of the steps of the request, plain JSON.

        Returns
        -------
        list of dict
            ``steps``, ``loss`` (a fraction), ``loss_bound`` (upper, one-sided), ``accuracy``, ``agreement``,
            ``energy_snn_j`` (modelled), ``spikes_per_neuron``, ``payload_bits``, ``spike_bits_per_neuron``.

        Raises
        ------
        ConvertError
            The configuration does not fit the network.
        """
        request = self.request
        conversion = convert(self.traced, self.fit.x, config)
        measured = measure(conversion, self.held_out.x, request.steps, request.seed, request.memory_mb << 20,
                           request.device, progress, self.asked)  # fmt: skip
        run = assemble(Case({}, {}, {}, {}, ""), conversion, measured, self.held_out.y, {}, (), self.asked)
        bits = run.metric("spikes.payload_bits").value or 1.0
        head = self._head(measured, conversion.snn.dt_s)
        kept = ("steps", "accuracy", "agreement", "energy_snn_j", "spikes_per_neuron")
        return [
            {key: row[key] for key in kept} | self._loss(head, row["steps"])
            | {"payload_bits": bits, "spike_bits_per_neuron": bits * row["spikes_per_neuron"]}
            for row in run.curves["steps"]
        ]  # fmt: skip

    def _head(self, measured: Measurement, dt_s: float) -> Decisions:
        asked = self.asked
        head = scored(asked.tasks, measured.answers, measured.ann_answers, asked.truths, dt_s)[0]
        assert isinstance(head, Decisions)  # regression was refused in open()
        return head

    def _loss(self, head: Decisions, steps: int) -> dict[str, float]:
        """The loss after `steps`, and the end of its one-sided interval: that of a two-sided one of twice the risk."""
        two_sided = 1 - 2 * (1 - ONE_SIDED)
        if self.against == "accuracy":
            assert head.ann_right is not None and head.right is not None  # there are labels and an ANN
            gap = paired_difference(head.ann_right, head.right[:, steps - 1], two_sided)
            return {"loss": 0.0 - gap.difference, "loss_bound": -gap.interval.low}
        assert head.same is not None  # there is an ANN
        same = int(head.same[:, steps - 1].sum())
        return {"loss": 1 - same / head.n, "loss_bound": 1 - wilson(same, head.n, two_sided).low}


def _seen_and_unseen(request: Request, shape: tuple[int, ...]) -> tuple[zoo.Samples, zoo.Samples] | None:
    """Samples to fit, drawn by the seed, and all those that a network of the zoo was not trained on; else None.

    A network loses less on the samples of its training than on others, so a search compares on the latter, if it can.
    """
    if not request.model.startswith("zoo:") or request.data is not None or request.calibration is not None:
        return None
    network = zoo.load(request.model.removeprefix("zoo:"))
    if network.training is None or not network.training.unseen:
        return None
    drawn = []
    for part, most in ((zoo.fitted, request.calibration_samples), (zoo.held_out, None)):
        samples = part(network.data, network.training.unseen)
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(request.seed))[:most]
        chosen = samples.take(order)
        drawn.append(zoo.Samples(chosen.x.reshape(-1, *shape), chosen.y, chosen.split))
    return drawn[0], drawn[1]
