"""Difference operators: what they send adds up to t F(mean), and every engine agrees up to rounding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.config import ConvertConfig
from convert.errors import ConfigError, UnsupportedOpError
from convert.graph import ir
from convert.graph.semantics import apply, run
from convert.network import threshold_balanced
from convert.pipeline import convert
from convert.reading.tracing import trace
from convert.simulation.differences import Difference, difference_step
from convert.simulation.engine import simulate
from convert.simulation.inputs import constant_current
from convert.simulation.module import SpikingModule
from convert.simulation.reference import simulate_reference
from convert.writing.artefact import from_bytes, to_bytes
from convert.writing.nir_wiring import refused_wiring
from tests.oracles.transformers import Encoder, attentive

TOLERANCE = 1e-10
"""Of floating-point functions in float64, relative to values of the size of one."""


def random(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def example(kind, seed):
    if kind == "softmax":
        return ir.Softmax(1, random(seed, 1, 1).abs()), [(3, 4)]
    if kind == "layer norm":
        return ir.LayerNorm(random(seed, 4), random(seed + 1, 4), 1e-5, random(seed + 2, 1, 4).abs()), [(3, 4)]
    return ir.MatMul(0.3, None, random(seed, 1, 1)), [(3, 4), (4, 2)]


KINDS = ("softmax", "layer norm", "product")


@given(st.sampled_from(KINDS), st.integers(0, 10_000), st.lists(st.integers(1, 5), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_is_sent_adds_up_to_t_times_the_function_of_the_mean(kind, seed, blocks):
    op, shapes = example(kind, seed)
    trains = [random(seed + i, sum(blocks), 2, *shape) for i, shape in enumerate(shapes)]
    operator, sent, start = Difference(op), [], 0
    for length in blocks:
        sent.append(operator([train[start : start + length] for train in trains]))
        start += length
    sums = torch.cat(sent).cumsum(0)
    state, by_step = None, []
    for t in range(start):
        expected = (t + 1) * apply(op, *(train[: t + 1].mean(0) for train in trains))
        torch.testing.assert_close(sums[t], expected, atol=TOLERANCE, rtol=TOLERANCE)
        state, now = difference_step(op, state, [train[t] for train in trains])
        by_step.append(now)
    torch.testing.assert_close(torch.stack(by_step), torch.cat(sent), atol=TOLERANCE, rtol=TOLERANCE)


def test_a_product_is_the_sum_of_the_products_of_differences():
    """t A B - (t - 1) A' B' = t (dA B' + A' dB + dA dB) + A' B'."""
    x, y = random(0, 6, 1, 3, 4), random(1, 6, 1, 4, 2)
    sent = Difference(ir.MatMul())([x, y])
    for t in range(2, 7):
        (a, before_a), (b, before_b) = ((v[:t].mean(0), v[: t - 1].mean(0)) for v in (x, y))
        da, db = a - before_a, b - before_b
        expected = t * (da @ before_b + before_a @ db + da @ db) + before_a @ before_b
        torch.testing.assert_close(sent[t - 1], expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_max_pooling_is_the_case_that_needs_no_mean():
    pool, x = ir.MaxPool((2,), (2,), (0,), (1,)), random(0, 5, 1, 2, 6)
    torch.testing.assert_close(
        Difference(pool)([x]).cumsum(0), apply(pool, x.cumsum(0).flatten(0, 1)).unflatten(0, (5, 1))
    )


@pytest.fixture(scope="module")
def hybrid():
    module, shape = Encoder(), (1, 14, 14)
    x = torch.rand((6, *shape), generator=torch.Generator().manual_seed(1))
    return {
        name: convert(trace(module, shape), x, ConvertConfig(neuron=name, potential_steps=4, hybrid=True))
        for name in ("if", "seed")
    }, x


@pytest.mark.parametrize("neuron", ["if", "seed"])
def test_engine_reference_and_module_agree_up_to_rounding(hybrid, neuron):
    conversion, x = hybrid[0][neuron], hybrid[1]
    slow = simulate_reference(conversion.snn, x, 20)
    fast = simulate(conversion.snn, x, 20)
    torch.testing.assert_close(fast.output, slow.output, atol=TOLERANCE, rtol=TOLERANCE)
    assert all(torch.equal(fast.counts[name].double(), slow.counts[name].double()) for name in slow.counts)
    alone = torch.cat([simulate(conversion.snn, part, 20).output for part in x.split(1)], dim=1)
    torch.testing.assert_close(alone, fast.output, atol=TOLERANCE, rtol=TOLERANCE)
    module, state = SpikingModule(conversion.snn), None
    for _ in range(20):
        _, state = module(constant_current(x), state)
    torch.testing.assert_close(state.total / 20, slow.output[-1], atol=TOLERANCE, rtol=TOLERANCE)


def test_long_simulations_approach_the_network(hybrid):
    conversion, x = hybrid[0]["if"], hybrid[1]
    analog, output = run(conversion.folded, x.double()), simulate(conversion.snn, x, 800).output
    errors = [float((output[t - 1] - analog).abs().max() / analog.abs().max()) for t in (8, 800)]
    assert errors[1] < 0.02 < errors[0]


def test_a_file_and_the_other_units_give_the_same_network(hybrid):
    network, x = hybrid[0]["if"].snn, hybrid[1]
    expected = simulate(network, x, 12)
    again = simulate(from_bytes(to_bytes(network)), x, 12)
    assert torch.equal(again.output, expected.output)
    balanced = simulate_reference(threshold_balanced(network), x, 12)
    torch.testing.assert_close(balanced.output, expected.output, atol=1e-6, rtol=1e-6)


def test_a_hybrid_network_is_asked_for_labelled_and_refused_where_it_cannot_be(hybrid):
    conversion = hybrid[0]["if"]
    assert [row.op.partition(".")[0] for row in conversion.coverage if row.fate == "hybrid"] == [
        "layer_norm", "scaled_dot_product_attention", "layer_norm", "layer_norm",
    ]  # fmt: skip
    assert "Hybrid network: 6 floating-point functions" in " ".join(conversion.notes)
    traced = trace(Encoder(), (1, 14, 14))
    with pytest.raises(UnsupportedOpError, match=r"norm1: got layer_norm(.|\n)*--hybrid"):
        convert(traced, hybrid[1], ConvertConfig())
    with pytest.raises(ConfigError, match=r"exact: .*norm1 \(LayerNorm\).*another recipe"):
        convert(traced, hybrid[1], ConvertConfig(neuron="if", recipe="exact", hybrid=True))
    named = [refused_wiring(conversion.snn.graph, node) for node in conversion.snn.hybrid()]
    assert len(named) == 6 and all("floating-point function" in why for why in named)


def test_thresholds_from_the_weights_alone_bound_every_value():
    conversion = convert(trace(Encoder(), (1, 14, 14)), None, ConvertConfig(neuron="if", hybrid=True))
    x = torch.rand((20, 1, 14, 14), generator=torch.Generator().manual_seed(2))
    tops = {}
    run(conversion.folded, x.double(), observe=lambda node, value: tops.update({node.name: value.abs().amax(0)}))
    for name, threshold in conversion.thresholds.items():
        assert bool((tops[name] <= threshold.value + 1e-9).all())


def test_channels_of_other_units_in_front_of_a_function_change_nothing():
    """The unit of each channel goes into the function: neurons straight in front of a softmax."""
    module, shape = attentive(), (4, 6)
    x = torch.rand((8, *shape), generator=torch.Generator().manual_seed(3))
    conversion = convert(
        trace(module, shape), x, ConvertConfig(neuron="if", rule="max", potential_steps=0, hybrid=True)
    )
    (softmax,) = [node.op for node in conversion.snn.graph if isinstance(node.op, ir.Softmax)]
    assert softmax.unit is not None and softmax.unit.numel() > 1
    output = simulate(conversion.snn, x, 1000).output[-1]
    torch.testing.assert_close(output, run(conversion.folded, x.double()), atol=0.01, rtol=0.01)
