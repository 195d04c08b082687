import math
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convert.errors import ConfigError, InputShapeError
from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.ir import Graph, Node
from convert.network import Site, SpikingNetwork
from convert.neurons.families import Law
from convert.neurons.leaky import LeakyNeuron
from convert.normalisation.bounds import bounded_thresholds
from convert.normalisation.calibration import calibrate_potentials
from convert.normalisation.scaling import normalise
from convert.simulation import blocks, engine
from convert.simulation.engine import batch_within, simulate
from convert.simulation.kernels import scan
from convert.simulation.reference import simulate_reference
from tests.oracles.conversions import converted, folded, neurons
from tests.oracles.graphs import WORDS, grown
from tests.oracles.networks import NETWORKS

NEURONS = ("if", "lif", "seed")
LAWS = (Law(), Law(signed=True), Law(levels=4), Law(reset="zero", v_threshold=1.0))


def assert_same(a, b, exact=True):
    """Two simulations, spike for spike."""
    assert a.record == b.record
    assert a.dt_s == b.dt_s
    assert a.counts.keys() == b.counts.keys() == a.spikes.keys() == b.spikes.keys()
    for name in a.counts:
        assert torch.equal(a.counts[name].double(), b.counts[name].double()), name
        assert torch.equal(a.spikes[name].double(), b.spikes[name].double()), name
    if exact:
        assert torch.equal(a.output, b.output)
    else:
        scale = float(b.output.abs().max())
        torch.testing.assert_close(a.output, b.output, rtol=1e-12, atol=1e-12 * scale)


def assert_engine_is_reference(network, x, steps, record=None, on_lattice=True):
    """Both engines, which agree to the last bit."""
    dense, got = (simulate(network, x, steps, record, seed=5, engine=name) for name in ("dense", "auto"))
    assert_same(dense, got, exact=on_lattice)
    assert_same(got, simulate_reference(network, x, steps, record, seed=5), exact=False)
    return got


@pytest.mark.parametrize("input_code", ["constant", "poisson"])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_engine_spikes_as_the_reference(name, neuron, input_code):
    network, x = converted(name, neuron, input_code=input_code)
    result = assert_engine_is_reference(network, x[:3], 37, record=(1, 5, 16, 20, 37))
    assert all(float(v[-1].sum()) > 0 for v in result.spikes.values())  # silence would agree with anything


@pytest.mark.parametrize("steps", [1, 2, 15, 16, 17, 32, 50, 100])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", ["conv norm average", "max pool after average", "tanh"])
def test_any_number_of_steps_will_do(name, neuron, steps):
    network, x = converted(name, neuron)
    assert_engine_is_reference(network, x[:2], steps)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", ["mlp", "residual", "max pool", "tanh", "norm of the input"])
@pytest.mark.parametrize("rule", ["percentile", "mse"])
def test_clipped_and_calibrated_networks_agree_too(name, neuron, rule):
    network, x = converted(name, neuron, rule=rule, per_channel=rule == "mse")
    network = calibrate_potentials(network, folded(name), x[:16], 8)
    assert_engine_is_reference(network, 2 * x[:3] - 0.5, 33)


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=2, max_size=9), seed=st.integers(0, 10**6),
    neuron=st.sampled_from(NEURONS), shape=st.sampled_from([(2, 5, 5), (2, 7)]),
    input_code=st.sampled_from(["constant", "poisson"]), steps=st.sampled_from([7, 20]), law=st.sampled_from(LAWS),
)  # fmt: skip
@example(["conv", "relu", "refolded", "border", "average"], 0, "seed", (2, 5, 5), "poisson", 20, Law())
@example(
    ["conv", "tanh", "channels last", "cropped", "overlapping max"], 0, "lif", (2, 5, 5), "constant", 20, Law(levels=4)
)
@example(["conv", "relu", "turned", "reflected border", "max", "conv"], 0, "if", (2, 5, 5), "poisson", 20, Law())
@example(
    ["conv", "relu", "refolded", "rolled border", "overlapping max"], 0, "seed", (2, 7), "constant", 20, Law(levels=4)
)
def test_random_networks_agree(words, seed, neuron, shape, input_code, steps, law):
    graph = fold(grown([*words, "relu"], seed, shape))
    lams = bounded_thresholds(graph, 0.0, 0.3, per_channel=True)  # low: some saturate
    network = normalise(graph, lams, neurons(neuron, law), 1e-3, input_code)
    x = torch.rand((2, *shape), generator=torch.Generator().manual_seed(seed))
    assert_engine_is_reference(network, x, steps, record=(1, steps))


