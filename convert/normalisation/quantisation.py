"""quantise(): a folded graph to an exact network, whose neurons count to the levels of a quantised activation.

Of an activation f with quantum theta = lam / N, the network carries the level

    S = clip(floor(f(x) / theta + 1/2), lowest, N)            activation = theta S

and x arrives in units of theta: the graph is `normalise`d with theta in the place of lam. So all weights, biases,
inputs and thresholds are dyadic, whole numbers times 2^-bits, and with a count no larger than N every charge is one
too. `convert.simulation.capacity` follows bits and magnitude through the graph: as long as no sum needs more than
the 53 bits of a float64, arithmetic is that of integers, no sum depends on its order, and no tie on a rounding.
Where several weighted layers follow each other without neurons, they share the bits between them.

Average pooling is a sum; windows of different sizes are summed and then weighted (`evened`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.folding import rebuild
from convert.graph.ir import Graph, Node
from convert.graph.semantics import apply
from convert.network import Site, SpikingNetwork
from convert.neurons.counting import CountingNeuron, half_steps, staircase
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.radix import RadixNeuron
from convert.normalisation.rules import Threshold
from convert.normalisation.scaling import normalise
from convert.simulation.capacity import shared_bits

__all__ = ["evened", "quantise", "quantise_in_digits"]


def quantise(
    graph: Graph, thresholds: Mapping[str, Threshold], levels: int, dt_s: float, largest: float
) -> SpikingNetwork:
    """The exact network of `graph`.

    Parameters
    ----------
    graph : Graph
        Folded and `evened`.
    thresholds : mapping
        Activation name -> lam, the activation that the highest level means.
    levels : int
        N, levels above zero; signed activations have as many below. An activation trained in levels keeps its own.
    dt_s : float
        Length of a step in seconds.
    largest : float
        The largest input in magnitude; four times as large still has exact sums.

    Raises
    ------
    ConfigError
        Fewer than one level, a curve that differs from channel to channel, or a hybrid network.
    InputShapeError
        Sums that would not be exact.
    """
    if levels < 1:
        raise ConfigError(f"--levels: got {levels}; expected at least 1")
    if floating := [f"{node.place or node.name} ({node.kind})" for node in graph if isinstance(node.op, ir.RUNNING)]:
        raise ConfigError(
            f"--recipe exact: {', '.join(floating)}: computed in floating point, so nothing is exact; expected layers "
            "and activations only: use another recipe"
        )
    units = {node.name: _quantum(node, thresholds[node.name], levels) for node in graph.sites()}
    rules = {name: replace(thresholds[name], value=unit) for name, unit in units.items()}
    scaled = normalise(graph, rules, lambda op: LeakyNeuron(math.inf, 0.0), dt_s)
    sites = {
        name: Site(_neuron(graph[name], units[name], levels), units[name], site.quantum, torch.zeros_like(site.initial))
        for name, site in scaled.sites.items()
    }
    return shared_bits(replace(scaled, sites=sites, code="exact"), 4 * largest)


def quantise_in_digits(
    graph: Graph, thresholds: Mapping[str, Threshold], bits: int, dt_s: float, largest: float
) -> SpikingNetwork:
    """The radix-coded network of `graph`: the quantised network of 2^bits - 1 levels, its counts as binary digits.

    Parameters are those of `quantise`.

    Raises
    ------
    ConfigError
        Activations that are no rectifiers, of more levels than `bits` hold, or a hybrid network; all of them at once.
    InputShapeError
        Sums that would not be exact.
    """
    top = 2**bits - 1
    strange = [node for node in graph if isinstance(node.op, ir.RUNNING)]
    strange += [node for node in graph.sites() if not _is_half_wave(node.op) or _levels(node.op, top) > top]
    if strange:
        named = ", ".join(f"{node.place or node.name} ({node.kind})" for node in strange)
        raise ConfigError(
            f"--recipe radix: got {named}; expected ReLU, a clamp from zero upwards, or levels up to {top}: digits "
            "have no sign; use another recipe, or more --bits for activations trained in levels"
        )
    counting = quantise(graph, thresholds, top, dt_s, largest)
    sites = {
        name: replace(site, neuron=RadixNeuron(bits=bits, highest=_levels(graph[name].op, top)))
        for name, site in counting.sites.items()
    }
    return replace(counting, sites=sites, code="radix")


def _is_half_wave(op: ir.Op) -> bool:
    """Whether `op` is a ReLU up to the highest level, whatever a quantum is worth."""
    return isinstance(op, (ir.Relu, ir.Staircase)) or (isinstance(op, ir.Clamp) and op.low == 0)


def _levels(op: ir.Op, levels: int) -> int:
    """An activation that was trained in levels keeps its own."""
    return op.levels if isinstance(op, ir.Staircase) else levels


def _quantum(node: Node, threshold: Threshold, levels: int) -> Tensor:
    """Theta: per channel for ReLU; one number where the curve's shape depends on it."""
    if _is_half_wave(node.op):
        return threshold.value.double() / _levels(node.op, levels)
    top = float(threshold.value.max())
    if isinstance(node.op, ir.Tanh):
        top = 1.0
    elif isinstance(node.op, ir.Clamp):
        top = max(abs(node.op.low), abs(node.op.high))
    return torch.full([1] * len(node.shape), top / levels, dtype=torch.float64)


