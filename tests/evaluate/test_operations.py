"""Operation counts against loops over every edge, and against numbers that a reader can check by hand."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convert import ConvertConfig, convert, trace
from convert.graph import ir
from convert.graph.semantics import infer_shape
from evaluate.operations import count_operations, update_cost
from evaluate.runner import measure
from evaluate.synapses import fan_out


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
