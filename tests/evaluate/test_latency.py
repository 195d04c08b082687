"""Arrival means staying."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.errors import EvaluateError
from evaluate.latency import milliseconds, steps_within


def test_touching_the_band_is_not_arriving() -> None:
    assert steps_within([90, 99, 97, 98, 99], ann_correct=99, n=100, points=1) == 4


def test_never_within_is_none() -> None:
    assert steps_within([90, 99, 97], ann_correct=99, n=100, points=1) is None
    assert steps_within([], ann_correct=99, n=100, points=1) is None


def test_better_than_the_ann_is_within() -> None:
    assert steps_within([100, 100, 99], ann_correct=97, n=100, points=0) == 1


def test_a_loss_of_exactly_the_points_is_within() -> None:
    # 1 of 1000 is exactly 0.1 points, although 0.1 and 0.999 - 0.998 are not exact in floating point.
    assert steps_within([998], ann_correct=999, n=1000, points=0.1) == 1
    assert steps_within([997], ann_correct=999, n=1000, points=0.1) is None
    # The float nearest to 0.3 lies below it; taken at its binary value it would refuse 3 of 1000.
    assert steps_within([996], ann_correct=999, n=1000, points=0.3) == 1
    # 0.5 points of 360 samples are 1.8 samples: one may be lost, not two.
    assert steps_within([348, 349], ann_correct=350, n=360, points=0.5) == 2


def test_numpy_counts_are_welcome() -> None:
    assert steps_within(np.array([1, 2, 3]).tolist(), ann_correct=3, n=3, points=0) == 3
    assert steps_within(np.array([1, 2, 3]), ann_correct=3, n=3, points=0) == 3  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 50), st.integers(0, 1000))
def test_against_the_definition(counts: list[int], ann: int, tenths: int) -> None:
    n, found = 50, steps_within(counts, ann, 50, tenths / 10)

    def within(count: int) -> bool:
        return (ann - count) * 1000 <= tenths * n

    arrived = [t for t in range(1, len(counts) + 1) if all(within(count) for count in counts[t - 1 :])]
    assert found == (min(arrived) if arrived else None)


@pytest.mark.parametrize(
    ("counts", "ann", "n", "points"),
    [([1], 1, 0, 0.5), ([3], 1, 2, 0.5), ([1], 3, 2, 0.5), ([1], 1, 2, -0.1), ([1], 1, 2, math.nan)],
)
def test_impossible_counts_are_refused(counts: list[int], ann: int, n: int, points: float) -> None:
    with pytest.raises(EvaluateError, match="not fractions"):
        steps_within(counts, ann, n, points)


def test_milliseconds_are_steps_times_dt() -> None:
    assert milliseconds(32, 1e-3) == 32.0
    assert milliseconds(3, 1e-4) == 0.3
    assert milliseconds(None, 1e-3) is None
