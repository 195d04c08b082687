"""A spiking network in which some populations are analog again: what a diagnosis compares.

Layer by layer with time folded into the batch, in float64. A value is (steps, batch, *shape), or (1, batch, *shape)
where it is constant. An analog population sends the activation of the mean charge that it receives,

    s = f(lam mean_t(drive[t])) / lam,   f the activation of the original network

as a constant current, so it neither clips nor rounds nor leaks, and its readers see no unevenness. With no analog
population the spikes are those of `convert.simulate`; with analog ones only, the output is the original network's up
to the rounding of weights to their lattice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply
from convert.network import Site, SpikingNetwork
from convert.simulation.differences import Difference
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.results import read_out

__all__ = ["Hybrid", "input_trains", "respond"]


def input_trains(network: SpikingNetwork, x: Tensor, steps: int, seed: int, samples: range) -> Tensor:
    """What the input sends: (steps, batch, *shape), or (1, batch, *shape) for a constant current."""
    if network.input_code == "constant":
        return constant_current(x)[None].double()
    scale = float(network.scales[network.graph.input.name].flatten()[0])
    return poisson_spikes(x, scale, steps, seed, samples).double()


def respond(site: Site, drive: Tensor, steps: int, dt_s: float) -> Tensor:
    """Spikes of the population at `site`: (steps, batch, *shape), for a drive of as many steps or a constant one."""
    state, spikes = None, []
    for t in range(steps):
        state, fired = site.step(state, drive[0 if len(drive) == 1 else t], dt_s)
        spikes.append(fired)
    return torch.stack(spikes)


@dataclass
class Hybrid:
    """One run.

    Parameters
    ----------
    inputs : Tensor
        See `input_trains`.
    analog : frozenset of str
        The populations that are analog.
    known : mapping
        Spike trains that are known already: those of populations that depend on no analog one.
    """

    network: SpikingNetwork
    inputs: Tensor
    steps: int
    analog: frozenset[str] = frozenset()
    known: Mapping[str, Tensor] = field(default_factory=dict)
    trains: dict[str, Tensor] = field(default_factory=dict)
    """Population -> what it sent."""
    drives: dict[str, Tensor] = field(default_factory=dict)
    """Population -> mean charge per step that it received, (batch, *shape)."""
    lossless: dict[str, Tensor] = field(default_factory=dict)
    """Population -> the rate that the same train gives without the leak of the membrane, (batch, *shape)."""

    def __post_init__(self) -> None:
        """Where the synaptic filter stands."""
        self.synapse = self.network.synapse
        self.raw: dict[str, Tensor] = {}
        self.filtered: dict[str, Tensor] = {}
        self.rest: dict[str, Tensor] = {}
        self.pooled: set[str] = set()

    def run(self) -> Tensor:
        """The read-out after the last step, in the units of the original: (batch, *output shape)."""
        graph = self.network.graph
        last = {name: i for i, node in enumerate(graph) for name in node.inputs}
        for i, node in enumerate(graph):
            self._add(node)
            for name in set(node.inputs):
                if last[name] == i and name != graph.output:
                    for lane in (self.raw, self.filtered, self.rest):
                        lane.pop(name, None)
        sent = self.raw[graph.output]
        totals = sent.expand(self.steps, *sent.shape[1:]).cumsum(0)
        return read_out(totals, self.network)[-1]

    def _add(self, node: Node) -> None:
        name = node.name
        if isinstance(node.op, ir.Input):
            self._emit(name, self.inputs)
        elif name in self.network.sites:
            self._emit(name, self._population(node))
        else:
            self._wire(node)

    def _population(self, node: Node) -> Tensor:
        if node.name in self.known:
            return self.known[node.name].double()
        site, drive = self.network.sites[node.name], self.filtered[node.inputs[0]]
        mean = drive.mean(0)
        self.drives[node.name] = mean
        if node.name in self.analog:
            sent = (apply(node.op, mean * site.threshold) / site.threshold)[None]
        else:
            sent = respond(site, drive, self.steps, self.network.dt_s)
            ideal = replace(site, neuron=replace(site.neuron, tau_mem_s=math.inf))
            leaks = site.neuron.tau_mem_s < math.inf
            kept = respond(ideal, drive, self.steps, self.network.dt_s) if leaks else sent
            self.lossless[node.name] = kept.sum(0) / self.steps
        self.trains[node.name] = sent
        return sent

    def _emit(self, name: str, sent: Tensor) -> None:
        """What is sent, and what its readers receive of it through their synapses."""
        self.raw[name] = sent
        self.rest[name] = sent[0] if len(sent) == 1 else torch.zeros_like(sent[0])
        self.filtered[name] = self._filter(sent, self.rest[name])

    def _wire(self, node: Node) -> None:
        """A node without neurons. The filter is linear: it stands in front of max pooling, behind the rest."""
        self.raw[node.name] = _applied(node, [self.raw[name] for name in node.inputs])
        self.rest[node.name] = apply(node.op, *(self.rest[name] for name in node.inputs))
        if isinstance(node.op, (ir.MaxPool, *ir.RUNNING)) or self.pooled & set(node.inputs):
            self.pooled.add(node.name)
            self.filtered[node.name] = _applied(node, [self.filtered[name] for name in node.inputs])
        else:
            self.filtered[node.name] = self._filter(self.raw[node.name], self.rest[node.name])

    def _filter(self, sent: Tensor, rest: Tensor) -> Tensor:
        """I[t] = alpha I[t-1] + (1 - alpha) S[t], at rest before the first step; a constant passes unchanged."""
        if len(sent) == 1 or not self.synapse.alpha:
            return sent
        current, out = rest, []
        for step, value in enumerate(sent, start=1):
            alpha = self.synapse.decay(step)
            current = alpha * current + (1 - alpha) * value
            out.append(current)
        return torch.stack(out)


def _applied(node: Node, inputs: list[Tensor]) -> Tensor:
    """`node` on trains; a max pool emits the growth of the maximum of its accumulated drive, and so do differences."""
    steps = max(len(value) for value in inputs)
    if isinstance(node.op, ir.MaxPool) and steps > 1:
        best = _folded(node, [inputs[0].cumsum(0)])
        return torch.diff(best, dim=0, prepend=torch.zeros_like(best[:1]))
    if isinstance(node.op, ir.RUNNING) and steps > 1:
        return Difference(node.op)([value.expand(steps, *value.shape[1:]) for value in inputs])
    return _folded(node, [value.expand(steps, *value.shape[1:]) for value in inputs])


def _folded(node: Node, inputs: list[Tensor]) -> Tensor:
    return apply(node.op, *(value.flatten(0, 1) for value in inputs)).unflatten(0, inputs[0].shape[:2])
