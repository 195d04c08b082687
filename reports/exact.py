"""What only an exact network has: a guarantee, and a latency of its own for each sample."""

from __future__ import annotations

from evaluate.records import Metric, Run
from reports.fields import branch, metric, number, text
from reports.quantities import count, percent

__all__ = ["exactness", "is_exact", "kind", "quiescence"]


def is_exact(run: Run) -> bool:
    """Whether `run` is of an exact network."""
    return any(m.name == "exact.identical" for m in run.metrics)


def kind(run: Run) -> str:
    """What a network is made of whose steps are its own, exact or radix-coded; empty for others."""
    config = branch(run.case, "config")
    bits = number(config, "radix_bits")
    if text(config, "recipe") == "radix" and bits is not None:
        return f"radix-coded neurons, {count(bits)} binary digits in {count(bits)} steps for each layer after the other"
    levels = number(config, "exact_levels")
    if text(config, "recipe") != "exact" or levels is None:
        return ""
    return f"signed counting neurons of {count(levels)} levels, run until none can fire"


def exactness(run: Run) -> str:
    """How many samples have the logits of the quantised network, bit for bit."""
    same, sure = metric(run, "exact.identical"), metric(run, "exact.certified")
    quantised = metric(run, "exact.quantised_accuracy")
    line = f"identical logits {_of(same)} to the quantised network; certified quiescent {_of(sure)}"
    if quantised.value is not None:
        line += f"; accuracy of the quantised network {percent(quantised.value, quantised.samples)}"
    return line


def _of(share: Metric) -> str:
    if share.value is None or not share.samples:
        return "unmeasured"
    return f"{round(share.value * share.samples):,} of {share.samples:,}"


def quiescence(run: Run) -> str:
    """After how many steps the samples came to rest."""
    names = ("", "_median", "_p99", "_max")
    mean, median, late, last = (metric(run, f"latency.steps_to_quiescence{name}").value for name in names)
    if None in (mean, median, late, last):
        return "unmeasured"
    return f"q = {mean:.1f} steps in the mean, median {median:g}, 99th percentile {late:g}, largest {last:g}"
