"""A spiking network in leaps: the network's state after 1, 2, 4, ... steps from one dense pass each.

From one leap to the next, a population gets what its inputs have sent meanwhile, as a constant drive, and does what
its law does at a constant drive in so many steps, in closed form (`convert.neurons.leaps`). Every other node acts on
means since the start, so pooling, bias and functions of means need no memory; what arrives through a synaptic filter
is summed in closed form too.

**Unevenness** is what a constant drive leaves out. A train of n spikes is ahead of or behind its mean by a remainder
that is uniform within half a quantum, so of variance u^2 / 12 (u the least spike value), for every input that neither
rests nor fires in each step. Through weights these variances add up, var = sum w^2 var_in, for each neuron. Within a
leap of k steps the drive is therefore given in `parts` pieces, with independent normal remainders of that variance at
the borders between them, and none at the end, which the dense pass knows. A neuron that cannot take a spike back keeps
the surplus of such a remainder, one that can emits two spikes more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import apply
from convert.network import SpikingNetwork
from convert.neurons.graded import GradedNeuron
from convert.neurons.leaps import leap
from convert.simulation.inputs import constant_current
from convert.simulation.typed import behind_memory, in_type

__all__ = ["PARTS", "Surrogate", "leaps_to", "spread_of"]

PARTS = 4
"""Pieces of a leap between which remainders are drawn."""

_ROUNDING = 1 / 12
"""Variance of a number that is uniform within one quantum."""


def leaps_to(steps: Sequence[int], delay: int) -> tuple[int, ...]:
    """Where the leaps end: at `steps`, where their read-outs begin, and at the powers of two in between.

    >>> leaps_to((10,), 3)
    (1, 2, 3, 4, 8, 10)
    """
    last = max(steps)
    doubling = {2**i for i in range(last.bit_length()) if 2**i <= last}
    begins = {min(delay, t // 2) for t in steps} - {0}
    return tuple(sorted({*steps, *doubling, *begins}))


def spread_of(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Variance of what `node` gives, given those of its independent inputs, each (batch, *shape)."""
    op = node.op
    if isinstance(op, ir.WEIGHTED):
        return apply(replace(op, weight=op.weight**2, bias=None), *inputs)
    if isinstance(op, ir.Affine):
        return inputs[0] * op.scale**2
    if isinstance(op, ir.AvgPool):
        return apply(op, *inputs) / (op.divisor or math.prod(op.kernel))
    if isinstance(op, ir.AdaptiveAvgPool):
        return apply(op, *inputs) * (math.prod(node.shape) / inputs[0][0].numel())
    if isinstance(op, ir.RUNNING):
        return torch.zeros((1, *node.shape), dtype=inputs[0].dtype)
    return apply(op, *inputs)


