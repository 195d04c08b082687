"""Operation counts against a loop over every edge, and the engine against the reference, on drawn networks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convert import ConvertConfig, convert, simulate, simulate_reference, trace
from convert.graph.semantics import run
from evaluate.operations import count_operations

_SPEC = importlib.util.spec_from_file_location("edges", Path(__file__).parents[1] / "oracles" / "edges.py")
edges = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(edges)

PADS = ("zeros", "reflect", "replicate", "circular")

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


class Drawn(nn.Module):
    """conv - relu - pad - pool - conv - (+ skip) - relu - (permute) - flatten - linear."""

    def __init__(self, draw) -> None:
        super().__init__()
        pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
        self.space, groups = pick(1, 2), pick(1, 2)
        conv = nn.Conv1d if self.space == 1 else nn.Conv2d
        self.size = draw(st.integers(5, 7))
        self.first = conv(2, 4, pick(1, 2, 3), pick(1, 2), padding=pick(0, 1), padding_mode=pick(*PADS[:2]))
        self.border = draw(st.lists(st.integers(0, 2), min_size=2 * self.space, max_size=2 * self.space))
        self.mode, self.pool = pick("constant", "replicate"), pick("none", "average", "adaptive")
        self.pooling = {"kernel_size": pick(2, 3), "stride": pick(1, 2), "ceil_mode": pick(True, False),
                        "count_include_pad": pick(True, False), "padding": pick(0, 1)}  # fmt: skip
        self.second = conv(4, 4, pick(1, 2), 1, padding=pick("same", 1), dilation=pick(1, 2), groups=groups)
        self.skip, self.turn = pick("none", "add", "cat"), pick(True, False)
        self.last = nn.LazyLinear(3)

    def forward(self, x):
        h = F.relu(self.first(x))
        h = F.pad(h, self.border, mode=self.mode)
        pools = (F.avg_pool1d, F.adaptive_avg_pool1d) if self.space == 1 else (F.avg_pool2d, F.adaptive_avg_pool2d)
        if self.pool == "average":
            h = pools[0](h, **self.pooling)
        elif self.pool == "adaptive":
            h = pools[1](h, 2)
        g = self.second(h)
        if g.shape == h.shape and self.skip == "add":
            g = g + h
        g = F.relu(g)
        if g.shape == h.shape and self.skip == "cat":
            g = torch.cat([g, h], 1)
        return self.last((g.movedim(1, -1) if self.turn else g).flatten(1))


@st.composite
def networks(draw):
    torch.manual_seed(draw(st.integers(0, 9)))
    with torch.no_grad():
        module = Drawn(draw)
        shape = (2,) + (module.size,) * module.space
        try:
            module(torch.zeros(1, *shape))
        except RuntimeError:  # a kernel larger than its input
            from hypothesis import reject

            reject()
    return module, shape


SETTINGS = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:Lazy modules")
@SETTINGS
@given(networks())
def test_synops_and_macs_are_those_of_a_loop_over_edges(network):
    module, shape = network
    conversion = convert(trace(module, shape), None, ConvertConfig(neuron="if"))
    generator = torch.Generator().manual_seed(1)
    snn = conversion.snn
    spikes = {name: torch.randint(0, 5, snn.graph[name].shape, generator=generator).double() for name in snn.sites}
    counted = {row.node: row for row in count_operations(conversion, spikes, {}, 4)}
    oracle = edges.BruteForce(snn.graph, snn.sites, {name: s.numpy() for name, s in spikes.items()})
    for name, synops in oracle.synops.items():
        assert (counted[name].synops if name in counted else 0.0) == pytest.approx(synops), name
    original = {node.name for node in conversion.folded}
    for name, macs in oracle.macs.items():
        assert counted[name].ann_macs == (macs if name in original else 0), name
        assert counted[name].encoder_macs == oracle.encoder[name], name


@pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:Lazy modules")
@SETTINGS
@given(networks(), st.sampled_from(["if", "seed"]), st.booleans())
def test_the_engine_gives_the_spikes_of_the_reference(network, neuron, calibrated):
    module, shape = network
    traced = trace(module, shape)
    x = torch.rand((3, *shape), generator=torch.Generator().manual_seed(2))
    conversion = convert(traced, x if calibrated else None, ConvertConfig(neuron=neuron))
    with torch.no_grad():
        expected = module(x)
    assert torch.allclose(run(conversion.folded, x.double()).float(), expected, atol=1e-5)
    fast, slow = simulate(conversion.snn, x, 9), simulate_reference(conversion.snn, x, 9)
    for name, counts in slow.counts.items():
        assert torch.equal(fast.counts[name].double(), counts.double()), name
