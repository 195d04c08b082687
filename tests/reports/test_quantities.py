"""Numbers at the digits that they have earned."""

from __future__ import annotations

import pytest

from evaluate.records import Metric
from reports.quantities import count, interval, joules, percent, points, power_of_ten, reading, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0 J"),
        (1234.0, "1,200 J"),
        (9.99e-4, "1.0 mJ"),
        (9.94e-7, "990 nJ"),
        (9.96e-7, "1.0 µJ"),
        (1e-9, "1.0 nJ"),
        (1.24e-10, "120 pJ"),
        (-3.3e-9, "-3.3 nJ"),
        (2e-21, "0.0020 aJ"),
    ],
)
def test_joules(value: float, text: str) -> None:
    assert joules(value) == text


def test_percentages_show_what_the_samples_resolve() -> None:
    assert percent(0.97222, 360) == "97.2 %"
    assert percent(0.97222, 10_000) == "97.22 %"
    assert percent(1.0, 10_000) == "100.00 %"


def test_a_difference_that_rounds_to_zero_has_no_sign() -> None:
    assert points(-0.0001, 360) == "0.0 points"
    assert points(-0.0001, 10_000) == "-0.01 points"


def test_steps_are_whole() -> None:
    assert reading(Metric("latency.steps_within_0.5pp", 16.0, "steps", "lower")) == "16 steps"
    assert count(1_000_000.0) == "1,000,000"


def test_an_interval_names_its_unit_once() -> None:
    assert interval(Metric("energy.snn_j", 1e-9, "J", "lower", low=9e-10, high=1.1e-9)) == "900 pJ to 1.1 nJ"
    assert interval(Metric("energy.snn_j", 1e-9, "J", "lower", low=1e-9, high=2e-9)) == "1.0 to 2.0 nJ"
    assert interval(Metric("energy.snn_j", 1e-9, "J", "lower")) == ""


def test_large_and_small_numbers() -> None:
    assert power_of_ten(1.2345e-13) == "1.2e-13"
    assert significant(0.0) == "0"
