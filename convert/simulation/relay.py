"""Relay: a network's populations one after the other, on all samples, without running the earlier ones each time.

What calibrates layer by layer needs every sample's spikes at a layer before it can go on to the next. Running the
network from its input each time takes time that grows with the square of the depth. Here the spikes of the layers that
are settled are kept, as far as later ones read them and the room for them lasts; what is not kept is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from convert.graph.ir import Graph
from convert.network import SpikingNetwork, upstream
from convert.simulation.blocks import Kept, Run
from convert.simulation.engine import ready, shared, shares, stop_of
from convert.simulation.events.planes import Planes

__all__ = ["ROOM", "Relay"]

ROOM = 256 << 20
"""Bytes of spikes that are kept."""


class Relay:
    """Samples on their way from population to population.

    Parameters
    ----------
    x : Tensor (samples, *sample shape)
    steps : int
        T.
    size : int
        Samples that are run at a time.
    """

    def __init__(self, x: Tensor, steps: int, size: int) -> None:
        self.x, self.steps = x, steps
        self.starts = range(0, len(x), size)
        self.size = size
        self.kept: dict[str, dict[int, list[Kept]]] = {}

    def counts(self, network: SpikingNetwork, name: str, progress: Callable[[int], None] | None = None) -> Tensor:
        """Sum over the samples of what the population `name` of `network` has sent after T steps: (*shape)."""
        network = upstream(network, name)
        total = torch.zeros(network.graph[name].shape, dtype=torch.float64)
        for start in self.starts:
            for run in self._run(network, start):
                total += run.counted()[name].double().sum(0)
            if progress is not None:
                progress(min(self.size, len(self.x) - start))
        return total

    def keep(self, network: SpikingNetwork, name: str, later: Collection[str]) -> None:
        """Keep the spikes of the population `name` of `network`, which will not change any more.

        Parameters
        ----------
        later : collection of str
            The populations that are still to come: what none of them needs is forgotten.
        """
        if not later:
            return
        before, found = upstream(network, name), dict[int, list[Kept]]()
        for start in self.starts:
            for run in self._run(before, start, name):
                found[run.samples[0]] = run.kept[name]
            if self._bytes(found) * len(self.x) > (ROOM - self._bytes(*self.kept.values())) * (start + self.size):
                return
        self.kept[name] = found
        needed = _borders(network.graph, later, self.kept)
        self.kept = {name: trains for name, trains in self.kept.items() if name in needed}

    def _run(self, network: SpikingNetwork, start: int, keep: str = "") -> list[Run]:
        """A batch to the last step, in as many runs as there are threads."""
        plan = ready(network, "auto", "cpu", self.kept)
        part = self.x[start : start + self.size]

        def through(begin: int, end: int) -> Run:
            samples = range(start + begin, start + end)
            given = {name: trains[samples[0]] for name, trains in self.kept.items() if name in network.sites}
            run = Run(network, part[begin:end], self.steps, 0, samples, "cpu", plan, given=given)
            run.kept = {keep: []} if keep else {}
            while run.done < run.steps:
                run.fire(stop_of(run))
            return run

        return shared(through, shares(network, None, len(part), "cpu"))

    @staticmethod
    def _bytes(*trains: dict[int, list[Kept]]) -> int:
        """The room that they take."""
        blocks = (block for found in trains for several in found.values() for block in several)
        values = (block.bits if isinstance(block, Planes) else block for block in blocks)
        return sum(value.numel() * value.element_size() for value in values)


def _borders(graph: Graph, later: Collection[str], kept: Collection[str]) -> set[str]:
    """Those of `kept` at which a walk backwards from `later` ends."""
    waiting, seen = list(later), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [] if name in kept else graph[name].inputs
    return seen & set(kept)
