"""Calibration of the initial potential (Li et al., ICML 2021, "potential correction").

A unit that fires before it has seen enough leaves a surplus of spikes that it can never take back; one that starts
late leaves a deficit. After T steps the rate of channel c is off by e_c = mean(SNN rate) - mean(a / lam), and a start
of V[0] = -T e_c quanta removes it. The correction is one initial condition, so unlike a corrected bias it fits
every number of steps. Layers are corrected in depth order, each behind its corrected predecessors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from convert.graph.ir import Graph, Node
from convert.graph.semantics import run
from convert.lattice import snap
from convert.network import SpikingNetwork
from convert.normalisation.statistics import channel_axis
from convert.simulation.engine import batch_within, simulate

__all__ = ["calibrate_potentials"]

_MEMORY = 64 << 20


def calibrate_potentials(
    network: SpikingNetwork,
    folded: Graph,
    x: Tensor,
    steps: int,
    progress: Callable[[int], None] | None = None,
) -> SpikingNetwork:
    """`network` with the initial potential of every channel chosen on samples `x`.

    Parameters
    ----------
    network : SpikingNetwork
        Normalised from `folded`.
    folded : Graph
        Its analog counterpart, node for node.
    x : Tensor (samples, *sample shape)
        Calibration samples.
    steps : int
        T, the steps after which rates and activations are compared.
    progress : callable, optional
        Called with the number of samples simulated; there are len(x) for each population.
    """
    for node in folded.sites():
        prefix = _up_to(network, node.name)
        size = batch_within(prefix, _MEMORY)
        error = torch.zeros(node.shape, dtype=torch.float64)
        for start in range(0, len(x), size):
            part = x[start : start + size]
            error += _surplus(prefix, folded, node, part, steps, start)
            if progress is not None:
                progress(len(part))
        axis = channel_axis(folded, node)
        others = [i for i in range(error.ndim) if i != axis]
        mean = error.mean(others, keepdim=True) if others else error
        site = replace(network.sites[node.name], initial=snap(-mean / len(x)))
        network = replace(network, sites={**network.sites, node.name: site})
    return network


def _surplus(prefix: SpikingNetwork, folded: Graph, node: Node, x: Tensor, steps: int, first: int) -> Tensor:
    """Sum over the samples of spike count minus T a / lam, of the shape of one sample."""
    counts = simulate(prefix, x, steps, samples=range(first, first + len(x))).counts[node.name].double()
    analog = run(Graph(_ancestors(folded, node.name), node.name), x.double())
    return (counts - steps * analog / prefix.sites[node.name].threshold).sum(0)


def _up_to(network: SpikingNetwork, name: str) -> SpikingNetwork:
    """The part of `network` that the population `name` depends on, which becomes the output."""
    nodes = _ancestors(network.graph, name)
    kept = {node.name for node in nodes}
    sites = {key: site for key, site in network.sites.items() if key in kept}
    return replace(network, graph=Graph(nodes, name), sites=sites)


def _ancestors(graph: Graph, name: str) -> tuple[Node, ...]:
    needed = {name}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= set(node.inputs)
    return tuple(node for node in graph if node.name in needed)
