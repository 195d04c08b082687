"""Thresholds without data: the moments that batch norm keeps, and nothing where there is none."""

import pytest
import torch
from torch import nn

from convert.config import ConvertConfig
from convert.graph.folding import fold
from convert.graph.semantics import run
from convert.normalisation.moments import moments, remembered
from convert.normalisation.rules import RULES, thresholds
from convert.normalisation.statistics import observe
from convert.pipeline import convert
from convert.reading.tracing import trace
from convert.simulation.engine import simulate


class Block(nn.Module):
    """A residual block between convolutions, each with a batch norm, and layers without."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.inner, self.second = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.bare, self.head = nn.Linear(6 * 16, 10), nn.Linear(10, 3)
        with torch.no_grad():
            for norm in (self.norm, self.second):
                norm.weight.uniform_(0.3, 2.0), norm.bias.uniform_(-0.5, 0.5)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.max_pool2d(torch.relu(x + self.second(self.inner(x))), 2)
        return self.head(torch.relu(self.bare(x.flatten(1))))


@pytest.fixture(scope="module")
def trained():
    """A network whose batch norms have seen what its samples are like; inputs are normal."""
    torch.manual_seed(0)
    model, x = Block(), torch.randn(512, 1, 8, 8)
    for _ in range(200):
        model(x[torch.randint(len(x), (64,))])
    model.eval()
    return trace(model, (1, 8, 8)), x


def test_moments_are_those_of_the_samples(trained):
    traced, x = trained
    seen = {}
    run(traced.graph, x, lambda node, value: seen.setdefault(node.name, value.double()))
    known = moments(traced.graph)
    kinds = {traced.graph[name].kind for name in known}
    assert kinds == {"BatchNorm", "Relu", "Add"}
    for name, (mean, deviation) in known.items():
        value = seen[name]
        if traced.graph[name].kind == "BatchNorm":  # exact on what it was trained on
            assert torch.allclose(mean, value.mean((0, 2, 3)), atol=0.05)
            assert torch.allclose(deviation, value.std((0, 2, 3)), rtol=0.05)
        else:  # as far as values are normal, and branches independent
            assert torch.allclose(mean, value.mean((0, 2, 3)), atol=0.25)
            assert torch.allclose(deviation, value.std((0, 2, 3)), rtol=0.4)


@pytest.mark.parametrize("rule", RULES)
def test_thresholds_are_near_those_of_the_samples(trained, rule):
    traced, x = trained
    folded = fold(traced.graph)
    stats = remembered(traced.graph, folded)
    found = thresholds(folded, stats, rule, True, percentile=99.0, steps=8)
    with_data = thresholds(folded, observe(folded, x), rule, True, percentile=99.0, steps=8)
    behind_norm = [node.name for node in folded.sites()][:2]
    assert sorted(found) == sorted(behind_norm)  # the layer without a batch norm is not among them
    for name in behind_norm:
        ratio = found[name].value / with_data[name].value
        assert ratio.shape == with_data[name].value.shape
        assert bool(((ratio > 0.5) & (ratio < 2.0)).all()), ratio


def test_a_channel_that_batch_norm_keeps_below_zero_is_silent():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        model[1].bias[:] = torch.tensor([-9.0, 0.0, 1.0])
    conversion = convert(trace(model, (4,)), None)
    (found,) = conversion.thresholds.values()
    assert found.silent == 1 and bool((found.value > 0).all())
    assert found.rule == "mse from batch norm"


def test_without_samples_the_note_says_where_thresholds_come_from(trained):
    traced, _ = trained
    config = ConvertConfig(neuron="if", rule="percentile", input_low=-3.0, input_high=3.0, potential_steps=0)
    conversion = convert(traced, None, config)
    told = [threshold.rule for threshold in conversion.thresholds.values()]
    assert told == ["percentile from batch norm"] * 2 + ["bound from weights"]
    (note,) = [note for note in conversion.notes if note.startswith("No calibration samples")]
    assert "2 of 3 populations follow from the means and variances" in note
    assert "inputs are taken to lie in [-3, 3]" in note and " are upper bounds computed from the weights" in note


def test_they_resolve_more_than_the_bound_of_the_weights(monkeypatch):
    torch.manual_seed(0)
    layers = [part for n in (8, 20, 20) for part in (nn.Linear(n, 20), nn.BatchNorm1d(20), nn.ReLU())]
    model, x = nn.Sequential(*layers, nn.Linear(20, 3)), torch.randn(512, 8)
    for _ in range(100):
        model(x[torch.randint(len(x), (64,))])
    traced = trace(model.eval(), (8,))
    config = ConvertConfig(neuron="if", rule="percentile", input_low=-4.0, input_high=4.0, potential_steps=0)
    expected = run(traced.graph, x)

    def error():
        said = simulate(convert(traced, None, config).snn, x, 32).output[-1]
        return float((said - expected).std() / expected.std())

    with_norm = error()
    monkeypatch.setattr("convert.pipeline.remembered", lambda graph, folded: {})
    assert with_norm < 0.5 * error()
