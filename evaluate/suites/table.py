"""suite_text(): how every case ended, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from evaluate.records import Run
from evaluate.suites.folders import Failure
from evaluate.suites.running import Ended

__all__ = ["suite_text"]

_HEADER = ("case", "T", "ANN", "SNN", "agreement", "spikes per neuron", "energy / ANN", "seconds", "")
_LONGEST_MESSAGE = 300


def suite_text(ended: Sequence[Ended]) -> str:
    """A row for each run, then each failure with its reason, then the sums."""
    rows = [_row(one, one.outcome) for one in ended if isinstance(one.outcome, Run)]
    lines = [tabulate(rows, _HEADER, tablefmt="simple", disable_numparse=True)] if rows else []
    lines += [_failed(one, one.outcome) for one in ended if isinstance(one.outcome, Failure)]
    failed, before = len(ended) - len(rows), sum(one.kept for one in ended)
    total = f"{len(rows)} finished, {failed} failed"
    return "\n".join([*lines, f"{total}{f'; {before} of them were there' if before else ''}"]) + "\n"


def _row(ended: Ended, run: Run) -> tuple[str, ...]:
    ann, snn = _value(run, "energy.ann_j"), _value(run, "energy.snn_j")
    seconds = run.environment["seconds"]
    return (
        ended.planned.label, str(run.case["config"]["steps"]),
        *(_percent(_value(run, name)) for name in ("ann.accuracy", "snn.accuracy", "agreement")),
        _number(_value(run, "spikes.per_neuron")), _number(snn / ann if snn is not None and ann else None),
        _number(sum(seconds.values())), "kept" if ended.kept else "done",
    )  # fmt: skip


def _failed(ended: Ended, failure: Failure) -> str:
    message = " ".join(failure.message.split())
    short = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]} ..."
    return f"FAILED {ended.planned.label}: {failure.kind}: {short}"


def _value(run: Run, name: str) -> float | None:
    return next((metric.value for metric in run.metrics if metric.name == name), None)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
