"""A radix-coded network, one step after the other: every spike is sent when it is fired, nothing is computed ahead."""

from __future__ import annotations

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.semantics import apply
from convert.network import SpikingNetwork
from convert.simulation.inputs import constant_current


def stepped(network: SpikingNetwork, x: Tensor) -> tuple[list[Tensor], dict[str, list[Tensor]], dict[str, Tensor]]:
    """The output's charge after every step, the digits of every population and step, and the numbers that they say."""
    period, length = _periods(network)
    charge: dict[str, Tensor] = {}
    for node in network.graph:  # the input and all biases, before any spike
        if isinstance(node.op, ir.Input):
            charge[node.name] = constant_current(x)
        elif node.name in network.sites:
            charge[node.name] = torch.zeros((len(x), *node.shape), dtype=torch.float64)
        else:
            charge[node.name] = apply(node.op, *(charge[name] for name in node.inputs))
    membranes: dict[str, Tensor] = {}
    fired: dict[str, list[Tensor]] = {name: [] for name in network.sites}
    outputs: list[Tensor] = []
    for step in range(max(period.values()) * length):
        grown: dict[str, Tensor] = {}
        for node in network.graph:
            if isinstance(node.op, ir.Input):
                grown[node.name] = torch.zeros_like(charge[node.name])
            elif node.name in network.sites:
                digits, worth = torch.zeros_like(charge[node.name]), 0.0
                if step // length + 1 == period[node.name]:
                    worth = 2.0 ** (length - 1 - step % length)
                    if step % length == 0:
                        top = float(network.sites[node.name].neuron.highest)
                        membranes[node.name] = charge[node.inputs[0]].clamp(max=top)
                    digits = (membranes[node.name] >= worth - 0.5).double()
                    membranes[node.name] = membranes[node.name] - worth * digits
                fired[node.name].append(digits)
                grown[node.name] = worth * digits
            else:
                grown[node.name] = _growth(node, charge, grown)
        charge = {name: value + grown[name] for name, value in charge.items()}
        outputs.append(charge[network.graph.output])
    return outputs, fired, {name: charge[name] for name in network.sites}


def _growth(node: ir.Node, charge: dict[str, Tensor], grown: dict[str, Tensor]) -> Tensor:
    """What the spikes of this step add: linear in them, or the growth of the maximum of the charges."""
    if isinstance(node.op, ir.MaxPool):
        (source,) = node.inputs
        return apply(node.op, charge[source] + grown[source]) - apply(node.op, charge[source])
    added = [grown[name] for name in node.inputs]
    return apply(node.op, *added) - apply(node.op, *(torch.zeros_like(value) for value in added))


def _periods(network: SpikingNetwork) -> tuple[dict[str, int], int]:
    """The period of each population, by asking all paths, and the length of one."""

    def longest(name: str) -> int:
        node = network.graph[name]
        return max((longest(source) for source in node.inputs), default=0) + (name in network.sites)

    (length,) = {site.neuron.bits for site in network.sites.values()}
    return {name: longest(name) for name in network.sites}, length
