"""gate(): did it get worse? Numbers that repeat exactly are compared exactly, times only by paired re-runs.

Every metric gets one decision: pass, fail, or not enough data. A time fails by effect *and* evidence: more than the
allowed change, and a rank test that says that chance does not explain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from evaluate.records import Metric, Run
from reports.budgets import Allowance, Budgets
from reports.evidence import Flips, flips, paired_ratio, typical
from reports.fields import branch, check, number, text
from reports.movement import moved_most
from reports.pairing import Pair, interleaved, machine_of, pair_up
from reports.quantities import percent, points, quantity

__all__ = ["FAIL", "NOT_ENOUGH", "PASS", "Decision", "Gate", "Verdict", "gate"]

Decision = Literal["pass", "fail", "not enough data"]
PASS: Decision = "pass"
FAIL: Decision = "fail"
NOT_ENOUGH: Decision = "not enough data"


@dataclass(frozen=True)
class Verdict:
    """One metric of one case. `change` is relative, above zero where the head is larger."""

    case: str
    metric: str
    base: Metric | None
    head: Metric | None
    decision: Decision
    why: str
    change: float | None = None


@dataclass(frozen=True)
class Gate:
    """All verdicts, and for each case what else a reader needs: what was different, which layer moved."""

    verdicts: tuple[Verdict, ...]
    remarks: dict[str, tuple[str, ...]]

    @property
    def decision(self) -> Decision:
        """The worst of all: a failure outweighs what could not be decided."""
        found = {verdict.decision for verdict in self.verdicts}
        return FAIL if FAIL in found else NOT_ENOUGH if NOT_ENOUGH in found or not found else PASS

    @property
    def exit_status(self) -> int:
        """0 pass, 3 fail, 4 not enough data."""
        return {PASS: 0, FAIL: 3, NOT_ENOUGH: 4}[self.decision]


def gate(base: Sequence[Run], head: Sequence[Run], budgets: Budgets | None = None) -> Gate:
    """Compare `head` with `base`.

    Parameters
    ----------
    base, head : sequences of Run
        Any number of cases, each once, or several times for its timings.

    Raises
    ------
    ReportError, RunFileError
        A run has parts of the wrong kind.
    """
    for run in (*base, *head):
        check(run)
    budgets = budgets or Budgets()
    verdicts: list[Verdict] = []
    remarks: dict[str, tuple[str, ...]] = {}
    for pair in pair_up(base, head):
        rows, said = _case(pair, budgets)
        verdicts += rows
        remarks[pair.case] = said
    return Gate(tuple(verdicts), remarks)


def _case(pair: Pair, budgets: Budgets) -> tuple[list[Verdict], tuple[str, ...]]:
    """The verdicts on one case, and what else is to be said of it."""
    if not pair.base:
        return [Verdict(pair.case, "*", None, None, PASS, "a new case: the base has no run of it")], ()
    if not pair.head:
        return [Verdict(pair.case, "*", None, None, NOT_ENOUGH, "the head has no run of this case; run it")], ()
    before, after = pair.base[0], pair.head[0]
    names = dict.fromkeys(m.name for run in (before, after) for m in run.metrics)
    rows = [row for name in names if (row := _metric(pair, name, budgets))]
    rows = [_traded(row, rows, budgets) for row in rows]
    changed = any(row.change != 0 for row in rows if row.base and row.head and not row.base.timing)
    moved = moved_most(before.layers, after.layers) if changed else ()
    return rows, (*_differences(before, after), *_balance(rows), *moved)


def _balance(rows: Sequence[Verdict]) -> tuple[str, ...]:
    """What was gained where something was lost."""
    won = [f"{row.metric} ({_change(row)})" for row in rows if _gain(row) > 0 and row.base and not row.base.timing]
    lost = [f"{row.metric} ({_change(row)})" for row in rows if row.decision == FAIL]
    return (f"A trade: {_some(won)} got better, {_some(lost)} got worse.",) if won and lost else ()


def _some(rows: Sequence[str], most: int = 4) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(rows[:most]) + more


def _loss(worse: float, metric: Metric) -> str:
    """By how much a metric is worse: a difference of fractions is in points."""
    return (
        points(worse, metric.samples).lstrip("+")
        if metric.unit == "fraction"
        else quantity(worse, metric.unit, metric.samples)
    )


def _change(row: Verdict) -> str:
    return "from 0" if row.change is None else f"{100 * row.change:+.2f} %"


def _metric(pair: Pair, name: str, budgets: Budgets) -> Verdict | None:
    """The verdict on the metric `name`; None where the budgets ignore it."""
    base, head = (_of(run, name) for run in (pair.base[0], pair.head[0]))
    known = base or head
    if known is None or (allowance := budgets.of(known)).ignore:
        return None
    blank = Verdict(pair.case, name, base, head, PASS, "")
    if base is None or head is None:
        side = "base" if base is None else "head"
        return replace(blank, decision=PASS if base is None else NOT_ENOUGH, why=f"the {side} does not have it")
    if base.unit != head.unit:
        return replace(blank, decision=NOT_ENOUGH, why=f"units differ: {base.unit} and {head.unit}")
    if base.value is None or head.value is None:
        return _unmeasured(blank, base, head)
    change = (head.value - base.value) / abs(base.value) if base.value else 0.0
    blank = replace(blank, change=change if base.value else 0.0 if head.value == base.value else None)
    return _timing(blank, pair, budgets, allowance) if base.timing else _exact(blank, pair, allowance)


def _of(run: Run, name: str) -> Metric | None:
    return next((metric for metric in run.metrics if metric.name == name), None)


def _unmeasured(blank: Verdict, base: Metric, head: Metric) -> Verdict:
    """A value that is not there: lost is a loss, and never there is no change."""
    if base.value is None:
        return replace(blank, why="unmeasured in both" if head.value is None else "the base has no value")
    reached = head.note.startswith("not reached")
    return replace(blank, decision=FAIL if reached else NOT_ENOUGH, why=f"the head has no value: {head.note}")


def _exact(blank: Verdict, pair: Pair, allowance: Allowance) -> Verdict:
    """A number that the same code gives again: any loss beyond the budget is real."""
    before, after = pair.base[0], pair.head[0]
    base, head = blank.base, blank.head
    assert base is not None and head is not None and base.value is not None and head.value is not None
    if why := _incomparable(pair, blank.metric):
        return replace(blank, decision=NOT_ENOUGH, why=why)
    better = allowance.better or head.better
    change, allowed = head.value - base.value, allowance.loss(base.value)
    worse = change if better == "lower" else -change if better == "higher" else 0.0
    found = flips(blank.metric, before, after)
    told = _told(found)
    if not change:
        same = "identical, sample by sample" if found and not found.lost + found.won else "identical"
        return replace(blank, why=f"the same value, but {told}" if found and found.lost + found.won else same)
    if better == "neither":
        return replace(blank, why="changed; it has no better direction")
    if worse <= 0:
        return replace(blank, why="; ".join(filter(None, ("better", told))))
    said = f"worse by {_loss(worse, base)}, allowed {_loss(allowed, base) if allowed else 'nothing'}"
    said = "; ".join(filter(None, (said, told)))
    if worse <= allowed:
        return replace(blank, why=said)
    if allowance.evidence == "paired" and (found is None or found.p_value >= allowance.alpha):
        return replace(blank, decision=NOT_ENOUGH, why=f"{said}; more samples are needed to tell it from chance")
    return replace(blank, decision=FAIL, why=said)


def _told(found: Flips | None) -> str:
    """Samples that changed sides, in words."""
    if found is None or not found.lost + found.won:
        return ""
    return f"{found.lost} samples lost and {found.won} won, McNemar p = {found.p_value:.2g}"


def _incomparable(pair: Pair, name: str) -> str:
    """Why exact numbers cannot be compared; empty where they can."""
    data = [
        (text(d, "sha256"), text(d, "samples")) for d in (branch(run.case, "data") for run in (*pair.base, *pair.head))
    ]
    if len(set(data)) > 1:
        return "scored on other samples (the hashes or the numbers of the data differ)"
    for side, runs in (("base", pair.base), ("head", pair.head)):
        if len({m.value for run in runs if (m := _of(run, name))}) > 1:
            return f"repeats of the {side} differ: it is not deterministic there"
    return ""


def _timing(blank: Verdict, pair: Pair, budgets: Budgets, allowance: Allowance) -> Verdict:
    """A time, from runs of both sides in turn; each run counts by the median of its observations."""
    rule = budgets.timing
    sides = [[typical(_of(run, blank.metric)) for run in runs] for runs in (pair.base, pair.head)]
    before, after = ([value for value in side if value is not None and value > 0] for side in sides)
    better = allowance.better or (blank.base.better if blank.base else "lower")
    if why := _unpaired(pair, len(before), len(after), rule.pairs):
        return replace(blank, decision=NOT_ENOUGH, why=why)
    ratio, allowed = paired_ratio(before, after, better), max(rule.allowed, allowance.relative)
    said = (f"{_slower(ratio.value, better)} ({_signed(ratio.low)} to {_signed(ratio.high)}) over {ratio.pairs} pairs, "
            f"signed-rank p = {ratio.p_value:.2g}, allowed {percent(allowed)}")  # fmt: skip
    blank = replace(blank, why=said, change=(1 / ratio.value if better == "higher" else ratio.value) - 1)
    if ratio.value - 1 > allowed:
        return replace(blank, decision=FAIL if ratio.p_value < rule.alpha else NOT_ENOUGH)
    if ratio.high - 1 > max(rule.blind, allowed):
        return replace(blank, decision=NOT_ENOUGH, why=f"{said}; too noisy to exclude {percent(rule.blind)}")
    return blank


def _slower(ratio: float, better: str) -> str:
    return f"{_signed(ratio)} {'worse' if ratio > 1 else 'better' if ratio < 1 else 'changed'}"


def _signed(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _unpaired(pair: Pair, before: int, after: int, wanted: int) -> str:
    """Why the runs do not make pairs; empty where they do."""
    if before != after or before < wanted:
        return f"{before} base and {after} head runs; run both in turn, {wanted} times each"
    if not interleaved(pair):
        return "base and head were not run in turn, so that a drift of the machine would count as a change"
    machines = {machine_of(run) for run in (*pair.base, *pair.head)}
    return "the machines or their settings differ" if len(machines) > 1 else ""


def _traded(row: Verdict, rows: Sequence[Verdict], budgets: Budgets) -> Verdict:
    """A failure that the budgets accept because something else got better."""
    if row.decision != FAIL or row.change is None:
        return row
    for trade in budgets.trades:
        won = next((gain for gain in rows if fnmatchcase(gain.metric, trade.gain) and _gain(gain) > 0), None)
        if won is None or not fnmatchcase(row.metric, trade.cost):
            continue
        said = f"{won.metric} improved by {_gain(won):.4g} {won.base.unit if won.base else ''}".rstrip()
        if _gain(won) + 1e-12 >= trade.at_least and abs(row.change) <= trade.at_most_relative:
            return replace(row, decision=PASS, why=f"{row.why}; accepted as a trade: {said}")
        terms = f"at most {percent(trade.at_most_relative)} for at least {trade.at_least:g}"
        return replace(row, why=f"{row.why}; {said}, but the trade asks for {terms}")
    return row


def _gain(row: Verdict) -> float:
    """How much better a metric became, in its unit; 0 where it did not."""
    if row.base is None or row.head is None or row.base.value is None or row.head.value is None:
        return 0.0
    change = row.head.value - row.base.value
    return max(0.0, change if row.head.better == "higher" else -change if row.head.better == "lower" else 0.0)


def _differences(base: Run, head: Run) -> tuple[str, ...]:
    """What was asked differently, in words."""
    said = []
    for part in ("model", "calibration"):
        if text(branch(base.case, part), "sha256") != text(branch(head.case, part), "sha256"):
            said.append(f"The {part} differs: its hashes are not the same.")
    configs = branch(base.case, "config"), branch(head.case, "config")
    keys = [key for key in {**configs[0], **configs[1]} if configs[0].get(key) != configs[1].get(key)]
    if keys:
        said.append("Options differ: " + ", ".join(f"{k} {text(configs[0], k)} -> {text(configs[1], k)}" for k in keys))
    if number(branch(base.case, "model"), "parameters") != number(branch(head.case, "model"), "parameters"):
        said.append("The networks have different numbers of parameters.")
    return tuple(said)
