"""The gate neither cries wolf nor sleeps: injected regressions are found, changes that are none raise no alarm."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

import pytest

from evaluate.errors import RunFileError
from evaluate.records import Metric, Run, pack_bits, unpack_bits, write_run
from reports.budgets import Allowance, Budgets, Timing, Trade, read_budgets
from reports.errors import ReportError
from reports.evidence import flips, paired_ratio
from reports.gate import FAIL, NOT_ENOUGH, PASS, Gate, gate
from reports.pairing import load_runs
from reports.verdicts import headline, junit, markdown, regressions
from tests.commands import python

ROOT = Path(__file__).parents[2]
MakeRun = Callable[[str], Run]


def with_metric(run: Run, name: str, **changes: object) -> Run:
    return replace(run, metrics=tuple(replace(m, **changes) if m.name == name else m for m in run.metrics))


def scaled(run: Run, name: str, factor: float) -> Run:
    value = run.metric(name).value
    assert value is not None
    return with_metric(run, name, value=value * factor)


def with_bits(run: Run, wrong: set[int], count: int = 360) -> Run:
    right = [i not in wrong for i in range(count)]
    value = sum(right) / count
    return replace(
        with_metric(run, "snn.accuracy", value=value), samples={"count": count, "snn_right": pack_bits(right)}
    )


def verdict(found: Gate, name: str) -> str:
    return next(v.decision for v in found.verdicts if v.metric == name)


def why(found: Gate, name: str) -> str:
    return next(v.why for v in found.verdicts if v.metric == name)


def heavy(rng: random.Random, centre: float, n: int = 5) -> tuple[float, ...]:
    """Times as a busy machine gives them: 3 % log-normal, and one in ten delayed by a Pareto tail."""
    return tuple(
        centre * math.exp(rng.gauss(0, 0.03)) * (1 + (rng.paretovariate(1.5) * 0.2 if rng.random() < 0.1 else 0))
        for _ in range(n)
    )


def series(
    rng: random.Random, factor: float = 1.0, pairs: int = 12, name: str = "time.snn"
) -> tuple[list[Run], list[Run]]:
    """Base and head in turn on a machine that drifts and with runs 2 % apart; the head takes `factor` times as long."""
    base, head = [], []
    for i in range(2 * pairs):
        drift = (1 + 0.1 * i / pairs) * math.exp(rng.gauss(0, 0.02))
        side = (base, head)[i % 2]
        times = heavy(rng, drift * (factor if i % 2 else 1.0))
        metric = Metric(name, median(times), "ms", "lower", timing=True, observations=times)
        stamp = {"time_utc": f"2026-01-01T00:00:{i:02d}", "processor": "one"}
        side.append(Run(f"{i}", {}, (metric,), {}, (), {}, stamp))
    return base, head


LOWER = ["synops.per_inference", "spikes.per_neuron", "macs.ann", "macs.encoder", "energy.ann_j",
         "energy.ann_sparse_j", "energy.snn_j", "latency.steps_within_0.5pp", "latency.ms_within_0.5pp"]  # fmt: skip
HIGHER = ["ann.accuracy", "snn.accuracy", "agreement"]
SMALL = [(name, 1 + 1e-6) for name in LOWER[:6]] + [(name, 1.1) for name in LOWER[6:]]
SMALL += [(name, 1 - 1e-3) for name in HIGHER]


@pytest.mark.parametrize(("name", "factor"), SMALL)
def test_exact_regressions_are_found_and_nothing_else(make_run: MakeRun, name: str, factor: float) -> None:
    found = gate([make_run("full")], [scaled(make_run("full"), name, factor)])
    assert [v.metric for v in found.verdicts if v.decision == FAIL] == [name]
    assert found.exit_status == 3


@pytest.mark.parametrize("seed", range(8))
def test_slower_times_are_found(seed: int) -> None:
    factor = (1.15, 1.2, 1.3, 2.0)[seed % 4]
    found = gate(*series(random.Random(seed), factor))
    assert verdict(found, "time.snn") == FAIL, why(found, "time.snn")


def test_two_hundred_pairs_without_a_change_raise_no_exact_alarm(make_run: MakeRun) -> None:
    rng, alarms = random.Random(0), 0
    names = ["full", "unlabelled", "losing", "mixed", "single step"]
    for i in range(200):
        run = with_bits(make_run(names[i % 5]), {rng.randrange(360) for _ in range(9)})
        run = scaled(run, "synops.per_inference", rng.uniform(0.5, 2))
        again = replace(
            run, id="other", environment={"processor": f"machine {i}", "seconds": {"simulate": rng.random()}}
        )
        alarms += gate([run], [again]).decision != PASS
    assert alarms == 0


def test_at_most_one_timing_alarm_in_a_hundred_without_a_change() -> None:
    rng = random.Random(1)
    for pairs in (8, 12):
        decisions = [verdict(gate(*series(rng, pairs=pairs)), "time.snn") for _ in range(600)]
        assert decisions.count(FAIL) <= 6, (pairs, decisions.count(FAIL))
        assert decisions.count(PASS) >= 540, (pairs, decisions.count(PASS))


def test_a_time_needs_runs_in_turn_on_one_machine() -> None:
    base, head = series(random.Random(2), 2.0)
    assert "12 base and 11 head runs" in why(gate(base, head[:-1]), "time.snn")
    late = [replace(r, environment={**r.environment, "time_utc": f"2026-02{r.id}"}) for r in head]
    assert "not run in turn" in why(gate(base, late), "time.snn")
    other = [replace(r, environment={**r.environment, "processor": "two"}) for r in head]
    found = gate(base, other)
    assert "machines" in why(found, "time.snn") and found.exit_status == 4


def test_a_noisy_time_is_not_enough_data() -> None:
    base, head = series(random.Random(3), pairs=8)
    noise = (0.2, 6.0, 0.3, 5.0, 0.2, 4.0, 0.25, 0.5)
    head = [with_metric(r, "time.snn", observations=(f,), value=f) for r, f in zip(head, noise, strict=True)]
    assert verdict(gate(base, head), "time.snn") == NOT_ENOUGH


def test_higher_is_better_turns_the_ratio_around() -> None:
    faster = paired_ratio([1.0] * 8, [1.3, 1.31, 1.29, 1.3, 1.32, 1.28, 1.3, 1.3], better="higher")
    assert faster.value < 0.8 and faster.p_value > 0.99
    base, head = series(random.Random(4), 0.5)
    base, head = ([with_metric(r, "time.snn", better="higher") for r in side] for side in (base, head))
    assert verdict(gate(base, head), "time.snn") == FAIL


def test_hodges_lehmann_and_the_sign_of_the_evidence() -> None:
    ratio = paired_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    assert ratio.value == pytest.approx(2) and ratio.low == ratio.high
    assert paired_ratio([1.0] * 8, [1.0] * 8).p_value == 1


def test_samples_are_compared_one_by_one(make_run: MakeRun) -> None:
    base, swapped = with_bits(make_run("full"), {1, 2}), with_bits(make_run("full"), {3, 4})
    found = flips("snn.accuracy", base, swapped)
    assert found is not None and (found.lost, found.won, found.p_value) == (2, 2, 1)
    assert "2 samples lost and 2 won" in why(gate([base], [swapped]), "snn.accuracy")
    worse = gate([base], [with_bits(make_run("full"), {1, 2, *range(10, 22)})])
    assert "12 samples lost and 0 won, McNemar p = 0.00049" in why(worse, "snn.accuracy")


def test_paired_evidence_can_be_asked_for(make_run: MakeRun) -> None:
    budgets = Budgets(metrics=(Allowance("snn.accuracy", evidence="paired"),))
    base = with_bits(make_run("full"), set())
    assert verdict(gate([base], [with_bits(base, {1})], budgets), "snn.accuracy") == NOT_ENOUGH
    assert verdict(gate([base], [with_bits(base, set(range(9)))], budgets), "snn.accuracy") == FAIL


def test_other_data_are_not_compared(make_run: MakeRun) -> None:
    run = make_run("full")
    other = replace(run, case={**run.case, "data": {**run.case["data"], "sha256": "00"}})
    found = gate([run], [other])
    assert found.exit_status == 4 and "other samples" in why(found, "snn.accuracy")


def test_a_lost_value_a_lost_metric_and_a_lost_case(make_run: MakeRun) -> None:
    run = make_run("full")
    late = with_metric(run, "latency.steps_within_0.5pp", value=None, note="not reached within 32 steps")
    assert verdict(gate([run], [late]), "latency.steps_within_0.5pp") == FAIL
    without = replace(run, metrics=run.metrics[1:])
    assert verdict(gate([run], [without]), "ann.accuracy") == NOT_ENOUGH
    assert verdict(gate([without], [run]), "ann.accuracy") == PASS
    more = replace(run, case={**run.case, "model": {"name": "other"}})
    assert gate([run, more], [run]).exit_status == 4
    assert gate([run], [run, more]).exit_status == 0


def test_repeats_that_differ_are_not_deterministic(make_run: MakeRun) -> None:
    run = make_run("full")
    found = gate([run, scaled(run, "synops.per_inference", 1.1)], [run])
    assert "not deterministic" in why(found, "synops.per_inference")


def test_runs_that_were_asked_differently_are_other_cases_not_repeats(make_run: MakeRun) -> None:
    run = make_run("full")

    def asked(levels: int, factor: float) -> Run:
        config = run.case["config"] | {"granularity": f"of {levels}"}
        return scaled(replace(run, case=run.case | {"config": config}), "synops.per_inference", factor)

    found = gate([asked(1, 1.0), asked(2, 2.0)], [asked(2, 2.0), asked(1, 1.5)])
    decisions = {v.case.rpartition(", ")[2]: v.decision for v in found.verdicts if v.metric == "synops.per_inference"}
    assert decisions == {"granularity of 1": FAIL, "granularity of 2": PASS}


def test_budgets_directions_and_trades(make_run: MakeRun) -> None:
    run = make_run("full")
    dearer = scaled(run, "energy.snn_j", 1.08)
    assert gate([run], [dearer], Budgets(metrics=(Allowance("energy.*", relative=0.1),))).exit_status == 0
    assert gate([run], [dearer], Budgets(metrics=(Allowance("energy.*", ignore=True),))).exit_status == 0
    assert gate([run], [dearer], Budgets(metrics=(Allowance("energy.*", better="higher"),))).exit_status == 0
    trades = Budgets(trades=(Trade("snn.accuracy", 0.005, "energy.*", 0.1),))
    assert gate([run], [dearer], trades).exit_status == 3
    better = scaled(dearer, "snn.accuracy", 1.01)
    assert "accepted as a trade: snn.accuracy improved" in why(gate([run], [better], trades), "energy.snn_j")
    slightly = gate([run], [scaled(dearer, "snn.accuracy", 1.001)], trades)
    assert "but the trade asks for at most 10.0 % for at least 0.005" in why(slightly, "energy.snn_j")
    assert "A trade: snn.accuracy (+0.10 %) got better, energy.snn_j (+8.00 %) got worse." in markdown(slightly)


def test_the_layer_that_moved_is_named(make_run: MakeRun) -> None:
    run = make_run("full")
    layers = tuple({**row, "synops": 30000.0} if row["name"] == "fc2" else row for row in run.layers)
    found = gate([run], [replace(scaled(run, "synops.per_inference", 1.4), layers=layers)])
    assert "Layer fc2 moved most in SynOps: 20,800 -> 30,000 (+44.2 %), 100 % of all change." in markdown(found)


def test_what_was_asked_differently_is_named(make_run: MakeRun) -> None:
    run = make_run("full")
    other = replace(run, case={**run.case, "config": {**run.case["config"], "rule": "max"}})
    assert "Options differ: rule robust -> max" in markdown(gate([run], [other]))


def test_outputs_say_the_same(make_run: MakeRun) -> None:
    run = make_run("full")
    found = gate([run], [scaled(run, "energy.snn_j", 1.1)])
    assert headline(found).startswith("Gate: fail; 1 fail, 0 not enough data, ")
    root = ElementTree.fromstring(junit(found))
    suite = root[0]
    assert (suite.get("failures"), suite.get("tests")) == ("1", str(len(found.verdicts)))
    assert [t.get("name") for t in suite if t.find("failure") is not None] == ["energy.snn_j"]
    assert regressions(found).split("\t")[1] == "energy.snn_j" and regressions(found).count("\n") == 1
    assert "| fail " in markdown(found)


def test_shipped_budgets_are_readable_and_wrong_ones_are_named(tmp_path: Path) -> None:
    assert read_budgets(ROOT / ".ci" / "budgets.toml").timing == Timing()
    path = tmp_path / "b.toml"
    path.write_text('[[metric]]\npattern = 3\nbeter = "up"\n[[trade]]\ngain = "a"\n[time]\n')
    with pytest.raises(
        ReportError, match=r"unknown table time; metric 1.beter is unknown.*got 3, expected str.*missing"
    ):
        read_budgets(path)
    path.write_text('[[metric]]\nrelative = -1\nevidence = "none"\n')
    with pytest.raises(ReportError, match=r"got -1, expected float.*expected one of"):
        read_budgets(path)


def test_bits_survive_the_file_and_damage_is_named() -> None:
    bits = [random.Random(5).random() < 0.5 for _ in range(29)]
    assert unpack_bits(pack_bits(bits), 29) == bits
    with pytest.raises(RunFileError, match="4 bytes for 40 samples"):
        unpack_bits(pack_bits(bits), 40)
    with pytest.raises(RunFileError, match="no base64"):
        unpack_bits("?", 1)


def test_the_command_line(make_run: MakeRun, tmp_path: Path) -> None:
    for side, factor in (("base", 1.0), ("head", 1.1)):
        (tmp_path / side / "case").mkdir(parents=True)
        write_run(scaled(make_run("full"), "energy.snn_j", factor), tmp_path / side / "case" / "run.json")
    assert len(load_runs(tmp_path / "base")) == 1
    command = ["reports", "gate", "--base", str(tmp_path / "base"), "--head"]
    outputs = ["--markdown", "--junit", "--list"]
    files = [word for option in outputs for word in (option, str(tmp_path / "out" / option[2:]))]
    run = partial(python, *command)
    done = run(str(tmp_path / "head"), "--budgets", ".ci/budgets.toml", *files)
    assert (done.returncode, done.stderr) == (3, "") and done.stdout.startswith("Gate: fail")
    assert all((tmp_path / "out" / option[2:]).read_text() for option in outputs)
    assert run(str(tmp_path / "base")).returncode == 0
    missing = run(str(tmp_path / "nowhere"))
    assert missing.returncode == 2 and "cannot be read" in missing.stderr
