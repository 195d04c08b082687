"""SynOps by brute force, from the side of the spike: every event walks through every synapse that leaves it."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

from convert.graph import ir


def out_space(space, kernel, stride, padding, dilation):
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in
            zip(space, kernel, stride, padding, dilation, strict=True)]  # fmt: skip


def reached(at, offset, stride, padding, dilation, out):
    """The output position that a kernel offset takes the input position `at` to; None if there is none."""
    places = []
    for i, k, s, p, d, n in zip(at, offset, stride, padding, dilation, out, strict=True):
        there, rest = divmod(i + p - k * d, s)
        if rest or not 0 <= there < n:
            return None
        places.append(there)
    return tuple(places)


def synapses(op, shape, at):
    """(output element, weight) of every synapse that leaves the input element `at`."""
    if isinstance(op, ir.Linear):
        for o in range(op.weight.shape[0]):
            yield (*at[:-1], o), float(op.weight[(o, at[-1])])
        return
    channels, per_group, *kernel = op.weight.shape
    out = out_space(shape[1:], kernel, op.stride, op.padding, op.dilation)
    group, inside = divmod(at[0], per_group)
    for offset in product(*map(range, kernel)):
        place = reached(at[1:], offset, op.stride, op.padding, op.dilation, out)
        if place is not None:
            for o in range(group * (channels // op.groups), (group + 1) * (channels // op.groups)):
                yield (o, *place), float(op.weight[(o, inside, *offset)])


def pooled(op, shape, events):
    """Events after average pooling: one for each window that an event lies in."""
    kernel = op.kernel
    ones = (1,) * len(kernel)
    out = out_space(shape[1:], kernel, op.stride, op.padding, ones)
    found = Counter()
    for at, n in events.items():
        for offset in product(*map(range, kernel)):
            place = reached(at[1:], offset, op.stride, op.padding, ones, out)
            if place is not None:
                found[(at[0], *place)] += n
    return found, (shape[0], *out)


def delivered(op, shape, events):
    """(SynOps, those through a weight of zero) of events at the elements of an input of `shape`."""
    through, idle = [], []
    for at, n in events.items():
        for _, weight in synapses(op, shape, at):
            through.append(n)
            idle += [n] * (weight == 0)
    return math.fsum(through), math.fsum(idle)
