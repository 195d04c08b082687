"""What an adapter is, what a check is, and how an answer is judged.

An adapter is one function::

    def adapter(model, calibration, x, steps, **options):
        '''The output of the spiking network in each step, (steps, batch, outputs).'''

It converts `model`, a trained `nn.Module` in evaluation mode, with the samples `calibration`, starts the spiking
network afresh, shows it the constant input `x` (batch, *sample shape) for `steps` steps, and returns what came out in
each step, in the units of the model's own output. What it raises is a refusal, and its message is kept.

Nothing else is asked for, since the networks end in a linear read-out, through which every spike can be seen. The
calibration samples drive each neuron to 0 in one half and to the same activation lam in the other, so that whatever
rule sets thresholds (maximum, percentile, mean square error) has one choice: lam.

Options are only passed where a check is about one: ``reset="zero"``, or ``decay=0.5``, the factor by which potentials
shrink in a step. A converter whose adapter does not take the option *does not offer* it, which is no failure.

Answers are sums of the output over all steps. Two starts are known in the field, at 0 and at half a threshold; where
they lead to different counts both are accepted.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["Adapter", "Answer", "Check", "Result", "Verdict", "judge"]

Adapter = Callable[..., Tensor]

Answer = tuple[Fraction | int, ...]
"""Sums over the steps, for all samples and outputs in a row."""

Verdict = Literal["pass", "fail", "refused", "not offered"]

_TOLERANCE = 1e-3
"""A thousandth of a spike: room for float32, none for a spike."""

_LONGEST = 300


@dataclass(frozen=True, eq=False)
class Check:
    """A network, an input, and the answers that are right.

    Parameters
    ----------
    name : str
    why : str
        What goes wrong in practice where it fails.
    model : callable
        Makes the network.
    calibration, x : Tensor
    steps : int
    expected : tuple of Answer
        Those that are accepted, the first one for a start at 0; empty where only a refusal, or nothing, is asked for.
    values : tuple of float
        All that the output may be in a single step; empty: anything.
    levels : int
        How many values the output may have altogether; 0: any number.
    refusal : bool
        Whether to refuse by name is right.
    options : mapping
        Passed on to the adapter.
    times : int
        How often the adapter is asked, each time anew.
    """

    name: str
    why: str
    model: Callable[[], nn.Module]
    calibration: Tensor
    x: Tensor
    steps: int
    expected: tuple[Answer, ...] = ()
    values: tuple[float, ...] = ()
    levels: int = 0
    refusal: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    times: int = 1

    def wanted(self) -> str:
        """The right answers in words."""
        counts = " or ".join(_listed(answer) for answer in self.expected)
        spikes = f"each step one of {', '.join(f'{v:g}' for v in self.values)}" if self.values else ""
        levels = f"spikes: at most {self.levels} values" if self.levels else ""
        told = "; ".join(filter(None, (counts, spikes, levels)))
        return " or ".join(filter(None, (told, "a refusal" if self.refusal else "")))


@dataclass(frozen=True)
class Result:
    """What came of one check; `got` is the answer, or the message of a refusal."""

    name: str
    why: str
    expected: str
    got: str
    verdict: Verdict


def judge(check: Check, adapter: Adapter) -> Result:
    """Ask `adapter`, and compare."""
    model = check.model().eval()
    before = deepcopy(model.state_dict())
    if not _takes(adapter, check.options):
        return Result(check.name, check.why, check.wanted(), "its adapter has no such option", "not offered")
    try:
        with torch.no_grad():
            found = [
                adapter(model, check.calibration.clone(), check.x.clone(), check.steps, **check.options)
                for _ in range(check.times)
            ]
    except Exception as error:  # whatever a converter raises is its answer
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        return Result(check.name, check.why, check.wanted(), said, "pass" if check.refusal else "refused")
    wrong = [message for output in found if (message := _wrong(check, output))]
    after = model.state_dict()
    if not wrong and any(not torch.equal(after[key].nan_to_num(), value.nan_to_num()) for key, value in before.items()):
        wrong = ["the caller's own weights were changed"]
    got = wrong[0] if wrong else _told(found[0])
    return Result(check.name, check.why, check.wanted(), got, "fail" if wrong else "pass")


def _takes(adapter: Adapter, options: Mapping[str, Any]) -> bool:
    parameters = inspect.signature(adapter).parameters
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values()) or set(options) <= set(parameters)


def _wrong(check: Check, output: Any) -> str:
    """Why `output` is no right answer; empty where it is one."""
    shape = (check.steps, len(check.x))
    if not isinstance(output, Tensor) or output.shape[:2] != shape:
        of = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        return f"got {of}, expected a tensor of (steps, batch, outputs) = ({shape[0]}, {shape[1]}, ...)"
    output = output.detach().double()
    if not check.expected and not check.levels:
        return f"went on without a word: {_told(output)}"
    if not bool(torch.isfinite(output).all()):
        return f"not finite: {_told(output)}"
    sums = output.sum(0).flatten()
    if check.expected and not any(_equal(sums, answer) for answer in check.expected):
        return _told(output)
    if check.values:
        distance = (output[..., None] - torch.tensor(check.values, dtype=torch.float64)).abs().amin(-1)
        if bool((distance > _TOLERANCE).any()):
            return f"a step of {float(output.flatten()[distance.flatten().argmax()]):g}: {_told(output)}"
    count = len(torch.unique((output / _TOLERANCE).round()))
    return f"{count} values: analog, not spikes" if check.levels and count > check.levels else ""


def _equal(sums: Tensor, answer: Answer) -> bool:
    right = torch.tensor([float(value) for value in answer], dtype=torch.float64)
    return sums.shape == right.shape and bool(((sums - right).abs() <= _TOLERANCE).all())


def _told(output: Tensor) -> str:
    return _listed([float(value) for value in output.double().sum(0).flatten()])


def _listed(values: Any) -> str:
    """Numbers with blanks between them.

    >>> _listed([1.0, Fraction(1, 2)])
    '1 0.5'
    """
    return " ".join(f"{float(value):.4g}" for value in values)
