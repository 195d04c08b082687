"""The oracle: every neuron, every step, in float64, as the equations stand in the design.

    I[t] = alpha I[t-1] + (1 - alpha) S[t]               alpha_t in primed synapses
    V[t] = beta V[t-1] + (W I[t] + b)
    fire if V[t] >= V_th, then V[t] -= 1

Synapses filter spikes before the weights, no time is folded, nothing is cached. It is slow and stays slow: the
engines are tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply
from convert.lattice import BITS
from convert.network import SpikingNetwork
from convert.neurons.differential import reciprocal
from convert.neurons.leaky import LeakyState
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.look_ahead import repairs
from convert.simulation.results import Simulation, check_request, read_out

__all__ = ["simulate_reference"]


@torch.no_grad()
def simulate_reference(
    network: SpikingNetwork,
    x: Tensor,
    steps: int,
    record: Sequence[int] | None = None,
    seed: int = 0,
    samples: Sequence[int] | None = None,
) -> Simulation:
    """Run `network` on a batch `x` for `steps` steps; see `Simulation` for what comes back.

    Parameters
    ----------
    seed, samples
        For Poisson input: the seed, and the number of each sample in its data set.
    """
    kept = check_request(network, x, steps, None if record is None else tuple(record))
    trains = None
    if network.input_code == "poisson":
        scale = float(network.scales[network.graph.input.name].flatten()[0])
        trains = poisson_spikes(x, scale, steps, seed, range(len(x)) if samples is None else samples).double()
    starts, spent = _look_ahead(network, x)
    oracle = _Oracle(network, starts)
    totals, emitted = [], []
    for t in range(steps):
        totals.append(oracle.step(constant_current(x) if trains is None else trains[t]))
        if t + 1 in kept:
            emitted.append({name: spikes.sum(0) + spent.get(name, 0) for name, spikes in oracle.emitted.items()})
    spikes = {name: torch.stack([counts[name] for counts in emitted]) for name in emitted[0]}
    return Simulation(read_out(torch.stack(totals), network), spikes, oracle.counts, kept, network.dt_s)


def _look_ahead(network: SpikingNetwork, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Starts of every repaired population, and the spikes sent to find them, summed over the batch.

    The network is run anew for each population, from the starts found so far; see `look_ahead.py`.
    """
    starts: dict[str, Tensor] = {}
    spent: dict[str, Tensor] = {}
    if not network.look_ahead:
        return starts, spent
    for node in network.graph:
        if node.name in network.sites and repairs(network.sites[node.name].neuron):
            starts[node.name] = _started_anew(network, node.name, starts, x)
    oracle = _Oracle(network, starts)
    for _ in range(network.look_ahead):
        oracle.step(constant_current(x))
    return starts, {name: spikes.sum(0) for name, spikes in oracle.emitted.items()}


def _started_anew(network: SpikingNetwork, name: str, starts: dict[str, Tensor], x: Tensor) -> Tensor:
    """Where the neurons of the population `name` begin after a trial in which all before it are corrected."""
    oracle, site = _Oracle(network, starts), network.sites[name]
    quantum, threshold = site.quantum, site.neuron.v_threshold * site.quantum
    potentials, fired = [], []
    before: Tensor | float = 0.0
    for _ in range(network.look_ahead):
        oracle.step(constant_current(x))
        spikes = oracle.counts[name] - before
        before = oracle.counts[name]
        state = oracle.states[name]
        assert isinstance(state, LeakyState)  # only such neurons are repaired
        potentials.append(state.v + quantum * spikes)
        fired.append(spikes)
    v, s = torch.stack(potentials), torch.stack(fired)
    last = v[-1] - quantum * s[-1]
    start = torch.zeros_like(last) + site.initial
    eps = 2.0**-BITS
    for i in torch.cartesian_prod(*(torch.arange(n) for n in last.shape)).reshape(-1, last.ndim).tolist():
        at = tuple(i)
        spiked = [float(p) for p, k in zip(v[(slice(None), *at)], s[(slice(None), *at)], strict=True) if k]
        silent = [float(p) for p, k in zip(v[(slice(None), *at)], s[(slice(None), *at)], strict=True) if not k]
        if float(last[at]) < threshold - quantum and spiked:
            start[at] -= max(float(quantum), (math.floor((min(spiked) - float(threshold)) / eps) + 1) * eps)
        elif float(last[at]) >= threshold and silent:
            start[at] += max(float(quantum), math.ceil((float(threshold) - max(silent)) / eps) * eps)
    return start


