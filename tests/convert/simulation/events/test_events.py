"""The events engine against the dense one: equality to the last bit, for every build that this machine runs."""

import ctypes
import sys
from dataclasses import replace

import pytest
import sklearn.utils._openmp_helpers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.folding import fold
from convert.graph.ir import Graph
from convert.graph.semantics import apply
from convert.network import Site, threshold_balanced
from convert.neurons.families import Law
from convert.neurons.tracking import CurveNeuron
from convert.normalisation.bounds import bounded_thresholds
from convert.normalisation.scaling import normalise
from convert.reading.tracing import trace
from convert.simulation.engine import ENGINES, engines_of, simulate
from convert.simulation.events import library, plan, planes, populations
from convert.simulation.events.plan import plan_of
from convert.simulation.events.planes import packed, pooled
from convert.simulation.events.weights import _together
from convert.simulation.kernels import scan
from evaluate.job import perform
from evaluate.request import Request
from tests.oracles.conversions import converted, fitted, neurons
from tests.oracles.graphs import WORDS, grown
from tests.oracles.networks import NETWORKS

LAWS = (Law(), Law(signed=True), Law(levels=3), Law(reset="zero", v_threshold=1.0), Law(v_threshold=0.3))

pytestmark = pytest.mark.skipif(library.kernel() is None, reason="the kernel is not built here: install the package")


@pytest.fixture(params=["avx512", "avx2", "plain"])
def build(request, monkeypatch):
    """The kernel for one instruction set, and nothing kept from another."""
    monkeypatch.setattr(library, "_BUILDS", (request.param,))
    _forget()
    if library.kernel() is None:
        _forget(monkeypatch)
        pytest.skip(f"{request.param} is not built here, or this processor has not got it")
    yield request.param
    _forget(monkeypatch)


def _forget(monkeypatch=None):
    if monkeypatch is not None:
        monkeypatch.undo()
    library.kernel.cache_clear()
    plan._PLANS.clear()


def assert_equal(network, x, steps=20, record=None):
    dense, events = (simulate(network, x, steps, record, seed=3, engine=name) for name in ("dense", "events"))
    assert torch.equal(dense.output, events.output)
    assert dense.counts.keys() == events.counts.keys() == events.spikes.keys()
    for name in dense.counts:
        assert torch.equal(dense.counts[name].double(), events.counts[name].double()), name
        assert torch.equal(dense.spikes[name].double(), events.spikes[name].double()), name
    return events


def spiking(module, shape, law=None, neuron="if", seed=0, batch=3):
    """A network of random weights, and samples."""
    torch.manual_seed(seed)
    for layer in module:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.uniform_(layer.weight, -0.1, 0.3)  # few of the neurons are silent
            nn.init.uniform_(layer.bias, 0.05, 0.2)
    graph = fold(trace(module, shape).graph)
    x = torch.rand((batch, *shape))
    return normalise(graph, fitted(graph, torch.rand((16, *shape))), neurons(neuron, law), 1e-3), x


