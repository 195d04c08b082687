"""What a run of a regression found, in sentences: R2, the distance from the ANN, and how long that takes."""

from __future__ import annotations

from evaluate.records import Run
from reports.fields import branch, metric, text
from reports.quantities import interval, missing, percent, quantity

__all__ = ["distance", "heads", "is_regression", "latency", "score"]


def is_regression(run: Run) -> bool:
    """Whether the headline of `run` is about numbers and not about classes."""
    return text(branch(run.case, "task"), "headline") == "regression"


def score(run: Run) -> str:
    """R2 of both networks against the labels, and the difference; where there are labels."""
    ann, snn, gap = (metric(run, name) for name in ("ann.r2", "snn.r2", "r2.difference"))
    if ann.value is None or snn.value is None:
        return missing(snn if snn.value is None else ann)
    samples = f" on {snn.samples:,} samples" if snn.samples else ""
    both = f"ANN {quantity(ann.value, ann.unit)}, SNN {quantity(snn.value, snn.unit)}{samples}"
    if gap.value is None:
        return both
    span = f" (95 % interval {interval(gap)})" if interval(gap) else ""
    return f"{both}; difference {gap.value:+.3f}{span}"


def distance(run: Run) -> str:
    """How far the SNN's outputs are from those of the ANN."""
    relative, off = metric(run, "snn.relative_error"), metric(run, "snn.rmse_to_ann")
    if off.value is None:
        return missing(off)
    root = f"RMSE {quantity(off.value, off.unit)}"
    if relative.value is None:
        return f"the SNN differs from the ANN by {root}; relative to their spread: {missing(relative)}"
    return f"the SNN differs from the ANN by {percent(relative.value)} of the spread of the ANN's outputs ({root})"


def latency(run: Run) -> str:
    """How long the spiking network takes to come near the outputs of the ANN."""
    five, one, ms = (metric(run, f"latency.{name}") for name in ("steps_within_5pct", "steps_within_1pct",
                                                                  "ms_within_5pct"))  # fmt: skip
    duration = "" if ms.value is None or five.value is None else f" ({quantity(ms.value, ms.unit)})"
    first, second = (missing(m) if m.value is None else quantity(m.value, m.unit) for m in (five, one))
    return f"{first}{duration} to a relative error of 5 %; {second} to 1 %"


def heads(run: Run) -> list[str]:
    """The score of every output, where there are several."""
    names = ("ann.accuracy", "snn.accuracy", "ann.r2", "snn.r2", "agreement", "snn.relative_error")
    titles = ("ANN accuracy", "SNN accuracy", "ANN R2", "SNN R2", "agreement", "relative error")
    lines = []
    for head in sorted({m.name.partition("[")[2].rstrip("]") for m in run.metrics if "[" in m.name}):
        found = [metric(run, f"{name}[{head}]") for name in names]
        shown = [f"{title} {quantity(m.value, m.unit, m.samples)}" for title, m in zip(titles, found, strict=True)
                 if m.value is not None]  # fmt: skip
        lines.append(f"output {head}: {', '.join(shown) or 'unmeasured'}")
    return lines
