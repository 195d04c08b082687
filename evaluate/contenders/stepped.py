"""Another converter's network, run step by step, and what it sent: outputs, spikes of every population, seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evaluate.errors import PeerError

__all__ = ["Recorded", "Stepped", "run_stepped"]

_BATCH = 50
"""Samples at a time: what bounds the memory of all steps of one batch."""


@dataclass(frozen=True, eq=False)
class Stepped:
    """A converted network that runs one step with each call.

    Parameters
    ----------
    network : nn.Module
    neurons : type of nn.Module
        Its neurons; what these put out are spikes.
    begin : callable
        Called with the number of samples of a batch: puts every neuron back to its start.
    graded : bool
        Whether a neuron may send several spikes in one step, as a whole number.
    note : str
        What a reader must know of its neurons.
    """

    network: nn.Module
    neurons: type[nn.Module]
    begin: Callable[[int], None]
    graded: bool = False
    note: str = ""


@dataclass(frozen=True, eq=False)
class Recorded:
    """What came of all samples.

    Parameters
    ----------
    means : Tensor (steps, samples, *output shape)
        The mean of the outputs so far.
    spikes : tuple of Tensor (len(record), *shape)
        For each population in the order of the network: mean spikes of each neuron per sample up to each recorded
        step; a graded spike of k is k spikes.
    largest : float
        The largest spike.
    seconds : float
    """

    means: Tensor
    spikes: tuple[Tensor, ...]
    largest: float
    seconds: float


@torch.no_grad()
def run_stepped(
    made: Stepped, x: Tensor, record: Sequence[int], progress: Callable[[int], None] = lambda n: None
) -> Recorded:
    """Run `made` on the constant input `x` up to the last of the `record`ed steps.

    Raises
    ------
    PeerError
        No neuron spiked in any step, or an output is not finite.
    """
    counter = _Counter(made, record)
    means, begin = [], time.perf_counter()
    try:
        for batch in x.split(_BATCH):
            made.begin(len(batch))
            means.append(_means(made, batch, counter, record[-1]))
            progress(len(batch))
    finally:
        counter.remove()
    seconds = time.perf_counter() - begin
    joined = torch.cat(means, 1)
    if not bool(torch.isfinite(joined).all()):
        raise PeerError("its output is not finite")
    if counter.largest == 0:
        raise PeerError("no neuron spiked: not a spiking network, or a silent one")
    return Recorded(joined, tuple(total / len(x) for total in counter.totals), counter.largest, seconds)


def _means(made: Stepped, batch: Tensor, counter: _Counter, steps: int) -> Tensor:
    sums, total = [], torch.zeros(())
    for step in range(1, steps + 1):
        counter.step = step
        counter.population = 0
        total = total + made.network(batch)
        sums.append(total / step)
    return torch.stack(sums)


class _Counter:
    """Adds up what the neurons put out: the n-th call in a step is the n-th population."""

    def __init__(self, made: Stepped, record: Sequence[int]) -> None:
        self.graded, self.record = made.graded, tuple(record)
        self.totals: list[Tensor] = []
        self.step, self.population, self.largest = 1, 0, 0.0
        kinds = [module for module in made.network.modules() if isinstance(module, made.neurons)]
        self.hooks = [module.register_forward_hook(self._count) for module in kinds]

    def remove(self) -> None:
        """Leave the network as it was."""
        for hook in self.hooks:
            hook.remove()

    def _count(self, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        spikes = output if self.graded else (output != 0).to(output.dtype)
        self.largest = max(self.largest, float(spikes.amax()))
        if self.population == len(self.totals):
            self.totals.append(torch.zeros(len(self.record), *output.shape[1:], dtype=torch.float64))
        first = next(i for i, step in enumerate(self.record) if step >= self.step)
        self.totals[self.population][first:] += spikes.sum(0).double()
        self.population += 1
