"""normalise(): a folded graph and its thresholds to a spiking network with quantum 1, on the lattice.

Every node carries its value in units of a scale: neurons in units of their lam, the drive of a neuron in the
same unit as the neuron, average pooling as a plain sum of spikes; functions of running means know the units of what
they receive, and give values in units of 1. A weighted layer absorbs the ratio of the
scales on its two sides (W lam_in / lam_out, b / lam_out); where two scales meet without a layer between them, as
on the identity path of a residual connection, a gain of their ratio is inserted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from convert.graph import ir
from convert.graph.folding import rebuild
from convert.graph.ir import Graph, Node, Op
from convert.graph.running import with_units
from convert.lattice import BITS, Carried, coarsest, snap, source_of, through
from convert.network import Site, SpikingNetwork, rescaled
from convert.neurons.differential import DifferentialNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.normalisation.rules import Threshold

__all__ = ["GAIN", "normalise"]

GAIN = " (gain)"
"""Ends the place of a node that the original does not have: a change of units."""


def normalise(
    graph: Graph,
    thresholds: Mapping[str, Threshold],
    neuron_of: Callable[[Op], LeakyNeuron],
    dt_s: float,
    input_code: str = "constant",
    input_scale: float = 1.0,
) -> SpikingNetwork:
    """The spiking network that carries the activations of `graph` as rates a / lam.

    Parameters
    ----------
    graph : Graph
        Folded.
    thresholds : mapping
        Activation name -> lam.
    neuron_of : callable
        The neuron that takes the place of an activation, such as `families.make_neuron` with its options.
    input_scale : float
        For Poisson input: the magnitude that one spike per step stands for.
    """
    lams = {name: threshold.value.double() for name, threshold in thresholds.items()}
    start = torch.tensor(input_scale if input_code == "poisson" else 1.0, dtype=torch.float64)
    work = _Work(graph, lams, _wanted(graph, lams))
    for node in graph:
        work.add(node, start)
    sites = {
        node.name: Site(
            neuron_of(node.op), lams[node.name],
            quantum=torch.ones((), dtype=torch.float64), initial=torch.zeros((), dtype=torch.float64),
        )
        for node in graph.sites()
    }  # fmt: skip
    finished = rebuild(work.nodes, graph.output)
    differential = any(isinstance(site.neuron, DifferentialNeuron) for site in sites.values())
    network = SpikingNetwork(
        finished, sites, work.scales, dt_s, input_code, code="differential" if differential else "rate"
    )
    return replace(network, graph=_snapped(finished, network.spiking()))


def _wanted(graph: Graph, lams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The scale in which each node's reader would like its value: a neuron asks for its lam."""
    wanted: dict[str, Tensor] = {}
    for node in reversed(graph.nodes):
        for reader in graph.consumers(node.name):
            if isinstance(reader.op, ir.Permute) and reader.name in wanted:
                back = [reader.op.axes.index(i) for i in range(len(reader.op.axes))]
                wanted.setdefault(node.name, wanted[reader.name].permute(back))
            passes = isinstance(reader.op, (ir.Add, ir.MaxPool, ir.AvgPool, ir.AdaptiveAvgPool))
            scale = lams.get(reader.name) if reader.name in lams else wanted.get(reader.name) if passes else None
            if scale is not None and (reader.name in lams or isinstance(reader.op, ir.Add) or _flat(scale)):
                wanted.setdefault(node.name, scale)
    return wanted


def _flat(scale: Tensor) -> bool:
    """Whether `scale` is constant over space (axis 0 counts channels)."""
    return all(size == 1 for size in scale.shape[1:])


