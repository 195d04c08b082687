"""SpikingNetwork: the spiking network as data, independent of the class that the model once had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from convert.errors import GraphError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.running import with_units
from convert.lattice import Carried
from convert.neurons.counting import CountingNeuron
from convert.neurons.differential import DifferentialNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.radix import RadixNeuron
from convert.neurons.synapse import Synapse
from convert.neurons.tracking import TrackingNeuron, TwoSlopeNeuron

__all__ = ["CODES", "INPUT_CODES", "MOST_AHEAD", "Site", "SpikingNetwork", "rescaled", "threshold_balanced", "upstream"]

INPUT_CODES = ("constant", "poisson")

CODES = ("rate", "exact", "differential", "radix")
"""What a spike train means: activation = threshold * spikes per step; threshold * count once all is quiet; threshold *
the estimate that its spikes correct (`convert.neurons.differential`); or threshold * the number whose binary digits
they are (`convert.neurons.radix`)."""

MOST_AHEAD = 64
"""The longest look-ahead."""

_NEURON_OF = {"exact": CountingNeuron, "differential": DifferentialNeuron, "radix": RadixNeuron}
"""Codes that need a neuron of their own."""


@dataclass(frozen=True, eq=False)
class Site:
    """A population of neurons in the place of one activation.

    Parameters
    ----------
    neuron : LeakyNeuron
        The law.
    threshold : Tensor
        lam: activation = lam * rate; positive, broadcasts against one sample.
    quantum : Tensor
        What one spike takes from the membrane and sends on: 1 in a weight-normalised network, lam in a
        threshold-balanced one.
    initial : Tensor
        Membrane potential before the first step, in the unit of the quantum; broadcasts against one sample.
    """

    neuron: LeakyNeuron
    threshold: Tensor
    quantum: Tensor
    initial: Tensor

    def step(self, state: Any, drive: Tensor, dt_s: float) -> tuple[Any, Tensor]:
        """One step of the population: its new state, and its spikes.

        Parameters
        ----------
        state
            None before the first step.
        drive : Tensor (batch, *shape)
        """
        if state is None:
            counts = isinstance(self.neuron, TrackingNeuron)  # its start is a count, whatever a quantum is worth
            state = self.neuron.start(
                torch.zeros_like(drive) + (self.initial / self.quantum if counts else self.initial)
            )
        if isinstance(self.neuron, TrackingNeuron):
            return self.neuron.step(state, drive, self.quantum, dt_s, self.threshold)
        return self.neuron.step(state, drive, self.quantum, dt_s)


@dataclass(frozen=True, eq=False)
class SpikingNetwork:
    """A spiking network: rate-coded, differential, exact (`convert.simulation.quiescence`), or radix-coded (`periods`).

    Parameters
    ----------
    graph : Graph
        Synapses and wiring; an activation marks where the neurons of `sites` stand.
    sites : mapping
        Node name -> Site, one for each activation.
    scales : mapping
        Node name -> what one unit of the node's value is worth in units of the original activation.
    dt_s : float
        Length of a step in seconds.
    input_code : {"constant", "poisson"}
        The input as a constant current, or as spikes with probability |x| / scale per step.
    readout_delay : int
        Steps that the read-out leaves out, at most half of those simulated.
    provenance : mapping
        Where the network comes from: hashes, rule, versions, seeds.
    code : {"rate", "exact", "differential", "radix"}
        What the spikes mean. An exact network consists of counting neurons, a differential one of differential
        neurons, a radix-coded one of radix neurons; all three have a constant input.
    look_ahead : int
        Steps for which every sample is tried before it runs, to repair the neurons' starts; see
        `convert.simulation.look_ahead`. Rate code and constant input only.
    primed : bool
        Whether synapses begin as the mean of what has arrived; see `convert.neurons.synapse`.

    Raises
    ------
    GraphError
        Sites and activations do not match, or a threshold is not positive.
    """

    graph: Graph
    sites: Mapping[str, Site]
    scales: Mapping[str, Tensor]
    dt_s: float
    input_code: str = "constant"
    readout_delay: int = 0
    provenance: Mapping[str, str] = field(default_factory=dict)
    code: str = "rate"
    look_ahead: int = 0
    primed: bool = False

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        activations = {node.name for node in self.graph.sites()}
        if activations != set(self.sites):
            raise GraphError(f"neurons at {sorted(self.sites)}, activations at {sorted(activations)}; must be the same")
        for name, site in self.sites.items():
            if not bool((site.threshold > 0).all() and (site.quantum > 0).all()):
                raise GraphError(f"{name}: got a threshold or quantum that is not positive; expected more than 0")
            slopes = len(site.neuron.slopes) if isinstance(site.neuron, TwoSlopeNeuron) else 1
            if slopes not in (1, *self.graph[name].shape[:1]):
                raise GraphError(
                    f"{name}: got {slopes} slopes for neurons of shape {self.graph[name].shape}; expected one, or one "
                    "for each channel"
                )
        if unscaled := [node.name for node in self.graph if node.name not in self.scales]:
            raise GraphError(f"{', '.join(unscaled)}: got no scale; expected one for each node")
        for name, value in self._numbers():
            if not bool(torch.isfinite(value).all()) or not _fits(value, self.graph[name].shape):
                raise GraphError(
                    f"{name}: got a scale, threshold, quantum or potential of shape {tuple(value.shape)} that is not "
                    f"finite or does not fit {self.graph[name].shape}; expected finite numbers of that shape"
                )
        if self.input_code not in INPUT_CODES:
            raise GraphError(f"input code {self.input_code!r}; expected one of {', '.join(INPUT_CODES)}")
        if self.readout_delay < 0:
            raise GraphError(f"read-out delay is {self.readout_delay} steps; expected 0 or more")
        if not 0 <= self.look_ahead <= MOST_AHEAD or (
            self.look_ahead and (self.code, self.input_code) != ("rate", "constant")
        ):
            raise GraphError(
                f"look-ahead of {self.look_ahead} steps in a network of code {self.code!r} and input code "
                f"{self.input_code!r}; expected 0 to {MOST_AHEAD}, and only with rates and a constant input"
            )
        self._check_code()
        if not 0 < self.dt_s < math.inf:
            raise GraphError(f"dt is {self.dt_s} s; expected more than 0, and finite")

    def _check_code(self) -> None:
        """A network has one code throughout."""
        if self.code not in CODES:
            raise GraphError(f"code {self.code!r}; expected one of {', '.join(CODES)}")
        whole, own = self.code in ("exact", "radix"), _NEURON_OF.get(self.code)
        found = {n: next((kind for kind in _NEURON_OF.values() if isinstance(s.neuron, kind)), None)
                 for n, s in self.sites.items()}  # fmt: skip
        if strange := [name for name, kind in found.items() if kind is not own]:
            kind = type(self.sites[strange[0]].neuron).__name__
            raise GraphError(f"{', '.join(strange)}: got a {kind} in a network of code {self.code!r}; they exclude "
                             "each other: convert the model again")  # fmt: skip
        if whole and (odd := [n for n, s in self.sites.items() if bool((s.quantum != 1).any() or s.initial.any())]):
            raise GraphError(f"{', '.join(odd)}: got a quantum other than 1 or a potential at the start in a network "
                             f"of code {self.code!r}; expected neither: run it as quantise() made it")  # fmt: skip
        lengths = {s.neuron.bits for s in self.sites.values() if isinstance(s.neuron, RadixNeuron)}
        if len(lengths) > 1:
            raise GraphError(f"radix neurons of {', '.join(map(str, sorted(lengths)))} digits; expected one period for "
                             "all: convert the model again")  # fmt: skip
        if own is not None and self.input_code != "constant":
            raise GraphError(f"input code {self.input_code!r} in a network of code {self.code!r}; expected constant")

    def _numbers(self) -> list[tuple[str, Tensor]]:
        """Everything per neuron and per node, beside the weights, which the graph has checked."""
        sites = [(name, value) for name, s in self.sites.items() for value in (s.threshold, s.quantum, s.initial)]
        return [*sites, *((node.name, self.scales[node.name]) for node in self.graph)]

    @property
    def synapse(self) -> Synapse:
        """The filter of all synapses: neurons of one network share their time constant, or have none."""
        taus_s = (site.neuron.tau_syn_s for site in self.sites.values())
        return Synapse(max(taus_s, default=0.0), self.dt_s, self.primed)

    def neuron_count(self) -> int:
        """Number of neurons."""
        return sum(int(torch.tensor(self.graph[name].shape).prod()) for name in self.sites)

    def depth(self) -> int:
        """Populations on the longest path from the input to the output."""
        known: dict[str, int] = {}
        for node in self.graph:
            known[node.name] = max((known[name] for name in node.inputs), default=0) + (node.name in self.sites)
        return max(known.values())

    def look_ahead_steps(self) -> int:
        """Steps before the first one of a run: a trial for each population, one after the other."""
        return self.look_ahead * len(self.sites)

    def spiking(self) -> dict[str, Carried]:
        """Nodes that emit spikes, and what they send in one step: fraction bits, and the largest magnitude."""
        sent = {name: Carried(site.neuron.spike_bits, site.neuron.largest) for name, site in self.sites.items()}
        return {self.graph.input.name: Carried(0, 1.0), **sent} if self.input_code == "poisson" else sent

    def hybrid(self) -> tuple[Node, ...]:
        """Nodes that compute floating-point functions at run time; a network that has any is hybrid."""
        return tuple(node for node in self.graph if isinstance(node.op, ir.RUNNING))

    def moving(self) -> set[str]:
        """Nodes whose value changes from step to step: they depend on spikes."""
        emitters = self.spiking()
        found: set[str] = set()
        for node in self.graph:
            if node.name in emitters or found & set(node.inputs):
                found.add(node.name)
        return found


def upstream(network: SpikingNetwork, name: str) -> SpikingNetwork:
    """The part of `network` that the node `name` depends on; that node becomes the output."""
    graph = network.graph.upstream(name)
    sites = {node.name: network.sites[node.name] for node in graph if node.name in network.sites}
    return replace(network, graph=graph, sites=sites)


def _fits(value: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether `value` broadcasts against one sample of `shape`."""
    padded = (1,) * (len(shape) - value.ndim) + tuple(value.shape)
    return len(padded) == len(shape) and all(a in (1, b) for a, b in zip(padded, shape, strict=True))


