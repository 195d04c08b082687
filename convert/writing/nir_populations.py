"""A population of neurons as NIR nodes, native or faithful.

Faithful
--------
NIR's definitions, solved exactly over a step for an input J that is constant in it (beta = exp(-dt / tau)):

    LI         V[t] = beta V[t-1] + (1 - beta) (v_leak + R J[t])
    I          V[t] = V[t-1] + R dt J[t]
    Threshold  S[t] = 1 if V[t] > threshold
    Scale      y = s x

With R = 1 / (1 - beta), or 1 / dt, the membrane node adds its input to the leaked potential, as ours does. It holds
P, the potential *before* the reset. The spike returns through `Scale`, and an edge that closes a cycle takes one
step, so the membrane receives D[t] - beta S[t-1] and

    P[t] = beta P[t-1] + D[t] - beta S[t-1] = beta (P[t-1] - S[t-1]) + D[t] = beta V[t-1] + D[t],

our V[t-1] = P[t-1] - S[t-1] being the potential after the reset. So P[t] is our potential at the time of the
comparison, and the spikes are the same: the reset that is a step late is weighted with the leak of that step,
beta instead of 1. A reader whose feedback takes k > 1 steps would need beta^k, and may fire again meanwhile.

The synaptic filter stands behind the `Threshold` as an `LI` with R = 1, which starts at zero; bias and constant
input do not pass it, as in our network at rest. The read-out takes the unfiltered spikes. NIR's time constants do not
change, so those of primed synapses are metadata.

Native
------
`LIF` and `IF` reset to `v_reset`, and importers know thresholds of 1 and resets to 0. So the potential is shifted,
U = V + 1 - V_th: threshold 1, reset 0, start v0 + 1 - V_th, and the leak towards V = 0 becomes a constant drive
(1 - beta) (1 - V_th), added to the bias in front (to `v_leak` where there is none). That is how the
leak-neutral threshold V_th = 1/2 travels. `CubaLIF` has the synapse inside, with w_in = 1: it also filters the
bias, which therefore arrives about tau_syn late at the start.

Thresholds
----------
NIR fires if v > threshold, we fire if V >= V_th. Potentials of integrators lie on a lattice of 2^-30, so V_th - 2^-40
separates the same values, and a rounding error of 2^-52 cannot turn a tie. The native form is float32: 1 - 2^-20.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, takewhile
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from convert.graph import ir
from convert.graph.ir import Node
from convert.network import Site, SpikingNetwork
from convert.neurons.leaky import decay
from convert.writing.nir_wiring import Plan

__all__ = ["Faithful", "Native", "Population"]

Array = npt.NDArray[Any]


class Population(Protocol):
    """How a form writes a population."""

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """Of every parameter."""

    @property
    def lane(self) -> str:
        """What its neurons take: `raw` spikes, or `filtered` ones where the synapse is a node of its own."""

    def add(self, plan: Plan, node: Node, drive: tuple[str, ...]) -> None:
        """Add the neurons at `node`, driven by the sum of `drive`."""

    def emitted(self, plan: Plan, node: Node, lane: str) -> tuple[str, ...]:
        """The NIR nodes that send on the spikes of `node` in `lane`."""

    def drive(self, node: Node) -> tuple[float, float]:
        """(gain, shift) of the weighted layer `node`: it gives gain * (W x + b + shift)."""


@dataclass(frozen=True)
class Faithful:
    """`LI` or `I`, `Threshold`, a feedback `Scale`, and an `LI` for the synapse."""

    network: SpikingNetwork
    nir: ModuleType
    dtype: ClassVar[type[np.floating[Any]]] = np.float64
    lane: ClassVar[str] = "filtered"

    def add(self, plan: Plan, node: Node, drive: tuple[str, ...]) -> None:
        """The membrane, the threshold and the way back."""
        site, full = self.network.sites[node.name], np.ones(node.shape)
        beta = decay(self.network.dt_s, site.neuron.tau_mem_s)
        if beta < 1:
            membrane = self.nir.LI(full * site.neuron.tau_mem_s, full / (1 - beta), full * 0)
        else:
            membrane = self.nir.I(full / self.network.dt_s)
        membrane.metadata = {"v_init": _initial(site, node)}
        name = node.name
        plan.add(f"{name}_membrane", membrane, (*drive, f"{name}_reset"))
        plan.add(name, self.nir.Threshold(full * (site.neuron.v_threshold - 2.0**-40)), (f"{name}_membrane",))
        plan.add(f"{name}_reset", self.nir.Scale(full * -beta), (name,))

    def emitted(self, plan: Plan, node: Node, lane: str) -> tuple[str, ...]:
        """The spikes, or the current of the synapses that they reach."""
        tau_s = _tau_syn_s(self.network)
        if lane == "raw" or not tau_s:
            return (node.name,)
        full = np.ones(plan.nodes[node.name].output_type["output"])
        synapse = self.nir.LI(full * tau_s, full, full * 0)
        synapse.metadata = _primed(self.network)
        plan.add(f"{node.name}_synapse", synapse, (node.name,))
        return (f"{node.name}_synapse",)

    def drive(self, node: Node) -> tuple[float, float]:
        """As it is: the threshold is V_th itself."""
        return 1.0, 0.0


@dataclass(frozen=True)
class Native:
    """`LIF`, `CubaLIF` or `IF`, resetting to zero at a threshold of one."""

    network: SpikingNetwork
    nir: ModuleType
    dtype: ClassVar[type[np.floating[Any]]] = np.float32
    lane: ClassVar[str] = "raw"

    def add(self, plan: Plan, node: Node, drive: tuple[str, ...]) -> None:
        """One node for the whole population."""
        site, full = self.network.sites[node.name], np.ones(node.shape, self.dtype)
        up = 1 - site.neuron.v_threshold
        beta = decay(self.network.dt_s, site.neuron.tau_mem_s)
        levels = {"v_threshold": full * self.dtype(1 - 2.0**-20)}  # v_reset is zero, the default
        plain = self._is_driven_by_weights(node)
        leak = full * self.dtype(0.0 if plain else up)
        if beta == 1:
            neuron = self.nir.IF(full * self.dtype(1 / self.network.dt_s), **levels)
        elif self._has_synapse(node):
            taus = {"tau_syn": full * _tau_syn_s(self.network), "tau_mem": full * site.neuron.tau_mem_s}
            neuron = self.nir.CubaLIF(**taus, r=full / (1 - beta), v_leak=leak, w_in=full, **levels)
        else:
            neuron = self.nir.LIF(full * site.neuron.tau_mem_s, full / (1 if plain else 1 - beta), leak, **levels)
        neuron.metadata = {"v_init": (_initial(site, node) + up).astype(self.dtype), "reset": "subtract v_threshold"}
        neuron.metadata |= _primed(self.network) if isinstance(neuron, self.nir.CubaLIF) else {}
        plan.add(node.name, neuron, drive)

    def emitted(self, plan: Plan, node: Node, lane: str) -> tuple[str, ...]:
        """The spikes."""
        return (node.name,)

    def drive(self, node: Node) -> tuple[float, float]:
        """The constant drive of the shifted potential, and the gain of a neuron with r = 1."""
        for reader in self.network.graph.consumers(node.name):
            if reader.name in self.network.sites and self._is_driven_by_weights(reader):
                neuron = self.network.sites[reader.name].neuron
                leak = 1 - decay(self.network.dt_s, neuron.tau_mem_s)
                gain = 1 / leak if leak and not self._has_synapse(reader) else 1.0
                return gain, leak * (1 - neuron.v_threshold)
        return 1.0, 0.0

    def _has_synapse(self, node: Node) -> bool:
        """Whether spikes arrive at the population at `node` through a synaptic filter."""
        return bool(_tau_syn_s(self.network)) and node.inputs[0] in self.network.moving()

    def _is_driven_by_weights(self, node: Node) -> bool:
        """Whether a weighted layer drives the population at `node` and nothing else."""
        graph = self.network.graph
        drive = graph[node.inputs[0]]
        alone = len(graph.consumers(drive.name)) == 1 and drive.name != graph.output
        return alone and isinstance(drive.op, ir.WEIGHTED)


def _tau_syn_s(network: SpikingNetwork) -> float:
    """The time constant of all synapses, as the simulation has it."""
    return max((site.neuron.tau_syn_s for site in network.sites.values()), default=0.0)


def _primed(network: SpikingNetwork) -> dict[str, Array]:
    """The metadata of a synapse: what is left of its current in each step, until that stays the same."""
    synapse = network.synapse
    decays = (synapse.decay(t) for t in count(1))
    return {"decays": np.array([*takewhile(synapse.alpha.__ne__, decays), synapse.alpha])} if network.primed else {}


def _initial(site: Site, node: Node) -> Array:
    return np.ascontiguousarray(site.initial.double().expand(node.shape).numpy())
