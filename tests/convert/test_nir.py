"""NIR: the faithful form is our network by NIR's definitions, the native form is what importers expect."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from convert import ConvertConfig, SpikingNetwork, convert, simulate_reference, trace
from convert.errors import ConfigError, ConvertError, UnsupportedOpError
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.module import SpikingModule
from convert.writing.nir import to_nir, write_nir
from convert.writing.nir_executor import NirExecutor

nir = pytest.importorskip("nir")

STEPS = 64


def digits(neuron: str, code: str = "constant", primed: bool = False) -> tuple[SpikingNetwork, torch.Tensor]:
    network, data = zoo.load("digits-relu"), zoo.open_dataset("digits")
    fitting = data.calibration(300, 0).x.reshape(-1, *network.sample_shape)
    config = ConvertConfig(neuron=neuron, input_code=code, primed=primed)
    snn = convert(trace(network.module, network.sample_shape), fitting, config).snn
    return snn, data.scored(100).x.reshape(-1, *network.sample_shape)


def small(model: nn.Module, shape: tuple[int, ...], neuron: str = "seed") -> tuple[SpikingNetwork, torch.Tensor]:
    torch.manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.1, 0.4)
    x = torch.rand(6, *shape, generator=torch.Generator().manual_seed(1))
    return convert(trace(model.eval(), shape), x, ConvertConfig(neuron=neuron)).snn, x


def frames(snn: SpikingNetwork, x: torch.Tensor, steps: int) -> torch.Tensor:
    if snn.input_code == "constant":
        return constant_current(x).expand(steps, *x.shape)
    scale = float(snn.scales[snn.graph.input.name].flatten()[0])
    return poisson_spikes(x, scale, steps, 0, range(len(x))).double()


def read_and_run(snn: SpikingNetwork, x: torch.Tensor, form: str, folder: Path, steps: int = STEPS) -> tuple[Any, Any]:
    write_nir(snn, form, folder / "net.nir")
    graph = nir.read(str(folder / "net.nir"))
    shape = [int(n) for n in graph.nodes[snn.graph.input.name].output_type["output"]]
    fed = frames(snn, x, steps).reshape(steps, len(x), *shape)
    return graph, NirExecutor(graph, snn.dt_s).run(fed, tuple(snn.sites))


def assert_faithful(snn: SpikingNetwork, x: torch.Tensor, folder: Path, steps: int = STEPS) -> Any:
    graph, got = read_and_run(snn, x, "faithful", folder, steps)
    module, state, reference = SpikingModule(snn), None, simulate_reference(snn, x, steps)
    for t, frame in enumerate(frames(snn, x, steps)):
        _, state = module(frame, state)
        assert all(torch.equal(got[name][t], state.spikes[name].double()) for name in snn.sites), t
    assert all(torch.equal(got[name].sum(0), reference.counts[name].double()) for name in snn.sites)
    mean = got["output"].mean(0) * torch.as_tensor(graph.metadata["output_scale"])
    assert torch.allclose(mean, reference.output[-1], atol=1e-9)
    return graph


@pytest.mark.parametrize("code", ["constant", "poisson"])
@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
def test_the_faithful_form_gives_identical_spike_trains_on_100_digits(neuron: str, code: str, tmp_path: Path) -> None:
    snn, x = digits(neuron, code)
    assert len(x) == 100
    graph = assert_faithful(snn, x, tmp_path)
    assert {type(node).__name__ for node in graph.nodes.values()} <= {
        "Input", "Output", "Affine", "LI", "I", "Threshold", "Scale",
    }  # fmt: skip


def test_the_faithful_form_carries_primed_synapses_as_metadata(tmp_path: Path) -> None:
    snn, x = digits("seed", primed=True)
    assert snn.primed
    graph = assert_faithful(snn, x[:20], tmp_path, 40)
    tables = [node.metadata["decays"] for node in graph.nodes.values() if "decays" in (node.metadata or {})]
    assert len(tables) == 1  # one hidden layer of the two has a reader with synapses
    for table in tables:
        assert table[0] == 0 and table[-1] == pytest.approx(math.exp(-0.5)) and (table[1:] > table[:-1] - 1e-15).all()


class Residual(nn.Module):
    """Convolutions with groups, a sum around one of them, two poolings, a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.pool, self.wide, self.out = nn.AvgPool2d(2), nn.AvgPool2d(3, 1), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.first(x))
        b = torch.relu(self.second(a) + a)
        return self.out(self.wide(self.pool(b)).flatten(1))


@pytest.mark.parametrize("neuron", ["if", "lif", "seed"])
def test_the_faithful_form_of_a_residual_convolutional_network(neuron: str, tmp_path: Path) -> None:
    snn, x = small(Residual(), (2, 6, 6), neuron)
    assert_faithful(snn, x, tmp_path, 40)


