import logging
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convert.errors import GraphError, InputShapeError, LoadError, NoNeuronError, UnsupportedOpError
from convert.graph import ir
from convert.graph.semantics import run
from convert.reading.aten import OPERATORS
from convert.reading.tracing import expected_shape, trace
from tests.oracles.networks import NETWORKS, network


class Forward(nn.Module):
    """A module whose forward is a function of itself and x."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def assert_same(module, graph, shape, exact=False):
    x = 3 * torch.randn((4, *shape), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        torch.testing.assert_close(
            run(graph, x), module(x.clone()), rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5
        )


def parameter(*shape, seed=0):
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_computes_what_the_module_computes(name):
    module, shape = network(name)
    traced = trace(module, shape)
    assert_same(module, traced.graph, shape)
    assert traced.graph.input.shape == shape
    assert {row.fate for row in traced.coverage} <= {"converted", "exact linear", "dropped"}


def _doubled(s, x):
    x = F.relu(x)
    return x + x


def _in_place_sum(s, x):
    y = s.linear(x)
    y += F.relu(x)
    return y.relu_()


def _read_after_in_place(s, x):
    h = s.linear(x)
    F.relu(h, inplace=True)
    return h + s.linear(h)


ACT, POOL, LINE = (6,), (2, 6, 6), (2, 6)


@pytest.mark.parametrize(
    ("layer", "function", "shape"),
    [
        (nn.ReLU(), lambda s, x: F.relu(x), ACT),
        (nn.ReLU(), lambda s, x: x.relu(), ACT),
        (nn.ReLU(), lambda s, x: torch.relu(x), ACT),
        (nn.ReLU(), lambda s, x: x.clone().relu_(), ACT),
        (nn.ReLU(), lambda s, x: F.relu(x * 1, inplace=True), ACT),
        (nn.ReLU(), lambda s, x: x.clamp(min=0), ACT),
        (nn.ReLU(), lambda s, x: torch.clamp_min(x, 0), ACT),
        (nn.ReLU(), lambda s, x: s.in_place(x * 1), ACT),
        (nn.ReLU6(), lambda s, x: F.relu6(x), ACT),
        (nn.ReLU6(), lambda s, x: x.clamp(0, 6), ACT),
        (nn.ReLU6(), lambda s, x: F.hardtanh(x, 0.0, 6.0), ACT),
        (nn.Hardtanh(), lambda s, x: torch.clip(x, -1, 1), ACT),
        (nn.Hardtanh(-2, 2), lambda s, x: x.clamp(-2, 2), ACT),
        (nn.Tanh(), lambda s, x: torch.tanh(x), ACT),
        (nn.Tanh(), lambda s, x: x.tanh(), ACT),
        (nn.Tanh(), lambda s, x: (x * 1).tanh_(), ACT),
        (nn.Tanh(), lambda s, x: F.tanh(x), ACT),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), lambda s, x: F.relu(torch.flatten(x, 1)), POOL),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), lambda s, x: F.relu(x.view(x.size(0), -1)), POOL),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), lambda s, x: F.relu(x.reshape(-1, 72)), POOL),
        (nn.Sequential(nn.Flatten(2), nn.ReLU()), lambda s, x: F.relu(x.view(x.shape[0], 2, 36)), POOL),
        (nn.Sequential(nn.Unflatten(1, (2, 3)), nn.ReLU()), lambda s, x: F.relu(x.unflatten(1, (2, 3))), ACT),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.ReLU()), lambda s, x: F.relu(x.mean([2, 3], keepdim=True)), POOL),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU()), lambda s, x: F.relu(x.mean([2, 3])), POOL),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU()), lambda s, x: F.relu(x.mean((-1, -2))), POOL),
        (nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.ReLU()), lambda s, x: F.relu(x.mean(2)), LINE),
        (nn.Sequential(nn.AdaptiveAvgPool1d(2), nn.ReLU()), lambda s, x: F.relu(F.adaptive_avg_pool1d(x, 2)), LINE),
        (nn.Sequential(nn.AvgPool2d(2), nn.ReLU()), lambda s, x: F.relu(F.avg_pool2d(x, 2)), POOL),
        (nn.Sequential(nn.AvgPool2d((3, 2), (1, 2), 1)), lambda s, x: F.avg_pool2d(x, (3, 2), (1, 2), 1), POOL),
        (nn.Sequential(nn.AvgPool1d(3, 2, 1)), lambda s, x: F.avg_pool1d(x, 3, 2, 1), LINE),
        (nn.Sequential(nn.MaxPool2d(3, 2, 1)), lambda s, x: F.max_pool2d(x, 3, 2, 1), POOL),
        (nn.Sequential(nn.MaxPool1d(2, dilation=2)), lambda s, x: F.max_pool1d(x, 2, dilation=2), LINE),
        (nn.Sequential(nn.Dropout(), nn.ReLU()), lambda s, x: F.relu(F.dropout(x, 0.5, s.training)), ACT),
        (nn.Sequential(nn.Identity(), nn.ReLU()), lambda s, x: F.relu(x.contiguous().clone()), ACT),
        (nn.Sequential(nn.Dropout2d(), nn.ReLU()), lambda s, x: F.relu(F.dropout2d(x, 0.5, s.training)), POOL),
    ],
)  # fmt: skip
def test_functions_and_methods_mean_the_same_as_modules(layer, function, shape):
    as_layer = nn.Sequential(layer, nn.ReLU())
    as_code = Forward(lambda s, x: F.relu(function(s, x)), in_place=nn.ReLU(inplace=True))
    by_layer, by_code = trace(as_layer, shape).graph, trace(as_code, shape).graph
    x = 8 * torch.randn((3, *shape), generator=torch.Generator().manual_seed(5))
    assert torch.equal(run(by_layer, x), run(by_code, x))
    assert_same(as_code, by_code, shape, exact=True)
    kinds = [[n.kind for n in g.sites()] for g in (by_layer, by_code)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        (lambda s, x: F.relu(x) + x, {}),
        (lambda s, x: torch.add(F.relu(x), x), {}),
        (_doubled, {}),
        (_in_place_sum, {"linear": nn.Linear(6, 6)}),
        (_read_after_in_place, {"linear": nn.Linear(6, 6)}),
        (lambda s, x: torch.cat([F.relu(x), x], 1), {}),
        (lambda s, x: torch.cat([F.relu(x), x], -1), {}),
        (lambda s, x: torch.concat([x, F.relu(x), x], dim=1), {}),
        (lambda s, x: F.relu(F.linear(x, s.w, s.b)), {"w": parameter(4, 6), "b": parameter(4)}),
        (lambda s, x: F.relu(x + s.w), {"w": parameter(6)}),
        (lambda s, x: F.relu(s.w + x), {"w": parameter(1, 6)}),
        (lambda s, x: F.relu(x) + 2, {}),
        (lambda s, x: F.relu(x).add(s.w, alpha=3), {"w": parameter(6)}),
        (lambda s, x: torch.add(s.w, F.relu(x), alpha=3), {"w": parameter(6)}),
        (lambda s, x: F.relu(x - s.w), {"w": parameter(6)}),
        (lambda s, x: s.w - F.relu(x), {"w": parameter(6)}),
        (lambda s, x: torch.sub(s.w, F.relu(x), alpha=2), {"w": parameter(6)}),
        (lambda s, x: F.relu(x) * s.w, {"w": parameter(6)}),
        (lambda s, x: 1 - F.relu(x), {}),
        (lambda s, x: -F.relu(x), {}),
        (lambda s, x: F.relu(F.linear(x, s.w * 2 - s.w.mean())), {"w": parameter(3, 6)}),
        (lambda s, x: 0.5 * F.relu(x), {}),
        (lambda s, x: F.relu(x) / 3, {}),
        (lambda s, x: F.relu(x) / s.w, {"w": parameter(6)}),
        (lambda s, x: F.relu(s.l(x.unsqueeze(1))).squeeze(1), {"l": nn.Conv1d(1, 1, 3, padding=1)}),
        (lambda s, x: F.relu(x.unsqueeze(1) * s.w), {"w": parameter(3, 1)}),
    ],
)  # fmt: skip
def test_code_in_forward_is_read_as_it_is_run(function, parts):
    module = Forward(function, **parts)
    assert_same(module, trace(module, ACT).graph, ACT)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding="same"), nn.Conv2d(2, 3, 3, padding="valid"),
        nn.Conv2d(2, 3, (1, 3), padding=(0, 1)),
        nn.Conv2d(2, 4, 3, 2, 1, groups=2, bias=False), nn.Conv2d(2, 3, 3, dilation=2, padding="same"),
        nn.BatchNorm2d(2, affine=False), nn.BatchNorm2d(2, eps=0.1), nn.AvgPool2d(2, ceil_mode=True, stride=4),
        nn.AvgPool2d(2, 2, 1, count_include_pad=False), nn.AvgPool2d(2, divisor_override=3),
        nn.AdaptiveAvgPool2d((2, None)), nn.AdaptiveAvgPool2d(4), nn.MaxPool2d(2, 1, ceil_mode=True),
        nn.MaxPool2d(2, dilation=2), nn.Linear(6, 3), nn.Flatten(1, 2), nn.Dropout2d(), nn.AlphaDropout(),
    ],
    ids=str,
)  # fmt: skip
def test_options_of_a_layer_are_kept(layer):
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.normal_(), layer.running_var.uniform_(0.5, 2)
    module = nn.Sequential(layer, nn.ReLU())
    assert_same(module.eval(), trace(module, POOL).graph, POOL)


def test_a_buffer_that_is_not_saved_and_a_tensor_in_the_code_are_constants():
    constant = torch.tensor([1.0, 2, 3, 4, 5, 6])
    module = Forward(lambda s, x: F.relu(x * s.scale))
    module.register_buffer("scale", constant, persistent=False)
    assert_same(module, trace(module, ACT).graph, ACT)


def test_layers_used_twice_are_two_nodes_with_the_same_weights():
    linear, relu = nn.Linear(6, 6), nn.ReLU()
    module = nn.Sequential(linear, relu, linear, relu)
    graph = trace(module, ACT).graph
    assert [n.kind for n in graph] == ["Input", "Linear", "Relu", "Linear", "Relu"]
    assert torch.equal(graph.nodes[1].op.weight, graph.nodes[3].op.weight)
    assert_same(module, graph, ACT)


def test_all_unsupported_operations_are_named_at_once_with_their_places():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.body = nn.Linear(6, 12), nn.Sequential(nn.LogSoftmax(1), nn.GLU())

        def forward(self, x):
            x = self.body(self.first(x))
            x = F.relu(torch.cumsum(torch.sin(x), 1))
            return torch.softmax(x, 1)  # at the end it could stay, so it is not among the offenders

    module = Model()
    with pytest.raises(UnsupportedOpError) as caught:
        trace(module, ACT, "net.pt")
    message = str(caught.value)
    assert message.startswith("net.pt: 4 operation(s) cannot be converted:")
    line = "x = F.relu(torch.cumsum(torch.sin(x), 1))"
    for offender in ("body.0: log_softmax", "body.1: glu", f"{line}: sin", f"{line}: cumsum"):
        assert f"\n  {offender}" in message
    assert message.count("hard tanh") == 1  # what is supported is said once, below them all
    assert len(message.splitlines()) == 6


@pytest.mark.parametrize(
    ("function", "parts", "why"),
    [
        (lambda s, x: F.relu(x) * x, {}, "product of two data paths"),
        (lambda s, x: F.relu(x) - x, {}, "difference of two data paths"),
        (lambda s, x: F.relu(x) / x, {}, "division of the data by a constant"),
        (lambda s, x: F.relu(x).add(x, alpha=2), {}, "alpha=2"),
        (lambda s, x: F.relu(x) + x[:, :1], {}, "only equal shapes"),
        (lambda s, x: F.relu(x[:, ::2]), {}, "slice.*in steps of 2"),
        (lambda s, x: F.relu(x)[2:4], {}, "part of the batch"),
        (lambda s, x: F.relu(x) * (x == -math.inf), {}, "infinite"),
        (lambda s, x: F.relu(x) + s.l(x), {"l": nn.Linear(6, 1)}, "only equal shapes can be added"),
        (lambda s, x: F.relu(x).clamp(max=3), {}, "open on one side"),
        (lambda s, x: F.relu(x).clamp(1, 3), {}, r"clamp\(1, 3\)"),
        (lambda s, x: F.hardtanh(F.relu(x), -1, 2), {}, r"clamp\(-1, 2\)"),
        (lambda s, x: F.relu(x).clamp(s.w, s.w + 1), {"w": parameter(6)}, "clamp between tensors"),
        (lambda s, x: F.relu(x).clamp(min=s.w), {"w": parameter(6)}, "clamp between tensors"),
        (lambda s, x: F.dropout(F.relu(x), 0.5, True), {}, "dropout is active at inference"),
        (lambda s, x: F.linear(F.relu(x), x), {}, "weight is computed from the data|batch axis"),
        (lambda s, x: F.relu(torch.split(x, 3, 0)[0]), {}, "part of the batch"),
        (lambda s, x: F.relu(x).expand(3, -1, -1)[0], {}, "expand|batch"),
        (lambda s, x: F.max_pool1d(F.relu(x).unsqueeze(1), 2, return_indices=True)[0], {}, "max_pool1d_with_indices"),
        (lambda s, x: F.relu(x).sort(1).values, {}, "sort"),
        (lambda s, x: s.l(F.relu(x).unsqueeze(1))[0], {"l": nn.GRU(6, 6, batch_first=True)}, "gru"),
        (lambda s, x: F.relu(x).mean(0, keepdim=True), {}, "mean over the batch|mean.*batch"),
        (lambda s, x: F.relu(x).sum(1), {}, "sum"),
        (lambda s, x: F.relu(x.sin()), {}, r"(?s)sin: an activation.*supported: .*GELU"),
        (lambda s, x: F.celu(F.relu(x), -1.0), {}, "alpha must be more than 0"),
        (lambda s, x: F.hardshrink(F.tanh(x), 0.0), {}, "lambd must be more than 0"),
        (lambda s, x: F.prelu(F.tanh(x), s.l(x)[0, :1]), {"l": nn.Linear(6, 1)}, "weight is computed|batch axis|part"),
    ],
)  # fmt: skip
def test_what_has_no_spiking_counterpart_is_refused_with_the_reason(function, parts, why):
    with pytest.raises(UnsupportedOpError, match=why):
        trace(Forward(function, **parts), ACT)


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: F.relu(x) - x.mean(0),
        lambda s, x: F.relu(x).view(-1),
        lambda s, x: F.relu(x).flatten(0),
        lambda s, x: F.relu(x).view(-1, 3),
        lambda s, x: F.relu(x).unsqueeze(0),
        lambda s, x: torch.cat([F.relu(x), x], 0),
        lambda s, x: F.relu(x) @ x.T @ x,
        lambda s, x: F.relu(x).mean(),
        lambda s, x: F.batch_norm(F.relu(x), None, None, training=True),
        lambda s, x: F.relu(x).add(s.seven),
    ],
)
def test_what_mixes_the_samples_of_a_batch_is_refused(function):
    with pytest.raises(UnsupportedOpError):
        trace(Forward(function, seven=parameter(7, 6)), ACT)


def test_batch_norm_without_running_statistics_is_refused_with_the_way_out():
    module = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.ReLU())
    with pytest.raises(UnsupportedOpError, match=r"1: batch_norm\S*: it normalises with the statistics of the batch"):
        trace(module, ACT)


@pytest.mark.parametrize(
    "layers",
    [[nn.Linear(6, 3)], [nn.Flatten()], [nn.Linear(6, 6), nn.Dropout(), nn.BatchNorm1d(6)], [nn.Identity()], []],
)
def test_a_network_without_neurons_is_refused(layers):
    with pytest.raises(NoNeuronError, match="expected at least one activation, such as ReLU"):
        trace(nn.Sequential(*layers), ACT, "net.pt")


@pytest.mark.parametrize(
    ("value", "titles"),
    [
        (lambda x, y: (x,), []),
        (lambda x, y: (x, y), ["0", "1"]),
        (lambda x, y: [y, x, x], ["0", "1", "2"]),
        (lambda x, y: {"logits": x}, []),
        (lambda x, y: {"a": x, "b": y}, ["a", "b"]),
    ],
)
def test_several_outputs_are_joined_and_named(value, titles):
    module = Forward(lambda s, x: value(F.relu(x), s.l(F.relu(x)).reshape(-1, 2, 2)), l=nn.Linear(6, 4))
    traced, x = trace(module, ACT), torch.randn((3, 6), generator=torch.Generator().manual_seed(0))
    returned = module(x)
    leaves = list(returned.values()) if isinstance(returned, dict) else list(returned)
    expected = torch.cat([leaf.flatten(1) for leaf in leaves], dim=1)
    torch.testing.assert_close(run(traced.graph, x).flatten(1), expected)
    assert [head.name for head in traced.heads] == titles


@pytest.mark.parametrize("value", [lambda s: s.w, lambda s: None, lambda s: 3])
def test_an_output_that_does_not_depend_on_the_input_is_refused(value):
    with pytest.raises(UnsupportedOpError, match=r"output: (output|nothing): "):
        trace(Forward(lambda s, x: value(s), w=parameter(6)), ACT)


def test_control_flow_on_the_data_is_refused_in_a_few_words_and_in_silence(capfd):
    with pytest.raises(LoadError, match="control flow that depends on the data") as caught:
        trace(Forward(lambda s, x: F.relu(x) if x.sum() > 0 else x), ACT, "net.pt")
    assert str(caught.value).startswith("net.pt: torch.export cannot trace it")
    assert len(str(caught.value)) < 700
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(5,), (6, 5), (), (0,)])
def test_samples_that_the_network_does_not_take_are_refused(shape):
    with pytest.raises(InputShapeError, match=r"net.pt: does not accept samples of shape .*; check --data"):
        trace(nn.Sequential(nn.Linear(6, 3), nn.ReLU()), shape, "net.pt")


def test_an_attribute_that_a_layer_lacks_is_a_named_error():
    module = nn.Sequential(nn.Conv1d(1, 1, 1), nn.ReLU())
    del module[0].stride
    with pytest.raises(InputShapeError, match="stride"):
        trace(module, (1, 4))


def test_an_in_place_write_that_tracing_would_miss_is_caught_by_comparing_outputs():
    def through_a_view(s, x):
        h = s.l(x)
        h.view(-1, 2, 3).relu_()  # also changes h
        return h

    with pytest.raises(GraphError, match="reading it changes what it computes"):
        trace(Forward(lambda s, x: F.relu(0.5 + through_a_view(s, x)), l=nn.Linear(6, 6)), ACT)


def test_reading_changes_no_weights_and_leaves_loggers_and_random_state_alone():
    module = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.ReLU())
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state, levels = torch.get_rng_state(), [logging.getLogger(n).level for n in ("torch.export", "torch.fx")]
    trace(module, ACT)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert [logging.getLogger(n).level for n in ("torch.export", "torch.fx")] == levels


def test_places_are_module_paths_for_layers_and_source_for_functions():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 6), nn.Tanh())

        def forward(self, x):
            return F.relu(self.body(x))

    places = [n.place for n in trace(Model(), ACT).graph]
    assert places == ["input", "body.0", "body.1", "return F.relu(self.body(x))"]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Linear(64, 10)), (64,)),
        (nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(5, 10), nn.Linear(10, 2)), (5,)),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(5, 10)), None),
        (nn.Sequential(nn.Conv1d(1, 2, 3)), None),
        (nn.ReLU(), None),
    ],
)
def test_the_shape_that_the_first_layer_fixes(module, shape):
    assert expected_shape(module) == shape


def test_a_chain_counts_as_the_operation_that_the_user_wrote():
    rows = trace(Forward(lambda s, x: F.relu(x).mean([2, 3])), POOL).coverage
    assert [(row.op, row.fate) for row in rows] == [("relu", "converted"), ("mean.dim", "exact linear")]


@pytest.mark.parametrize(
    ("name", "operator", "wrong"),
    [
        ("tanh", "tanh", lambda call: ir.Clamp(-1.0, 1.0)),
        ("hard tanh", "hardtanh", lambda call: ir.Tanh()),
        ("mlp", "relu", lambda call: ir.Identity()),
        ("max pool", "max_pool2d", lambda call: ir.AvgPool((2, 2), (2, 2), (0, 0))),
    ],
)
def test_a_reader_that_misreads_an_operation_is_caught_by_comparing_outputs(name, operator, wrong, monkeypatch):
    monkeypatch.setitem(OPERATORS, operator, wrong)
    module, shape = network(name)
    module = nn.Sequential(module, nn.Tanh()) if name == "mlp" else module  # something must remain to be a neuron
    with pytest.raises(GraphError, match="reading it changes what it computes"):
        trace(module, shape)
