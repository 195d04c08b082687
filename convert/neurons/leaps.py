"""leap(): what a population does in several steps at once, in closed form, if its drive were constant meanwhile.

With d the mean drive of k steps, v the potential before them, beta the leak and D = d / (1 - beta) where V tends to:

integrate and fire   s = floor(v + k d + 1 - V_th), at least 0, and at most one in each step from the first spike on
leaky                the first spike after t_1 = ln((D - v) / (D - V_th)) / -ln(beta) steps; then one every
                     P = ln((D - c + 1) / (D - c)) / -ln(beta) steps, c = V_th + d / 2: in steps of finite length V
                     passes the threshold by d / 2 on average, and the leak takes its part of that; none if D < V_th.
                     Rates lock to simple fractions, as to 1 from d = (1 + beta) / 2 on: off by k (1 - beta) / 2 at most
reset to zero        one every ceil(V_th / d) steps (leaky: ceil(ln(D / (D - V_th)) / -ln(beta)))
burst                the same with up to n in a step
signed, graded       the same in units of the least value u, of both signs, down to the credit
adaptive             s q(r) = v + k d, with r the mean of the rates before and after; solved by iteration
tracking             s = (n f(A / n) / lam - beta^k S) k / g, g = (1 - beta^k) / (1 - beta): what the curve asks for
differential         r grows by round_u(v + k (d - r)) / t if more than the dead zone is owed
counting             the level of the staircase at the charge, at most one spike in each step

For one step every family takes its own `step`, and for constant drive the integrate-and-fire neurons are exact at any
number. What order and timing of the spikes that arrive change is not part of it: see `evaluate.surrogate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from convert.neurons.adaptive import AdaptiveNeuron, AdaptiveState
from convert.neurons.burst import BurstNeuron
from convert.neurons.counting import Counting, CountingNeuron
from convert.neurons.differential import DifferentialNeuron, DifferentialState
from convert.neurons.graded import GradedNeuron, GradedState
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron, LeakyState, decay
from convert.neurons.tracking import TrackingNeuron, TrackingState

__all__ = ["Leap", "leap"]

Leap = tuple[Any, Tensor, Tensor]
"""State afterwards; sum of the values of all spikes; number of spikes."""

_ROUNDS = 4
"""Iterations for the adaptive neuron's rate."""


def leap(neuron: LeakyNeuron, state: Any, drive: Tensor, steps: int, dt_s: float, threshold: Tensor) -> Leap:
    """`steps` steps of a population of quantum 1 at a constant drive.

    In the differential code the value is that of the rate code that says the same: what T r[T] has grown by.

    Parameters
    ----------
    state
        As `neuron.start` or an earlier leap made it.
    drive : Tensor (batch, *shape)
        Mean charge per step, in quanta.
    threshold : Tensor
        lam, for neurons that keep their count on a curve.

    >>> state, value, spikes = leap(LeakyNeuron(math.inf, 0.0), LeakyState(torch.zeros(1)), torch.tensor([0.3]), 10,
    ...                             1e-3, torch.ones(()))
    >>> value, spikes
    (tensor([3.]), tensor([3.]))
    """
    if steps == 1:
        return _single(neuron, state, drive, dt_s, threshold)
    beta = decay(dt_s, neuron.tau_mem_s)
    if isinstance(neuron, TrackingNeuron):
        return _tracking(neuron, state, drive, steps, beta, threshold)
    return next(law for kind, law in _LAWS.items() if isinstance(neuron, kind))(neuron, state, drive, steps, beta)


def _single(neuron: LeakyNeuron, state: Any, drive: Tensor, dt_s: float, threshold: Tensor) -> Leap:
    quantum = torch.ones((), dtype=drive.dtype)
    after: Any
    if isinstance(neuron, TrackingNeuron):
        after, spikes = neuron.step(state, drive, quantum, dt_s, threshold)
    else:
        after, spikes = neuron.step(state, drive, quantum, dt_s)
    value = spikes + state.credit if isinstance(neuron, DifferentialNeuron) else spikes
    return after, value, neuron.spikes_in(spikes).to(drive.dtype)


def _fired(v: Tensor, d: Tensor, k: int, beta: float, v_threshold: float, most: float = 1.0) -> tuple[Tensor, Tensor]:
    """Unsigned spikes with subtractive reset, at most `most` in a step: (their number, the potential afterwards)."""
    if beta == 1.0:
        charge = v + k * d
        late = ((v_threshold - v) / d.clamp(min=1e-9)).ceil().clamp(1, k + 1) - 1
        s = (charge + (1 - v_threshold)).floor().clamp(min=0).minimum(most * (k - late))
        return s, charge - s
    waiting = ((v - v_threshold).floor() + 1).clamp(0, k * most)
    v, pace = v - waiting, -math.log(beta)
    goal = d / (1 - beta)
    silent = goal <= v_threshold
    first = torch.log(((goal - v) / (goal - v_threshold)).where(~silent, torch.ones_like(v)).clamp(min=1.0)) / pace
    centre = goal - (v_threshold + d / 2)
    period = torch.log1p(1 / centre.clamp(min=1e-9)) / pace
    s = ((k - first) / period).floor().add(1).clamp(min=0).where((first <= k) & ~silent, torch.zeros_like(v))
    bound = (most * (k - first.ceil().clamp(min=1) + 1)).clamp(min=0)
    full = s > bound
    s = s.minimum(bound)
    free = beta**k * v + goal * (1 - beta**k)
    since = (k - first - (s - 1) * period).clamp(min=0)
    between = goal - (goal - v_threshold + 1) * torch.exp(-pace * since)
    end = between.where(s > 0, free).where(~full, free - (1 - beta ** s.clamp(max=k)) / (1 - beta) * most)
    return s + waiting, end