def threshold_balanced(network: SpikingNetwork) -> SpikingNetwork:
    """The same map with the weights in the original's units and quantum lam at each neuron.

    Weight normalisation (W lam_in / lam_out, b / lam_out, quantum 1) and threshold balancing (W, b, quantum
    lam_out) give the same spike trains: every potential is multiplied by its lam (Diehl et al. 2015;
    Rueckauer et al. 2017, section 2.2). A Poisson input emits 1 for its scale, so there every value, and with it
    b and lam, is in units of that scale.
    """
    unit = network.scales[network.graph.input.name].flatten()[0]
    if unit != 1 and (running := [node.place or node.name for node in network.hybrid()]):
        raise GraphError(
            f"{', '.join(running)}: computes in the original's units, got a Poisson input of scale {float(unit):g}; "
            "expected a constant input: convert with --input constant"
        )
    scales = {name: scale / unit for name, scale in network.scales.items()}
    nodes = [replace(node, op=_in_original_units(node, scales)) for node in network.graph]
    sites = {
        name: replace(site, quantum=site.threshold / unit, initial=site.initial * site.threshold / unit)
        for name, site in network.sites.items()
    }
    units = {name: torch.ones_like(scale) * unit for name, scale in scales.items()}
    return replace(network, graph=Graph(tuple(nodes), network.graph.output), sites=sites, scales=units)


