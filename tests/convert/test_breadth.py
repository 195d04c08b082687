"""What people's networks contain: each pattern converts exactly, or is refused by name."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convert import ConvertConfig, convert, simulate, simulate_reference, trace
from convert.errors import GraphError, NoNeuronError, UnsupportedOpError
from convert.graph import ir
from convert.graph.readout import Head, heads_of, split
from convert.graph.semantics import run
from convert.normalisation.bounds import bounds
from convert.writing.artefact import from_bytes, to_bytes
from evaluate.operations import count_operations


@pytest.fixture(autouse=True)
def one_thread(two_threads):
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


class Net(nn.Module):
    """A network whose forward() is a lambda."""

    def __init__(self, forward, **modules) -> None:
        super().__init__()
        self.run = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.run(self, x)


def net(forward, seed=0, **makers):
    torch.manual_seed(seed)
    return Net(forward, **{name: make() for name, make in makers.items()}).eval()


def norm(channels, kind=nn.BatchNorm2d):
    layer = kind(channels)
    with torch.no_grad():
        layer.running_mean.uniform_(-0.5, 0.5)
        layer.running_var.uniform_(0.5, 2)
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.uniform_(-0.5, 0.5)
    return layer


def conv(*sizes, **options):
    return lambda: nn.Conv2d(*sizes, **options)


def lin(*sizes):
    return lambda: nn.Linear(*sizes)


CONVERTS = {
    "a module used twice": (net(lambda s, x: s.b(F.relu(s.a(F.relu(s.a(x))))), a=lin(4, 4), b=lin(4, 3)), (4,)),
    "tied weights": (net(lambda s, x: F.linear(F.relu(s.a(x)), s.a.weight.t()), a=lin(4, 6)), (4,)),
    "batch norm before": (
        net(lambda s, x: s.c(F.relu(s.a(s.n(x)))).flatten(1), n=lambda: norm(2), a=conv(2, 3, 3, padding=1),
            c=conv(3, 2, 5)), (2, 5, 5)),
    "batch norm after the activation": (
        net(lambda s, x: s.c(s.n(F.relu(s.a(x)))).flatten(1), n=lambda: norm(3), a=conv(2, 3, 3),
            c=conv(3, 2, 3, padding=1)), (2, 5, 5)),
    "batch norm without an activation": (
        net(lambda s, x: s.c(s.n(s.c(F.relu(s.a(x))))).flatten(1), n=lambda: norm(3), a=conv(2, 3, 3),
            c=conv(3, 3, 1)), (2, 5, 5)),
    "batch norm in one dimension": (
        net(lambda s, x: s.c(F.relu(s.n(s.a(x)))), n=lambda: norm(3, nn.BatchNorm1d), a=lin(4, 3), c=lin(3, 2)), (4,)),
    "ceil mode": (
        net(lambda s, x: s.l(F.max_pool2d(F.relu(s.a(x)), 2, ceil_mode=True).flatten(1)), a=conv(2, 3, 1),
            l=lin(27, 2)), (2, 5, 5)),
    "overlapping pools": (
        net(lambda s, x: s.l(F.avg_pool2d(F.max_pool2d(F.relu(s.a(x)), 3, 2, 1), 3, 1, 1).flatten(1)), a=conv(2, 3, 1),
            l=lin(27, 2)), (2, 5, 5)),
    "average pooling in ceil mode, one dimension": (
        net(lambda s, x: s.l(F.avg_pool1d(F.relu(s.a(x)), 3, 2, ceil_mode=True).flatten(1)),
            a=lambda: nn.Conv1d(2, 3, 1), l=lin(12, 2)), (2, 8)),
    "zero padding on one side": (
        net(lambda s, x: s.l(s.c(nn.ZeroPad2d((1, 0, 2, 0))(F.relu(s.a(x)))).flatten(1)), a=conv(2, 3, 1),
            c=conv(3, 3, 2), l=lin(90, 2)), (2, 5, 5)),
    "a crop": (
        net(lambda s, x: s.l(F.pad(F.relu(s.a(x)), (-1, -1, 1, -2)).flatten(1)), a=conv(2, 3, 1), l=lin(36, 2)),
        (2, 5, 5)),
    "padding of channels": (
        net(lambda s, x: s.c(F.relu(s.b(F.relu(s.a(x))) + F.pad(F.relu(s.a(x)), (0, 0, 0, 0, 1, 2)))).flatten(1),
            a=conv(2, 3, 1), b=conv(3, 6, 1), c=conv(6, 2, 5)), (2, 5, 5)),
    "padding with a number": (
        net(lambda s, x: s.l(s.c(F.pad(F.relu(s.a(x)), (1, 1, 0, 0), value=0.5)).flatten(1)), a=conv(2, 3, 1),
            c=conv(3, 1, 2), l=lin(24, 2)), (2, 5, 5)),
    **{f"padding_mode={mode}": (
        net(lambda s, x: s.l(s.c(F.relu(s.a(x))).flatten(1)), a=conv(2, 3, 3, padding=(1, 2), padding_mode=mode),
            c=conv(3, 3, 3, padding=1, padding_mode=mode), l=lin(105, 2)), (2, 5, 5))
       for mode in ("zeros", "reflect", "replicate", "circular")},
    "padding 'same' of an even kernel": (
        net(lambda s, x: s.l(s.c(F.relu(s.a(x))).flatten(1)), a=conv(2, 3, 4, padding="same"),
            c=conv(3, 3, 2, padding="same"), l=lin(75, 2)), (2, 5, 5)),
    "a border before max pooling": (
        net(lambda s, x: s.l(F.max_pool2d(F.pad(torch.tanh(s.a(x)), (0, 1, 0, 1)), 2).flatten(1)), a=conv(2, 3, 1),
            l=lin(27, 2)), (2, 5, 5)),
    "channels last before flatten": (
        net(lambda s, x: s.l(F.relu(s.a(x)).permute(0, 2, 3, 1).flatten(1)), a=conv(2, 3, 1), l=lin(75, 2)), (2, 5, 5)),
    "neurons behind a transposition": (
        net(lambda s, x: s.l(F.relu(s.a(x).transpose(1, 2)).flatten(1)), a=lambda: nn.Conv1d(2, 3, 2), l=lin(12, 2)),
        (2, 5)),
    "strided and dilated in one dimension": (
        net(lambda s, x: s.l(F.relu(s.b(F.relu(s.a(x)))).flatten(1)), a=lambda: nn.Conv1d(2, 4, 3, stride=2, padding=1),
            b=lambda: nn.Conv1d(4, 4, 2, dilation=3, groups=2), l=lin(8, 2)), (2, 10)),
    "normalisation of the input": (
        net(lambda s, x: s.b(F.relu(s.a((x * 2 - 1 - s.mean) / s.std))), a=lin(4, 4), b=lin(4, 2),
            mean=lambda: torch.rand(4), std=lambda: torch.rand(4) + 0.5), (4,)),
    "one minus the input": (net(lambda s, x: s.b(F.relu(s.a(1 - x))), a=lin(4, 4), b=lin(4, 2)), (4,)),
    "hard tanh, ReLU6, clamp": (
        net(lambda s, x: s.b(torch.clamp(F.relu6(s.a(F.hardtanh(s.a(x)))), 0, 2)), a=lin(4, 4), b=lin(4, 2)), (4,)),
    "a matrix product": (
        net(lambda s, x: F.relu(x @ s.w + s.v) @ s.w, w=lambda: nn.Parameter(torch.randn(4, 4)),
            v=lambda: nn.Parameter(torch.randn(4))), (4,)),
    "dropout left in training mode": (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2)), (4,)),
    "weight normalisation": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 2)), (4,)),
    "a batch of one fixed in the code": (
        net(lambda s, x: s.l(F.relu(s.a(x)).view(1, -1)), a=conv(2, 3, 1), l=lin(75, 2)), (2, 5, 5)),
    "a sigmoid without the last axis": (
        net(lambda s, x: torch.sigmoid(s.b(F.relu(s.a(x)))).squeeze(1), a=lin(4, 4), b=lin(4, 1)), (4,)),
    "a softmax at the end": (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(1)), (4,)),
    "a log-softmax at the end": (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.LogSoftmax(-1)), (4,)),
    "analog values beside spikes": (
        net(lambda s, x: s.b(torch.cat([F.relu(s.a(x)), x], 1)), a=lin(4, 4), b=lin(8, 2)), (4,)),
}  # fmt: skip


def spikes_agree(conversion, x, steps=12):
    fast, slow = simulate(conversion.snn, x, steps), simulate_reference(conversion.snn, x, steps)
    assert fast.counts.keys() == slow.counts.keys()
    for name, counts in slow.counts.items():
        assert torch.equal(fast.counts[name].double(), counts.double()), name
    assert torch.allclose(fast.output, slow.output, atol=1e-9)
    return slow


@cache
def traced_once(name):
    return trace(*CONVERTS[name])


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CONVERTS)
@pytest.mark.parametrize("neuron", ["seed", "if"])
def test_it_converts_exactly(name, neuron):
    module, shape = CONVERTS[name]
    traced = traced_once(name)
    x = torch.rand((5, *shape), generator=torch.Generator().manual_seed(3))
    conversion = convert(traced, x, ConvertConfig(neuron=neuron))
    (head,) = conversion.heads
    with torch.no_grad():
        expected = torch.cat([module(part) for part in x.split(1)]).double()
    folded = head.original(split(run(conversion.folded, x.double()), [head])[0])
    assert torch.allclose(folded.flatten(), expected.flatten(), atol=1e-5)
    slow = spikes_agree(conversion, x)
    again = simulate(from_bytes(to_bytes(conversion.snn)), x, 12)
    assert all(torch.equal(again.counts[node].double(), counts.double()) for node, counts in slow.counts.items())
    known = bounds(conversion.folded, 0.0, 1.0)
    run(conversion.folded, x.double(), observe=lambda node, value: _inside(known[node.name], value))
    assert count_operations(conversion, {k: v.abs().mean(0) for k, v in slow.counts.items()}, {}, 12)


def _inside(interval, value):
    assert bool((value >= interval[0] - 1e-9).all() and (value <= interval[1] + 1e-9).all())


@pytest.mark.parametrize("mode", ir.PAD_MODES)
@pytest.mark.parametrize("space", [1, 2])
def test_long_simulations_approach_the_network(mode, space):
    kind = nn.Conv1d if space == 1 else nn.Conv2d
    module = net(lambda s, x: s.l(F.relu(s.b(F.relu(s.a(x)))).flatten(1)), a=lambda: kind(1, 3, 3, padding=1),
                 b=lambda: kind(3, 3, 3, padding=1, padding_mode=mode), l=lin(3 * 5**space, 2))  # fmt: skip
    x = torch.rand(4, 1, *(5,) * space, generator=torch.Generator().manual_seed(0))
    conversion = convert(trace(module, x.shape[1:]), x, ConvertConfig(neuron="if", rule="max"))
    with torch.no_grad():
        assert torch.allclose(simulate(conversion.snn, x, 800).output[-1].float(), module(x), atol=0.02)


REFUSED = {
    **{str(layer): (nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(2, 2)), (4,), "activation without a neuron")
       for layer in (nn.GLU(),)},
    "log-softmax inside": (
        nn.Sequential(nn.Linear(4, 4), nn.LogSoftmax(1), nn.ReLU(), nn.Linear(4, 2)), (4,), "inside"),
    "softmax over positions": (net(lambda s, x: F.relu(s.a(x)).softmax(2), a=lin(4, 4)), (3, 4), "over all values"),
    "softmax of one value": (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1), nn.Softmax(1)), (4,), "always 1"),
    "two log-softmaxes": (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LogSoftmax(1), nn.LogSoftmax(1)), (4,), "inside the network"),
    "dropout that stays on": (net(lambda s, x: F.dropout(F.relu(s.a(x))), a=lin(4, 4)), (4,), "training=self.training"),
    "the batch moved": (net(lambda s, x: F.relu(s.a(x)).permute(1, 0), a=lin(4, 4)), (4,), "batch"),
    "the batch moved, as many channels": (
        net(lambda s, x: F.relu(s.a(x)).transpose(0, 1), a=lin(7, 7)), (7,), "moves or mixes the batch axis"),
    "the input returned": (net(lambda s, x: (F.relu(s.a(x)), x), a=lin(4, 4)), (4,), "returned unchanged"),
    "a constant returned": (net(lambda s, x: (F.relu(s.a(x)), s.a.weight), a=lin(4, 4)), (4,), "does not depend"),
    "group norm": (nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4), nn.ReLU()), (4,), "use batch_norm"),
    "attention with a mask": (
        net(lambda s, x: F.relu(F.scaled_dot_product_attention(*[s.a(x)] * 3, is_causal=True)), a=lin(4, 4)),
        (2, 3, 4), "causal"),
    "rounding without a shift": (
        net(lambda s, x: torch.floor(F.relu(s.a(x)) * 4) / 4, a=lin(4, 4)), (4,), "floor"),
    "a slice": (net(lambda s, x: F.relu(s.a(x[:, ::2])), a=lin(2, 4)), (4,), "takes a part"),
    "a product of paths": (net(lambda s, x: F.relu(s.a(x)) * s.a(x), a=lin(4, 4)), (4,), "two data paths"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(name):
    module, shape, words = REFUSED[name]
    with pytest.raises(UnsupportedOpError, match=words) as refused:
        trace(module, shape)
    assert any(row.fate == "refused" and row.why for row in refused.value.coverage)


def test_all_offenders_come_at_once():
    module = nn.Sequential(nn.Linear(4, 4), nn.GLU(), nn.Linear(2, 4), nn.GroupNorm(2, 4))
    with pytest.raises(UnsupportedOpError, match=r"2 operation\(s\)") as refused:
        trace(module, (4,))
    assert [row.place for row in refused.value.coverage if row.fate == "refused"] == ["1", "3"]


def test_a_network_without_neurons_shows_its_rows():
    with pytest.raises(NoNeuronError) as refused:
        trace(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), (4,))
    assert [row.fate for row in refused.value.coverage] == ["exact linear", "dropped"]


def heads_net():
    def forward(s, x):
        h = F.relu(s.a(x))
        return {"kind": s.b(h).softmax(1), "age": s.c(h), "more": [torch.sigmoid(s.c(h)).squeeze(1), None]}

    return net(forward, a=lin(4, 6), b=lin(6, 3), c=lin(6, 1))


def test_several_outputs_are_heads_of_one_read_out():
    module = heads_net()
    traced = trace(module, (4,))
    assert traced.heads == (Head("kind", (3,), "softmax"), Head("age", (1,)), Head("more.0", (), "sigmoid"))
    x = torch.rand(5, 4, generator=torch.Generator().manual_seed(1))
    conversion = convert(traced, x)
    parts = split(run(conversion.folded, x.double()), conversion.heads)
    with torch.no_grad():
        out = module(x)
    for head, got, expected in zip(conversion.heads, parts, (out["kind"], out["age"], out["more"][0]), strict=True):
        assert torch.allclose(head.original(got).flatten().float(), expected.flatten(), atol=1e-6)
    spikes_agree(conversion, x)


def test_heads_that_do_not_fit_the_output_are_refused():
    with pytest.raises(GraphError, match="3 values for heads of"):
        split(torch.zeros(2, 3), [Head("", (2,))])
    graph = traced_once("tied weights").graph
    assert heads_of(graph) == (Head("", (4,)),)


def test_what_stays_analog_is_named():
    rows = {row.place: row for row in trace(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), (4,)).coverage}
    assert "analog input" in rows["0"].why and rows["0"].becomes == "synapses"
    assert "read-out" in rows["2"].becomes and not rows["2"].why
    mixed = traced_once("analog values beside spikes").coverage
    assert any("a part of its input is analog" in row.why for row in mixed)


def test_analog_values_beside_spikes_are_counted_as_encoder_macs():
    conversion = convert(traced_once("analog values beside spikes"), None)
    spikes = {name: torch.ones(conversion.snn.graph[name].shape) for name in conversion.snn.sites}
    rows = {row.place: row for row in count_operations(conversion, spikes, {}, 3)}
    assert (rows["b"].ann_macs, rows["b"].encoder_macs, rows["b"].synops) == (16, 8, 8.0)