def _leaky(neuron: LeakyNeuron, state: LeakyState, d: Tensor, k: int, beta: float) -> Leap:
    most = neuron.most if isinstance(neuron, BurstNeuron) else 1
    s, v = _fired(state.v, d, k, beta, neuron.v_threshold, most)
    return LeakyState(v), s, s


def _hard_reset(neuron: LeakyNeuron, state: LeakyState, d: Tensor, k: int, beta: float) -> Leap:
    v_th, v = neuron.v_threshold, state.v
    if beta == 1.0:
        d_up = d.clamp(min=1e-9)
        first, period = ((v_th - v) / d_up).ceil().clamp(min=1), (v_th / d_up).ceil()
    else:
        goal = (d / (1 - beta)).clamp(min=v_th * (1 + 1e-6))
        first = (torch.log(((goal - v) / (goal - v_th)).clamp(min=1.0)) / -math.log(beta)).ceil().clamp(min=1)
        period = (torch.log(goal / (goal - v_th)) / -math.log(beta)).ceil()
    s = ((k - first) / period).floor().add(1).clamp(min=0)
    since = (k - first - (s - 1) * period).clamp(min=0).where(s > 0, torch.full_like(v, k))
    start = torch.zeros_like(v).where(s > 0, v)
    if beta == 1.0:
        return LeakyState(start + since * d), s, s
    left = torch.exp(since * math.log(beta))
    return LeakyState(start * left + d / (1 - beta) * (1 - left)), s, s


def _graded(neuron: GradedNeuron, state: GradedState, d: Tensor, k: int, beta: float) -> Leap:
    unit = neuron.values[-1]
    back = state.credit / unit if neuron.takes_back else torch.zeros_like(d)
    way = torch.where(state.v + k * d < 0, -1.0, 1.0).to(d.dtype)
    n, v = _fired(way * state.v / unit, way * d / unit, k, beta, 0.5, 1 / unit)
    kept = n.minimum(back).where(way < 0, n)
    v, s = unit * way * (v + (n - kept)), unit * way * kept
    return GradedState(v, state.credit + s), s, kept.clamp(max=k)


def _adaptive(neuron: AdaptiveNeuron, state: AdaptiveState, d: Tensor, k: int, beta: float) -> Leap:
    table = torch.tensor(neuron.quanta, dtype=d.dtype, device=d.device)
    after, gain = state.steps + k, (1 - beta**k) / (k * (1 - beta)) if beta < 1 else 1.0
    charge = (beta**k * state.v + k * d * gain) / gain
    s = charge.clamp(-k, k)
    q = torch.ones_like(s)
    for _ in range(_ROUNDS):
        rate = (state.rate * state.steps + s) / after
        q = neuron.quantum((state.rate + rate) / 2 if state.steps else rate, table)
        s = (s + (charge / q).clamp(-k, k)) / 2
    low = d.abs() <= neuron.v_threshold * (1 - beta)
    s = torch.sign(charge) * ((charge / q).abs() + (1 - neuron.v_threshold)).floor().clamp(max=k)
    s = s.where(~low, torch.zeros_like(s))
    v = (charge - q * s) * gain
    return AdaptiveState(v, (state.rate * state.steps + s) / after, after), s, s.abs()


def _tracking(neuron: TrackingNeuron, state: TrackingState, d: Tensor, k: int, beta: float, threshold: Tensor) -> Leap:
    gain = (1 - beta**k) / (1 - beta) if beta < 1 else float(k)
    charge, window = beta**k * state.charge + gain * d, beta**k * state.window + gain
    left = beta**k * state.count
    owed = (neuron.owed(charge, window, torch.ones((), dtype=d.dtype), threshold) - left) * (k / gain)
    s = torch.sign(owed) * (owed.abs() + (1 - neuron.v_threshold)).floor().clamp(max=k)
    return TrackingState(charge, left + s * (gain / k), window), s, s.abs()


def _differential(neuron: DifferentialNeuron, state: DifferentialState, d: Tensor, k: int, beta: float) -> Leap:
    unit, after = neuron.values[-1], state.steps + k
    owed = state.v + k * (d - state.credit)
    change = unit * (owed / unit).round() * (owed.abs() >= neuron.v_threshold * unit)
    lowest, highest = -after * state.credit, after * (neuron.ceiling - state.credit)
    change = change.clamp(-k, k).maximum(lowest).minimum(highest)
    said = state.credit + change / after
    earlier = change.abs() * ((state.steps + k / 2) / after)
    spikes = (earlier / neuron.values[0]).floor() + (earlier % neuron.values[0] > unit / 2)
    return (
        DifferentialState(owed - change, said, after),
        after * said - state.steps * state.credit,
        spikes.clamp(max=k),
    )


def _counting(neuron: CountingNeuron, state: Counting, d: Tensor, k: int, beta: float) -> Leap:
    charge = state.charge + k * d
    s = (neuron.target(charge) - state.count).clamp(-k, k)
    return Counting(charge, state.count + s), s, s.abs()


_LAWS: dict[type, Callable[[Any, Any, Tensor, int, float], Leap]] = {
    CountingNeuron: _counting,
    DifferentialNeuron: _differential,
    GradedNeuron: _graded,
    AdaptiveNeuron: _adaptive,
    HardResetNeuron: _hard_reset,
    LeakyNeuron: _leaky,
}
"""The first that fits, so special families come before the general one."""
