import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.errors import CalibrationError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.normalisation.rules import RULES, thresholds
from convert.normalisation.statistics import observe
from tests.oracles.loops import nearest_rank, staircase_error

ACTIVATION = {"relu": ir.Relu(), "relu6": ir.Clamp(0.0, 6.0), "tanh": ir.Tanh(), "hard tanh": ir.Clamp(-1.0, 1.0)}


def one_layer(channels, activation="relu"):
    """Activations of the samples themselves, one channel for each column."""
    shape = (channels,)
    start = Node("input", ir.Input(shape), (), shape)
    return Graph((start, Node("act", ACTIVATION[activation], ("input",), shape, "layers.0")), "act")


def measured(x, rule, per_channel=True, activation="relu", **options):
    graph = one_layer(x.shape[1], activation)
    return thresholds(graph, observe(graph, x), rule, per_channel, **options)["act"]


def data(count=400, seed=0):
    """Four channels: half normal, exponential with outliers, uniform and wide, sparse."""
    g = torch.Generator().manual_seed(seed)
    u, n = torch.rand((count, 4), generator=g, dtype=torch.float64), torch.randn((count, 4), generator=g).double()
    tail = -(u[:, 1].log() ** 3)
    sparse = torch.where(u[:, 3] < 0.9, torch.zeros(()).double(), u[:, 3])
    return torch.stack([n[:, 0], tail.abs() * 0.2, 50 * u[:, 2], sparse], dim=1)


def bin_width(values):
    return float(torch.exp2(torch.frexp(values.max()).exponent.double())) / 1024


def test_max_is_the_largest_activation():
    x = data()
    assert torch.equal(measured(x, "max").value, x.amax(0))
    assert torch.equal(measured(x, "max", per_channel=False).value, x.max()[None])


@pytest.mark.parametrize("percent", [1.0, 50.0, 90.0, 99.0, 99.9, 100.0])
def test_percentile_is_that_of_the_raw_values_within_a_bin(percent):
    x = data().clamp(min=0)
    lam = measured(x, "percentile", percentile=percent).value
    for c in range(4):
        expected, width = nearest_rank(x[:, c].tolist(), percent), bin_width(x[:, c])
        assert min(expected, float(x[:, c].max()) - 1e-12) <= float(lam[c]) + 1e-12
        assert float(lam[c]) <= expected + width
    whole = measured(x, "percentile", per_channel=False, percentile=percent).value
    expected = nearest_rank(x.flatten().tolist(), percent)
    assert expected <= float(whole) + 1e-12 <= expected + bin_width(x) + 2e-12


@pytest.mark.parametrize("steps", [4, 16, 64])
@pytest.mark.parametrize("per_channel", [True, False])
def test_mse_finds_the_best_staircase_on_the_raw_values_within_a_bin(steps, per_channel):
    """|x - Q(x)| is continuous with slope 1, so binning moves a root mean square by half a bin at most."""
    x = data().clamp(min=0)
    lam = measured(x, "mse", per_channel, steps=steps).value
    columns = [x[:, c] for c in range(4)] if per_channel else [x.flatten()]
    for column, found in zip(columns, lam.tolist(), strict=True):
        values, top = column.tolist(), float(column.max())
        errors = {percent: staircase_error(values, top * percent / 100, steps) for percent in range(100, 1, -1)}
        best = min(errors.values())
        assert staircase_error(values, found, steps) <= best + bin_width(column) * (1 + 1e-9)
        assert 0.0199 * top <= found <= top


def test_mse_gives_up_outliers_where_few_steps_must_serve_the_many():
    x = torch.cat([torch.linspace(0, 1, 2000, dtype=torch.float64), torch.tensor([8.0]).double()])[:, None]
    coarse, fine = (float(measured(x, "mse", steps=steps).value) for steps in (4, 1024))
    assert coarse < 2.0
    assert fine > 4 * coarse


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("per_channel", [True, False])
@settings(max_examples=15, deadline=None)
@given(exponents=st.lists(st.integers(-12, 12), min_size=4, max_size=4), seed=st.integers(0, 100))
def test_thresholds_scale_with_their_channel(rule, per_channel, exponents, seed):
    factors = torch.exp2(torch.tensor(exponents, dtype=torch.float64))
    if not per_channel:
        factors = factors[:1].expand(4)
    x = data(60, seed)
    plain, scaled = measured(x, rule, per_channel), measured(x * factors, rule, per_channel)
    assert torch.equal(scaled.value, plain.value * (factors if per_channel else factors[:1]))


