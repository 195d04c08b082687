"""Exact operation counts of a network and of its spiking twin, per node and inference.

By the rules of `evaluate.counts.CONVENTIONS`. A node is classified by its declared role, never by the values that
happen to pass through it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import overload

import torch
from torch import Tensor

from convert import Conversion
from convert.graph import ir
from convert.graph.ir import Node
from convert.neurons.adaptive import AdaptiveNeuron
from convert.neurons.differential import DifferentialNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.tracking import CurveNeuron, TrackingNeuron
from evaluate.counts import OpCount
from evaluate.synapses import fan_out, summed
from evaluate.tensors import tensors_of

_DECODER = (2, 1)
"""(additions, multiplications) of a decoder of the differential code in one step."""

__all__ = ["Geometry", "count_operations", "count_steps", "update_cost"]


def update_cost(neuron: LeakyNeuron) -> tuple[int, int]:
    """(additions, multiplications) of one membrane update beyond the arriving spikes.

    IF adds the bias. A leak multiplies V by beta. A synaptic filter multiplies I by alpha and adds it to V. A neuron
    that adapts keeps its own rate: one more of each. A neuron that keeps its count on a curve leaks twice, takes the
    count from what is owed, and finds that with a slope; with a table, also a mean, an offset and a change of unit.
    Comparisons, and with them looking a table up, are not counted, as they are not for thresholds.

    A differential neuron adds the decoded drive, takes what it has said, and corrects that by a product; its bias is
    where the decoder in front of it starts.
    """
    if isinstance(neuron, DifferentialNeuron):
        return 3, 1
    leaks, filters = neuron.tau_mem_s < float("inf"), neuron.tau_syn_s > 0
    adapts = isinstance(neuron, AdaptiveNeuron)
    tracks, tabulated = isinstance(neuron, TrackingNeuron), isinstance(neuron, CurveNeuron)
    additions = 1 + filters + adapts + tracks + tabulated
    return additions, int(leaks) * (1 + tracks) + filters + adapts + tracks + 2 * tabulated


def count_operations(
    conversion: Conversion, spikes: Mapping[str, Tensor], nonzero: Mapping[str, Tensor], steps: float
) -> tuple[OpCount, ...]:
    """Counts for every node of the spiking network that computes something.

    Parameters
    ----------
    spikes : mapping
        Node -> mean spikes per inference of each of its elements, of either sign, up to step `steps`.
    nonzero : mapping
        Weighted node of the ANN -> fraction of the samples in which each element of its input is not zero.
    steps : float
        T; where samples stop early, the mean of theirs.
    """
    return count_steps(conversion, {name: each[None] for name, each in spikes.items()}, nonzero, (steps,))[0]


def count_steps(
    conversion: Conversion,
    spikes: Mapping[str, Tensor],
    nonzero: Mapping[str, Tensor],
    record: Sequence[float],
    geometry: Geometry | None = None,
) -> list[tuple[OpCount, ...]]:
    """The counts at each recorded step; `spikes` has the recorded steps in front, see `count_operations`.

    Parameters
    ----------
    geometry : Geometry, optional
        One that was used before, for the same conversion: which synapses there are is found out once.
    """
    known = geometry or Geometry(conversion)
    counted = []
    for i, steps in enumerate(record):
        counter = _Counter(conversion, {name: each[i] for name, each in spikes.items()}, nonzero, steps, known)
        rows = [counter.row(node) for node in conversion.snn.graph]
        counted.append(tuple(counter.with_traffic(row) for row in rows if row is not None))
    return counted


class Geometry:
    """Which synapses a network has, of which weights: found out when first asked for.

    Parameters
    ----------
    conversion : Conversion
    """

    def __init__(self, conversion: Conversion) -> None:
        self.graph = conversion.snn.graph
        self.originals = {node.name: node.op for node in conversion.folded}
        self.edges: dict[str, Tensor] = {}
        self.zeros: dict[tuple[str, bool], Tensor | None] = {}

    def of(self, node: Node) -> Tensor:
        """Synapses that leave each element of the input of `node`."""
        if node.name not in self.edges:
            self.edges[node.name] = fan_out(node.op, self.graph[node.inputs[0]].shape)
        return self.edges[node.name]

    def of_zero_weight(self, node: Node, original: bool) -> Tensor | None:
        """Those among them whose weight is zero, in the ANN or in the spiking network; None if no weight is."""
        key = (node.name, original)
        if key not in self.zeros:
            op = self.originals.get(node.name, node.op) if original else node.op
            shape = self.graph[node.inputs[0]].shape
            self.zeros[key] = fan_out(op, shape, zero=True) if isinstance(op, (*ir.WEIGHTED, ir.Affine)) else None
        return self.zeros[key]


class _Counter:
    """One walk: for each node what arrives there, and what it costs."""

    def __init__(
        self,
        conversion: Conversion,
        spikes: Mapping[str, Tensor],
        nonzero: Mapping[str, Tensor],
        steps: float,
        geometry: Geometry,
    ) -> None:
        self.geometry = geometry
        self.snn, self.spikes, self.nonzero = conversion.snn, spikes, nonzero
        self.steps = steps + 2 * self.snn.look_ahead
        self.original = {node.name for node in conversion.folded}
        self.events: dict[str, Tensor] = {}
        """Node -> mean events per inference at each element, where spikes (summed or scaled) are carried."""
        self.constant: set[str] = set()
        self.raw: set[str] = set()
        """Nodes that carry spikes that have met no synapse yet."""
        self.real: dict[str, Tensor] = {}
        """Node -> where it carries values of the sample (1) and where the zeros of a border (0), if there is one."""
        self.analog: dict[str, Tensor] = {}
        """Node -> how many analog constants meet at each element, where others carry spikes."""
        self.decoded: set[str] = set()
        """In the differential code: nodes that carry what max pools have decoded."""

    def row(self, node: Node) -> OpCount | None:
        """The counts of `node`, None where it is wiring."""
        row = self._own(node)
        return row if self.snn.code != "differential" else self._with_decoders(node, row)

    def with_traffic(self, row: OpCount) -> OpCount:
        """`row` with what its node holds and hears."""
        node = self.snn.graph[row.node]
        heard = self.events.get(node.inputs[0]) if row.synops and node.inputs and row.role == "spiking" else None
        arrivals = 0.0 if heard is None else float(heard.sum())
        return replace(row, arrivals=arrivals, tensors=tensors_of(node, self.snn.graph))

    def _with_decoders(self, node: Node, row: OpCount | None) -> OpCount | None:
        """`row` with the decoders in front of a population or a max pool, and those of the read-out."""
        population, pools = node.name in self.snn.sites, isinstance(node.op, ir.MaxPool)
        waiting = [name for name in node.inputs if name not in self.constant | self.decoded]
        if not population and node.name not in self.constant and (pools or self.decoded & set(node.inputs)):
            self.decoded.add(node.name)
        decoders = int(bool(waiting) and (population or pools))
        decoders += int(node.name == self.snn.graph.output and node.name not in self.constant | self.decoded)
        if not decoders:
            return row
        if row is None:
            row = OpCount(node.name, node.place, "linear")
        size = int(torch.tensor(node.shape).prod())
        return replace(
            row, neuron_updates=row.neuron_updates or size * self.steps,
            adds_per_update=row.adds_per_update + decoders * _DECODER[0],
            multiplies_per_update=row.multiplies_per_update + decoders * _DECODER[1],
        )  # fmt: skip

    def _own(self, node: Node) -> OpCount | None:
        """The counts of `node` itself."""
        if isinstance(node.op, ir.Input):
            return self._input(node)
        if node.name in self.snn.sites:
            return self._neurons(node)
        if isinstance(node.op, (ir.Linear, ir.Conv, ir.Affine)):
            return self._weighted(node)
        return self._wiring(node)

    def _input(self, node: Node) -> OpCount | None:
        if node.name not in self.spikes:
            self.constant.add(node.name)
            return None
        self._emits(node)
        return OpCount(node.name, node.place, "linear", spikes=float(self.spikes[node.name].sum()))

    def _emits(self, node: Node) -> None:
        self.events[node.name] = self.spikes[node.name].double()
        self.raw.add(node.name)

    def _neurons(self, node: Node) -> OpCount:
        source, size = node.inputs[0], int(torch.tensor(node.shape).prod())
        direct = float(self.events[source].sum()) if source in self.raw else 0.0
        adds, multiplies = update_cost(self.snn.sites[node.name].neuron)
        self._emits(node)
        return OpCount(
            node.name, node.place, "neuron", neurons=size, synops=direct, spikes=float(self.events[node.name].sum()),
            neuron_updates=size * self.steps, adds_per_update=adds, multiplies_per_update=multiplies,
        )  # fmt: skip

    def _weighted(self, node: Node) -> OpCount:
        source = node.inputs[0]
        edges = self._inside(self.geometry.of(node), source)
        macs = int(edges.sum())
        mine = node.name in self.original
        effective = (
            float((edges * self.nonzero[node.name].double()).sum()) if node.name in self.nonzero else float(macs)
        )
        zero_macs = self._inside(self.geometry.of_zero_weight(node, True), source) if mine else None
        row = OpCount(node.name, node.place, "spiking", ann_macs=macs if mine else 0,
                      ann_macs_effective=effective if mine else 0.0,
                      macs_zero_weight=0 if zero_macs is None else int(zero_macs.sum()))  # fmt: skip
        if source in self.constant:
            self.constant.add(node.name)
            return replace(row, role="encoder", encoder_macs=macs, encoder_macs_recomputed=macs * self.steps)
        if source in self.events:
            if isinstance(node.op, ir.Affine):
                self.events[node.name] = self.events[source]
            encoder = int((edges * self.analog[source]).sum()) if source in self.analog else 0
            zeros = self._inside(self.geometry.of_zero_weight(node, False), source)
            idle = 0.0 if zeros is None else float((zeros * self.events[source]).sum())
            synops = float((edges * self.events[source]).sum())
            return replace(
                row, synops=synops, synops_zero_weight=idle, encoder_macs=encoder,
                encoder_macs_recomputed=encoder * self.steps,
            )  # fmt: skip
        return replace(row, role="encoder", encoder_macs=macs * self.steps, encoder_macs_recomputed=macs * self.steps)

    @overload
    def _inside(self, edges: Tensor, source: str) -> Tensor: ...
    @overload
    def _inside(self, edges: Tensor | None, source: str) -> Tensor | None: ...
    def _inside(self, edges: Tensor | None, source: str) -> Tensor | None:
        """`edges` without those that leave the zeros of a border."""
        return edges if edges is None or source not in self.real else edges * self.real[source]

    def _wiring(self, node: Node) -> OpCount | None:
        sources = node.inputs
        self._follow_borders(node)
        if all(name in self.constant for name in sources):
            self.constant.add(node.name)
            return self._running(node, moving=False) if isinstance(node.op, ir.RUNNING) else None
        if isinstance(node.op, ir.RUNNING):
            return self._running(node, moving=True)
        if isinstance(node.op, ir.MaxPool):
            size = int(torch.tensor(self.snn.graph[sources[0]].shape).prod())
            return OpCount(node.name, node.place, "linear", neuron_updates=size * self.steps, adds_per_update=1)
        carries = [name for name in sources if name in self.events]
        if isinstance(node.op, ir.Add):
            delivered = sum(float(self.events[name].sum()) for name in sources if name in self.raw)
            if len(carries) == len(sources):
                self.events[node.name] = torch.stack([self.events[name] for name in sources]).sum(0)
            return OpCount(node.name, node.place, "linear", synops=delivered) if delivered else None
        if carries and all(name in self.events or name in self.constant for name in sources):
            self.events[node.name] = self._summed(node, self.events)
            if all(name in self.raw for name in carries):
                self.raw.add(node.name)
            if any(name in self.constant or name in self.analog for name in sources):
                shapes = {name: self.snn.graph[name].shape for name in sources if name in self.constant}
                ones = {name: torch.ones(shape, dtype=torch.float64) for name, shape in shapes.items()}
                self.analog[node.name] = self._summed(node, {**self.analog, **ones}).clamp(max=1)
        return None

    def _running(self, node: Node, moving: bool) -> OpCount:
        """A function of running means; where its inputs move it is computed in each step, and keeps their sums."""
        shapes, times = [self.snn.graph[name].shape for name in node.inputs], self.steps if moving else 1
        row = OpCount(node.name, node.place, "hybrid")
        if moving:
            size = sum(math.prod(shape) for shape in shapes)
            row = replace(row, neuron_updates=size * times, adds_per_update=1, multiplies_per_update=1)
        if not isinstance(node.op, ir.MatMul):
            return replace(row, functions=math.prod(node.shape) * times)
        macs = math.prod(node.shape) * shapes[0][-1]
        return replace(row, ann_macs=macs, ann_macs_effective=float(macs), encoder_macs=macs * times,
                       encoder_macs_recomputed=macs * self.steps)  # fmt: skip

    def _summed(self, node: Node, carried: Mapping[str, Tensor]) -> Tensor:
        """What arrives at each element of wiring, of what is `carried` by its sources."""
        nothing = {name: torch.zeros(self.snn.graph[name].shape, dtype=torch.float64) for name in node.inputs}
        return summed(node.op, *(carried.get(name, nothing[name]) for name in node.inputs))

    def _follow_borders(self, node: Node) -> None:
        """Zeros that padding has put around the sample are no inputs: nothing is computed on them."""
        if isinstance(node.op, (ir.Pad, ir.Permute, ir.Reshape, ir.Concat)):
            pads = isinstance(node.op, ir.Pad) and node.op.mode == "zeros"
            if pads or any(name in self.real for name in node.inputs):
                shapes = {name: self.snn.graph[name].shape for name in node.inputs}
                ones = {name: torch.ones(shape, dtype=torch.float64) for name, shape in shapes.items()}
                self.real[node.name] = summed(node.op, *({**ones, **self.real}[name] for name in node.inputs))
