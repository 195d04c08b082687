"""Operation counts against loops over every edge, and against numbers that a reader can check by hand."""

import dataclasses
import itertools
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convert import ConvertConfig, convert, trace
from convert.graph import ir
from convert.graph.semantics import infer_shape
from evaluate.arrivals import event_updates
from evaluate.operations import count_operations, count_steps, update_cost
from evaluate.runner import measure
from evaluate.synapses import fan_out, summed
from tests.oracles import delivery


def edges(op, shape):
    """Every (input element, output element) that a convolution connects, one by one."""
    out_channels, in_per_group, *kernel = op.weight.shape
    out_shape = infer_shape(op, shape)[1:]
    for o in range(out_channels):
        group = o // (out_channels // op.groups)
        for position in itertools.product(*map(range, out_shape)):
            for i, offset in itertools.product(range(in_per_group), itertools.product(*map(range, kernel))):
                place = [p * s - pad + k * d for p, s, pad, k, d in
                         zip(position, op.stride, op.padding, offset, op.dilation, strict=True)]  # fmt: skip
                if all(0 <= at < size for at, size in zip(place, shape[1:], strict=True)):
                    yield (group * in_per_group + i, *place), (o, *position)


@st.composite
def convolutions(draw):
    spatial = draw(st.integers(1, 2))
    groups = draw(st.integers(1, 2))
    pick = [
        tuple(draw(st.integers(low, high)) for _ in range(spatial)) for low, high in ((1, 3), (1, 3), (0, 2), (1, 2))
    ]
    kernel, stride, padding, dilation = pick
    weight = torch.zeros(groups * draw(st.integers(1, 2)), draw(st.integers(1, 2)), *kernel)
    size = tuple(draw(st.integers(d * (k - 1) + 1, 7)) for d, k in zip(dilation, kernel, strict=True))
    op = ir.Conv(weight, None, stride, padding, dilation, groups)
    return op, (groups * weight.shape[1], *size)


@settings(max_examples=150, deadline=None)
@given(convolutions())
def test_fan_out_is_the_number_of_edges_of_each_element(drawn):
    op, shape = drawn
    expected = torch.zeros(shape, dtype=torch.float64)
    for source, _ in edges(op, shape):
        expected[source] += 1
    assert torch.equal(fan_out(op, shape), expected)


def counted(network, x, steps=6, **config):
    conversion = convert(trace(network, tuple(x.shape[1:])), x, ConvertConfig(neuron="if", **config))
    measured = measure(conversion, x, (steps,))
    rows = count_operations(conversion, {k: v[-1] for k, v in measured.spikes.items()}, measured.nonzero, steps)
    return conversion, measured, {row.node: row for row in rows}


def seeded(*layers):
    network = nn.Sequential(*layers).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return network


