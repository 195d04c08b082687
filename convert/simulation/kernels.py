"""The loops over time of one population, in place and without copies of the whole train.

Each does for a block of steps what `step` of its neuron does for one; a test holds them to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from convert.graph.ir import MaxPool
from convert.graph.semantics import apply
from convert.network import Site
from convert.neurons.adaptive import AdaptiveNeuron, AdaptiveState
from convert.neurons.burst import BurstNeuron
from convert.neurons.differential import DifferentialNeuron, DifferentialState, reciprocal
from convert.neurons.graded import GradedNeuron, GradedState
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron, LeakyState, decay
from convert.neurons.synapse import Synapse
from convert.neurons.tracking import CurveNeuron, TrackingNeuron, TrackingState, TwoSlopeNeuron
from convert.simulation.events.curves import track

__all__ = ["Decoder", "Filter", "Maximum", "channels_last", "scan", "some"]

State = LeakyState | AdaptiveState | GradedState | TrackingState


def channels_last(x: Tensor) -> Tensor:
    """`x` with channels innermost in memory where it is an image batch: convolution and pooling are faster so."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.contiguous()


def some(state: State, index: Tensor) -> State:
    """`state`, a dataclass, with some of the samples only: of every tensor (batch, *shape) in it."""
    kept = {f.name: _some(getattr(state, f.name), index) for f in fields(state)}
    return replace(state, **kept)


def _some(value: Any, index: Tensor) -> Any:
    if isinstance(value, tuple):
        return tuple(_some(v, index) for v in value)
    return channels_last(value[index]) if isinstance(value, Tensor) else value


