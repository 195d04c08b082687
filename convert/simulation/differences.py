"""Difference operators: a function F of several values, in a network that sends its values bit by bit.

A node sums up what arrives at it, X[t] = J[1] + ... + J[t], and in step t sends

    y[t] = t F(X[t] / t) - (t - 1) F(X[t-1] / (t-1)),      y[1] = F(X[1])

so that what it has sent adds up to t F(X[t] / t): the mean of what was sent is F of the mean of what came, after every
step, whatever the order in which it came. Several in a row telescope in the same way. For a product of two inputs

    t A B - (t - 1) A' B' = t (dA B' + A' dB + dA dB) + A' B',      A = X / t, A' = X[t-1] / (t-1), dA = A - A'

(difference operators of transformers, see SpikeZIP-TF: You et al., ICML 2024; there for counts, here for means). Max
pooling is the case F(c x) = c F(x), which needs no division. F is computed in floating point, in float64: sums are not
exact, and two engines agree up to rounding, not bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convert.graph.running import RunningOp
from convert.graph.semantics import apply

__all__ = ["Difference", "MeanState", "difference_step"]


@dataclass(frozen=True, eq=False)
class MeanState:
    """Sums of what has arrived at each input, (batch, *shape); what was sent in all; the number of steps."""

    sums: tuple[Tensor, ...]
    sent: Tensor
    steps: int


def difference_step(op: RunningOp, state: MeanState | None, inputs: Sequence[Tensor]) -> tuple[MeanState, Tensor]:
    """One step: the new state, and what is sent; `state` is None before the first."""
    steps = 1 if state is None else state.steps + 1
    sums = tuple(inputs) if state is None else tuple(x + s for x, s in zip(inputs, state.sums, strict=True))
    sent = steps * apply(op, *(s / steps for s in sums))
    return MeanState(sums, sent, steps), sent if state is None else sent - state.sent


class Difference:
    """A difference operator over blocks of steps, for inputs in float64."""

    def __init__(self, op: RunningOp) -> None:
        self.op = op
        self.state: MeanState | None = None

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples."""
        if self.state is not None:
            self.state = replace(self.state, sums=tuple(s[index] for s in self.state.sums), sent=self.state.sent[index])

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """What is sent in each step of a block, for inputs (steps, batch, *shape)."""
        begin = 0 if self.state is None else self.state.steps
        sums = [x.double().cumsum(0) for x in inputs]
        if self.state is not None:
            sums = [s.add_(known) for s, known in zip(sums, self.state.sums, strict=True)]
        steps = torch.arange(begin + 1, begin + len(sums[0]) + 1, dtype=torch.float64, device=sums[0].device)
        means = [(s / _along_time(steps, s)).flatten(0, 1) for s in sums]
        totals = apply(self.op, *means).unflatten(0, sums[0].shape[:2])
        totals = totals * _along_time(steps, totals)
        before = torch.zeros_like(totals[0]) if self.state is None else self.state.sent
        self.state = MeanState(tuple(s[-1] for s in sums), totals[-1], int(steps[-1]))
        return torch.diff(totals, dim=0, prepend=before[None])


def _along_time(steps: Tensor, like: Tensor) -> Tensor:
    return steps.reshape(-1, *[1] * (like.ndim - 1))
