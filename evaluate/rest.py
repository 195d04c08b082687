"""Metrics of an exact network that has come to rest, from counts of samples alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from evaluate.decisions import proportion
from evaluate.records import Metric
from evaluate.traces import named, total

__all__ = ["rest_metrics"]

_SHARES = (
    (
        "exact.identical",
        "identical",
        "samples whose counts and logits are, bit for bit, those of the quantised network",
    ),
    ("exact.certified", "certified", "samples for which no neuron could fire, computed anew from the counts"),
    ("exact.quantised_accuracy", "quantised_right", "of the quantised network, evaluated layer by layer"),
)


def rest_metrics(record: Mapping[str, Any]) -> tuple[Metric, ...]:
    """The rows of a run file that only an exact network has.

    Parameters
    ----------
    record : mapping
        ``identical``, ``certified``, ``quantised_right``: numbers of samples, or why there is none; ``quiet_after``:
        pairs of a step and the number of samples whose last spike it has, ascending.
    """
    pairs = [(int(t), int(count)) for t, count in record["quiet_after"]]
    n = sum(count for _, count in pairs)
    rows = [
        Metric(name, None, "fraction", "higher", note=record[key])
        if isinstance(record[key], str)
        else proportion(name, record[key], n, note, f"samples: {key.replace('_', ' ')}")
        for name, key, note in _SHARES
    ]
    last = [named(t, f"last spike of {count} samples", "steps") for t, count in pairs]
    mean = total(t * named(count, "samples") for t, (_, count) in zip(last, pairs, strict=True)) / named(n, "samples")
    quiet = (("", mean, "mean"), ("_median", _ranked(pairs, (n - 1) // 2), "median"),
             ("_p99", _ranked(pairs, math.ceil(0.99 * (n - 1))), "99th percentile"),
             ("_max", _ranked(pairs, n - 1), "largest"))  # fmt: skip
    return (*rows, *(
        Metric(f"latency.steps_to_quiescence{suffix}", value, "steps", "lower", n,
               note=f"{what} over the samples of the step of the last spike")
        for suffix, value, what in quiet
    ))  # fmt: skip


def _ranked(pairs: list[tuple[int, int]], rank: int) -> float:
    """The step of the sample at `rank`, which counts from 0."""
    passed = 0
    for t, count in pairs:
        passed += count
        if passed > rank:
            return named(t, f"last spike of the sample of rank {rank + 1}", "steps")
    raise AssertionError("the rank is that of a sample")
