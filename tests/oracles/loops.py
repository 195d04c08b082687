"""The definitions as plain Python loops over numbers: no tensors in time, no engine, nothing shared with the code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def leaky_train(
    drives: Sequence[float], tau_mem: float, tau_syn: float, threshold: float = 0.5, start: float = 0.0
) -> list[int]:
    """Spikes of one neuron under `drives`, one number for each step; time constants in steps.

    The drive passes the synaptic filter, which starts at rest (zero).
    """
    alpha = math.exp(-1 / tau_syn) if tau_syn else 0.0
    beta = 1.0 if math.isinf(tau_mem) else math.exp(-1 / tau_mem)
    current, potential, train = 0.0, start, []
    for drive in drives:
        current = alpha * current + (1 - alpha) * drive
        potential = beta * potential + current
        fired = potential >= threshold
        potential -= fired
        train.append(int(fired))
    return train


def perceptron_counts(
    layers: Sequence[tuple[Sequence[Sequence[float]], Sequence[float]]],
    x: Sequence[float],
    steps: int,
    tau_mem: float,
    tau_syn: float,
) -> tuple[list[list[int]], list[float]]:
    """Spike counts of each hidden population and the summed read-out of a perceptron of seed neurons.

    Weights and biases are the normalised ones, rows first; the last layer has no neurons. Presynaptic spikes pass
    the synaptic filter before the weights; the read-out sees the spikes themselves.
    """
    alpha = math.exp(-1 / tau_syn) if tau_syn else 0.0
    beta = 1.0 if math.isinf(tau_mem) else math.exp(-1 / tau_mem)
    hidden = [len(bias) for _, bias in layers[:-1]]
    potentials = [[0.0] * n for n in hidden]
    traces = [[0.0] * n for n in hidden]
    counts = [[0] * n for n in hidden]
    readout = [0.0] * len(layers[-1][1])
    for _ in range(steps):
        filtered, direct = list(x), list(x)
        for depth, (weights, bias) in enumerate(layers[:-1]):
            spikes = []
            for k, (row, b) in enumerate(zip(weights, bias, strict=True)):
                drive = sum(w * v for w, v in zip(row, filtered, strict=True)) + b
                potential = beta * potentials[depth][k] + drive
                fired = potential >= 0.5
                potentials[depth][k] = potential - fired
                counts[depth][k] += int(fired)
                spikes.append(float(fired))
            traces[depth] = [alpha * i + (1 - alpha) * s for i, s in zip(traces[depth], spikes, strict=True)]
            filtered, direct = traces[depth], spikes
        weights, bias = layers[-1]
        for k, (row, b) in enumerate(zip(weights, bias, strict=True)):
            readout[k] += sum(w * v for w, v in zip(row, direct, strict=True)) + b
    return counts, readout


def differential_train(
    arriving: Sequence[Fraction],
    rest: Fraction,
    values: Sequence[Fraction],
    least_owed: Fraction,
    gains: Sequence[Fraction],
    ceiling: Fraction | None = None,
) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
    """Spikes of a differential neuron, and the estimates on its two sides, after every step; exact.

    Parameters
    ----------
    arriving
        Weighted sum of the spikes of each step, without bias.
    rest
        The bias: what the neuron believes of its drive before the first spike.
    values
        Magnitudes of its spikes, largest first.
    least_owed
        What must be owed before the least value is sent.
    gains
        1 / t of each step, or what stands for it.

    The neuron owes what it has received minus what it has said, each summed over the steps: v is never carried along.
    """
    received = said = Fraction(0)
    heard, told = rest, Fraction(0)
    train, inside, outside = [], [], []
    for x, gain in zip(arriving, gains, strict=True):
        received += x + heard
        heard += gain * x
        owed = received - said - told
        spike = Fraction(0)
        for i, value in enumerate(values):
            needed = (value + values[i + 1]) / 2 if i + 1 < len(values) else least_owed
            if owed >= needed and (ceiling is None or told + gain * value <= ceiling):
                spike = value
            elif owed < -needed and told - gain * value >= 0:
                spike = -value
            if spike:
                break
        said += spike + told
        told += gain * spike
        train.append(spike)
        inside.append(heard)
        outside.append(told)
    return train, inside, outside


def differential_perceptron(
    layers: Sequence[tuple[Sequence[Sequence[Fraction]], Sequence[Fraction]]],
    x: Sequence[Fraction],
    values: Sequence[Fraction],
    least_owed: Fraction,
    gains: Sequence[Fraction],
) -> tuple[list[list[list[Fraction]]], list[list[Fraction]]]:
    """Trains of each hidden population, [layer][neuron][step], and the estimates of the outputs, [output][step]."""
    weights, bias = layers[0]
    rests = [b + sum(w * v for w, v in zip(row, x, strict=True)) for row, b in zip(weights, bias, strict=True)]
    arriving = [[Fraction(0)] * len(gains) for _ in rests]
    trains = []
    for weights, bias in layers[1:]:
        fired = [differential_train(a, r, values, least_owed, gains)[0] for a, r in zip(arriving, rests, strict=True)]
        trains.append(fired)
        arriving = [
            [sum((w * train[t] for w, train in zip(row, fired, strict=True)), Fraction(0)) for t in range(len(gains))]
            for row in weights
        ]
        rests = list(bias)
    outputs = []
    for rest, charges in zip(rests, arriving, strict=True):
        estimate, course = rest, []
        for charge, gain in zip(charges, gains, strict=True):
            estimate += gain * charge
            course.append(estimate)
        outputs.append(course)
    return trains, outputs


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """The smallest value such that at least `percent` of all values do not exceed it."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(percent / 100 * len(ordered) - 1e-9)) - 1]


def staircase_error(values: Sequence[float], lam: float, steps: int) -> float:
    """Root mean squared error of lam/T clip(floor(T x / lam + 1/2), 0, T) on `values`."""
    total = 0.0
    for x in values:
        level = min(max(math.floor(steps * x / lam + 0.5), 0), steps)
        total += (x - lam * level / steps) ** 2
    return math.sqrt(total / len(values))


def adaptive_train(drives: Sequence[float], tau_mem: float, tau_adapt: float) -> list[int]:
    """Signed spikes of one tanh neuron under `drives`; time constants in steps.

    The quantum is artanh(r) / r at the multiple of 1/256 next to the neuron's own rate r.
    """
    beta = 1.0 if math.isinf(tau_mem) else math.exp(-1 / tau_mem)
    potential, rate, train = 0.0, 0.0, []
    for step, drive in enumerate(drives, start=1):
        potential = beta * potential + drive
        near = min(round(abs(rate) * 256) / 256, 1 - 1 / 512)
        quantum = math.atanh(near) / near if near else 1.0
        spike = int(math.copysign(1, potential)) if abs(potential) >= quantum / 2 else 0
        potential -= quantum * spike
        rate += (spike - rate) * max(1 / step, min(1.0, 1 / tau_adapt))
        train.append(spike)
    return train
