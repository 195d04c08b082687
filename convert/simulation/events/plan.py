"""What of a network the events engine computes, and with which weights; made once for each network."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

from convert.graph import ir
from convert.lattice import fraction_bits
from convert.network import SpikingNetwork
from convert.neurons.adaptive import AdaptiveNeuron
from convert.neurons.graded import GradedNeuron, halving
from convert.neurons.tracking import TrackingNeuron
from convert.simulation.events.library import kernel
from convert.simulation.events.planes import geometry, words_of
from convert.simulation.events.populations import LAWS, Neurons, Receiver, law_of
from convert.simulation.events.weights import MOST_ROWS, bits_of, parts_of, reach
from convert.simulation.events.wiring import Connection, Drive, drive_of

__all__ = ["Plan", "plan_of", "values_of"]


def values_of(network: SpikingNetwork, name: str) -> tuple[tuple[float, ...], bool] | None:
    """The magnitudes of the spikes that the node `name` emits, and whether they can be negative.

    None where it emits none, or where they are not 1, 1/2, 1/4, ...
    """
    if name == network.graph.input.name:
        return ((1.0,), True) if network.input_code == "poisson" else None
    if name not in network.sites:
        return None
    neuron = network.sites[name].neuron
    if isinstance(neuron, GradedNeuron):
        return (neuron.values, neuron.takes_back) if neuron.values == halving(len(neuron.values)) else None
    if isinstance(neuron, (AdaptiveNeuron, TrackingNeuron)):
        return (1.0,), True
    return ((1.0,), False) if type(neuron) in LAWS else None


class Plan:
    """Receivers and populations of a network by node, each made when it is first asked for."""

    def __init__(self, network: SpikingNetwork) -> None:
        self.graph = network.graph
        self.emitted = {n.name: found for n in network.graph if (found := values_of(network, n.name)) is not None}
        self.constant = {node.name for node in network.graph} - network.moving()
        rates = network.code == "rate"  # what is received in another code is decoded first
        self.sites = {name: site for name, site in network.sites.items() if rates and law_of(site) is not None}
        self.dt_s, self.synapse = network.dt_s, network.synapse
        self.known: dict[tuple[str, str], Receiver | None] = {}
        self.neurons: dict[str, Neurons | None] = {}

    def population(self, name: str) -> Neurons | None:
        """The neurons of the site `name`, with what they receive, where the kernel can run them."""
        if name not in self.neurons:
            receiver = self.receiver(self.graph[name].inputs[0], name) if name in self.sites else None
            self.neurons[name] = (
                None if receiver is None else Neurons(receiver, self.sites[name], self.dt_s, self.synapse)
            )
        return self.neurons[name]

    def layer(self, name: str) -> Receiver | None:
        """What the node `name` carries, where that is a sum of the weights of spikes."""
        if not isinstance(self.graph[name].op, (ir.Linear, ir.Conv, ir.Add)):
            return None
        found = self.receiver(name)
        return found if found is not None and found.drive.connections else None

    def receiver(self, name: str, site: str = "") -> Receiver | None:
        """The receiver of the node `name`, with weights in units that also suit the neurons of `site`."""
        if (name, site) not in self.known:
            drive = drive_of(self.graph, name, self.emitted, self.constant)
            self.known[name, site] = None if drive is None else self._made(name, drive, site)
        return self.known[name, site]

    def _made(self, name: str, drive: Drive, site: str) -> Receiver | None:
        units = {c.source: min(self.emitted[c.source][0]) for c in drive.connections}
        bits, of_bias = bits_of(drive.connections, units), fraction_bits(drive.bias)
        rows = sum(32 * -(-c.shape[0] // 32) * math.prod(c.weight.shape[2:]) for c in drive.connections)
        if bits is None or of_bias is None or rows > MOST_ROWS:
            return None
        if site:
            start = fraction_bits(self.sites[site].initial)
            values = self.emitted[site][0] if site in self.emitted else (1.0,)
            bits = max(bits, len(values) + 1, 0 if start is None else start)
        bits = max(bits, of_bias)
        most = {(c.source, c.pool): self._most(c.source, c.pool) for c in drive.connections}
        bound = reach(drive.connections, most)
        if bound * 2.0**bits >= 2**31:
            return None
        if drive.maximum is not None and _cut(drive):
            return None
        shape = self.graph[name].shape
        parts = parts_of(drive.connections, shape[0], bits, units)
        return Receiver(shape, drive, parts, bits, bound)

    def _most(self, source: str, pool: str | None) -> float:
        """What one element of a source, or of its pooled sum, can be worth: the values of one spike, or of all."""
        if pool is None:
            return 1.0
        op = self.graph[pool].op
        assert isinstance(op, ir.AvgPool)  # by the walk that found it
        return float(math.prod(op.kernel))


def _cut(drive: Drive) -> bool:
    """Whether a line of places has more rows than the kernel can number."""
    width = geometry(drive.before)[2]

    def rows(c: Connection) -> int:
        columns = c.dilation[1] * (-(-((width - 1) * c.stride[1] + 1) // c.dilation[1]) + c.weight.shape[3] - 1)
        return 32 * words_of(geometry(c.shape)[0]) * c.weight.shape[2] * columns

    return max(rows(c) for c in drive.connections) > MOST_ROWS


_PLANS: WeakKeyDictionary[SpikingNetwork, Plan] = WeakKeyDictionary()


def plan_of(network: SpikingNetwork) -> Plan | None:
    """The plan of `network`, kept as long as it lives; None where there is no kernel."""
    if kernel() is None:
        return None
    if network not in _PLANS:
        _PLANS[network] = Plan(network)
    return _PLANS[network]