@dataclass
class _Work:
    """The normalised nodes so far and the scale of each."""

    graph: Graph
    lams: Mapping[str, Tensor]
    wanted: Mapping[str, Tensor]
    nodes: list[Node] = field(default_factory=list)
    scales: dict[str, Tensor] = field(default_factory=dict)

    def add(self, node: Node, input_scale: Tensor) -> None:
        """Append `node` with its weights in the units of its neighbours."""
        op = node.op
        if isinstance(op, ir.Input):
            self._append(node, input_scale.reshape([1] * len(node.shape)))
        elif node.name in self.lams:
            source = self._in_units(node.inputs[0], self.lams[node.name], node.name)
            self._append(replace(node, inputs=(source,)), self.lams[node.name])
        elif isinstance(op, (ir.Linear, ir.Conv)):
            self._weighted(node, op)
        elif isinstance(op, ir.RUNNING):
            units = with_units(op, [self.scales[name] for name in node.inputs])
            self._append(replace(node, op=units), torch.ones([1] * len(node.shape)).double())
        elif isinstance(op, ir.Affine):
            scale = self.wanted.get(node.name, self.scales[node.inputs[0]])
            gain = op.scale * self.scales[node.inputs[0]] / scale
            self._append(replace(node, op=ir.Affine(gain, op.shift / scale)), scale)
        elif isinstance(op, ir.Add):
            scale = self.wanted.get(node.name, self.scales[node.inputs[0]])
            sources = tuple(self._in_units(name, scale, node.name, i) for i, name in enumerate(node.inputs))
            self._append(replace(node, inputs=sources), scale)
        else:
            self._wiring(node)

    def _append(self, node: Node, scale: Tensor) -> None:
        self.nodes.append(node)
        self.scales[node.name] = scale

    def _in_units(self, name: str, scale: Tensor, reader: str, branch: int = 0) -> str:
        """`name`, or a gain after it, so that its value comes in units of `scale`."""
        have, wanted = torch.broadcast_tensors(self.scales[name], scale)
        if torch.equal(have, wanted):
            return name
        gain = Node(f"{name}_to_{reader}_{branch}", ir.Affine(self.scales[name] / scale, torch.zeros_like(scale)),
                    (name,), self.graph[name].shape, f"{self.graph[reader].place}{GAIN}")  # fmt: skip
        self._append(gain, scale)
        return gain.name

    def _weighted(self, node: Node, op: ir.Linear | ir.Conv) -> None:
        source = node.inputs[0]
        axis = 0 if isinstance(op, ir.Conv) else len(node.shape) - 1
        if not _along(self.scales[source], self.graph[source].shape, 0 if isinstance(op, ir.Conv) else -1):
            source = self._in_units(source, torch.ones([1] * len(self.graph[source].shape)).double(), node.name)
        wanted = self.wanted.get(node.name)
        inner = rescaled(op, self.scales[source], torch.ones(()).double())
        if wanted is not None and _along(wanted, node.shape, axis):
            scale = wanted
        else:
            top = max(float(inner.weight.abs().max()), 1e-30)
            scale = torch.exp2(torch.tensor(top).log2().ceil()).double().reshape([1] * len(node.shape))
        self._append(replace(node, op=rescaled(inner, torch.ones(()), 1 / scale), inputs=(source,)), scale)

    def _wiring(self, node: Node) -> None:
        """Pooling, reshape, concatenation, padding and permutation pass their scales on."""
        op, inputs = node.op, node.inputs
        if isinstance(op, ir.Reshape):
            scale = _spread(self.scales[inputs[0]], self.graph[inputs[0]].shape, op.shape)
        elif isinstance(op, ir.Concat):
            parts = [self.scales[n].expand(self.graph[n].shape) for n in inputs]
            scale = _compact(torch.cat(parts, dim=op.axis))
        elif isinstance(op, ir.Permute):
            scale = self.scales[inputs[0]].permute(op.axes)
        elif isinstance(op, ir.Pad) and op.mode == "zeros":
            scale = _padded(self.scales[inputs[0]], op)
        else:
            one = torch.ones([1] * len(node.shape)).double()
            if not _flat(self.scales[inputs[0]]):
                inputs = (self._in_units(inputs[0], one, node.name),)
            scale, op = self.scales[inputs[0]], op
            if isinstance(op, ir.AvgPool) and _divides_evenly(op):
                window = int(torch.tensor(op.kernel).prod())
                scale = scale / (op.divisor or window)
                op = replace(op, divisor=1, count_include_pad=True)
        self._append(replace(node, op=op, inputs=inputs), scale)


def _along(scale: Tensor, shape: tuple[int, ...], axis: int) -> bool:
    """Whether `scale` varies along `axis` of `shape` only."""
    return all(size == 1 for i, size in enumerate(scale.shape) if i != axis % len(shape))


def _divides_evenly(op: ir.AvgPool) -> bool:
    """Whether every window is divided by the same number."""
    return op.divisor is not None or (not op.ceil_mode and (op.count_include_pad or not any(op.padding)))


def _spread(scale: Tensor, shape: tuple[int, ...], target: tuple[int, ...]) -> Tensor:
    if scale.numel() == 1:
        return scale.reshape([1] * len(target))
    return scale.expand(shape).reshape(target)


def _padded(scale: Tensor, op: ir.Pad) -> Tensor:
    """Where the scale varies along a padded axis, the zeros of the border are counted in units of 1."""
    sides = [(b, a) if n > 1 else (0, 0) for b, a, n in zip(op.before, op.after, scale.shape, strict=True)]
    return F.pad(scale, [n for pair in reversed(sides) for n in pair], value=1.0) if any(map(any, sides)) else scale


def _compact(scale: Tensor) -> Tensor:
    """The same scale with axes over which it is constant reduced to one entry."""
    for axis in range(scale.ndim):
        first = scale.narrow(axis, 0, 1)
        if torch.equal(first.expand_as(scale), scale):
            scale = first
    return scale.clone()


def _snapped(graph: Graph, emitters: Mapping[str, Carried]) -> Graph:
    """Weights and biases on the lattice; coarser only where sums would otherwise leave float32."""
    nodes: list[Node] = []
    known: dict[str, Carried] = {}
    for node in graph:
        own = (*ir.ACTIVATIONS, *ir.RUNNING)  # a slope is the neuron's; functions are computed in floating point
        tensors = {} if isinstance(node.op, own) else ir.tensors(node.op)
        if tensors:
            bits = _bits(node.op, known[node.inputs[0]])
            snapped = {name: snap(tensor, bits).contiguous() for name, tensor in tensors.items()}
            node = replace(node, op=replace(node.op, **snapped))  # type: ignore[arg-type]
        nodes.append(node)
        known[node.name] = source_of(node, emitters) or through(node, [known[name] for name in node.inputs])
    return Graph(tuple(nodes), graph.output)


def _bits(op: Op, source: Carried) -> int:
    if source.bits is None or source.bits >= BITS:
        return BITS
    weight, bias = (op.scale, op.shift) if isinstance(op, ir.Affine) else (op.weight, op.bias)  # type: ignore[union-attr]
    reach = weight.abs() if isinstance(op, ir.Affine) else weight.abs().flatten(1).sum(1)
    bound = float(reach.max()) * source.bound + (0.0 if bias is None else float(bias.abs().max()))
    return coarsest(bound * 2.0**source.bits)