def images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("pool", [nn.Identity(), nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(2, 1)])
def test_synops_are_delivered_spikes_edge_by_edge(pool):
    network = seeded(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(2, 4, 3, 2, 1, groups=2), nn.ReLU())
    _, measured, rows = counted(network, images(5, 1, 6, 6))
    spikes = measured.spikes["relu"][-1]
    arriving = torch.zeros(2, 6, 6) + spikes if isinstance(pool, nn.Identity) else pooled_by_hand(pool, spikes)
    conv = network[3]
    op = ir.Conv(conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
    delivered = sum(float(arriving[source]) for source, _ in edges(op, tuple(arriving.shape)))
    assert rows["conv2d_1"].synops == pytest.approx(delivered, rel=1e-12)
    assert rows["conv2d_1"].role == "spiking" and rows["conv2d_1"].encoder_macs == 0
    assert rows["conv2d_1"].ann_macs == sum(1 for _ in edges(op, tuple(arriving.shape)))


def pooled_by_hand(pool, spikes):
    """Spikes that lie in each window."""
    size, stride, padding = pool.kernel_size, pool.stride, pool.padding
    sides = [(n + 2 * padding - size) // stride + 1 for n in spikes.shape[1:]]
    out = torch.zeros(spikes.shape[0], *sides, dtype=torch.float64)
    for c, y, x in itertools.product(range(out.shape[0]), range(sides[0]), range(sides[1])):
        for i, j in itertools.product(range(size), repeat=2):
            row, column = y * stride - padding + i, x * stride - padding + j
            if 0 <= row < spikes.shape[1] and 0 <= column < spikes.shape[2]:
                out[c, y, x] += spikes[c, row, column]
    return out


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return torch.relu(self.second(x) + x).flatten(1)


def test_an_identity_path_costs_one_synop_for_each_spike():
    torch.manual_seed(0)
    _, measured, rows = counted(Residual().eval(), images(4, 1, 5, 5))
    total = float(measured.spikes["relu"][-1].sum())
    identity = [row for row in rows.values() if row.node not in ("conv2d", "conv2d_1") and row.synops]
    assert sum(row.synops for row in identity) == pytest.approx(total, rel=1e-12)
    assert all(row.ann_macs == 0 for row in identity)


def test_the_analog_first_layer_is_multiplied_once_and_padding_is_free():
    network = seeded(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    _, _, rows = counted(network, images(3, 1, 4, 4), steps=9)
    inside = (3 * 4 - 2) ** 2  # along each axis 4 outputs see 2, 3, 3, 2 inputs
    assert rows["conv2d"].encoder_macs == rows["conv2d"].ann_macs == 2 * inside
    assert rows["conv2d"].synops == 0 and rows["conv2d"].role == "encoder"
    assert rows["relu"].neuron_updates == 9 * 32
    assert rows["linear"].synops == pytest.approx(3 * rows["relu"].spikes, rel=1e-12)


def test_effective_macs_leave_out_zero_activations():
    network = seeded(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    x = images(20, 6)
    _, _, rows = counted(network, x)
    active = (network[:2](x) > 0).double().sum(1).mean()
    assert rows["linear_1"].ann_macs_effective == pytest.approx(float(active) * 2)
    assert rows["linear_1"].ann_macs == 16


def test_poisson_input_makes_the_first_layer_accumulate():
    network = seeded(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    _, measured, rows = counted(network, images(20, 6), input_code="poisson", potential_steps=0)
    assert rows["linear"].encoder_macs == 0
    assert rows["linear"].synops == pytest.approx(8 * float(measured.spikes["input"][-1].sum()))


def test_counts_do_not_depend_on_the_batch():
    network = seeded(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.Tanh())
    x = images(64, 1, 6, 6)
    conversion = convert(trace(network, (1, 6, 6)), x[:32], ConvertConfig())
    results = []
    for memory in (1, 1 << 16, 1 << 24):
        measured = measure(conversion, x, (3, 20), memory_bytes=memory)
        spikes = {k: v[-1] for k, v in measured.spikes.items()}
        results.append((count_operations(conversion, spikes, measured.nonzero, 20), measured.answers[0].tolist()))
    assert results[0] == results[1] == results[2]


def test_decoders_are_counted_where_something_is_decoded():
    """A constant needs no decoder; behind a max pool all is decoded; the read-out has one of its own."""
    own, with_decoder, decoder = (3, 1), (5, 2), (2, 1)
    first = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2)
    last = nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)
    for layers, pooled in ((first + last, False), ((*first, nn.MaxPool2d(2, 1, 1), nn.AvgPool2d(2, 1), *last), True)):
        _, _, rows = counted(seeded(*layers), images(4, 1, 6, 6), code="differential")
        costs = {k: (r.neuron_updates, r.adds_per_update, r.multiplies_per_update) for k, r in rows.items()}
        expected = {
            "relu": (2 * 16 * 6, *own), "relu_1": (5 * 6, *(own if pooled else with_decoder)),
            "linear_1": (3 * 6, *decoder),
        }  # fmt: skip
        if pooled:  # it decodes what it receives, and compares sums
            expected["max_pool2d"] = (2 * 4 * 6, 1 + decoder[0], decoder[1])
        assert {k: cost for k, cost in costs.items() if cost[0]} == expected


@pytest.mark.parametrize(
    ("neuron", "activation", "cost"),
    [
        ("if", nn.ReLU(), (1, 0)), ("lif", nn.ReLU(), (1, 1)), ("seed", nn.ReLU(), (2, 2)),
        # count: bias, S; slope. With a leak A and S leak. A table: an offset, 1 / n and n / lam
        ("if", nn.LeakyReLU(), (2, 1)), ("lif", nn.LeakyReLU(), (2, 3)), ("seed", nn.LeakyReLU(), (3, 4)),
        ("if", nn.GELU(), (3, 3)), ("lif", nn.GELU(), (3, 5)), ("seed", nn.GELU(), (4, 6)),
    ],
)  # fmt: skip
def test_update_cost(neuron, activation, cost):
    conversion = convert(trace(seeded(nn.Linear(2, 2), activation), (2,)), images(8, 2), ConvertConfig(neuron=neuron))
    (site,) = conversion.snn.sites.values()
    assert update_cost(site.neuron) == cost


@st.composite
def layers(draw):
    """A weighted operation of any kind, average pooling in front of some, and spikes."""
    kind = draw(st.sampled_from(["linear", "conv", "conv", "conv"]))
    pool = None
    if kind == "linear":
        shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)))
        op = ir.Linear(torch.zeros(draw(st.integers(1, 4)), shape[-1]), None)
    else:
        op, shape = draw(convolutions())
        if draw(st.booleans()):
            sides = len(shape) - 1
            kernel, stride = (tuple(draw(st.integers(1, 3)) for _ in range(sides)) for _ in range(2))
            padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
            wide = zip(shape[1:], stride, kernel, padding, strict=True)
            shape = (shape[0], *(max(1, (n - 1) * s + k - 2 * p) for n, s, k, p in wide))
            pool = ir.AvgPool(kernel, stride, padding)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    weight = torch.randint(-1, 2, op.weight.shape, generator=generator).float()
    spikes = torch.randint(0, 4, shape, generator=generator).double() * (torch.rand(shape, generator=generator) < 0.6)
    return dataclasses.replace(op, weight=weight), pool, shape, spikes