@pytest.mark.parametrize("input_code", ["constant", "poisson"])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_batch_does_not_matter(name, neuron, input_code):
    network, x = converted(name, neuron, input_code=input_code)
    whole = simulate(network, x, 20)
    for size in (1, 3):
        for start in (0, 30):
            part = simulate(network, x[start : start + size], 20, samples=range(start, start + size))
            assert torch.equal(part.output, whole.output[:, start : start + size])
            for site, counts in part.counts.items():
                assert torch.equal(counts, whole.counts[site][start : start + size]), site


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", ["conv norm average", "residual", "max pool", "tanh", "adaptive average"])
def test_the_length_of_a_block_does_not_matter(name, neuron, monkeypatch):
    network, x = converted(name, neuron)
    expected = simulate(network, x[:5], 40, record=(3, 17, 40))
    for block in (1, 7, 16, 64):
        monkeypatch.setattr(engine, "_BLOCK", block)
        monkeypatch.setattr(engine, "_EVENTS_BLOCK", block)
        for name in ("dense", "auto"):
            assert_same(simulate(network, x[:5], 40, record=(3, 17, 40), engine=name), expected)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", ["mlp", "conv norm average", "residual", "tanh"])
def test_the_number_of_threads_does_not_matter(name, neuron):
    network, x = converted(name, neuron)
    torch.set_num_threads(1)
    one = simulate(network, x, 40)
    torch.set_num_threads(2)
    two = simulate(network, x, 40)
    assert torch.get_num_threads() == 2  # what the caller had set
    assert_same(one, two)
    assert_same(two, simulate(network, x, 40))


def test_recorded_steps_are_sorted_prefixes_of_one_run():
    network, x = converted("conv norm average", "seed")
    every = simulate(network, x[:4], 40, record=range(1, 41))
    some = simulate(network, x[:4], 40, record=[33, 5, 16, 5])
    assert some.record == (5, 16, 33)
    assert torch.equal(some.output, every.output)
    for site in network.sites:
        assert torch.equal(some.spikes[site], every.spikes[site][[4, 15, 32]])
        assert bool((torch.diff(every.spikes[site], dim=0) >= 0).all())
        assert torch.equal(every.spikes[site][-1], every.counts[site].double().sum(0))
    assert simulate(network, x[:4], 40).record == (40,)


def test_a_shorter_run_is_the_beginning_of_a_longer_one():
    network, x = converted("residual", "seed")
    short, long = simulate(network, x[:4], 13), simulate(network, x[:4], 41, record=(13, 41))
    assert torch.equal(long.output[:13], short.output)
    assert all(torch.equal(long.spikes[s][0], short.spikes[s][0]) for s in network.sites)


def test_results_have_the_shapes_they_say():
    network, x = converted("conv norm average")
    result = simulate(network, x[:5], 20, record=(10, 20))
    assert result.output.shape == (20, 5, 3)
    assert result.output.dtype == torch.float64
    for site in network.sites:
        assert result.spikes[site].shape == (2, *network.graph[site].shape)
        assert result.counts[site].shape == (5, *network.graph[site].shape)


def test_the_samples_are_left_alone():
    network, x = converted("neurons first")
    before = x.clone()
    simulate(network, x, 5)
    simulate_reference(network, x[:2], 5)
    assert torch.equal(x, before)