def test_the_faithful_form_of_a_one_dimensional_convolution(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3, stride=2), nn.ReLU(), nn.Conv1d(3, 2, 2, dilation=2), nn.ReLU(), nn.Flatten()
    )
    assert_faithful(*small(model, (2, 11)), tmp_path, 40)


def test_a_feedback_that_is_a_step_late_is_weighted_with_beta(tmp_path: Path) -> None:
    """P[t] = beta P[t-1] + D - beta S[t-1] is beta V[t-1] + D, V = P - S: the docstring of nir_populations.py."""
    snn, _ = small(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)), (3,))
    graph = to_nir(snn, "faithful")
    (name,) = snn.sites
    beta = math.exp(-snn.dt_s / snn.sites[name].neuron.tau_mem_s)
    assert (f"{name}_reset", f"{name}_membrane") in graph.edges
    assert graph.nodes[f"{name}_reset"].scale == pytest.approx(-beta)
    executor = NirExecutor(graph, snn.dt_s)
    assert executor.late[f"{name}_membrane"] == [f"{name}_reset"]
    assert sum(map(len, executor.late.values())) == 1


@pytest.mark.parametrize(
    ("neuron", "kinds"), [("if", ["IF", "IF"]), ("lif", ["LIF", "LIF"]), ("seed", ["LIF", "CubaLIF"])]
)
def test_the_native_form_has_one_neuron_node_for_each_population(neuron: str, kinds: list[str], tmp_path: Path) -> None:
    snn, x = digits(neuron)
    graph, got = read_and_run(snn, x, "native", tmp_path)
    nodes = [graph.nodes[name] for name in snn.sites]
    assert [type(node).__name__ for node in nodes] == kinds
    for node in nodes:
        assert node.v_threshold == pytest.approx(1, abs=1e-5) and not node.v_reset.any()
        assert node.metadata["reset"] == "subtract v_threshold"
    rates = simulate_reference(snn, x, STEPS).counts
    errors = [(got[name].mean(0) - rates[name] / STEPS).abs().mean() for name in snn.sites]
    assert all(0 < float(error) < 0.2 for error in errors)  # NIR's reset to a value loses the overshoot


def test_a_native_neuron_at_low_drive_fires_at_our_rate(tmp_path: Path) -> None:
    """Where a step adds little, the overshoot is small and a reset to a value is nearly a subtraction."""
    snn, x = small(nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 2)), (4,), "if")
    (name,) = snn.sites
    faint = x / 40
    _, got = read_and_run(snn, faint, "native", tmp_path, 400)
    rate = simulate_reference(snn, faint, 400).counts[name] / 400
    assert 0 < float(rate.max()) < 0.2
    assert bool(((got[name].mean(0) - rate).abs() <= rate**2 + 0.005).all())  # 1 / ceil(1 / d) for a drive d


POOLED = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 2))
SIGNED = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


@pytest.mark.parametrize("form", ["native", "faithful"])
@pytest.mark.parametrize(
    ("model", "shape", "names"), [(SIGNED, (3,), "quantum adapts"), (POOLED, (1, 5, 5), "max pool")]
)
def test_what_nir_lacks_is_refused_by_name(form: str, model: nn.Module, shape: tuple[int, ...], names: str) -> None:
    snn, _ = small(model, shape)
    with pytest.raises(UnsupportedOpError, match=f"{form} form: .*{names}"):
        to_nir(snn, form)


def test_an_unknown_form_is_refused() -> None:
    snn, _ = small(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (3,))
    with pytest.raises(ConfigError, match="native, faithful"):
        to_nir(snn, "poetic")


def test_the_executor_solves_nirs_equations() -> None:
    """A LIF's closed form: v(t) = R I (1 - exp(-t / tau)), and the time of its first spike."""
    one = np.ones(1)
    graph = nir.NIRGraph.from_list(nir.LIF(one * 0.02, one * 2.0, one * 0, one * 1.0, one * 0))
    spikes = NirExecutor(graph, 1e-3).run(torch.full((40, 1, 1), 0.8, dtype=torch.float64))["output"].flatten()
    first = 0.02 * math.log(1.6 / (1.6 - 1.0)) / 1e-3
    period = math.floor(first) + 1
    assert [i + 1 for i in range(40) if spikes[i]] == [period, 2 * period]


def test_the_executor_names_what_it_does_not_know() -> None:
    graph = nir.NIRGraph.from_list(nir.Delay(np.ones(2)))
    with pytest.raises(ConvertError, match="Delay"):
        NirExecutor(graph, 1e-3)
