"""SpikingModule: a spiking network as an `nn.Module`, one step at a time, with the state in your hands.

    module = SpikingModule(load(Path("model.snn/snn.safetensors")))
    state = None
    for t in range(64):
        y, state = module(x, state)          # x: (batch, *sample shape), the current or the spikes of this step
    mean = state.total / state.steps         # the read-out, in the units of the original network

The spikes are those of `simulate_reference`, bit for bit; of a hybrid network, up to the rounding of its functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from convert.errors import ConfigError, InputShapeError
from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply
from convert.network import SpikingNetwork
from convert.neurons.differential import reciprocal
from convert.simulation.differences import MeanState, difference_step
from convert.simulation.results import refuse_exact

__all__ = ["ModuleState", "SpikingModule"]


@dataclass(frozen=True, eq=False)
class ModuleState:
    """Everything that one step hands to the next.

    Parameters
    ----------
    neurons : dict
        Population -> state of its neurons.
    currents : dict
        Emitter -> synaptic current behind its spikes; in the differential code, what it has said.
    maxima : dict
        Max pool and lane -> (accumulated drive, its maximum).
    spikes : dict
        Population -> the spikes of this step.
    total : Tensor
        Sum of the outputs so far.
    steps : int
    means : dict
        Difference operator and lane -> its state.
    """

    neurons: dict[str, Any]
    currents: dict[str, Tensor]
    maxima: dict[tuple[str, str], tuple[Tensor, Tensor]]
    spikes: dict[str, Tensor]
    total: Tensor
    steps: int = 0
    means: dict[tuple[str, str], MeanState] = field(default_factory=dict)


class SpikingModule(nn.Module):
    """One step of `network`; see the module's docstring for how it is used.

    Parameters
    ----------
    network : SpikingNetwork
        Its tensors stay what they are: data, in float64, not parameters to train.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        """Nothing is copied."""
        super().__init__()
        refuse_exact(network)
        if network.look_ahead:
            raise ConfigError(
                f"SpikingModule: got a network that looks {network.look_ahead} steps ahead; expected one that does "
                "not: a single step cannot try the next ones. Convert without --look-ahead, or use simulate"
            )
        self.network, self.synapse = network, network.synapse

    def start(self) -> ModuleState:
        """The state before the first step."""
        return ModuleState({}, {}, {}, {}, torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def forward(self, x: Tensor, state: ModuleState | None = None) -> tuple[Tensor, ModuleState]:
        """Output of this step, in the units of the original network, and the new state.

        Parameters
        ----------
        x : Tensor (batch, *sample shape)
            The current of a constant input, on the lattice (`constant_current`), or the spikes of this step.

        Raises
        ------
        InputShapeError
        """
        graph = self.network.graph
        if tuple(x.shape[1:]) != graph.input.shape:
            raise InputShapeError(
                f"SpikingModule: got samples of shape {tuple(x.shape[1:])}; expected {graph.input.shape}: reshape them"
            )
        step = _Step(self, self.start() if state is None else state, x.double())
        for node in graph:
            step.advance(node)
        output = step.direct[graph.output] * self.network.scales[graph.output]
        return output, ModuleState(step.neurons, step.currents, step.maxima, step.spikes,
                                   step.before.total + output, step.before.steps + 1, step.means)  # fmt: skip


class _Step:
    """One step in progress: `direct` values are read out, `filtered` ones reach neurons."""

    def __init__(self, module: SpikingModule, before: ModuleState, x: Tensor) -> None:
        self.network, self.before, self.x = module.network, before, x
        self.alpha = module.synapse.decay(before.steps + 1)
        self.poisson = self.network.input_code == "poisson"
        self.neurons: dict[str, Any] = {}
        self.currents: dict[str, Tensor] = {}
        self.maxima: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        self.means: dict[tuple[str, str], MeanState] = {}
        self.spikes: dict[str, Tensor] = {}
        self.direct: dict[str, Tensor] = {}
        self.filtered: dict[str, Tensor] = {}

    def advance(self, node: Node) -> None:
        """The value of `node` in both lanes."""
        if node.name in self.network.sites:
            self._emit(node.name, self._fire(node) * self.network.sites[node.name].quantum)
        elif isinstance(node.op, ir.Input) and self.poisson:
            self._emit(node.name, self.x)
        elif isinstance(node.op, ir.Input):
            self.direct[node.name] = self.filtered[node.name] = self.x
        else:
            for lane, values in (("direct", self.direct), ("filtered", self.filtered)):
                inputs = [values[name] for name in node.inputs]
                values[node.name] = self._value(node, lane, inputs)

    def _value(self, node: Node, lane: str, inputs: list[Tensor]) -> Tensor:
        if isinstance(node.op, ir.MaxPool):
            return self._grown(node, lane, inputs[0])
        if isinstance(node.op, ir.RUNNING):
            key = node.name, lane
            self.means[key], sent = difference_step(node.op, self.before.means.get(key), inputs)
            return sent
        return apply(node.op, *inputs)

    def _fire(self, node: Node) -> Tensor:
        site, drive = self.network.sites[node.name], self.filtered[node.inputs[0]]
        self.neurons[node.name], spikes = site.step(self.before.neurons.get(node.name), drive, self.network.dt_s)
        self.spikes[node.name] = spikes
        return spikes

    def _emit(self, name: str, spikes: Tensor) -> None:
        before = self.before.currents.get(name, torch.zeros_like(spikes))
        if self.network.code == "differential":
            self.direct[name] = self.filtered[name] = spikes + before
            self.currents[name] = before + reciprocal(self.before.steps + 1) * spikes
            return
        self.direct[name] = spikes
        self.currents[name] = self.filtered[name] = self.alpha * before + (1 - self.alpha) * spikes

    def _grown(self, node: Node, lane: str, drive: Tensor) -> Tensor:
        """The growth of the maximum of the accumulated drive."""
        zeros = torch.zeros_like(drive)
        sums, best = self.before.maxima.get((node.name, lane), (zeros, apply(node.op, zeros)))
        after = (sums + drive, apply(node.op, sums + drive))
        self.maxima[node.name, lane] = after
        return after[1] - best
