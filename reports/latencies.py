"""What a run waits for, and what stopping early saves."""

from __future__ import annotations

from evaluate.records import Metric, Run
from reports.fields import branch, entries, metric, number, text
from reports.markup import table
from reports.quantities import UNMEASURED, count, interval, joules, missing, percent, points, quantity

__all__ = ["early_exit", "exits_early", "latencies", "rule", "stops", "wall_clock"]

_EXIT = "latency.early_exit"

_TITLES = {
    "latency.steps_within_0.5pp": "to within 0.5 points of the ANN",
    "latency.steps_within_0.1pp": "to within 0.1 points of the ANN",
    "latency.steps_within_5pct": "to a relative error of 5 %",
    "latency.steps_within_1pct": "to a relative error of 1 %",
    "latency.sequential_steps": "sequential, through the layers",
    "latency.readout_delay_steps": "left out by the read-out",
    "latency.look_ahead_steps": "of look-ahead, before step 1",
    "latency.steps_to_quiescence": "to quiescence, mean",
    "latency.steps_to_quiescence_median": "to quiescence, median",
    "latency.steps_to_quiescence_p99": "to quiescence, 99th percentile",
    "latency.steps_to_quiescence_max": "to quiescence, largest",
    f"{_EXIT}.steps": "to the early exit, mean",
    f"{_EXIT}.steps_p99": "to the early exit, 99th percentile",
}

_MOST_ROWS = 12
"""Steps of the table of exits."""


def latencies(run: Run) -> str:
    """Every latency in steps and in model time, as a table."""
    dt_ms = number(branch(run.case, "config"), "dt_ms")
    rows = []
    for name, title in _TITLES.items():
        for found in (m for m in run.metrics if m.name == name):
            has = found.value is not None
            steps = f"{count(found.value)}" if found.value is not None else missing(found)
            ms = f"{count(found.value * dt_ms)}" if found.value is not None and dt_ms is not None else ""
            rows.append([title, steps, ms, interval(found), found.note if has else ""])
    return table(["steps", "number", "ms", "interval", "note"], rows)


def wall_clock(run: Run) -> str:
    """How long this machine took, which is the latency of no chip."""
    seconds = branch(run.environment, "seconds")
    parts = [f"{stage} {value:.3g} s" for stage in seconds if (value := number(seconds, stage)) is not None]
    return ", ".join(parts) or f"{UNMEASURED}: not in this run file"


def exits_early(run: Run) -> bool:
    """Whether samples were also stopped early."""
    return any(m.name == f"{_EXIT}.steps" for m in run.metrics)


def rule(run: Run) -> list[str]:
    """The rule, and what it promises."""
    found = branch(run.assumptions, "early_exit")
    lines = [f"Rule: {text(found, 'text', 'not in this run file')}."]
    if text(found, "rule") == "margin":
        lines += [_promise(run), "The read-out is a mean over steps, in the units of the original's outputs."]
    lines.append(f"Source: {text(found, 'source', 'not stated')}.")
    return [*lines, "What the rule itself computes in each step is neither counted nor priced."]


def _promise(run: Run) -> str:
    """The stated rate of a margin rule, and on what it rests."""
    found = branch(run.assumptions, "early_exit")
    rate, sure, bound, samples, allowed = (
        number(found, key) for key in ("rate", "confidence", "upper_bound", "samples", "changes_allowed")
    )
    if rate is None or sure is None or bound is None or samples is None or allowed is None:
        return "Its calibration is not in this run file."
    return (
        f"Asked for: at most {_share(rate)} of the decisions change. Stated: at most {_share(bound)}, with "
        f"{100 * sure:g} % confidence (exact upper limit for {count(allowed)} of {count(samples)}), on samples like "
        f"those of the calibration: {text(found, 'calibration')}. A network is surer of the samples that it was "
        "trained on than of new ones; the share that changed among the scored ones stands beside it."
    )


def _share(value: float) -> str:
    return f"{100 * value:.2g} %"


def early_exit(run: Run) -> str:
    """What came of stopping early, in one line."""
    steps, late, changed, saved = (metric(run, f"{_EXIT}.{name}") for name in
                                   ("steps", "steps_p99", "changed_decisions", "synops_saved"))  # fmt: skip
    if steps.value is None or late.value is None or changed.value is None or not steps.samples:
        return missing(steps)
    found, last = branch(run.assumptions, "early_exit"), number(branch(run.case, "config"), "steps")
    margin = text(found, "rule") == "margin"
    bound = number(found, "upper_bound")
    named = f"margin (changes at most {_share(bound)}, stated)" if margin and bound is not None else text(found, "rule")
    of = "" if last is None else f" of {count(last)}"
    parts = [
        f"{named}: {steps.value:.1f}{of} steps in the mean, 99th percentile {late.value:g}; {count(changed.value)} of "
        f"{steps.samples:,} decisions changed", _accuracy(run), _saving(saved, "SynOps"), _energy(run)]  # fmt: skip
    return "; ".join(filter(None, parts))


def _accuracy(run: Run) -> str:
    score, gap = metric(run, f"{_EXIT}.accuracy"), metric(run, f"{_EXIT}.accuracy.difference")
    if score.value is None or gap.value is None:
        return ""
    return f"accuracy {percent(score.value, score.samples)} ({points(gap.value, gap.samples)})"


def _energy(run: Run) -> str:
    own = metric(run, f"{_EXIT}.energy_j")
    named = text(branch(run.assumptions, "energy"), "name").lower().replace(" ", "-")
    saved = _saving(metric(run, f"{_EXIT}.energy_saved.{named}"), "modelled energy")
    return saved if own.value is None or not saved else f"{saved} to {joules(own.value)}"


def _saving(saved: Metric, what: str) -> str:
    return "" if saved.value is None else f"{what} {-100 * saved.value:+.0f} %"


def stops(run: Run) -> str:
    """After how many steps samples stopped, up to so many rows, as a table."""
    rows = entries(run.curves, "early_exit")
    n = sum(number(row, "stopped") or 0.0 for row in rows)
    steps = [number(row, "steps") or 0.0 for row in rows]
    stride = -(-len(rows) // _MOST_ROWS) or 1
    cells = []
    for i in range(0, len(rows), stride):
        here = rows[i : i + stride]
        stopped, changed = (sum(number(row, key) or 0.0 for row in here) for key in ("stopped", "changed"))
        span = count(steps[i]) if len(here) == 1 else f"{count(steps[i])} to {count(steps[i + len(here) - 1])}"
        left = number(here[-1], "running")
        share = percent(stopped / n, int(n)) if n else UNMEASURED
        cells.append(
            [span, count(stopped), share, count(changed), "" if left is None else quantity(left, "fraction", int(n))]
        )
    return table(["stopped after step", "samples", "share", "decisions changed", "still running"], cells)