@pytest.mark.parametrize("neuron", ["if", "seed"])
@pytest.mark.parametrize(
    "name", ["conv norm average", "residual", "grouped and dilated", "depthwise", "concat", "conv1d"]
)
def test_every_build_gives_the_spikes_of_the_dense_engine(build, name, neuron):
    network, x = converted(name, neuron)
    assert set(engines_of(network).values()) == {"events"}  # otherwise dense is compared with dense
    assert float(assert_equal(network, x[:3], 37, (1, 5, 32, 33, 37)).spikes[next(iter(network.sites))].sum()) > 0


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
def test_every_law_agrees_in_every_build(build, law, neuron):
    module = nn.Sequential(
        nn.Conv2d(2, 40, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(40, 70, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(280, 96), nn.ReLU(), nn.Linear(96, 5),
    )  # fmt: skip
    network, x = spiking(module, (2, 10, 10), law, neuron)
    assert set(engines_of(network).values()) == {"events"}
    assert_equal(network, x, 20, (7, 20))


@pytest.mark.parametrize("input_code", ["constant", "poisson"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_every_kind_agree(name, input_code):
    network, x = converted(name, "if", input_code=input_code)
    assert_equal(network, x[:3], 20)


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=2, max_size=9), seed=st.integers(0, 10**6),
    neuron=st.sampled_from(["if", "seed"]), shape=st.sampled_from([(2, 5, 5), (2, 7)]), law=st.sampled_from(LAWS),
)  # fmt: skip
def test_random_networks_agree(words, seed, neuron, shape, law):
    graph = fold(grown([*words, "relu"], seed, shape))
    network = normalise(graph, bounded_thresholds(graph, 0.0, 0.3, per_channel=True), neurons(neuron, law), 1e-3)
    assert_equal(network, torch.rand((2, *shape), generator=torch.Generator().manual_seed(seed)))


@settings(max_examples=40, deadline=None)
@given(
    channels=st.sampled_from([1, 3, 31, 32, 33, 64]), out=st.sampled_from([1, 32, 33, 64, 100, 128]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)), dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_windows_of_any_shape_agree(channels, out, kernel, stride, padding, dilation, seed):
    module = nn.Sequential(
        nn.Conv2d(1, channels, 1), nn.ReLU(), nn.Conv2d(channels, out, kernel, stride, padding, dilation), nn.ReLU()
    )
    network, x = spiking(module, (1, 8, 9), seed=seed, batch=2)
    assert set(engines_of(network).values()) == {"events"}
    assert_equal(network, x, 9)


@settings(max_examples=40, deadline=None)
@given(
    channels=st.sampled_from([3, 33]), out=st.sampled_from([5, 64, 70]), law=st.sampled_from(LAWS),
    neuron=st.sampled_from(["if", "lif", "seed"]), kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), padded=st.booleans(), dilation=st.integers(1, 2),
    conv=st.sampled_from([(1, 1, 0), (3, 1, 1), (3, 2, 0)]), seed=st.integers(0, 1000),
)  # fmt: skip
def test_maxima_of_any_window_agree(channels, out, law, neuron, kernel, stride, padded, dilation, conv, seed):
    """Whole numbers or not, windows that overlap or leave gaps, over blocks of steps that do not fit."""
    pool = nn.MaxPool2d(kernel, stride, tuple(k // 2 for k in kernel) if padded else 0, dilation)
    module = nn.Sequential(nn.Conv2d(1, channels, 1), nn.ReLU(), nn.Conv2d(channels, out, *conv), nn.ReLU(), pool)
    network, x = spiking(module, (1, 13, 14), law, neuron, seed=seed, batch=2)
    signs = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    assert set(engines_of(network).values()) == {"events"}
    assert_equal(network, x * signs, 9, (2, 3, 9))


def test_maxima_of_every_build_agree(build):
    for name in ("max pool", "max pool 1d", "max pool, overlapping", "max pool of the drive"):
        for neuron in ("if", "lif", "seed"):
            for code in ("constant", "poisson"):
                network, x = converted(name, neuron, input_code=code)
                assert_equal(network, x[:3], 37, (1, 5, 32, 33, 37))


@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.Hardtanh])
def test_adaptive_neurons_agree_in_every_build(build, activation, neuron):
    """Spikes of both signs, pooled and not, with a table of quanta; and a maximum in front of them."""
    module = nn.Sequential(
        nn.Conv2d(2, 40, 3, padding=1), activation(), nn.AvgPool2d(2), nn.Conv2d(40, 70, 3), activation(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(70, 33), activation(), nn.Linear(33, 5),
    )  # fmt: skip
    network, x = spiking(module, (2, 8, 8), neuron=neuron)
    found = assert_equal(network, 4 * x - 3, 150, (7, 33, 150))
    assert set(engines_of(network).values()) == {"events"}
    assert any(float(counts.min()) < 0 < float(counts.max()) for counts in found.counts.values())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_large_and_small_weights_agree(build, scale):
    """Weights beyond 16 bits take another path."""
    network, x = spiking(
        nn.Sequential(nn.Linear(6, 70), nn.ReLU(), nn.Linear(70, 40), nn.ReLU(), nn.Linear(40, 3)), (6,)
    )
    nodes = [
        replace(n, op=ir.Linear(torch.round(n.op.weight * scale * 2**14) / 2**14, n.op.bias))
        if isinstance(n.op, ir.Linear) and n.shape == (40,) else n
        for n in network.graph
    ]  # fmt: skip
    assert_equal(replace(network, graph=Graph(tuple(nodes), network.graph.output)), x, 20)


@pytest.mark.parametrize("dilation", [1, 2])
def test_long_lines_are_cut(dilation):
    """Rows of a line are numbered in 16 bits: 60 columns of 3 x 544 rows are too many."""
    module = nn.Sequential(
        nn.Conv2d(1, 544, 1), nn.ReLU(), nn.Conv2d(544, 3, 3, padding=1, dilation=dilation), nn.ReLU()
    )
    network, x = spiking(module, (1, 4, 60), batch=2)
    assert_equal(network, x, 9)


@pytest.mark.parametrize("most", [1, 3, 7])
@pytest.mark.parametrize("size", [300, 3000, 9000, 30000])
def test_any_sum_of_rows_that_are_added_together_fits_16_bits(size, most):
    weight = torch.randint(-size, size, (50, 4), generator=torch.Generator().manual_seed(0))
    together = _together(weight, most)

    def fits(n):
        rows = weight.repeat_interleave(most, 0).sort(0).values
        return int(rows[-n:].sum(0).max()) < 2**15 and int(rows[:n].sum(0).min()) >= -(2**15)

    assert together == max(n for n in (1, 2, 4, 8) if n == 1 or fits(n))


@pytest.mark.parametrize("values", [(1.0,), (1.0, 0.5, 0.25)])
def test_planes_keep_and_pool_what_they_are_given(build, values):
    generator = torch.Generator().manual_seed(0)
    choice = torch.tensor([0.0, *values, *(-v for v in values)])
    spikes = choice[torch.randint(len(choice), (5, 2, 37, 6, 4), generator=generator)]
    planes = packed(spikes, values, signed=True)
    assert torch.equal(planes.unpacked(), spikes)
    op = ir.AvgPool((3, 2), (2, 2), (1, 0), divisor=1)
    expected = apply(op, spikes.flatten(0, 1)).unflatten(0, (5, 2))
    assert torch.equal(pooled(planes, op, tuple(expected.shape[2:])).unpacked(), expected)


def test_flat_spikes_come_back_in_their_shape():
    spikes = (torch.rand((5, 2, 70), generator=torch.Generator().manual_seed(0)) < 0.3).float()
    assert torch.equal(packed(spikes, (1.0,), signed=False).unpacked(), spikes)
    line = (torch.rand((5, 2, 3, 7), generator=torch.Generator().manual_seed(0)) < 0.3).float()
    assert torch.equal(packed(line, (1.0,), signed=False).unpacked(), line)


def test_what_has_no_connections_runs_densely_and_is_said_to():
    assert set(engines_of(converted("max pool after average")[0]).values()) == {"dense", "events"}
    assert set(engines_of(converted("mlp")[0], "dense").values()) == {"dense"}


def test_a_plan_is_kept_as_long_as_its_network():
    network, x = converted("mlp without bias", rule="percentile")
    simulate(network, x[:1], 3)
    assert plan_of(network) is plan_of(network)


def test_unknown_engines_are_refused():
    network, x = converted("mlp")
    with pytest.raises(ConfigError, match="expected one of auto, dense, events"):
        simulate(network, x[:1], 3, engine="warp")
    assert ENGINES[0] == "auto"


def test_without_a_kernel_all_is_dense(monkeypatch):
    network, x = converted("mlp")
    expected = simulate(network, x[:2], 9)
    monkeypatch.setattr(library, "_BUILDS", ())
    _forget()
    try:
        assert torch.equal(simulate(network, x[:2], 9).output, expected.output)
        assert set(engines_of(network).values()) == {"dense"}
        with pytest.raises(ConfigError, match="its kernel was not built"):
            simulate(network, x[:2], 9, engine="events")
    finally:
        _forget(monkeypatch)


@pytest.mark.parametrize(("builds", "said"), [((), True), (library._BUILDS, False)])
def test_a_report_says_when_the_kernel_was_not_built(monkeypatch, builds, said):
    monkeypatch.setattr(library, "_BUILDS", builds)
    _forget()
    try:
        run, _ = perform(Request("zoo:digits-relu", steps=(2,), limit=10, calibration_samples=20))
    finally:
        _forget(monkeypatch)
    assert any("events engine was not built" in note for note in run.notes) == said
    assert run.environment["populations_by_engine"] == (
        {"events": 0, "dense": 2} if said else {"events": 2, "dense": 0}
    )


def test_receivers_of_names_that_run_together_are_kept_apart():
    """A site "b" behind "a", and a node called "ab"."""
    made = plan_of(converted("mlp")[0])
    made.known.clear()
    first, second = list(made.sites)
    made.population(second)
    assert made.known.keys() == {(made.graph[second].inputs[0], second)}
    assert made.population(first) is not made.population(second)


def test_a_library_of_another_version_is_not_used(monkeypatch):
    monkeypatch.setattr(library, "VERSION", library.VERSION + 1)
    library.kernel.cache_clear()
    try:
        assert library.kernel() is None
    finally:
        monkeypatch.undo()
        library.kernel.cache_clear()


@pytest.mark.parametrize("own_threads", [False, True])
@pytest.mark.parametrize("name", ["mlp", "conv norm average", "max pool", "residual", "tanh"])
def test_loops_are_shared_among_threads(name, own_threads, monkeypatch):
    """On the threads of torch's OpenMP runtime, and where that is not found on threads of the kernel's own."""
    if own_threads:
        monkeypatch.setattr(populations, "team", lambda: None)
        monkeypatch.setattr(planes, "team", lambda: None)
    network, x = converted(name)
    alone = simulate(network, x, 20, engine="events")
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        together = simulate(network, x, 20, engine="events")
        assert torch.equal(alone.output, together.output)
        for site, counts in alone.counts.items():
            assert torch.equal(counts, together.counts[site]), site


def test_the_openmp_runtime_of_torch_is_found():
    """Also where other packages have loaded their own, such as scikit-learn's wheel."""
    assert sklearn.utils._openmp_helpers._openmp_parallelism_enabled()
    library.team.cache_clear()
    if not torch.backends.openmp.is_available() or not sys.platform.startswith("linux"):
        pytest.skip("this torch has other threads")
    assert library.team() is not None


def test_structures_are_those_of_the_kernel(build):
    assert ctypes.sizeof(library.Source) == library.kernel().events_size_of_source()
    assert ctypes.sizeof(library.Layer) == library.kernel().events_size_of_layer()
    assert ctypes.sizeof(library.Tracked) == library.kernel().events_size_of_tracked()


UNEVEN = (-1.0, 0.0, 1e-9, 3.0, 3.5, 3.5000001, 1000.0)


@pytest.mark.parametrize("breaks", [(0.25,), UNEVEN, tuple(range(-90, 91)), (1e17,), (2.0**54, 2.0**54 + 4)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_piece_of_a_curve_is_found(build, breaks, kind):
    """Pieces that do not meet: a neighbour's would be seen. On breaks, beside them, between and far beyond."""
    draw = torch.Generator().manual_seed(0)
    rises, offsets = (tuple(torch.randn(len(breaks) + 1, generator=draw).tolist()) for _ in range(2))
    neuron = CurveNeuron(20e-3, 0.0, breaks=breaks, rises=rises, offsets=offsets)
    edges = torch.tensor(breaks, dtype=kind)
    beside = torch.tensor([-torch.inf, torch.inf], dtype=kind)
    x = torch.cat([edges, *(edges.nextafter(side) for side in beside), edges + 0.1, torch.tensor([-1e12, 1e12])]).to(
        kind
    )
    site = Site(neuron, torch.ones(()), torch.ones(()), torch.zeros(()))
    for drive in (x[None, None], torch.cat([x[None, None]] * 5)):
        expected, got = (scan(site, None, drive, 5, 1e-3, torch.float64, compiled) for compiled in (False, True))
        assert torch.equal(expected[1], got[1]) and got[1].any()
        assert torch.equal(expected[0].count, got[0].count) and torch.equal(expected[0].charge, got[0].charge)


def test_other_quanta_are_refused():
    network, x = converted("mlp")
    with pytest.raises(ValueError, match="quantum other than 1"):
        simulate(threshold_balanced(network), x[:1], 3, engine="events")
