"""One case under several seeds as one run: what was random is a mean with its spread and its single values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evaluate.errors import EvaluateError
from evaluate.records import Metric, Run, content_hash
from evaluate.traces import total

__all__ = ["mean_over_seeds", "spread_of"]


def mean_over_seeds(runs: Sequence[Run], seeds: Sequence[int]) -> Run:
    """The first run with every metric that differs as the mean over all of them.

    The value is the mean, `observations` are the single values in the order of the seeds. The interval reaches from
    the lowest to the highest end of the single intervals, or of the values where they have none: it covers what
    samples and what seeds do. Layers, curves and samples are those of the first seed.

    Raises
    ------
    EvaluateError
        No runs, or not as many as seeds.
    """
    if not runs or len(runs) != len(seeds):
        raise EvaluateError(f"seeds: got {len(runs)} runs for {len(seeds)} seeds; expected one run for each seed")
    first = runs[0]
    metrics = tuple(_merged(m, [run.metric(m.name) for run in runs], seeds) for m in first.metrics)
    told = f"Repeated with {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}: metrics are means over them; layers, curves "
    note = told + "and samples are those of the first."
    identity = {"runs": [run.id for run in runs], "seeds": list(seeds)}
    case: dict[str, Any] = {**first.case, "seeds": list(seeds)}
    return replace(first, id=content_hash(identity), case=case, metrics=metrics, notes=(*first.notes, note))


def _merged(first: Metric, all_of: Sequence[Metric], seeds: Sequence[int]) -> Metric:
    """One metric over the seeds."""
    values = [m.value for m in all_of if m.value is not None]
    if first.timing or len({m.value for m in all_of}) == 1:
        return first
    if len(values) < len(seeds):
        reached = f"reached with {len(values)} of {len(seeds)} seeds only; {first.note or 'no value with the others'}"
        return replace(first, value=None, low=None, high=None, note=f"not reached: {reached}")
    ends = [end for m in all_of for end in (m.low, m.high, m.value) if end is not None]
    mean = total(values) / len(values)
    note = f"mean over {len(seeds)} seeds, standard deviation {spread_of(values):.3g}; {first.note}"
    return replace(first, value=mean, low=min(ends), high=max(ends), note=note, observations=tuple(values))


def spread_of(values: Sequence[float]) -> float:
    """Standard deviation over the seeds.

    >>> spread_of([1.0, 3.0])
    1.4142135623730951
    """
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
