"""How many steps, how many milliseconds until a spiking network is as good as its ANN, and what it waits for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from evaluate.errors import EvaluateError
from evaluate.pricing import Setting
from evaluate.records import Metric
from evaluate.traces import named

__all__ = ["milliseconds", "steps_within", "waiting_metrics"]


def steps_within(correct: Sequence[int], ann_correct: int, n: int, points: float) -> int | None:
    """The first step from which the SNN stays within `points` percentage points of the ANN.

    The smallest t with ``ann_correct - correct[s] <= n points / 100`` for **every** s from t to the last
    simulated step: a curve that touches the band and leaves it again has not arrived. One-sided: being better
    than the ANN is fine. Counts are compared as integers and `points` is taken as the decimal it was written
    as, so that a loss of exactly 0.1 points is within 0.1 points.

    Parameters
    ----------
    correct : sequence of int, length steps
        Correct samples after step 1, 2, ... (`evaluate.accuracy.correct_counts`).
    ann_correct : int
        Correct samples of the ANN, of the same `n` samples.
    n : int
        Number of samples.
    points : float
        Accepted loss in percentage points, >= 0.

    Returns
    -------
    int or None
        A number of steps, 1-based; None if the last simulated step is outside.

    Raises
    ------
    EvaluateError
        No samples, counts outside 0..n, or a negative or not finite `points`.

    >>> steps_within([90, 99, 97, 98, 99], ann_correct=99, n=100, points=1)
    4
    """
    counts = [int(count) for count in correct]
    if n <= 0 or not math.isfinite(points) or points < 0 or any(not 0 <= c <= n for c in [ann_correct, *counts]):
        raise EvaluateError(
            f"steps_within: got n = {n}, points = {points}, ANN {ann_correct}, SNN {counts[:5]}...; expected "
            "n > 0, points >= 0 and counts from 0 to n; pass numbers of correct samples, not fractions"
        )
    accepted_loss = math.floor(Fraction(str(points)) * n / 100)
    within = 0
    for count in reversed(counts):
        if ann_correct - count > accepted_loss:
            break
        within += 1
    return len(counts) - within + 1 if within else None


def milliseconds(steps: int | None, dt_s: float) -> float | None:
    """Simulated time of `steps` steps of `dt_s` seconds, in milliseconds; None stays None.

    Time in the model, ``steps * dt``: neither wall-clock time of the simulation nor pipeline delay of a chip.

    >>> milliseconds(8, 1e-3)
    8.0
    """
    return None if steps is None else float(Fraction(str(dt_s)) * steps * 1000)


def waiting_metrics(setting: Setting) -> list[Metric]:
    """What a run waits for apart from its steps T, as rows of a run file.

    *Sequential* is the latency where layers run one after the other, a step each: a spike that is fired in step t is
    heard in step t + 1, so the answer of T steps is there after T + (depth - 1) of them, depth being the populations on
    the longest path, and after a look-ahead of N steps for each population. The steps of a radix code are sequential
    as they are: a period for each population.
    """
    last: Any = named(setting.steps[-1], "steps", "steps")
    trial = named(setting.look_ahead, "look-ahead", "steps")
    ahead = trial * named(setting.populations, "populations")
    further = 0 if setting.sequential else max(0, setting.depth - 1)
    how = "periods of layers that follow each other"
    if not setting.sequential:
        how = f"{setting.steps[-1]} and one for each further layer of {setting.depth}"
    how += f"; {float(ahead):g} of look-ahead among them" if setting.look_ahead else ""
    whole = last + named(further, "further layers", "steps") + ahead
    skipped = named(min(setting.readout_delay, setting.steps[-1] // 2), "steps left out", "steps")
    rows = [
        Metric("latency.sequential_steps", whole, "steps", "lower",
               note=f"where layers run one after the other, a step each: {how}"),
        Metric("latency.readout_delay_steps", skipped, "steps", "neither",
               note="that the read-out leaves out, so that activity can reach it first; they are among the steps"),
    ]  # fmt: skip
    if setting.look_ahead:
        why = f"before step 1: {setting.look_ahead} for each population in turn"
        rows.append(Metric("latency.look_ahead_steps", ahead, "steps", "lower", note=why))
    return rows