def _in_original_units(node: Node, scales: Mapping[str, Tensor]) -> ir.Op:
    op, scale = node.op, scales[node.name]
    if isinstance(op, ir.AvgPool) and op.divisor == 1:
        ratio = scales[node.inputs[0]].flatten()[0] / scale.flatten()[0]
        return replace(op, divisor=round(float(ratio)))
    if isinstance(op, ir.RUNNING):
        return with_units(op, [torch.ones(())] * 2)
    if not isinstance(op, (ir.Linear, ir.Conv, ir.Affine)):
        return op
    source = scales[node.inputs[0]]
    if isinstance(op, ir.Affine):
        return ir.Affine(op.scale.double() * scale / source, op.shift.double() * scale)
    return rescaled(op, 1 / source, scale)


def rescaled(op: ir.Linear | ir.Conv, source: Tensor, target: Tensor) -> ir.Linear | ir.Conv:
    """`op` for inputs divided by `source` and outputs multiplied by `target`, each constant over space."""
    out = target.double().reshape(-1).expand(op.weight.shape[0])
    weight = op.weight.double() * out.reshape(-1, *[1] * (op.weight.ndim - 1))
    if isinstance(op, ir.Linear):
        weight = weight * source.double().reshape(-1).expand(weight.shape[1])
    else:
        per_input = source.double().reshape(-1).expand(weight.shape[1] * op.groups)
        groups = per_input.reshape(op.groups, 1, -1).expand(-1, weight.shape[0] // op.groups, -1)
        weight = weight * groups.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.ndim - 2))
    return replace(op, weight=weight, bias=None if op.bias is None else op.bias.double() * out)
