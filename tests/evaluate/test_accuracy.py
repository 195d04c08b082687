"""Curves by counting on small arrays."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.accuracy import accuracy_curve, agreement_curve, correct_counts
from evaluate.errors import EvaluateError

PREDICTIONS = np.array([[0, 1, 1], [2, 2, 0], [0, 0, 0], [1, 1, 2]])
LABELS = np.array([1, 2, 0, 2])


def test_correct_counts_counts_every_step() -> None:
    counts = correct_counts(PREDICTIONS, LABELS)
    assert counts.tolist() == [2, 3, 3] and counts.dtype == np.int64


def test_accuracy_curve_is_the_fraction_at_every_step() -> None:
    assert accuracy_curve(PREDICTIONS, LABELS).tolist() == [0.5, 0.75, 0.75]


def test_without_labels_there_is_no_accuracy() -> None:
    assert accuracy_curve(PREDICTIONS, None) is None


def test_agreement_curve_compares_with_the_ann_and_not_with_labels() -> None:
    assert agreement_curve(PREDICTIONS, PREDICTIONS[:, -1]).tolist() == [0.25, 0.5, 1.0]


def test_against_a_slow_count() -> None:
    generator = np.random.default_rng(3)
    predictions, labels = generator.integers(0, 10, (57, 9)), generator.integers(0, 10, 57)
    slow = [sum(int(row[t]) == int(label) for row, label in zip(predictions, labels, strict=True)) for t in range(9)]
    assert correct_counts(predictions, labels).tolist() == slow


@pytest.mark.parametrize("shapes", [((4,), (4,)), ((4, 3), (3,)), ((1, 3), (1, 1)), ((0, 3), (0,)), ((4, 3), (1,))])
def test_shapes_that_would_broadcast_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(EvaluateError, match=r"expected \(n, steps\) and \(n,\)"):
        correct_counts(*(np.zeros(shape, dtype=int) for shape in shapes))
