"""R2 and RMSE against scikit-learn, their intervals against resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

from convert.graph.readout import Head
from evaluate.errors import EvaluateError
from evaluate.regression import r2, r2_curve, r2_difference, rmse
from evaluate.scores import Decisions, Numbers
from evaluate.tasks import Task

GENERATOR = np.random.default_rng(5)
TRUTH = GENERATOR.normal(size=(200, 3)) * [1, 10, 100]
FIRST = TRUTH + GENERATOR.normal(size=(200, 3)) * [0.3, 4, 20]
SECOND = FIRST + GENERATOR.normal(size=(200, 3)) * [0.1, 1, 20]


def test_values_are_those_of_scikit_learn():
    assert r2(FIRST, TRUTH).estimate().value == pytest.approx(r2_score(TRUTH, FIRST))
    pooled = root_mean_squared_error(TRUTH.ravel(), FIRST.ravel())
    assert rmse(FIRST, TRUTH).estimate().value == pytest.approx(pooled)
    gap = r2_difference(FIRST, SECOND, TRUTH).estimate()
    assert gap.value == pytest.approx(r2_score(TRUTH, SECOND) - r2_score(TRUTH, FIRST))
    curve = r2_curve(np.stack([FIRST, SECOND], 1), TRUTH)
    assert curve.tolist() == pytest.approx([r2_score(TRUTH, FIRST), r2_score(TRUTH, SECOND)])


def test_intervals_are_those_of_resampling():
    picks = np.random.default_rng(1).integers(0, 200, (2000, 200))
    for found, statistic in (
        (r2(FIRST, TRUTH).estimate(), lambda i: r2_score(TRUTH[i], FIRST[i])),
        (rmse(FIRST, TRUTH).estimate(), lambda i: np.sqrt(((TRUTH[i] - FIRST[i]) ** 2).mean())),
        (
            r2_difference(FIRST, SECOND, TRUTH).estimate(),
            lambda i: r2_score(TRUTH[i], SECOND[i]) - r2_score(TRUTH[i], FIRST[i]),
        ),
    ):
        low, high = np.quantile([statistic(i) for i in picks], [0.025, 0.975])
        assert found.high - found.low == pytest.approx(high - low, rel=0.15)
        assert found.low < found.value < found.high


def test_what_is_undefined_has_no_value():
    constant = np.ones((5, 1))
    assert r2(constant + 1, constant) is None and r2_curve(constant[:, None], constant) is None
    assert rmse(np.ones((1, 1)), np.zeros((1, 1))).estimate().low is None
    with pytest.raises(EvaluateError, match="expected both"):
        rmse(np.ones((2, 1)), np.ones((2, 2)))


def numbers(truth=TRUTH):
    answers = np.stack([np.zeros_like(FIRST), SECOND, FIRST + 0.001], 1)
    return Numbers(Task("regression", Head("", (3,))), answers, FIRST, truth, 1e-3)


def test_a_regression_names_its_own_metrics_and_says_why_others_are_missing():
    found = {m.name: m for m in numbers().headline()}
    assert found["ann.r2"].value == pytest.approx(r2_score(TRUTH, FIRST))
    assert found["snn.relative_error"].value < 0.01
    assert found["latency.steps_within_1pct"].value == 3 and found["latency.ms_within_5pct"].value == 3.0
    assert found["agreement"].value is None and "not defined for regression" in found["agreement"].note
    unlabelled = {m.name: m for m in numbers(None).headline()}
    assert unlabelled["snn.r2"].value is None and unlabelled["snn.rmse_to_ann"].value > 0
    assert numbers().row(2)["r2_to_ann"] == pytest.approx(r2_score(FIRST, SECOND))


def test_labels_are_right_as_a_whole():
    truth = np.array([[1, 0], [1, 1], [0, 0]], dtype=bool)
    said = np.array([[1, 0], [1, 0], [0, 0]], dtype=bool)
    scores = Decisions(Task("labels", Head("", (2,))), said[:, None], truth, truth, 1e-3)
    found = {m.name: m.value for m in scores.headline()}
    assert found["ann.accuracy"] == 1 and found["snn.accuracy"] == pytest.approx(2 / 3)
    assert found["agreement"] == pytest.approx(2 / 3)
    assert found["snn.label_accuracy"] == pytest.approx(5 / 6) and found["snn.f1"] == pytest.approx(0.8)