def test_inputs_are_rounded_to_their_lattice():
    network, x = converted("mlp")
    nudged = x + 2.0**-19 * (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    on_lattice = torch.round(x.double() * 2**16) / 2**16
    assert_same(simulate(network, on_lattice, 20), simulate(network, on_lattice + 2.0**-18, 20))
    assert float((simulate(network, nudged, 20).output - simulate(network, x, 20).output).abs().max()) < 0.2


def test_a_potential_far_above_its_threshold_keeps_its_fraction():
    """Whole weights, so that sums need few bits, but a start at 1/2 - 2^-14 that must survive a climb to 12,800.

    64 up for 200 steps, then 51 down for 250 steps: 12,801 = 251 x 51, so the last of them ends on the fraction.
    """
    steps, one = 480, torch.ones((), dtype=torch.float64)
    nodes = (
        Node("input", ir.Input((1,)), (), (1,)),
        Node("copy", ir.Linear(torch.ones(2, 1).double()), ("input",), (2,)),
        Node("first", ir.Relu(), ("copy",), (2,)),
        Node("mix", ir.Linear(torch.tensor([[65.0, -115.0]]).double()), ("first",), (1,)),
        Node("second", ir.Relu(), ("mix",), (1,)),
    )
    start = torch.tensor([0.0, -200.0], dtype=torch.float64)  # the second neuron wakes up after 200 steps
    sites = {
        "first": Site(LeakyNeuron(math.inf, 0.0), one, one, start),
        "second": Site(LeakyNeuron(math.inf, 0.0), one, one, torch.tensor(0.5 - 2.0**-14).double()),
    }
    network = SpikingNetwork(Graph(nodes, "second"), sites, {n.name: one for n in nodes}, 1e-3, "poisson")
    result = assert_engine_is_reference(network, torch.ones(1, 1), steps)
    assert int(result.counts["second"]) == 450


def test_the_engine_takes_networks_whose_weights_lie_on_no_lattice():
    """Then sums are exact up to float64 only, but the engine still does what the reference does."""
    network, x = converted("mlp", "lif")
    nodes = []
    for node in network.graph:
        if isinstance(node.op, ir.Linear):
            node = replace(node, op=ir.Linear(node.op.weight * (1 / 3), node.op.bias * (1 / 3)))
        nodes.append(node)
    off = replace(network, graph=Graph(tuple(nodes), network.graph.output))
    assert_engine_is_reference(off, x[:4], 40, on_lattice=False)


@pytest.mark.parametrize(
    ("steps", "record", "said"),
    [(0, None, "steps: got 0"), (-3, None, "steps: got -3"), (10, (), r"record: got \(\)"), (10, (0, 5), "record: got"),
     (10, (11,), "between 1 and 10")],
)  # fmt: skip
@pytest.mark.parametrize("run", [simulate, simulate_reference])
def test_requests_out_of_range_are_refused(run, steps, record, said):
    network, x = converted("mlp")
    with pytest.raises(ConfigError, match=said):
        run(network, x[:1], steps, record)


@pytest.mark.parametrize("run", [simulate, simulate_reference])
def test_samples_of_another_shape_are_refused(run):
    with pytest.raises(InputShapeError, match=r"takes samples of shape \(8,\), got \(7,\)"):
        run(converted("mlp")[0], torch.zeros(2, 7), 5)


@pytest.mark.parametrize(("name", "values"), [("tanh", 49), ("relu6", 4 * 12)])
def test_a_batch_fits_the_memory_it_is_given(name, values):
    network, _ = converted(name)  # of tanh the nodes hold 49 values in all; of relu6 35, the widest 12
    one = values * 16 * 8
    assert [batch_within(network, n, "dense") for n in (0, one, 10 * one, 10 * one + 1)] == [1, 1, 10, 10]


@pytest.mark.parametrize(
    ("neuron", "name", "dtype"),
    [
        ("if", "mlp", torch.float32),  # sums of lattice numbers only
        ("lif", "mlp", torch.float64),  # a leak leaves the lattice, and rounding it to 24 bits would move spikes
        ("seed", "mlp", torch.float64),
        ("if", "tanh", torch.float64),
    ],
)
def test_membranes_are_kept_in_the_type_that_their_sums_need(neuron, name, dtype, monkeypatch):
    seen = []

    def watched(site, state, current, steps, dt_s, dtype, compiled):
        seen.append(dtype)
        return scan(site, state, current, steps, dt_s, dtype, compiled)

    monkeypatch.setattr(blocks, "scan", watched)
    network, x = converted(name, neuron, input_code="poisson")
    simulate(network, x[:2], 4, engine="dense")  # so short that no sum over the run leaves float32
    assert set(seen) == {dtype}
