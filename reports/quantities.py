"""Numbers as people read them: as many digits as the number has earned, and its unit.

Modelled joules, and what is divided by them, carry two significant digits. Percentages carry what the
samples can resolve. Whole things are whole.
"""

from __future__ import annotations

import math
from dataclasses import replace

from evaluate.records import Metric
from reports.fields import plain

__all__ = [
    "UNMEASURED",
    "count",
    "interval",
    "joules",
    "missing",
    "percent",
    "points",
    "power_of_ten",
    "quantity",
    "reading",
    "shift",
    "significant",
    "times",
]

UNMEASURED = "*unmeasured*"

_PREFIXES = {0: "", -3: "m", -6: "µ", -9: "n", -12: "p", -15: "f", -18: "a"}


def significant(value: float, digits: int = 2) -> str:
    """`value` at so many significant digits, without an exponent.

    >>> significant(1234.5), significant(0.0456), significant(1.0)
    ('1,200', '0.046', '1.0')
    """
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = 0 if rounded == 0 else max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def joules(value: float, digits: int = 2) -> str:
    """Energy with an engineering prefix; two significant digits unless a source prints more.

    >>> joules(3.14e-8), joules(9.96e-10), joules(0.0), joules(2.36e-11, digits=3)
    ('31 nJ', '1.0 nJ', '0 J', '23.6 pJ')
    """
    if value == 0:
        return "0 J"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = min(0, max(-18, 3 * math.floor(math.log10(abs(rounded)) / 3 + 1e-9)))
    return f"{significant(rounded / 10.0**exponent, digits)} {_PREFIXES[exponent]}J"


def power_of_ten(value: float, digits: int = 2) -> str:
    """A large or small number as mantissa and exponent.

    >>> power_of_ten(4e11), power_of_ten(3.846e10, digits=3), power_of_ten(0.0)
    ('4.0e11', '3.85e10', '0')
    """
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _decimals(samples: int | None) -> int:
    """Decimals of a percentage: one sample in a thousand moves the first of them."""
    return 2 if samples is not None and samples >= 1000 else 1


def percent(fraction: float, samples: int | None = None) -> str:
    """A fraction in percent, with the decimals that `samples` resolve.

    >>> percent(0.97222, 360), percent(0.97222, 10_000)
    ('97.2 %', '97.22 %')
    """
    return f"{100 * fraction:.{_decimals(samples)}f} %"


def points(fraction: float, samples: int | None = None) -> str:
    """A difference of fractions in signed percentage points.

    >>> points(-0.0028, 360), points(0.0, 360)
    ('-0.3 points', '0.0 points')
    """
    shown = round(100 * fraction, _decimals(samples))
    return f"{shown:+.{_decimals(samples)}f} points" if shown else f"{0:.{_decimals(samples)}f} points"


def count(value: float) -> str:
    """A number of things, or a mean number of things.

    >>> count(25184), count(12345.6), count(0.8312), count(3.0)
    ('25,184', '12,346', '0.831', '3')
    """
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantity(value: float, unit: str, samples: int | None = None) -> str:
    """`value` with its `unit`, each unit in its own way.

    >>> quantity(12.0, "steps"), quantity(1.2e-8, "J"), quantity(0.5, "fraction", 100)
    ('12 steps', '12 nJ', '50.0 %')
    """
    if unit == "fraction":
        return percent(value, samples)
    if unit in ("R2", "F1"):
        return f"{value:.3f}"
    if unit == "J":
        return joules(value)
    if "/W" in unit or "/J" in unit:
        return f"{power_of_ten(value)} {unit}"
    return f"{count(value)} {unit}".rstrip("? ")


def reading(metric: Metric) -> str:
    """The value of `metric` with its unit; *unmeasured*, not reached or not defined, where it has none."""
    if metric.value is None:
        return next((why for why in ("not reached", "not defined") if metric.note.startswith(why)), UNMEASURED)
    if metric.name.endswith("accuracy.difference") and metric.unit == "fraction":
        return points(metric.value, metric.samples)
    return quantity(metric.value, metric.unit, metric.samples)


def interval(metric: Metric) -> str:
    """The interval of `metric`, its unit written once; empty where it has none.

    >>> interval(Metric("snn.accuracy", 0.5, "fraction", "higher", 100, 0.4, 0.6))
    '40.0 to 60.0 %'
    """
    if metric.low is None or metric.high is None:
        return ""
    low, high = (reading(replace(metric, value=end)) for end in (metric.low, metric.high))
    number, _, unit = low.partition(" ")
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def shift(was: float | None, now: float | None, unit: str) -> str:
    """The change from `was` to `now`: points of a fraction, else in percent, else with its unit; empty for none.

    >>> shift(0.98, 0.96, "fraction"), shift(100.0, 103.3, "SynOps"), shift(0.0, 3.0, "steps"), shift(1.0, None, "J")
    ('-2.0 points', '+3.3 %', '+3 steps', 'lost')
    """
    if was == now:
        return ""
    if was is None or now is None:
        return "new" if was is None else "lost"
    sign = "+" if now > was else "-"
    if unit == "fraction":
        return f"{sign}{significant(100 * abs(now - was))} points"
    if unit in ("R2", "F1") or not was:
        return f"{sign}{quantity(abs(now - was), unit)}"
    return f"{sign}{significant(100 * abs((now - was) / was))} %"


def missing(metric: Metric) -> str:
    """That `metric` was not measured and how to measure it, or that it was not reached."""
    note = plain(metric.note).rstrip(".")
    return note if note.startswith("not reached") else f"{UNMEASURED} ({note})"


def times(ratio: float) -> str:
    """A ratio in words.

    >>> times(2.0), times(0.254)
    ('2.0 times', '0.25 times')
    """
    return f"{significant(ratio)} times"