class _Oracle:
    """A network in the middle of a simulation."""

    def __init__(self, network: SpikingNetwork, starts: dict[str, Tensor]) -> None:
        self.network, self.starts = network, starts
        self.states: dict[str, object] = {}
        self.currents: dict[str, Tensor] = {}
        self.estimates: dict[str, Tensor] = {}
        self.steps = 0
        self.pooled: dict[str, tuple[Tensor, Tensor]] = {}
        self.received: dict[str, list[Tensor]] = {}
        self.steps = 0
        self.counts: dict[str, Tensor] = {}
        self.emitted: dict[str, Tensor] = {}
        self.total: Tensor | float = 0.0

    def step(self, arriving: Tensor) -> Tensor:
        """Advance every node by one step; the read-out, summed over all steps so far."""
        self.steps += 1
        direct: dict[str, Tensor] = {}  # what is read out: the spikes of this step
        filtered: dict[str, Tensor] = {}  # what neurons receive: synaptic currents
        for node in self.network.graph:
            name = node.name
            if isinstance(node.op, ir.Input) and self.network.input_code == "constant":
                direct[name] = filtered[name] = arriving
            elif isinstance(node.op, ir.Input):
                direct[name], filtered[name] = self._emit(name, arriving, torch.ones(()))
            elif name in self.network.sites:
                spikes = self._fire(node, filtered[node.inputs[0]])
                direct[name], filtered[name] = self._emit(name, spikes, self.network.sites[name].quantum)
            else:
                for lane, values in (("direct", direct), ("filtered", filtered)):
                    values[name] = self._applied(node, [values[i] for i in node.inputs], lane)
        self.total = self.total + direct[self.network.graph.output]
        return self.total

    def _fire(self, node: Node, drive: Tensor) -> Tensor:
        """The spikes of a population that receives `drive`."""
        site = self.network.sites[node.name]
        if node.name in self.starts:
            site = replace(site, initial=self.starts[node.name])
        self.states[node.name], spikes = site.step(self.states.get(node.name), drive, self.network.dt_s)
        return spikes

    def _emit(self, name: str, spikes: Tensor, quantum: Tensor) -> tuple[Tensor, Tensor]:
        """Count `spikes`, and send them on: as they are, and through the synaptic filter; or decoded, in both lanes."""
        nothing = torch.zeros_like(spikes)
        self.counts[name] = self.counts.get(name, nothing) + spikes
        site = self.network.sites.get(name)
        fired = (spikes != 0) if site is None else site.neuron.spikes_in(spikes)
        self.emitted[name] = self.emitted.get(name, nothing) + fired
        sent = spikes * quantum
        if self.network.code == "differential":
            before = self.estimates.get(name, nothing)
            self.estimates[name] = before + reciprocal(self.steps) * sent
            return sent + before, sent + before
        alpha = self.network.synapse.decay(self.steps)
        self.currents[name] = alpha * self.currents.get(name, nothing) + (1 - alpha) * sent
        return sent, self.currents[name]

    def _applied(self, node: Node, inputs: list[Tensor], lane: str) -> Tensor:
        """The value of a node without neurons.

        A max pool emits the growth of the maximum of its accumulated drive: summed over time, that is the maximum of
        the sums. A function of several values emits the growth of t F(sums / t): see `differences.py`.
        """
        if isinstance(node.op, ir.RUNNING):
            return self._difference(node, inputs, lane + node.name)
        if not isinstance(node.op, ir.MaxPool):
            return apply(node.op, *inputs)
        zeros = torch.zeros_like(inputs[0])
        sums, best = self.pooled.get(lane + node.name, (zeros, apply(node.op, zeros)))
        sums = sums + inputs[0]
        self.pooled[lane + node.name] = (sums, apply(node.op, sums))
        return self.pooled[lane + node.name][1] - best

    def _difference(self, node: Node, inputs: list[Tensor], key: str) -> Tensor:
        """What step t adds: t F(X[t] / t) - (t - 1) F(X[t-1] / (t-1))."""
        before = self.received.get(key, [torch.zeros_like(value) for value in inputs])
        now = [known + value for known, value in zip(before, inputs, strict=True)]
        self.received[key] = now
        t = self.steps
        sent = t * apply(node.op, *(x / t for x in now))
        return sent if t == 1 else sent - (t - 1) * apply(node.op, *(x / (t - 1) for x in before))
