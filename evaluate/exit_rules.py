"""When a sample may stop: the rules of an early exit, asked after every step with nothing but the read-out.

margin   the *accumulated margin* exceeds a threshold lam:

             (t - d) (y_1 - y_2) > lam,   or   y_1 - y_2 > theta(t) = lam / (t - d)

         with y_1, y_2 the largest and the second output of the read-out y after step t, d the steps that it leaves out
         by then. For answers that are signs (one class of two, labels) the least |y| stands in the place of y_1 - y_2.
         The read-out is a mean over steps, in the units of the original's outputs, so lam counts those times steps.
         What unevenness, rounding and membranes do to a sum of spikes is bounded, so to the mean it does some 1 / t:
         hence a threshold that falls like that, with one number to fit (`evaluate.exit_calibration`).
sound    the answer cannot change any more (`convert.simulation.outstanding`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.network import SpikingNetwork
from convert.simulation.outstanding import Outstanding, outstanding
from evaluate.tasks import Task

__all__ = ["RATE", "ExitOrder", "ExitRule", "MarginRule", "SoundRule", "accumulated_margin", "first_exits", "read_exit",
           "refuse_exit", "sound_rule"]  # fmt: skip

RATE = 0.005
"""The share of decisions that a margin rule may change, where none is named."""

_PHRASE = re.compile(r"margin(?::([0-9.]+)(%?))?")


@dataclass(frozen=True)
class ExitOrder:
    """Which rule was asked for.

    Parameters
    ----------
    kind : {"margin", "sound"}
    rate : float
        For a margin: the share of decisions that may differ from those after all steps, in (0, 1).
    """

    kind: str
    rate: float = RATE

    @property
    def text(self) -> str:
        """The phrase that it is read from.

        >>> ExitOrder("margin", 0.01).text
        'margin:1%'
        """
        return "sound" if self.kind == "sound" else f"margin:{100 * self.rate:.10g}%"


def read_exit(text: str) -> ExitOrder:
    """The order that `text` says.

    Raises
    ------
    ConfigError
        Another rule, or a rate that is no share.

    >>> read_exit("margin:0.5%"), read_exit("sound").kind
    (ExitOrder(kind='margin', rate=0.005), 'sound')
    """
    if text == "sound":
        return ExitOrder("sound")
    found = _PHRASE.fullmatch(text)
    try:
        rate = RATE if found is None or found[1] is None else float(found[1]) / (100 if found[2] else 1)
    except ValueError:
        found, rate = None, RATE
    if found is None or not 0 < rate < 1:
        raise ConfigError(
            f"--early-exit: got {text!r}; expected sound, margin, or margin:RATE with the share of decisions that may "
            "change, more than 0 and less than 1, such as margin:0.5% or margin:0.005"
        )
    return ExitOrder("margin", rate)


class ExitRule(Protocol):
    """What `convert.simulation.engine.simulate_until` asks, and what a run file says of it."""

    def finished(self, said: Tensor, step: int) -> Tensor:
        """Whether each sample may stop, (samples,), from its read-out (samples, *output shape) after `step`."""
        ...

    def record(self) -> dict[str, Any]:
        """The rule in words and numbers, plain JSON."""
        ...


def refuse_exit(network: SpikingNetwork, tasks: Sequence[Task]) -> None:
    """Refuse an early exit that would have no meaning.

    Raises
    ------
    ConfigError
        Networks that stop by themselves, answers that are no decisions, or several of them.
    """
    if network.code == "exact":
        raise ConfigError(
            "--early-exit: got an exact network, which stops by itself when no neuron can fire, with an answer that is "
            "final; its steps are in the run as latency.steps_to_quiescence: leave --early-exit out"
        )
    if network.code == "radix":
        raise ConfigError(
            "--early-exit: got a radix-coded network, which has no answer before its last period, and none to wait for "
            "after it: leave --early-exit out"
        )
    kinds = [task.kind for task in tasks]
    if len(kinds) > 1 or "regression" in kinds:
        got = f"{len(kinds)} outputs" if len(kinds) > 1 else "a regression"
        raise ConfigError(
            f"--early-exit: got {got}; expected one decision, of which a margin can be taken (classes, binary, "
            "labels): leave --early-exit out"
        )


def accumulated_margin(said: Tensor, step: int, kind: str, delay: int = 0) -> Tensor:
    """(t - d) times the margin of each sample, (samples,), in units of the outputs times steps.

    >>> accumulated_margin(torch.tensor([[0.5, 2.0, 1.0]]), step=4, kind="classes")
    tensor([4.], dtype=torch.float64)
    """
    flat = said.double().flatten(1)
    if kind == "classes":
        best = flat.topk(2, dim=1).values
        margin = best[:, 0] - best[:, 1]
    else:
        margin = flat.abs().amin(1)
    return margin * (step - min(step // 2, delay))


@dataclass(frozen=True)
class MarginRule:
    """Exit when the accumulated margin exceeds `threshold`.

    Parameters
    ----------
    kind : {"classes", "binary", "labels"}
    threshold : float
        lam, in units of the outputs times steps.
    delay : int
        Of the read-out.
    origin : dict
        How lam was found; see `evaluate.exit_calibration`.
    """

    kind: str
    threshold: float
    delay: int
    origin: dict[str, Any]

    def finished(self, said: Tensor, step: int) -> Tensor:
        """Whether each sample may stop."""
        return accumulated_margin(said, step, self.kind, self.delay) > self.threshold

    def record(self) -> dict[str, Any]:
        """The rule in words and numbers."""
        what = "largest minus second output" if self.kind == "classes" else "least magnitude of an output"
        return {"rule": "margin", "threshold": self.threshold, "unit": "outputs x steps", **self.origin,
                "text": f"exit after the first step t in which (t - d) times the margin ({what}) of the read-out "
                        f"exceeds {self.threshold:.4g}; d: the steps that the read-out leaves out by then"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class SoundRule:
    """Exit when nothing that is still to come can change the answer."""

    kind: str
    bound: Outstanding
    steps: int

    def finished(self, said: Tensor, step: int) -> Tensor:
        """Whether each sample may stop."""
        flat = said.flatten(1)
        if self.kind == "classes":
            return self.bound.leader_is_final(flat, step, self.steps)
        return self.bound.signs_are_final(flat, step, self.steps)

    def record(self) -> dict[str, Any]:
        """The rule in words and numbers."""
        return {"rule": "sound", "source": "convert/simulation/outstanding.py, with proof",
                "text": "exit after the first step in which the lead exceeds all that the remaining steps can take "
                        "from it, if every last neuron does its worst in each: the answer cannot change"}  # fmt: skip


def sound_rule(network: SpikingNetwork, task: Task, steps: int) -> SoundRule:
    """The sound rule of a network that would run for `steps`.

    Raises
    ------
    ConfigError
        There is no bound for it.
    """
    return SoundRule(task.kind, outstanding(network), steps)


def first_exits(rule: ExitRule, output: Tensor) -> Tensor:
    """The step at which each sample stops, by the read-outs of all steps (steps, samples, *output shape)."""
    left = torch.full((output.shape[1],), len(output))
    for step in range(len(output) - 1, 0, -1):
        left[rule.finished(output[step - 1], step)] = step
    return left
