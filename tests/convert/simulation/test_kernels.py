import math

import pytest
import torch

from convert.graph.ir import Curve, LeakyRelu, MaxPool
from convert.graph.semantics import apply
from convert.network import Site
from convert.neurons.adaptive import AdaptiveNeuron, constant_quantum
from convert.neurons.burst import BurstNeuron
from convert.neurons.differential import DifferentialNeuron, reciprocal
from convert.neurons.families import make_neuron
from convert.neurons.graded import GradedNeuron, halving
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.synapse import Synapse
from convert.simulation.events.library import kernel
from convert.simulation.kernels import Decoder, Filter, Maximum, channels_last, scan

ONE = torch.ones((), dtype=torch.float64)
LAWS = [
    LeakyNeuron(math.inf, 0.0), LeakyNeuron(20e-3, 2e-3), LeakyNeuron(5e-3, 0.0, v_threshold=1.0),
    GradedNeuron(math.inf, 0.0), GradedNeuron(20e-3, 0.0, values=halving(4)), HardResetNeuron(math.inf, 0.0),
    GradedNeuron(math.inf, 0.0, takes_back=False), AdaptiveNeuron(20e-3, 0.0),
    AdaptiveNeuron(math.inf, 0.0, quanta=constant_quantum()),
    BurstNeuron(math.inf, 0.0, most=3), BurstNeuron(20e-3, 0.0, 1.0, most=2),
    make_neuron(Curve("gelu"), 20e-3, 0.0), make_neuron(Curve("centred_sigmoid"), math.inf, 0.0),
    make_neuron(LeakyRelu(torch.tensor([0.25])), 20e-3, 0.0), DifferentialNeuron(),
    DifferentialNeuron(v_threshold=0.9, values=halving(4), ceiling=1.0),
]  # fmt: skip


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def channels_last_block(current):
    return channels_last(current.flatten(0, 1)).unflatten(0, current.shape[:2])


@pytest.mark.parametrize("neuron", LAWS, ids=lambda n: f"{type(n).__name__}-{n.tau_mem_s}")
@pytest.mark.parametrize("shape", [(7,), (3, 5), (3, 4, 4)])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("compiled", [True, False] if kernel() else [False])
def test_a_scan_is_its_neuron_s_step_again_and_again(neuron, shape, constant, compiled):
    initial = 0.2 * random(shape[0], *[1] * (len(shape) - 1), seed=1)
    site, steps = Site(neuron, ONE + initial.abs(), ONE, initial), 23
    current = 0.6 * random(1 if constant else steps, 2, *shape)
    state, expected = None, []
    for t in range(steps):
        state, spikes = site.step(state, current[0 if constant else t], 1e-3)
        expected.append(spikes)
    middle, got = None, []
    for start, stop in ((0, 5), (5, 6), (6, 23)):
        part = current if constant else channels_last_block(current[start:stop])
        middle, spikes = scan(site, middle, part, stop - start, 1e-3, torch.float64, compiled)
        got.append(spikes)
    assert torch.equal(torch.cat(got).double(), torch.stack(expected))
    kept = vars(state)
    for name in kept.keys() & {"v", "charge", "count", "credit"}:
        assert torch.equal(vars(middle)[name], kept[name]), name
    assert vars(middle).get("window") == kept.get("window")
    assert torch.cat(got).any()


@pytest.mark.parametrize("shape", [(7,), (3, 5), (3, 4, 4)])
def test_the_filter_is_the_synapse_with_unit_gain(shape):
    alpha, j = math.exp(-0.5), random(40, 2, *shape)
    rest = random(2, *shape, seed=1)
    expected, i = [], rest.clone()
    for t in range(40):
        i = alpha * i + (1 - alpha) * j[t]
        expected.append(i)
    synapse = Filter(Synapse(0.002, 0.001), rest)
    got = torch.cat([synapse(j[:7]), synapse(j[7:8]), synapse(j[8:])])
    torch.testing.assert_close(got, torch.stack(expected), rtol=1e-13, atol=1e-13)
    assert got.dtype == torch.float64
    steady = Filter(Synapse(0.002, 0.001), rest)(rest.expand(5, *rest.shape))
    torch.testing.assert_close(steady, rest.expand(5, *rest.shape))


@pytest.mark.parametrize("shape", [(7,), (3, 4, 4)])
def test_the_decoder_adds_what_it_knows_and_learns_a_tth_part(shape):
    rest, sums = random(2, *shape, seed=1), random(20, 2, *shape)
    expected, estimate = [], rest
    for t, j in enumerate(sums, start=1):
        expected.append(j - rest + estimate)
        estimate = estimate + (j - rest) * reciprocal(t)
    decoder = Decoder(rest)
    got = torch.cat([decoder(sums[:7]), decoder(sums[7:8]), decoder(sums[8:])])
    torch.testing.assert_close(got, torch.stack(expected), rtol=1e-13, atol=1e-13)
    assert torch.equal(Decoder(rest)(rest.expand(5, *rest.shape)), rest.expand(5, *rest.shape))


@pytest.mark.parametrize(
    ("op", "shape"),
    [(MaxPool((2, 2), (2, 2), (0, 0), (1, 1)), (3, 4, 4)), (MaxPool((3, 3), (1, 1), (1, 1), (1, 1)), (3, 4, 4)),
     (MaxPool((3,), (2,), (1,), (1,)), (3, 6))],
)  # fmt: skip
def test_a_maximum_sums_to_the_maximum_of_the_sums(op, shape):
    drive = random(20, 2, *shape)
    pool = Maximum(op, drive[0])
    got = torch.cat([pool(drive[:3]), pool(drive[3:4]), pool(drive[4:])])
    for t in range(20):
        torch.testing.assert_close(got[: t + 1].sum(0), apply(op, drive[: t + 1].sum(0)))


def test_channels_last_changes_the_layout_and_nothing_else():
    for shape in ((5,), (2, 3), (2, 3, 4), (2, 3, 4, 5)):
        x = random(*shape)
        assert torch.equal(channels_last(x), x)
    assert channels_last(random(2, 3, 4, 5)).is_contiguous(memory_format=torch.channels_last)
