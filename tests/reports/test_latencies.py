"""The section on latency: every latency that there is, the exits, and what the rule promises; nothing invented."""

from dataclasses import replace

import pytest

from evaluate.records import Metric, Run
from reports.digest import summary
from reports.latencies import early_exit, latencies, rule, stops, wall_clock
from reports.pages import page

MARGIN = {
    "rule": "margin", "text": "exit when the lead exceeds 13.7", "rate": 0.005, "confidence": 0.95, "samples": 4000,
    "changes_allowed": 12, "changes_found": 12, "upper_bound": 0.00486, "calibration": "some samples",
    "source": "Wilks",
}  # fmt: skip


def metrics(prefix: str = "latency.early_exit") -> tuple[Metric, ...]:
    return (
        Metric("latency.sequential_steps", 36.0, "steps", "lower", note="32 and one for each further layer of 5"),
        Metric(f"{prefix}.steps", 7.04, "steps", "lower", 10_000, 6.9, 7.2),
        Metric(f"{prefix}.steps_p99", 32.0, "steps", "lower", 10_000),
        Metric(f"{prefix}.changed_decisions", 12.0, "samples", "lower", 10_000),
        Metric(f"{prefix}.accuracy", 0.9404, "fraction", "higher", 10_000),
        Metric(f"{prefix}.accuracy.difference", -0.0008, "fraction", "higher", 10_000, -0.0016, 0.0),
        Metric(f"{prefix}.synops_saved", 0.7, "fraction", "higher", 10_000),
    )


@pytest.fixture
def stopped(make_run) -> Run:
    found = make_run("full")
    rows = [{"steps": t, "stopped": 10, "changed": t % 2, "running": 1 - t / 30} for t in range(1, 31)]
    return replace(
        found, metrics=(*found.metrics, *metrics()), curves=found.curves | {"early_exit": rows},
        assumptions=found.assumptions | {"early_exit": MARGIN},
    )  # fmt: skip


def test_the_line_of_the_terminal_says_rule_steps_changes_loss_and_saving(stopped):
    assert early_exit(stopped) == (
        "margin (changes at most 0.49 %, stated): 7.0 of 32 steps in the mean, 99th percentile 32; 12 of 10,000 "
        "decisions changed; accuracy 94.04 % (-0.08 points); SynOps -70 %"
    )
    assert sum(line.startswith("Early exit: ") for line in summary(stopped)) == 1


def test_the_table_of_exits_has_every_sample_in_a_dozen_rows_at_most(stopped):
    rows = [line.split("|")[1:-1] for line in stops(stopped).splitlines()[2:]]
    assert len(rows) <= 12
    assert sum(int(cells[1]) for cells in rows) == 300
    assert sum(int(cells[3]) for cells in rows) == 15
    assert rows[0][0].strip() == "1 to 3"


def test_the_promise_names_rate_confidence_and_samples(stopped):
    (promise,) = (line for line in rule(stopped) if line.startswith("Asked for"))
    assert "at most 0.5 % of the decisions change" in promise
    assert "0.49 %, with 95 % confidence (exact upper limit for 12 of 4,000)" in promise


def test_a_sound_rule_promises_no_rate(stopped):
    sound = replace(stopped, assumptions=stopped.assumptions | {"early_exit": {"rule": "sound", "text": "final"}})
    assert not any("Asked for" in line for line in rule(sound))
    assert early_exit(sound).startswith("sound: 7.0 of 32 steps")


def test_a_run_without_its_rule_says_so(stopped):
    bare = replace(stopped, assumptions={}, curves={}, environment={})
    assert "not in this run file" in rule(bare)[0]
    assert "unmeasured" in wall_clock(bare)
    assert "7.0 of 32 steps" in early_exit(bare)
    assert "## Latency" in page(bare)


def test_latencies_are_in_steps_and_in_model_time(stopped):
    (row,) = (line for line in latencies(stopped).splitlines() if "sequential" in line)
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["36", "36"]
    assert "not reached in 64 steps" in latencies(stopped)
