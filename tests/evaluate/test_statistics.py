"""Intervals against published examples, independent calculation, and coverage."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluate.errors import EvaluateError
from evaluate.statistics import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    describe,
    mcnemar_p,
    median_interval,
    paired_difference,
    wilson,
)

Bools = npt.NDArray[np.bool_]


def pair(both: int, only_a: int, only_b: int, neither: int) -> tuple[Bools, Bools]:
    """Two arrays with these counts in their 2 x 2 table."""
    counts = (both, only_a, only_b, neither)
    a = np.repeat(np.array([True, True, False, False]), counts)
    b = np.repeat(np.array([True, False, True, False]), counts)
    return a, b


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Stat. Med. 17:857, 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_examples(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy(case: tuple[int, int], confidence: float) -> None:
    ours = wilson(*case, confidence)
    theirs = stats.binomtest(*case).proportion_ci(confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= ours.low <= case[0] / case[1] <= ours.high <= 1


@pytest.mark.parametrize(("successes", "n", "confidence"), [(0, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_wilson_refuses_impossible_counts(successes: int, n: int, confidence: float) -> None:
    with pytest.raises(EvaluateError, match="wilson: got"):
        wilson(successes, n, confidence)


@pytest.mark.parametrize(
    ("table", "difference", "low", "high"),
    [
        # Airway hyper-responsiveness (Bentur et al. 2009) in Fagerland, Lydersen & Laake, Stat. Med. 2014.
        ((1, 1, 7, 12), 0.286, 0.026, 0.507),
        # Newcombe 1998, tables of paired data, method 10; the second has a positive, corrected correlation.
        ((36, 2, 12, 0), 0.2, 0.0569, 0.3404),
        ((20, 2, 12, 16), 0.2, 0.0562, 0.3292),
    ],
)
def test_newcombe_method_10_gives_the_published_examples(
    table: tuple[int, int, int, int], difference: float, low: float, high: float
) -> None:
    found = paired_difference(*pair(*table))
    digits = len(str(low)) - 2
    assert round(found.difference, 3) == difference
    assert (round(found.interval.low, digits), round(found.interval.high, digits)) == (low, high)


def by_hand(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Method 10 once more, from scipy's Wilson limits and numpy's correlation matrix, written another way."""
    a, b = (x.astype(float) for x in pair(both, only_a, only_b, neither))
    n = len(a)
    phi = float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0
    if phi > 0:
        phi = max(0.0, phi - 1 / (2 * n * a.std() * b.std()))
    limits = [stats.binomtest(int(x.sum()), n).proportion_ci(method="wilson") for x in (b, a)]
    down = np.array([b.mean() - limits[0].low, limits[1].high - a.mean()])
    up = np.array([limits[0].high - b.mean(), a.mean() - limits[1].low])
    metric = np.array([[1, -phi], [-phi, 1]])
    centre = b.mean() - a.mean()
    return centre - math.sqrt(down @ metric @ down), centre + math.sqrt(up @ metric @ up)


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda t: sum(t) > 0))
def test_paired_difference_agrees_with_an_independent_calculation(table: tuple[int, int, int, int]) -> None:
    both, only_a, only_b, _ = table
    found = paired_difference(*pair(*table))
    low, high = by_hand(*table)
    assert (found.interval.low, found.interval.high) == pytest.approx((max(-1, low), min(1, high)), abs=1e-9)
    assert (found.n, found.only_a, found.only_b) == (sum(table), only_a, only_b)
    assert (found.correct_a, found.correct_b) == (both + only_a, both + only_b)
    assert found.interval.low <= found.difference + 1e-12 and found.difference <= found.interval.high + 1e-12


@given(st.tuples(*[st.integers(0, 40)] * 4).filter(lambda t: sum(t) > 0))
def test_swapping_the_networks_mirrors_the_interval(table: tuple[int, int, int, int]) -> None:
    a, b = pair(*table)
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert forth.difference == -back.difference and forth.p_value == back.p_value
    assert forth.interval.low == pytest.approx(-back.interval.high)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (7, 1), (6, 16), (12, 2), (40, 40), (300, 250)])
