"""What is told of an exact network, and of no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evaluate.records import Metric, Run
from reports import summary
from reports.exact import exactness, is_exact, kind, quiescence
from reports.pages import page

MakeRun = Callable[[str], Run]


def exact_run(run: Run, identical: float = 1.0) -> Run:
    shares = (("exact.identical", identical), ("exact.certified", 1.0), ("exact.quantised_accuracy", 0.975))
    rows = [Metric(name, value, "fraction", "higher", 360) for name, value in shares]
    waits = (("", 14.38), ("_median", 15.0), ("_p99", 16.0), ("_max", 18.0))
    rows += [Metric(f"latency.steps_to_quiescence{name}", value, "steps", "lower", 360) for name, value in waits]
    config = {**run.case["config"], "recipe": "exact", "exact_levels": 15}
    return replace(run, case={**run.case, "config": config}, metrics=(*run.metrics, *rows))


def test_the_guarantee_is_counted_in_samples(make_run: MakeRun) -> None:
    run = exact_run(make_run("full"))
    assert exactness(run).startswith("identical logits 360 of 360 to the quantised network; certified quiescent 360 of")
    assert "identical logits 359 of 360" in exactness(exact_run(make_run("full"), 359 / 360))
    assert quiescence(run) == "q = 14.4 steps in the mean, median 15, 99th percentile 16, largest 18"


def test_terminal_and_page_tell_it(make_run: MakeRun) -> None:
    run = exact_run(make_run("full"))
    assert any(line.startswith("Exactness: identical logits 360 of 360") for line in summary(run))
    assert "signed counting neurons of 15 levels, run until none can fire" in summary(run)[0]
    assert "steps of 1 ms" not in summary(run)[0]
    assert "- **Exactness.**" in page(run) and "- **Quiescence.**" in page(run)


def test_other_runs_say_nothing_of_it(any_run: Run) -> None:
    assert not is_exact(any_run)
    assert kind(any_run) == ""
    assert not any(line.startswith(("Exactness", "Quiescence")) for line in summary(any_run))
    assert "Exactness" not in page(any_run)


def test_a_run_that_lacks_a_part_says_so(make_run: MakeRun) -> None:
    run = make_run("bare")
    assert "unmeasured" in exactness(run)
    assert quiescence(run) == "unmeasured"
