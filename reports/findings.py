"""What a run found, in sentences: kept or lost, won or lost, or unmeasured and how to measure it.

The headline of the page and the lines of the terminal say the same, so both take their words from here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from evaluate.records import Metric, Run
from reports import fits
from reports.fields import branch, entries, metric, number, sentences, text
from reports.quantities import (
    UNMEASURED,
    interval,
    missing,
    percent,
    points,
    power_of_ten,
    quantity,
    reading,
    significant,
    times,
)

__all__ = [
    "accuracy",
    "agreement",
    "agreement_name",
    "efficiency",
    "energy",
    "energy_model",
    "energy_verdict",
    "exported",
    "exported_forms",
    "latency",
    "missing",
    "network_efficiency",
    "published",
    "score_name",
    "seed_line",
    "with_interval",
]

_RIVALS = (
    ("ann", "energy.ann_j", "the dense ANN"),
    ("ann_sparse", "energy.ann_sparse_j", "the sparsity-aware ANN"),
)


def score_name(run: Run) -> str:
    """What the score of `run` is called."""
    return "R2" if fits.is_regression(run) else "Accuracy"


def agreement_name(run: Run) -> str:
    """What takes the place of the agreement."""
    return "Distance from the ANN" if fits.is_regression(run) else "Agreement"


def accuracy(run: Run) -> str:
    """Both accuracies, and the interval of their difference in words; of a regression, both R2."""
    if fits.is_regression(run):
        return fits.score(run)
    ann, snn, gap = (metric(run, name) for name in ("ann.accuracy", "snn.accuracy", "accuracy.difference"))
    if snn.value is None:
        return missing(snn)
    if ann.value is None:
        on = f" on {snn.samples:,} samples" if snn.samples else ""
        return f"SNN {with_interval(snn)}{on}; of the ANN {missing(ann)}"
    both = f"ANN {with_interval(ann)}, SNN {with_interval(snn)}"
    samples = f" on {snn.samples:,} samples" if snn.samples else ""
    return f"{both}{samples}; {_difference(gap)}{_tests(run)}"


def with_interval(found: Metric) -> str:
    """The value of `found` with its interval in brackets, and its spread over seeds, where there are any."""
    span = f" ({interval(found)})" if interval(found) else ""
    seeds = len(found.observations) if not found.timing else 0
    return f"{reading(found)}{span}{f', mean of {seeds} seeds' if seeds > 1 else ''}"


def _tests(run: Run) -> str:
    """What McNemar's test and the paired bootstrap say of the difference."""
    p, boot = (metric(run, f"accuracy.{name}") for name in ("mcnemar_p", "difference_bootstrap"))
    if p.value is None or boot.low is None or boot.high is None:
        return ""
    low, high = (points(end, boot.samples) for end in (boot.low, boot.high))
    return f"; paired bootstrap {low.split()[0]} to {high}, McNemar p = {p.value:.2g}"


def _difference(gap: Metric) -> str:
    """The difference of the accuracies: gained, lost, or too small for these samples to show."""
    if gap.value is None:
        return f"difference {missing(gap)}"
    shown = points(gap.value, gap.samples)
    if gap.low is None or gap.high is None:
        return f"difference {shown}, no interval"
    span = f"95 % interval {interval(gap)}"
    if gap.low > 0:
        return f"the SNN is better: {shown} ({span})"
    if gap.high < 0:
        return f"the SNN loses accuracy: {shown} ({span})"
    lost = max(0.0, -gap.low)
    return (
        f"difference {shown}, no loss detectable at n = {gap.samples}, a loss of more than "
        f"{points(lost, gap.samples).lstrip('+')} is excluded ({span})"
    )


def agreement(run: Run) -> str:
    """How often both networks give the same answer; of a regression, how far they are apart."""
    if fits.is_regression(run):
        return fits.distance(run)
    same = metric(run, "agreement")
    if same.value is None:
        return missing(same)
    samples = f"{same.samples:,} samples" if same.samples else "samples"
    return f"both networks give the same answer on {with_interval(same)} of {samples}"


def latency(run: Run) -> str:
    """How long the spiking network takes to come near the ANN, and what it does before its first step."""
    return _within(run) + _ahead(run)


def _within(run: Run) -> str:
    """The steps until it is near the ANN."""
    if fits.is_regression(run):
        return fits.latency(run)
    names = ("steps_within_0.5pp", "steps_within_0.1pp", "ms_within_0.5pp")
    half, tenth, ms = (metric(run, f"latency.{name}") for name in names)
    if half.value is None and half.note == tenth.note:
        return f"to within 0.5 and 0.1 points of the ANN: {missing(half)}"
    duration = f" ({quantity(ms.value, ms.unit)})" if ms.value is not None and half.value is not None else ""
    first, second = (missing(each) if each.value is None else quantity(each.value, each.unit) for each in (half, tenth))
    return f"{first}{duration} to within 0.5 points of the ANN's accuracy; {second} to within 0.1"


def _ahead(run: Run) -> str:
    """The steps that a network looks ahead, which are latency too."""
    found = [m for m in run.metrics if m.name == "latency.look_ahead_steps" and m.value is not None]
    return "".join(f"; and before that {quantity(m.value or 0.0, m.unit)} of look-ahead" for m in found)


def energy_model(run: Run) -> str:
    """Name and version of the model behind the joules."""
    model = branch(run.assumptions, "energy")
    return " ".join(filter(None, (text(model, "name", "unnamed energy model"), text(model, "version"))))