class Surrogate:
    """One batch on its way through the leaps.

    Parameters
    ----------
    x : Tensor (batch, *sample shape)
    generator : torch.Generator
        For remainders and Poisson input.
    parts : int
        Pieces of a leap; 1 leaves unevenness out.
    """

    def __init__(self, network: SpikingNetwork, x: Tensor, generator: torch.Generator, parts: int = PARTS) -> None:
        self.network, self.generator, self.parts = network, generator, parts
        self.graph = Graph(tuple(in_type(node, torch.float32) for node in network.graph), network.graph.output)
        self.x = constant_current(x).float()
        self.exact, self.poisson = network.code == "exact", network.input_code == "poisson"
        self.synapse = network.synapse
        self.pools = behind_memory(self.graph, set(network.sites))
        self.states: dict[str, Any] = {}
        self.sent: dict[str, Tensor] = {}
        self.spikes: dict[str, Tensor] = {}
        self.arrived: dict[str, Tensor] = {}
        self.currents: dict[str, Tensor] = {}
        self.filtered_sums: dict[str, Tensor] = {}
        self.flicker: dict[str, Tensor] = {}
        self.begin = self.end = 0
        self.statics: dict[str, Tensor] = {}
        self.lanes: dict[tuple[str, str], Tensor] = {}

    @torch.no_grad()
    def totals(self, ends: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """After each leap: the steps so far, and the output summed over them (of an exact network: its charge)."""
        for end in ends:
            self.begin, self.end, self.lanes = self.end, end, {}
            for node in self.graph:
                if node.name in self.network.sites:
                    self._leap(node)
            mean = self._lane("raw", self.graph.output)
            yield end, mean if self.exact else mean.double() * end

    def _lane(self, lane: str, name: str) -> Tensor:
        """The mean of a node's value over all steps so far; in an exact network, its sum."""
        if name in self.statics:
            return self.statics[name]
        if (lane, name) not in self.lanes:
            value = self._raw(self.graph[name]) if lane == "raw" else self._filtered(self.graph[name])
            self.lanes[lane, name] = value
        return self.lanes[lane, name]

    def _raw(self, node: Node) -> Tensor:
        if isinstance(node.op, ir.Input):
            return self._input(node)
        if node.name in self.network.sites:
            return self.sent[node.name] / (1 if self.exact else self.end)
        value = apply(node.op, *(self._lane("raw", name) for name in node.inputs))
        if not self.poisson and all(name in self.statics for name in node.inputs):
            self.statics[node.name] = value
        return value

    def _input(self, node: Node) -> Tensor:
        if not self.poisson:
            self.statics[node.name] = self.x
            return self.x
        scale = float(self.network.scales[node.name].flatten()[0])
        tries = torch.full_like(self.x, self.end - self.begin)
        drawn = torch.binomial(tries, (self.x.abs() / scale).clamp(max=1), generator=self.generator)
        self.sent[node.name] = self.sent.get(node.name, torch.zeros_like(self.x)) + drawn * torch.sign(self.x)
        self.spikes[node.name] = self.spikes.get(node.name, torch.zeros_like(self.x)) + drawn
        return self.sent[node.name] / self.end

    def _filtered(self, node: Node) -> Tensor:
        """The same through the synaptic filter, summed up in closed form over the leap."""
        if not self.synapse.alpha:
            return self._lane("raw", node.name)
        if node.name in self.pools:
            return apply(node.op, *(self._lane("filtered", name) for name in node.inputs))
        raw = self._lane("raw", node.name)
        if node.name in self.statics:
            return raw
        k, arrived = self.end - self.begin, raw * self.end
        mean = (arrived - self.arrived.get(node.name, torch.zeros_like(raw))) / k
        rest = self.currents.get(node.name)
        rest = self._rest(node) if rest is None else rest
        left = list(accumulate((self.synapse.decay(t) for t in range(self.begin + 1, self.end + 1)), mul))
        total = k * mean + (rest - mean) * sum(left)
        self.currents[node.name] = mean + left[-1] * (rest - mean)
        self.arrived[node.name] = arrived
        total = total + self.filtered_sums.get(node.name, torch.zeros_like(raw))
        self.filtered_sums[node.name] = total
        return total / self.end

    def _rest(self, node: Node) -> Tensor:
        """The value of `node` while nobody fires."""
        if node.name in self.statics:
            return self.statics[node.name]
        if node.name in self.network.sites or isinstance(node.op, ir.Input):
            return torch.zeros((1, *node.shape))
        return apply(node.op, *(self._rest(self.graph[name]) for name in node.inputs))

    def _leap(self, node: Node) -> None:
        """Advance one population to the end of the leap."""
        site, source = self.network.sites[node.name], node.inputs[0]
        came = self._lane("filtered", source) * (1 if self.exact else self.end)
        key = f"{node.name} charge"
        charge = came - self.arrived.get(key, torch.zeros_like(came))
        self.arrived[key] = came
        if node.name not in self.states:
            self.states[node.name] = site.neuron.start(torch.zeros_like(came) + site.initial.float())
            self.sent[node.name] = self.spikes[node.name] = torch.zeros_like(came)
        k, threshold = self.end - self.begin, site.threshold.float()
        net, fired = torch.zeros_like(came), torch.zeros_like(came)
        for part, drive in self._drives(node, charge, k):
            self.states[node.name], value, spikes = leap(
                site.neuron, self.states[node.name], drive, part, self.network.dt_s, threshold
            )
            net, fired = net + value, fired + spikes
        self.sent[node.name] = self.sent[node.name] + net
        if site.neuron.signed and self.network.code == "rate":
            fired = self._with_corrections(node, net, fired, k)
        self.spikes[node.name] = self.spikes[node.name] + fired

    def _with_corrections(self, node: Node, net: Tensor, fired: Tensor, k: int) -> Tensor:
        """Spikes of a leap, those included that only make up for others: as many in each step as between pieces."""
        extra = (fired - (net.abs() / _unit(self.network, node.name)).clamp(max=k)).clamp(min=0)
        extra = extra * (k / min(k, self.parts))
        self.flicker[node.name] = (extra / k).mean(0, keepdim=True)
        return (fired + extra * (1 - min(k, self.parts) / k)).clamp(max=k)

    def _drives(self, node: Node, charge: Tensor, k: int) -> Iterator[tuple[int, Tensor]]:
        """The leap in pieces: their steps, and the mean drive of each."""
        pieces = 1 if self.exact else min(k, self.parts)
        source = node.inputs[0]
        if pieces == 1 or source in self.statics:
            yield k, charge / k
            return
        deviation = self._spread(self.graph[source]).sqrt()
        before: Tensor | float = 0.0
        for i in range(pieces):
            part = k * (i + 1) // pieces - k * i // pieces
            last = i == pieces - 1
            after = 0.0 if last else torch.empty_like(charge).normal_(generator=self.generator) * deviation
            yield part, (charge * (part / k) + after - before) / part
            before = after

    def _spread(self, node: Node) -> Tensor:
        """Variance of the remainder of what `node` has received so far, (1, *shape): the mean over the batch."""
        if node.name in self.statics:
            return torch.zeros((1, *node.shape))
        if ("spread", node.name) not in self.lanes:
            self.lanes["spread", node.name] = self._spread_of(node)
        return self.lanes["spread", node.name]

    def _spread_of(self, node: Node) -> Tensor:
        if isinstance(node.op, ir.Input):
            scale = float(self.network.scales[node.name].flatten()[0])
            rate = (self.x.abs() / scale).clamp(max=1)
            return (rate * (1 - rate)).mean(0, keepdim=True) * (self.end - self.begin) / self.parts
        if node.name in self.network.sites:
            rate = self._lane("raw", node.name).abs()
            uneven = ((rate > 0) & (rate < self.network.sites[node.name].neuron.largest)).float().mean(
                0, keepdim=True
            ) * _ROUNDING
            return (uneven + self.flicker.get(node.name, 0.0)) * _unit(self.network, node.name) ** 2
        return spread_of(node, [self._spread(self.graph[name]) for name in node.inputs])


def _unit(network: SpikingNetwork, name: str) -> float:
    """The least value of a spike."""
    neuron = network.sites[name].neuron
    return neuron.values[-1] if isinstance(neuron, GradedNeuron) else 1.0