def test_mcnemar_p_agrees_with_the_binomial_test(only_a: int, only_b: int) -> None:
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_p(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_p_gives_the_published_examples() -> None:
    # Armitage & Berry 1994, p. 127: two media for culturing tubercle bacilli.
    assert round(mcnemar_p(12, 2), 4) == 0.0129
    # Bentur et al. 2009 in Fagerland, Lydersen & Laake, BMC Med. Res. Methodol. 13:91, 2013.
    assert round(mcnemar_p(1, 7), 4) == 0.0703


def coverage(truth: tuple[float, float, float, float], n: int, seed: int) -> tuple[float, float]:
    """How often method 10, and how often the textbook Wald interval, holds the true difference."""
    tables = np.random.default_rng(seed).multinomial(n, truth, size=3000)
    delta = truth[2] - truth[1]
    held = wald = 0
    for both, only_a, only_b, neither in tables.tolist():
        found = paired_difference(*pair(both, only_a, only_b, neither))
        held += found.interval.low <= delta <= found.interval.high
        half = 1.96 * math.sqrt(max(0.0, only_a + only_b - (only_a - only_b) ** 2 / n)) / n
        wald += abs(found.difference - delta) <= half
    return held / len(tables), wald / len(tables)


@pytest.mark.parametrize(
    ("truth", "n"),
    [((0.95, 0.02, 0.01, 0.02), 450), ((0.90, 0.05, 0.02, 0.03), 100), ((0.5, 0.1, 0.2, 0.2), 60)],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(truth: tuple[float, float, float, float], n: int) -> None:
    held, _ = coverage(truth, n, seed=17)
    assert 0.935 <= held <= 0.99


def test_the_coverage_simulation_can_fail() -> None:
    """Few discordant samples: the Wald interval collapses, which the same simulation shows."""
    held, wald = coverage((0.97, 0.02, 0.0, 0.01), 60, seed=17)
    assert held >= 0.935 > 0.9 > wald


@pytest.mark.parametrize(
    ("a", "b"),
    [([], []), ([True], [True, False]), ([1, 0], [1, 1]), ([[True]], [[False]])],
)
def test_paired_difference_refuses_what_is_no_pair(a: list[object], b: list[object]) -> None:
    with pytest.raises(EvaluateError, match="expected two bool arrays"):
        paired_difference(np.array(a), np.array(b))


def made(n: int, difference: float, low: float, high: float) -> PairedDifference:
    return PairedDifference(n, 0, 0, 0, 0, difference, Interval(low, high), 1.0)


def test_describe_says_what_the_interval_supports() -> None:
    assert describe(made(450, -0.002, -0.0130, 0.008)) == (
        "no loss detectable at n = 450; the interval excludes more than 1.3 points"
    )
    assert describe(made(450, -0.008, -0.014, -0.002)) == ("the SNN is 0.8 points lower (95 % interval 0.2 to 1.4)")
    assert describe(made(10_000, 0.0123, 0.0101, 0.0145), "student") == (
        "the student is 1.23 points higher (95 % interval 1.01 to 1.45)"
    )


@given(st.tuples(*[st.integers(0, 300)] * 4).filter(lambda t: sum(t) > 0))
def test_describe_never_excludes_more_than_the_interval(table: tuple[int, int, int, int]) -> None:
    found = paired_difference(*pair(*table))
    words = describe(found)
    if "no loss" in words:
        assert float(words.split()[-2]) >= -100 * found.interval.low - 1e-5


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    """Over all outcomes: each of n values lies below or above the median like a fair coin."""
    for n in range(1, 15):
        interval = median_interval([float(value) for value in range(1, n + 1)])
        k = round(interval.low)
        assert interval.high == n + 1 - k, "as many values below as above"
        # With j values below the median, the interval from the k-th to the (n + 1 - k)-th holds it for k <= j <= n - k.
        covered = sum(math.comb(n, j) for j in range(k, n - k + 1)) / 2**n
        assert interval.confidence == pytest.approx(covered)
        assert covered >= 0.95 or k == 1, "below six values not even the range suffices"
        narrower = sum(math.comb(n, j) for j in range(k + 1, n - k)) / 2**n
        assert narrower < 0.95, "the narrowest that suffices"


def test_the_interval_of_a_median_does_not_depend_on_the_order() -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 5.0, 3.5, 8.9]
    assert median_interval(values) == median_interval(sorted(values)) == median_interval(values[::-1])


@pytest.mark.parametrize(("values", "confidence"), [([], 0.95), ([1.0], 0.0), ([1.0], 1.0)])
def test_no_interval_without_values(values: list[float], confidence: float) -> None:
    with pytest.raises(EvaluateError, match="median_interval"):
        median_interval(values, confidence)


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(12, 2, 100), (0, 3, 40), (5, 5, 450), (0, 0, 20)])
def test_the_bootstrap_in_closed_form_is_that_of_many_resamples(only_a, only_b, n):
    differences = np.array([-1] * only_a + [1] * only_b + [0] * (n - only_a - only_b))
    drawn = np.random.default_rng(0).choice(differences, (20_000, n)).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    found = bootstrap_interval(only_a, only_b, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1.01 / n)


def test_the_bootstrap_refuses_what_is_no_table():
    for wrong in ((-1, 0, 5), (3, 3, 5), (0, 0, 0)):
        with pytest.raises(EvaluateError, match="discordant"):
            bootstrap_interval(*wrong)