def energy(run: Run) -> str:
    """Modelled energy of one inference, of the spiking network and of its rivals."""
    spiking = metric(run, "energy.snn_j")
    if spiking.value is None:
        return missing(spiking)
    named = (("SNN", spiking), *((rival, metric(run, name)) for _, name, rival in _RIVALS))
    shown = (f"{who} {missing(each) if each.value is None else with_interval(each)}" for who, each in named)
    return f"{', '.join(shown)} per inference{' (ranges over prices)' if spiking.low is not None else ''}"


def energy_verdict(run: Run) -> str:
    """Whether the spiking network wins or loses on modelled energy, against each form of the ANN."""
    spiking = metric(run, "energy.snn_j")
    if spiking.value is None:
        return missing(spiking)
    outcomes: dict[str, list[str]] = {}
    for key, name, rival in _RIVALS:
        ann = metric(run, name)
        if ann.value is not None and ann.value > 0:
            ratio = spiking.value / ann.value
            outcome = "wins" if ratio < 1 else "loses" if ratio > 1 else "ties"
            against = f"{times(ratio)} the energy of {rival}{_ratio_range(run, key)}"
            outcomes.setdefault(outcome, []).append(against)
    if not outcomes:
        return f"{UNMEASURED} (no modelled energy of the ANN to compare with)"
    parts = (f"{outcome} with {' and '.join(against)}" for outcome, against in outcomes.items())
    return f"the SNN {', but '.join(parts)}"


def published(run: Run) -> str:
    """What published thresholds make of it: the sentence that sums up the energy model's verdict."""
    verdict = sentences(branch(run.assumptions, "energy"), "verdict")
    return verdict[-1].rstrip(".") if verdict else "no thresholds in this run file"


def _ratio_range(run: Run, key: str) -> str:
    """What the ratio is at the other prices of the model, both networks paid at the same ones."""
    span = branch(run.assumptions, "energy", "ratio", key)
    low, high = number(span, "low"), number(span, "high")
    if low is None or high is None or low == high:
        return ""
    turns = ", so the order depends on the prices" if low < 1 < high else ""
    return f" ({significant(low)} to {significant(high)} over its price lists{turns})"


def exported_forms(run: Run) -> list[str]:
    """The forms of the exported files, each once."""
    return list(dict.fromkeys(text(row, "form") for row in run.exports if isinstance(row, dict)))


def exported(run: Run, form: str) -> str:
    """How each reader understands the file of this form."""
    return "; ".join(
        " ".join(filter(None, (text(row, "target"), text(row, "version"), text(row, "reading")))) + f": {_verdict(row)}"
        for row in run.exports
        if isinstance(row, dict) and text(row, "form") == form
    )


def _verdict(row: dict[str, Any]) -> str:
    error, same = number(row, "rate_error"), number(row, "same_class")
    if error is None or same is None:
        return f"{text(row, 'verdict')} ({text(row, 'why')})"
    if text(row, "verdict") == "faithful":
        return f"faithful (identical spike trains on {text(row, 'samples')} samples)"
    return f"{text(row, 'verdict')} (rate error {error:.4f} spikes per step, {percent(same)} same decisions)"


def seed_line(run: Run) -> tuple[float, str] | None:
    """Value and label of the line that efficiencies are held against."""
    line = branch(run.assumptions, "baselines", "biology", "line")
    value = number(line, "ops_per_joule") or number(line, "value")
    label = "seed value" if text(line, "evidence") == "seed" else text(line, "name", "reference")
    return None if not value or value <= 0 else (value, text(line, "label", label))


def efficiency(run: Run) -> str:
    """SynOps/s/W, against the reference line."""
    found, line = metric(run, "efficiency.synops_per_s_per_w"), seed_line(run)
    if found.value is None:
        return missing(found)
    shown = f"{with_interval(found)}{' over prices' if interval(found) else ''}"
    if line is None:
        return f"{shown}; no reference line in this run file"
    value, label = line
    side = "above" if found.value > value else "below"
    return f"{shown}, {side} the line at {power_of_ten(value)} ({label}), {times(found.value / value)} its value"


def network_efficiency(run: Run) -> list[dict[str, Any]]:
    """SynOps per joule of the run's network under each model, with the joules of an inference beside it.

    ``all_in`` is what all priced terms give, ``marginal`` the slope, what one SynOp more would cost. Under a price
    list for arithmetic alone the slope is the reciprocal of the price of a SynOp, the same for every network. A run of
    before there were several models has one row.
    """
    rows = [
        {
            "model": text(record, "name", "unnamed model"),
            "unverified": text(record, "unverified"),
            "all_in": branch(record, "efficiency", "all_terms"),
            "marginal": branch(record, "efficiency", "marginal"),
            "joules": number(branch(record, "totals", "snn"), "value"),
        }
        for record in entries(run.assumptions, "energy_models")
    ]
    if not rows:
        slope = branch(run.assumptions, "energy", "efficiency", "marginal")
        whole = asdict(metric(run, "efficiency.synops_per_s_per_w"))
        joules_j = metric(run, "energy.snn_j").value
        rows = [{"model": energy_model(run), "unverified": "", "all_in": whole, "marginal": slope, "joules": joules_j}]
    return [row for row in rows if number(row["all_in"], "value") or number(row["marginal"], "value")]