def _neuron(node: Node, unit: Tensor, levels: int) -> CountingNeuron:
    levels, unit_of_all = _levels(node.op, levels), float(unit.flatten()[0])
    table = half_steps(levels) if _is_half_wave(node.op) else staircase(_curve(node), unit_of_all, levels)
    return CountingNeuron(thresholds=table[0], levels=table[1])


def _curve(node: Node) -> Callable[[Tensor], Tensor]:
    """The activation as a function of numbers."""
    if any(tensor.numel() > 1 for tensor in ir.tensors(node.op).values()):
        raise ConfigError(
            f"{node.place or node.name}: got a {node.kind} whose curve differs from channel to channel; the exact "
            "recipe has one table of levels for each layer: use another recipe"
        )
    return lambda x: apply(node.op, x.reshape(-1, *[1] * len(node.shape))).flatten()


def evened(graph: Graph) -> Graph:
    """The same function, with average pooling whose windows differ in size as a sum and a weight for each place."""
    nodes: list[Node] = []
    for node in graph:
        if isinstance(node.op, ir.AdaptiveAvgPool):
            nodes += _adaptive(node, node.op, graph[node.inputs[0]].shape)
        elif isinstance(node.op, ir.AvgPool) and _is_uneven(node.op):
            nodes += _uneven(node, node.op, graph[node.inputs[0]].shape)
        else:
            nodes.append(node)
    return rebuild(nodes, graph.output)


def _is_uneven(op: ir.AvgPool) -> bool:
    return op.divisor is None and (op.ceil_mode or (any(op.padding) and not op.count_include_pad))


def _uneven(node: Node, op: ir.AvgPool, shape: tuple[int, ...]) -> list[Node]:
    """The sum of each window, then one over what `op` divides it by."""
    total = replace(op, divisor=1)
    ones = torch.ones((1, 1, *shape[1:]), dtype=torch.float64)
    gain = (apply(op, ones) / apply(total, ones))[0]
    first = Node(f"{node.name} (sum)", total, node.inputs, (), node.place)
    return [first, replace(node, op=ir.Affine(gain, torch.zeros_like(gain)), inputs=(first.name,))]


def _adaptive(node: Node, op: ir.AdaptiveAvgPool, shape: tuple[int, ...]) -> list[Node]:
    """A linear map from places to windows, the same for each channel."""
    places = math.prod(shape[1:])
    each = torch.eye(places, dtype=torch.float64).reshape(places, 1, *shape[1:])
    weight = apply(op, each).reshape(places, -1).T.contiguous()
    flat = Node(f"{node.name} (places)", ir.Reshape((shape[0], places)), node.inputs, (), node.place)
    pooled = Node(f"{node.name} (windows)", ir.Linear(weight), (flat.name,), (), node.place)
    return [flat, pooled, replace(node, op=ir.Reshape((shape[0], *op.size)), inputs=(pooled.name,))]
