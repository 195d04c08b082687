"""A search keeps to the calibration samples, goes on where it stopped, and chooses by its own rule."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

import zoo
from convert.__main__ import app
from convert.errors import ConfigError
from evaluate.goals import Goal, read_goal
from evaluate.job import perform
from evaluate.request import Request
from evaluate.search import SPACE, Options, Order, as_record, choose, confirming, front, search
from evaluate.trials import Bench

pytest.importorskip("optuna")

GOAL = Goal("accuracy_drop", 0.02)
REQUEST = Request("zoo:digits-relu", steps=(4, 8), limit=60, calibration_samples=80)


def order(tmp_path, trials, name="a.db", **changes):
    return Order(GOAL, "latency", trials, f"sqlite:///{tmp_path / name}", changes)


def trials_of(points):
    return [tuple(p[name] for name in SPACE) for p in points if p["steps"] == 4]


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("accuracy_drop<=0.5pp", Goal("accuracy_drop", 0.005)),
        (" accuracy_drop <= 2 pp", Goal("accuracy_drop", 0.02)),
        ("agreement>=99%", Goal("agreement", 0.01)),
    ],
)
def test_goals_are_read(text, goal):
    assert read_goal(text) == goal
    assert read_goal(goal.text) == goal


@pytest.mark.parametrize(
    "text", ["", "accuracy_drop<=0.5", "accuracy_drop>=0.5pp", "agreement>=101%", "accuracy_drop<=1.2.3pp", "f1>=9%"]
)
def test_other_goals_are_refused_with_what_was_expected(text):
    with pytest.raises(ConfigError, match="expected"):
        read_goal(text)


def test_a_network_of_the_zoo_is_compared_on_samples_that_it_has_not_seen():
    bench = Bench.open(replace(REQUEST, model="zoo:digits-sigmoid", limit=None), GOAL)
    unseen, seen = zoo.held_out("digits", 347), zoo.fitted("digits", 347)
    assert (len(bench.fit), len(bench.held_out)) == (80, 347)
    rows = [{row.numpy().tobytes() for row in samples.x} for samples in (bench.fit, seen, bench.held_out, unseen)]
    assert rows[0] <= rows[1]
    assert rows[2] == rows[3]


def test_a_network_that_has_seen_them_all_is_compared_on_calibration_samples():
    bench = Bench.open(REQUEST, GOAL)
    assert (len(bench.fit), len(bench.held_out)) == (80, 60)


@pytest.mark.parametrize("name", SPACE["recipe"])
def test_every_recipe_of_the_space_is_measured(name):
    """Read out at once and late, with thresholds of either kind: what a trial may try can be tried."""
    bench = Bench.open(REQUEST, GOAL)
    for thresholds, readout in (("as the recipe", "at once"), ("lower", "late"), ("higher", "at once")):
        config = Options(name, 4, thresholds, readout).config({})
        assert config.recipe == name
        points = bench.points(config)
        assert [point["steps"] for point in points] == [4, 8]
        assert points[-1]["loss"] < 0.3 and points[-1]["spikes_per_neuron"] > 0
        assert points[-1]["payload_bits"] == (3 if "differential" in name or name == "multi-threshold" else 1)


@pytest.mark.parametrize(
    "wrong", [{"minimise": "area"}, {"trials": 0}, {"changes": {"percentile": 99.0}}, {"changes": {"look_ahead": 4}}]
)
def test_orders_are_refused_early(tmp_path, wrong):
    with pytest.raises(ConfigError, match="expected"):
        replace(order(tmp_path, 1), **wrong)


def test_front_and_choice():
    points = [
        {"steps": 4, "loss": 0.03, "loss_bound": 0.05},
        {"steps": 8, "loss": 0.004, "loss_bound": 0.012},
        {"steps": 16, "loss": 0.001, "loss_bound": 0.004},
        {"steps": 32, "loss": 0.002, "loss_bound": 0.003},
    ]
    assert [p["steps"] for p in front(points, "latency")] == [4, 8, 16]
    picks = {limit: choose(points, Goal("accuracy_drop", limit), "latency") for limit in (0.005, 0.002, 0.0)}
    assert [(c.point["steps"], c.how) for c in picks.values()] == [(16, "bound"), (16, "estimate"), (16, "none")]


def test_a_stopped_search_goes_on_with_the_same_trials_and_never_reads_what_is_scored(tmp_path, monkeypatch):
    def refuse(self, limit=None):
        raise AssertionError("the scored samples were read")

    with monkeypatch.context() as patched:
        patched.setattr(zoo.Dataset, "scored", refuse)
        patched.setattr(zoo.Dataset, "whole", refuse)
        bench = Bench.open(REQUEST, GOAL)
        whole = search(bench, order(tmp_path, 9), lambda done, points: None)

        def stop(done, points):
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search(bench, order(tmp_path, 9, "b.db"), stop)
        seen = []
        resumed = search(bench, order(tmp_path, 9, "b.db"), lambda done, points: seen.append(done))
        assert seen[0] == 2 and seen[-1] == 9
        assert resumed == whole
        assert len(set(trials_of(whole))) == len(trials_of(whole)) == 9

        monkeypatch.setattr(Bench, "points", refuse)
        assert search(bench, order(tmp_path, 9)) == whole


def test_a_trial_that_is_interrupted_is_the_next_one(tmp_path, monkeypatch):
    bench, measure, calls = Bench.open(REQUEST, GOAL), Bench.points, []

    def interrupted(self, config, progress=None):
        calls.append(config)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(self, config, progress)

    monkeypatch.setattr(Bench, "points", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(bench, order(tmp_path, 3))
    search(bench, order(tmp_path, len(SPACE["recipe"]) + 1))  # it waits behind the recipes as they are
    assert calls[1] in calls[2:]
    assert len(set(map(str, calls))) == len(calls) - 1


def test_the_choice_is_confirmed_by_the_network_that_was_searched(tmp_path):
    bench, wish = Bench.open(REQUEST, GOAL), order(tmp_path, 2)
    points = search(bench, wish)
    choice = choose(points, GOAL, "latency")
    run, conversion = perform(confirming(bench, choice, wish))
    assert run.case["calibration"]["samples"] == len(bench.fit) > 0
    record = as_record(bench, points, wish, choice, run)
    assert record["trials"] == 2 and record["confirmed"]["metrics"]["snn.accuracy"]["samples"] == 60
    assert record["data"]["split"] == "test" and record["held_out"]["split"] == "train"
    assert run.case["config"]["steps"] == choice.point["steps"]
    assert conversion.config.recipe == choice.point["recipe"]


@pytest.mark.parametrize("password", ["hush", "hu/sh@", "h:u"])
def test_a_storage_that_cannot_be_used_is_named_without_its_password(password):
    url = f"nosuchdatabase://me:{password}@host/trials"
    with pytest.raises(ConfigError, match="--auto-storage: nosuchdatabase://me:") as said:
        search(Bench.open(REQUEST, GOAL), Order(GOAL, "latency", 1, url, {}))
    assert password not in str(said.value)


def test_an_error_of_a_search_begins_with_its_words(tmp_path):
    """No empty line in front of it: without a terminal there is no bar to leave."""
    options = ["--auto", "accuracy_drop<=1pp", "--auto-storage", "nosuchdatabase://x", "--steps", "4"]
    done = CliRunner().invoke(app, ["zoo:digits-relu", *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert done.output.startswith("convert: --auto-storage: nosuchdatabase://x cannot be used")
