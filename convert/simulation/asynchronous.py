"""The oracle of the exact mode: spikes with delays, neurons in any order, slow and obvious.

Every edge of the graph is a bundle of lines, one for each element of its source, and each line has a delay of its own.
What is sent on it arrives that many steps later and adds up there. In a step the nodes are visited in some order, and
in each population some neurons are awake; those compare their charge with their count and may fire. A node without
neurons sends on how much its value has changed since it was last visited. Nothing is assumed about
convergence: the run stops when no spike is under way, no value is out of date and no neuron can fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply
from convert.network import SpikingNetwork
from convert.neurons.counting import CountingNeuron
from convert.simulation.inputs import constant_current
from convert.simulation.quiescence import certify, check_exact
from convert.simulation.results import Settled

__all__ = ["Timing", "simulate_exact_reference"]

Edge = tuple[str, int]
"""A node and the position of one of its inputs."""


@dataclass(frozen=True)
class Timing:
    """When things happen.

    Parameters
    ----------
    longest_delay : int
        Each line's delay is drawn from 0 to so many steps.
    awake : float
        Probability with which a neuron is updated in a step; 1 updates all of them.
    shuffled : bool
        Visit the nodes in another order in each step, instead of the order of the graph.
    seed : int
        Of all these draws.
    """

    longest_delay: int = 0
    awake: float = 1.0
    shuffled: bool = False
    seed: int = 0


@torch.no_grad()
def simulate_exact_reference(network: SpikingNetwork, x: Tensor, timing: Timing | None = None) -> Settled:
    """Run the exact network on a batch `x` until it is quiescent; by default with the timing of `simulate_exact`.

    Raises
    ------
    ConfigError, InputShapeError
        See `check_exact`.
    """
    known = check_exact(network, x)
    oracle = _Oracle(network, constant_current(x), timing or Timing())
    while not oracle.is_quiescent():
        oracle.step()
    counts = {name: oracle.values[name] for name in network.sites}
    output = network.graph.output
    charge = oracle.values[output]
    return Settled(
        charge * network.scales[output], charge, known[output].bits or 0, oracle.last,
        certify(network, x, counts, charge), counts, oracle.spikes,
    )  # fmt: skip


@dataclass
class _Oracle:
    """A network in the middle of its transient."""

    network: SpikingNetwork
    current: Tensor
    timing: Timing
    values: dict[str, Tensor] = field(default_factory=dict)
    """What each node has sent so far: its count, or its charge."""
    spikes: dict[str, Tensor] = field(default_factory=dict)
    arrived: dict[Edge, Tensor] = field(default_factory=dict)
    under_way: dict[Edge, dict[int, Tensor]] = field(default_factory=dict)
    """What will arrive, by the step from which on it can be received."""
    delays: dict[Edge, Tensor] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.timing.seed)
        self.last = torch.ones(len(self.current), dtype=torch.long)
        shapes = {node.name: node.shape for node in self.network.graph}
        for node in self.network.graph:
            self.values[node.name] = self._nothing(node.shape)
            if node.name in self.network.sites:
                self.spikes[node.name] = self._nothing(node.shape)
            for i, source in enumerate(node.inputs):
                edge, longest = (node.name, i), self.timing.longest_delay
                self.arrived[edge] = self._nothing(shapes[source])
                self.under_way[edge] = {}
                self.delays[edge] = torch.randint(longest + 1, shapes[source], generator=self.generator)

    def _nothing(self, shape: Sequence[int]) -> Tensor:
        return torch.zeros((len(self.current), *shape), dtype=torch.float64)

    def step(self) -> None:
        """Visit every node once."""
        self.steps += 1
        nodes = list(self.network.graph.nodes)
        if self.timing.shuffled:
            nodes = [nodes[i] for i in torch.randperm(len(nodes), generator=self.generator).tolist()]
        for node in nodes:
            for i in range(len(node.inputs)):
                self._receive((node.name, i))
            sent = self._fired(node) if node.name in self.network.sites else self._value(node) - self.values[node.name]
            self.values[node.name] = self.values[node.name] + sent
            if bool(sent.any()):
                self._send(node.name, sent)

    def _receive(self, edge: Edge) -> None:
        queue = self.under_way[edge]
        for step in [step for step in queue if step <= self.steps]:
            self.arrived[edge] = self.arrived[edge] + queue.pop(step)

    def _send(self, name: str, sent: Tensor) -> None:
        for reader in self.network.graph.consumers(name):
            for i, source in enumerate(reader.inputs):
                queue, delays = self.under_way[reader.name, i], self.delays[reader.name, i]
                for delay in range(self.timing.longest_delay + 1) if source == name else ():
                    step = self.steps + delay
                    queue[step] = queue.get(step, 0.0) + sent * (delays == delay)

    def _value(self, node: Node) -> Tensor:
        if isinstance(node.op, ir.Input):
            return self.current
        return apply(node.op, *(self.arrived[node.name, i] for i in range(len(node.inputs))))

    def _wish(self, node: Node) -> Tensor:
        """The spikes that the neurons of `node` would fire now."""
        neuron = self.network.sites[node.name].neuron
        assert isinstance(neuron, CountingNeuron)
        return torch.sign(neuron.target(self.arrived[node.name, 0]) - self.values[node.name])

    def _fired(self, node: Node) -> Tensor:
        fired = self._wish(node)
        if self.timing.awake < 1:
            fired = fired * (torch.rand(fired.shape, generator=self.generator) < self.timing.awake)
        self.spikes[node.name] = self.spikes[node.name] + fired.abs()
        self.last[fired.flatten(1).any(1)] = self.steps
        return fired

    def is_quiescent(self) -> bool:
        """No line carries anything, no value is out of date, and no neuron can fire."""
        if any(self.under_way.values()):
            return False
        return not any(
            bool(self._wish(node).any()) if node.name in self.network.sites else
            not torch.equal(self._value(node), self.values[node.name])
            for node in self.network.graph
        )  # fmt: skip