def _block_like(x: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Room for a block of steps of what `x` (any, batch, *shape) holds."""
    batch, shape = x.shape[1], x.shape[2:]
    layout = torch.channels_last if len(shape) == 3 else torch.contiguous_format
    room = torch.empty((steps * batch, *shape), dtype=dtype, device=x.device, memory_format=layout)
    return room.unflatten(0, (steps, batch))


def scan(
    site: Site, state: State | None, current: Tensor, steps: int, dt_s: float, dtype: torch.dtype,
    compiled: bool = False,
) -> tuple[State, Tensor]:  # fmt: skip
    """Spikes of the population at `site` over a block of steps.

    Parameters
    ----------
    state
        None before the first block.
    current : Tensor
        (steps, batch, *shape), or (1, batch, *shape) where it is constant.
    dtype
        Type of the membrane potential.
    compiled
        Whether the events kernel may be used where it has the loop.

    Returns
    -------
    state, spikes : the new state; (steps, batch, *shape) in float32
    """
    neuron, quantum = site.neuron, float(site.quantum)
    if state is None:
        v = torch.empty_like(current[0], dtype=dtype).copy_(site.initial)
        state = neuron.start(v)
    if compiled and isinstance(neuron, CurveNeuron) and isinstance(state, TrackingState):
        return track(site, neuron, state, current, steps, dt_s)
    spikes = _block_like(current, steps, torch.float32)
    if isinstance(neuron, AdaptiveNeuron) and isinstance(state, AdaptiveState):
        return _scan_adaptive(neuron, state, current, quantum, spikes, dt_s), spikes
    if isinstance(neuron, TrackingNeuron) and isinstance(state, TrackingState):
        return _scan_tracking(site, neuron, state, current, spikes, dt_s), spikes
    if isinstance(neuron, DifferentialNeuron) and isinstance(state, DifferentialState):
        return _scan_differential(neuron, state, current, quantum, spikes), spikes
    if isinstance(neuron, GradedNeuron) and isinstance(state, GradedState):
        _scan_graded(neuron, state, current, quantum, spikes, dt_s)
        return state, spikes
    assert isinstance(state, LeakyState)  # all that is left
    if isinstance(neuron, BurstNeuron):
        _scan_burst(neuron, state.v, current, quantum, spikes, dt_s)
        return state, spikes
    _scan_leaky(neuron, state.v, current, quantum, spikes, dt_s)
    return state, spikes


def _scan_leaky(neuron: LeakyNeuron, v: Tensor, current: Tensor, quantum: float, spikes: Tensor, dt_s: float) -> None:
    beta, leaks = decay(dt_s, neuron.tau_mem_s), neuron.tau_mem_s < math.inf
    constant = current.shape[0] == 1
    threshold = neuron.v_threshold * quantum
    for t in range(len(spikes)):
        if leaks:
            v.mul_(beta)
        v.add_(current[0 if constant else t])
        torch.ge(v, threshold, out=spikes[t])
        if isinstance(neuron, HardResetNeuron):
            v.mul_(1 - spikes[t])
        else:
            v.sub_(spikes[t], alpha=quantum)


def _scan_burst(neuron: BurstNeuron, v: Tensor, current: Tensor, quantum: float, spikes: Tensor, dt_s: float) -> None:
    beta, leaks = decay(dt_s, neuron.tau_mem_s), neuron.tau_mem_s < math.inf
    constant, fired = current.shape[0] == 1, torch.empty_like(v)
    for t in range(len(spikes)):
        if leaks:
            v.mul_(beta)
        v.add_(current[0 if constant else t])
        torch.div(v, quantum, out=fired).sub_(neuron.v_threshold).floor_().add_(1).clamp_(0, neuron.most)
        spikes[t] = fired
        v.sub_(fired, alpha=quantum)


def _scan_graded(
    neuron: GradedNeuron, state: GradedState, current: Tensor, quantum: float, spikes: Tensor, dt_s: float
) -> None:
    v, credit = state.v, state.credit
    beta, leaks = decay(dt_s, neuron.tau_mem_s), neuron.tau_mem_s < math.inf
    constant = current.shape[0] == 1
    here, fired = torch.empty_like(spikes[0]), torch.empty_like(spikes[0])
    for t in range(len(spikes)):
        if leaks:
            v.mul_(beta)
        v.add_(current[0 if constant else t])
        spikes[t] = 0
        for midpoint, value, growth in neuron.rungs():
            spikes[t].add_(torch.ge(v, midpoint * quantum, out=here), alpha=growth)
            if neuron.takes_back:
                torch.lt(v, -midpoint * quantum, out=here)
                spikes[t].sub_(here.mul_(torch.ge(credit, value, out=fired)), alpha=growth)
        v.sub_(spikes[t], alpha=quantum)
        credit.add_(spikes[t])


def _scan_differential(
    neuron: DifferentialNeuron, state: DifferentialState, current: Tensor, quantum: float, spikes: Tensor
) -> DifferentialState:
    v, said, constant = state.v, state.credit, current.shape[0] == 1
    here, room = torch.empty_like(v), torch.empty_like(v)
    for t in range(len(spikes)):
        gain = reciprocal(state.steps + t + 1)
        v.add_(current[0 if constant else t]).sub_(said, alpha=quantum)
        emitted = torch.zeros_like(v)
        for owed, value, growth in neuron.rungs():
            torch.ge(v, owed * quantum, out=here)
            if neuron.ceiling < math.inf:
                here.mul_(torch.add(said, gain * value, out=room).le_(neuron.ceiling))
            emitted.add_(here, alpha=growth)
            torch.lt(v, -owed * quantum, out=here)
            emitted.sub_(here.mul_(torch.ge(said, gain * value, out=room)), alpha=growth)
        spikes[t] = emitted
        v.sub_(emitted, alpha=quantum)
        said.add_(emitted, alpha=gain)
    return DifferentialState(v, said, state.steps + len(spikes))


def _scan_adaptive(
    neuron: AdaptiveNeuron, state: AdaptiveState, current: Tensor, quantum: float, spikes: Tensor, dt_s: float
) -> AdaptiveState:
    v, rate = state.v, state.rate
    beta, constant = decay(dt_s, neuron.tau_mem_s), current.shape[0] == 1
    table = torch.tensor(neuron.quanta, dtype=v.dtype, device=v.device) * quantum
    q, room = torch.empty_like(v), torch.empty_like(v)
    index = torch.empty_like(v, dtype=torch.int64)
    for t in range(len(spikes)):
        v.mul_(beta).add_(current[0 if constant else t])
        torch.mul(rate, len(table) - 1, out=room).abs_().round_()
        torch.take(table, index.copy_(room), out=q)
        torch.mul(q, neuron.v_threshold, out=room)
        fired = torch.abs(v).ge_(room)
        emitted = torch.sign(v, out=room).mul_(fired)
        spikes[t] = emitted
        v.addcmul_(q, emitted, value=-1)
        rate.add_(emitted.sub_(rate).mul_(neuron.gain(state.steps + t + 1, dt_s)))  # two roundings, as elsewhere
    return AdaptiveState(v, rate, state.steps + len(spikes))


def _scan_tracking(
    site: Site, neuron: TrackingNeuron, state: TrackingState, current: Tensor, spikes: Tensor, dt_s: float
) -> TrackingState:
    charge, count, window = state.charge, state.count, state.window
    beta, constant = decay(dt_s, neuron.tau_mem_s), current.shape[0] == 1
    owed = _counting(neuron, site, charge)
    for t in range(len(spikes)):
        charge.mul_(beta).add_(current[0 if constant else t])
        count.mul_(beta)
        window = beta * window + 1.0
        v = owed(charge, window).sub_(count)
        fired = v.abs().ge_(neuron.v_threshold)
        emitted = torch.sign(v, out=v).mul_(fired)
        spikes[t] = emitted
        count.add_(emitted)
    return TrackingState(charge, count, window)


def _counting(neuron: TrackingNeuron, site: Site, like: Tensor) -> Callable[[Tensor, float], Tensor]:
    """`neuron.owed` with its tables at hand."""
    quantum, threshold = site.quantum.to(like), site.threshold.to(like)
    if isinstance(neuron, CurveNeuron):
        breaks, rises, offsets = neuron.table(like)
        unit = threshold / quantum

        def by_table(charge: Tensor, window: float) -> Tensor:
            x = channels_last(torch.mul(charge, 1.0 / window).mul_(unit))
            dense = x.permute(0, 2, 3, 1) if x.ndim == 4 else x  # as it lies in memory
            piece = torch.bucketize(dense, breaks, right=True)
            dense.mul_(torch.take(rises, piece)).add_(torch.take(offsets, piece))
            return x.mul_(window / threshold)

        return by_table
    if isinstance(neuron, TwoSlopeNeuron):
        slope = neuron.slope(like)
        return lambda charge, window: torch.where(charge > 0, charge, charge * slope).div_(quantum)
    return lambda charge, window: neuron.owed(charge, window, quantum, threshold)


class Filter:
    """The synaptic current I[t] = alpha_t I[t-1] + (1 - alpha_t) J[t] over blocks of steps.

    It starts at the value at rest, as if nothing but biases and constant inputs had been there before.
    """

    def __init__(self, synapse: Synapse, rest: Tensor) -> None:
        """`rest` is (batch, *shape)."""
        self.synapse, self.i, self.steps = synapse, rest.double().clone(), 0

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples."""
        self.i = channels_last(self.i[index])

    def __call__(self, j: Tensor) -> Tensor:
        """The filtered block, (steps, batch, *shape) in float64."""
        out = _block_like(j, len(j), torch.float64)
        for t in range(len(j)):
            self.steps += 1
            alpha = self.synapse.decay(self.steps)
            self.i.mul_(alpha).add_(j[t].double() * (1 - alpha))  # two roundings, whatever the machine
            out[t] = self.i
        return out


class Decoder:
    """The decoded drive y[t] = (J[t] - rest) + r[t-1] of the differential code over blocks of steps.

    The estimate r[t] = r[t-1] + g[t] (J[t] - rest) starts at the value at rest; see `convert.neurons.differential`.
    """

    def __init__(self, rest: Tensor) -> None:
        """`rest` is (batch, *shape)."""
        self.rest = rest.double()
        self.estimate, self.steps = self.rest.clone(), 0

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples."""
        self.rest, self.estimate = channels_last(self.rest[index]), channels_last(self.estimate[index])

    def __call__(self, j: Tensor) -> Tensor:
        """The decoded block, (steps, batch, *shape) in float64."""
        out = _block_like(j, len(j), torch.float64)
        for t in range(len(j)):
            change = j[t] - self.rest
            torch.add(change, self.estimate, out=out[t])
            self.steps += 1
            self.estimate.add_(change, alpha=reciprocal(self.steps))
        return out


class Maximum:
    """Max pooling of accumulated drive: emits the growth of max(sum of drive), block by block."""

    def __init__(self, op: MaxPool, like: Tensor) -> None:
        """`like` is the drive of one step, (batch, *shape)."""
        self.op = op
        self.sums = torch.zeros(like.shape, dtype=torch.float64)
        self.best = apply(op, self.sums)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples."""
        self.sums, self.best = channels_last(self.sums[index]), channels_last(self.best[index])

    def __call__(self, drive: Tensor) -> Tensor:
        """The pooled block, (steps, batch, *pooled shape) in float64."""
        sums = torch.cumsum(torch.cat([self.sums[None], drive.double()]), dim=0)[1:]  # one by one, whatever the block
        pooled = apply(self.op, sums.flatten(0, 1)).unflatten(0, sums.shape[:2])
        growth = torch.diff(pooled, dim=0, prepend=self.best[None])
        self.sums, self.best = sums[-1], pooled[-1]
        return growth