@settings(max_examples=60, deadline=None)
@given(layers())
def test_counts_equal_brute_force(drawn):
    compare_with_brute_force(drawn)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers())
def test_counts_equal_brute_force_on_1000_layers(drawn):
    compare_with_brute_force(drawn)


def compare_with_brute_force(drawn):
    op, pool, shape, spikes = drawn
    events = {at: float(spikes[at]) for at in itertools.product(*map(range, shape)) if spikes[at]}
    arriving, before = spikes, shape
    if pool is not None:
        events, before = delivery.pooled(pool, shape, events)
        arriving = summed(pool, spikes)
        assert arriving.shape == before and float(arriving.sum()) == sum(events.values())
    synops, idle = delivery.delivered(op, before, events)
    assert float((fan_out(op, before) * arriving).sum()) == synops
    assert float((fan_out(op, before, zero=True) * arriving).sum()) == idle


def walked(conversion, x, steps, run):
    """SynOps, SynOps of zero weights and event-driven updates of a plain stack, spike by spike and step by step."""
    graph, found = conversion.snn.graph, Counter()
    for sample in x:
        upto = run(sample[None])
        for t in range(steps):
            fired = {name: each[t] - (each[t - 1] if t else 0) for name, each in upto.items()}
            events, shape, constant, hit = {}, graph.input.shape, True, None
            for node in graph:
                if node.name in conversion.snn.sites:
                    everyone = set(itertools.product(*map(range, node.shape)))
                    found[node.name, "updates"] += len(everyone if constant else hit)
                if node.name in fired:
                    spikes = fired[node.name].abs()
                    places = itertools.product(*map(range, node.shape))
                    events, constant, hit = {at: float(spikes[at]) for at in places if spikes[at]}, False, None
                elif isinstance(node.op, ir.AvgPool):
                    events, _ = delivery.pooled(node.op, shape, events)
                elif isinstance(node.op, ir.Reshape):
                    flat = {at: i for i, at in enumerate(itertools.product(*map(range, shape)))}
                    events = {(flat[at],): n for at, n in events.items()}
                elif isinstance(node.op, (ir.Linear, ir.Conv)):
                    synops, idle = delivery.delivered(node.op, shape, events)
                    found[node.name, "synops"] += synops
                    found[node.name, "zero"] += idle
                    hit = {out for at in events for out, _ in delivery.synapses(node.op, shape, at)}
                shape = node.shape
    return {key: count / len(x) for key, count in found.items()}