@pytest.mark.parametrize("rule", RULES)
def test_channels_that_were_never_active_are_counted_and_get_the_size_of_their_drive(rule):
    x = data()
    x[:, 1] = -1.0 - torch.arange(len(x)) / len(x)
    x[:, 3] = 0.0
    found, whole = measured(x, rule), measured(x, rule, per_channel=False)
    assert found.silent == whole.silent == 2
    assert found.value[1] == -x[:, 1].min()
    assert found.value[3] == whole.value[0]  # nothing drives it
    assert found.value[0] == measured(x[:, :1], rule).value[0]


@pytest.mark.parametrize("rule", RULES)
def test_layers_that_were_never_active_are_refused_by_name_all_at_once(rule):
    shape = (3,)
    nodes = (
        Node("input", ir.Input(shape), (), shape),
        Node("a", ir.Relu(), ("input",), shape, "layers.0"),
        Node("b", ir.Relu(), ("a",), shape, "layers.1"),
        Node("t", ir.Tanh(), ("input",), shape, "layers.2"),
        Node("sum", ir.Add(), ("b", "t"), shape),
    )
    graph = Graph(nodes, "sum")
    with pytest.raises(CalibrationError, match=r"^layers\.0, layers\.1: no neuron was active"):
        thresholds(graph, observe(graph, -torch.ones(4, 3)), rule, True)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("activation", "fixed"), [("tanh", 1.0), ("hard tanh", 1.0)])
def test_signed_activations_fix_their_threshold(rule, activation, fixed):
    found = measured(0.01 * data(), rule, activation=activation)
    assert found.value.tolist() == [fixed]
    assert found.silent == 0
    assert "fixed" in found.rule


@pytest.mark.parametrize("rule", RULES)
def test_the_threshold_of_a_clamp_never_exceeds_its_end_but_may_be_lower(rule):
    x = torch.stack([torch.linspace(0, 50, 200), torch.linspace(0, 2, 200)], dim=1)
    found = measured(x, rule, activation="relu6").value
    assert float(found[0]) <= 6.0
    assert 0 < float(found[1]) <= 2.0


@pytest.mark.parametrize(("shape", "value"), [((3, 5, 5), (3, 1, 1)), ((3, 7), (3, 1)), ((3,), (3,))])
def test_thresholds_broadcast_against_a_sample(shape, value):
    graph = Graph((Node("input", ir.Input(shape), (), shape), Node("act", ir.Relu(), ("input",), shape)), "act")
    stats = observe(graph, torch.rand((4, *shape), generator=torch.Generator().manual_seed(0)))
    per_channel, per_layer = (thresholds(graph, stats, "max", flag)["act"] for flag in (True, False))
    assert per_channel.value.shape == value
    assert per_layer.value.shape == (1,) * len(shape)
    assert per_channel.rule == "max"
    assert float(per_layer.value) == float(per_channel.value.max())


def test_the_percentile_of_a_layer_counts_channels_of_every_width():
    """Narrow channels fall into the low bins of the widest, however much narrower they are."""
    x = torch.tensor([[1e-9, 1.0, 1000.0], [2e-9, 2.0, 4.0]], dtype=torch.float64)
    for percent in (20.0, 40.0, 60.0, 80.0, 100.0):
        found = float(measured(x, "percentile", per_channel=False, percentile=percent).value)
        assert 0 <= found - nearest_rank(x.flatten().tolist(), percent) <= 1.0  # a bin of the widest channel


def gaussian(mean, deviation, count=200_000):
    g = torch.Generator().manual_seed(1)
    return mean + deviation * torch.randn((count, 1), generator=g, dtype=torch.float64)


@pytest.mark.parametrize("levels", [4, 15])
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (-0.5, 2.0), (1.0, 0.5)])
def test_threshold_iteration_finds_the_best_staircase_of_a_normal_drive(levels, mean, deviation):
    x = gaussian(mean, deviation)
    lam = float(measured(x, "iteration", steps=levels).value)
    rectified = x[:, 0].clamp(min=0).numpy()
    here = staircase_error(rectified, lam, levels)
    for factor in (0.9, 0.95, 1.05, 1.1):
        assert here < staircase_error(rectified, lam * factor, levels)


def test_local_balancing_follows_its_rule_and_grows_towards_the_maximum():
    x = data().clamp(min=0)
    found = [measured(x, "ltb", iterations=n).value for n in (1, 3, 50, 5000)]
    lam = torch.zeros(4, dtype=torch.float64)
    for n in range(1, 4):
        lam = lam + 2 * (x - lam).clamp(min=0).mean(0)
        if n in (1, 3):
            width = torch.tensor([bin_width(x[:, c]) for c in range(4)])
            assert bool(((found[(n - 1) // 2] - lam).abs() <= 3 * width + 1e-9).all())
    for before, after in itertools.pairwise(found):
        assert bool((after >= before).all())
    assert bool((found[-1] <= x.amax(0) + 1e-12).all())
