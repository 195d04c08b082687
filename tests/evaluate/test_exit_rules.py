"""Rules of the early exit: what they say of recorded answers is what a simulation that stops does."""

import pytest
import torch
from scipy.stats import beta, binom

from convert import convert, trace
from convert.errors import ConfigError
from convert.graph.readout import Head
from convert.recipes import recipe
from convert.simulation.engine import simulate
from evaluate.early_exit import Simulated, calibrated_margin, run_to_exits
from evaluate.exit_calibration import allowed_changes, critical_margins, fit_margin, wanted_samples
from evaluate.exit_rules import (
    MarginRule,
    accumulated_margin,
    first_exits,
    read_exit,
    refuse_exit,
    sound_rule,
)
from evaluate.tasks import Task
from tests.oracles.conversions import converted

STEPS = 24
CLASSES = Task("classes", Head("", (3,)))
TASKS = {kind: Task(kind, Head("", (3,))) for kind in ("classes", "labels")}


def rule_of(name, network, task, output):
    if name == "sound":
        return sound_rule(network, task, STEPS)
    middle = accumulated_margin(output[STEPS // 2], STEPS // 2 + 1, task.kind, network.readout_delay).median()
    return MarginRule(task.kind, float(middle), network.readout_delay, {})


@pytest.mark.parametrize("memory", [1, 20_000, 32 << 20])  # batches of one, of a few, of all
@pytest.mark.parametrize("rule", ["margin", "sound"])
@pytest.mark.parametrize("kind", list(TASKS))
@pytest.mark.parametrize("neuron", ["if", "seed"])
def test_samples_that_really_stop_say_what_their_recorded_answers_say(neuron, kind, rule, memory):
    task = TASKS[kind]
    network, x = converted("mlp without bias", neuron)
    x = x[:20]
    output = simulate(network, x, STEPS, seed=5).output
    rule = rule_of(rule, network, task, output)
    expected = first_exits(rule, output)
    found = run_to_exits(network, x, rule, task, Simulated(STEPS, 5, memory))
    assert found.steps.tolist() == expected.tolist()
    assert len(set(found.steps.tolist())) > 1
    said = output[expected - 1, torch.arange(len(x))]
    assert (found.answers == task.answers(said)).all()
    for node, spikes in found.spikes.items():
        alone = [simulate(network, x[i : i + 1], int(t), seed=5).spikes[node][0] for i, t in enumerate(expected)]
        assert torch.allclose(spikes * len(x), torch.stack(alone).sum(0).double(), rtol=1e-12)


def test_spikes_of_a_poisson_input_are_those_of_the_sample_whatever_the_batch():
    network, x = converted("mlp", "if", input_code="poisson")
    rule = MarginRule("classes", 6.0, 0, {})
    one, all_at_once = (run_to_exits(network, x, rule, CLASSES, Simulated(STEPS, 2, size)) for size in (1, 32 << 20))
    assert one.steps.tolist() == all_at_once.steps.tolist()
    assert all(torch.allclose(one.spikes[k], all_at_once.spikes[k], rtol=1e-12) for k in one.spikes)


def test_a_sound_exit_changes_nothing():
    network, x = converted("mlp without bias", "seed")
    output = simulate(network, x, STEPS).output
    found = run_to_exits(network, x, sound_rule(network, CLASSES, STEPS), CLASSES, Simulated(STEPS))
    assert (found.answers == output[-1].argmax(1).numpy()).all()
    assert found.steps.min() < STEPS


def test_the_accumulated_margin_leaves_out_what_the_read_out_does():
    said = torch.tensor([[3.0, 1.0, 2.5], [0.0, -4.0, 1.0]])
    assert accumulated_margin(said, 10, "classes").tolist() == [5.0, 10.0]
    assert accumulated_margin(said, 10, "classes", delay=4).tolist() == [3.0, 6.0]
    assert accumulated_margin(said, 6, "classes", delay=4).tolist() == [1.5, 3.0]
    assert accumulated_margin(said, 10, "labels").tolist() == [10.0, 0.0]


@pytest.mark.parametrize("kind", list(TASKS))
def test_no_threshold_from_the_critical_margin_on_changes_a_decision(kind):
    task = TASKS[kind]
    network, x = converted("mlp without bias", "if")
    output = simulate(network, x, STEPS).output
    critical, last = critical_margins(output, task, 0), task.answers(output[-1])
    for i, c in enumerate(critical.tolist()):
        own = output[:, i : i + 1]
        for threshold in (c, c * 1.5 + 1e-9):
            step = int(first_exits(MarginRule(kind, threshold, 0, {}), own))
            assert (task.answers(own[step - 1]) == last[i]).all()
        margins = [float(accumulated_margin(own[t], t + 1, kind)) for t in range(STEPS - 1)]
        other = [(task.answers(own[t]) != last[i]).any() for t in range(STEPS - 1)]
        assert c == max([m for m, o in zip(margins, other, strict=True) if o], default=0.0)
    assert critical.max() > 0


@pytest.mark.parametrize(("n", "rate"), [(299, 0.01), (347, 0.01), (4000, 0.005), (10_000, 0.001), (40, 0.3)])
def test_as_many_changes_are_allowed_as_the_exact_upper_limit_bears(n, rate):
    k = allowed_changes(n, rate)
    assert binom.cdf(k, n, rate) <= 0.05 < binom.cdf(k + 1, n, rate)
    rule = fit_margin(torch.arange(n, dtype=torch.float64), rate, CLASSES, 0)
    assert rule.threshold == n - 1 - k
    assert rule.origin["changes_found"] == rule.origin["changes_allowed"] == k
    assert rule.origin["upper_bound"] == pytest.approx(beta.ppf(0.95, k + 1, n - k))
    assert rule.origin["upper_bound"] <= rate


def test_the_stated_rate_holds_in_95_of_100_calibrations():
    """Samples with c uniform in [0, 1): the share beyond lam is 1 - lam, and exceeds the rate in 5 % of the draws."""
    draws, n, rate = 4000, 400, 0.02
    samples = torch.rand((draws, n), dtype=torch.float64)
    broken = sum(1 - fit_margin(row, rate, CLASSES, 0).threshold > rate for row in samples)
    expected = binom.cdf(allowed_changes(n, rate), n, rate)
    assert abs(broken / draws - expected) < 4 * (expected * (1 - expected) / draws) ** 0.5
    assert expected <= 0.05


def test_samples_that_never_change_may_stop_at_once_and_ties_stay():
    assert fit_margin(torch.zeros(400), 0.01, CLASSES, 0).threshold == 0
    many = fit_margin(torch.ones(400), 0.01, CLASSES, 0)  # all as critical: none may be risked
    assert (many.threshold, many.origin["changes_found"]) == (1.0, 0)


def test_too_few_samples_are_refused_before_anything_is_simulated():
    network, x = converted("mlp", "if")
    with pytest.raises(ConfigError, match=r"got 20 calibration samples .* expected at least 299 .* margin:14% is the"):
        calibrated_margin(network, x[:20], 0.01, CLASSES, Simulated(10**9))
    assert allowed_changes(20, 0.14) == 0
    assert allowed_changes(20, 0.13) is None
    with pytest.raises(ConfigError, match="got 0 calibration samples"):
        fit_margin(torch.zeros(0), 0.01, CLASSES, 0)


def test_a_calibrated_rule_changes_no_more_of_its_own_samples_than_it_allows():
    network, x = converted("mlp without bias", "if")
    x = torch.rand((400, 8))
    rule = calibrated_margin(network, x, 0.05, CLASSES, Simulated(STEPS, memory_bytes=1 << 16), "these")
    found = run_to_exits(network, x, rule, CLASSES, Simulated(STEPS))
    changed = (found.answers != simulate(network, x, STEPS).output[-1].argmax(1).numpy()).sum()
    assert changed <= rule.origin["changes_allowed"]
    assert found.steps.mean() < STEPS
    assert rule.record()["calibration"] == "these"


@pytest.mark.parametrize("text", ["margin:0", "margin:100%", "margin:1.2.3", "margin:-1%", "Sound", "margin:", ""])
def test_other_orders_are_refused(text):
    with pytest.raises(ConfigError, match=r"--early-exit: got .* expected sound, margin, or margin:RATE"):
        read_exit(text)


def test_orders_are_read_back_from_their_text():
    for text, order in (
        ("margin", ("margin", 0.005)),
        ("margin:2%", ("margin", 0.02)),
        ("margin:0.25", ("margin", 0.25)),
    ):
        found = read_exit(text)
        assert (found.kind, found.rate) == order
        assert read_exit(found.text) == found
    assert read_exit(read_exit("sound").text).kind == "sound"
    assert wanted_samples(0.5) == 40


def test_answers_that_are_no_decision_are_refused():
    network, _ = converted("mlp", "if")
    with pytest.raises(ConfigError, match="got a regression; expected one decision"):
        refuse_exit(network, [Task("regression", Head("", (3,)))])
    with pytest.raises(ConfigError, match="got 2 outputs"):
        refuse_exit(network, [CLASSES, CLASSES])


@pytest.mark.parametrize(
    ("name", "message"), [("exact", "stops by itself when no neuron can fire"), ("radix", "before its last period")]
)
def test_networks_that_stop_by_themselves_are_refused(name, message):
    model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    network = convert(trace(model, (8,)), torch.rand(32, 8), recipe(name).config(16)).snn
    with pytest.raises(ConfigError, match=message):
        refuse_exit(network, [CLASSES])