CODES = {
    "one bit": {"neuron": "if"}, "leaky": {"neuron": "seed"}, "burst": {"neuron": "if", "burst": 3},
    "signed multi-bit": {"neuron": "if", "signed": True, "spike_values": 3},
    "differential": {"neuron": "if", "code": "differential"},
    "poisson": {"neuron": "if", "input_code": "poisson", "potential_steps": 0},
}  # fmt: skip


QUICK = {("one bit", False), ("differential", True)}


@pytest.mark.parametrize(
    ("code", "flat"),
    [
        pytest.param(code, flat, marks=() if (code, flat) in QUICK else pytest.mark.slow)
        for code in CODES
        for flat in (False, True)
    ],
)
def test_networks_of_every_code_equal_brute_force_at_batch_1_7_and_64(code, flat):
    if flat:
        layers = (nn.Conv1d(1, 2, 3, 2, 1), nn.ReLU(), nn.AvgPool1d(2, 1), nn.Conv1d(2, 4, 2, dilation=2, groups=2),
                  nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))  # fmt: skip
        network, shape = seeded(*layers), (1, 9)
    else:
        layers = (nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(2, 2, 2, groups=2), nn.ReLU(),
                  nn.Flatten(), nn.Linear(8, 2))  # fmt: skip
        network, shape = seeded(*layers), (1, 6, 6)
    with torch.no_grad():
        network[3].weight[..., 0] = 0.0
    x, steps = images(64, *shape), 4
    conversion = convert(trace(network, shape), x[:16], ConvertConfig(**CODES[code]))

    def run(part):
        return measure(conversion, part, range(1, steps + 1)).spikes

    totals = []
    for batch in (1, 7, 64):
        found = Counter()
        for start in range(0, 63 if batch == 7 else 64, batch):
            part = x[start : start + batch]
            measured = measure(conversion, part, (steps,), seed=start)
            (rows,) = count_steps(conversion, measured.spikes, measured.nonzero, (steps,))
            for row in rows:
                found[row.node, "synops"] += row.synops * len(part)
                found[row.node, "zero"] += row.synops_zero_weight * len(part)
        totals.append(found)
    if code != "poisson":  # noise belongs to a sample's place in the data, which differs here
        (rest,) = (count_rest(conversion, x[63:], steps),)
        both = Counter(totals[1])
        both.update(rest)
        for key, n in totals[0].items():
            assert n == pytest.approx(totals[2][key], abs=1e-6) and n == pytest.approx(both[key], abs=1e-6)
    few = x[:3]
    expected = walked(conversion, few, steps, run)
    alone = [count_rest(conversion, few[i : i + 1], steps) for i in range(3)]
    updates = []
    for i in range(3):
        upto = run(few[i : i + 1])
        trains = {name: torch.diff(each, dim=0, prepend=torch.zeros_like(each[:1])) for name, each in upto.items()}
        updates.append(event_updates(conversion, trains))
    for (node, what), count in expected.items():
        got = [each[node] for each in updates] if what == "updates" else [each[node, what] for each in alone]
        assert sum(got) / 3 == pytest.approx(count, abs=1e-9), (node, what)
    assert any(count for (_, what), count in expected.items() if what == "zero")


def count_rest(conversion, part, steps):
    measured = measure(conversion, part, (steps,))
    (rows,) = count_steps(conversion, measured.spikes, measured.nonzero, (steps,))
    found = Counter()
    for row in rows:
        found[row.node, "synops"], found[row.node, "zero"] = row.synops * len(part), row.synops_zero_weight * len(part)
    return found


def test_the_analog_first_layer_has_a_count_for_every_step():
    network = seeded(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    _, _, rows = counted(network, images(3, 6), steps=9)
    assert (rows["linear"].encoder_macs, rows["linear"].encoder_macs_recomputed) == (48, 9 * 48)
