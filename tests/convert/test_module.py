"""SpikingModule against the engine and the reference, step by step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convert import ConvertConfig, SpikingNetwork, convert, simulate, simulate_reference, trace
from convert.errors import InputShapeError
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.module import SpikingModule

STEPS = 12


class Net(nn.Module):
    """Convolution, max pooling, a residual sum and tanh."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.pool, self.last, self.out = nn.MaxPool2d(2), nn.Linear(12, 5), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.first(x))
        b = self.pool(torch.relu(self.second(a) + a))
        return self.out(torch.tanh(self.last(b.flatten(1))))


def network(neuron: str, code: str) -> tuple[SpikingNetwork, torch.Tensor]:
    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    return convert(trace(Net().eval(), (1, 4, 4)), x, ConvertConfig(neuron=neuron, input_code=code)).snn, x


@pytest.mark.parametrize("code", ["constant", "poisson"])
@pytest.mark.parametrize("neuron", ["seed", "lif", "if"])
def test_every_step_is_the_engines(neuron: str, code: str) -> None:
    snn, x = network(neuron, code)
    scale = float(snn.scales[snn.graph.input.name].flatten()[0])
    frames = (
        constant_current(x).expand(STEPS, *x.shape)
        if code == "constant"
        else poisson_spikes(x, scale, STEPS, 0, range(4))
    )
    module, state = SpikingModule(snn), None
    engine, reference = (run(snn, x, STEPS, range(1, STEPS + 1)) for run in (simulate, simulate_reference))
    emitted = {name: torch.zeros_like(engine.spikes[name][0]) for name in snn.sites}
    for t, frame in enumerate(frames):
        _, state = module(frame, state)
        for name in snn.sites:
            emitted[name] += state.spikes[name].abs().sum(0)
            assert torch.equal(emitted[name], engine.spikes[name][t].double()), (name, t)
        assert torch.allclose(state.total / state.steps, reference.output[t], atol=1e-12)


def test_the_state_is_the_callers() -> None:
    snn, x = network("seed", "constant")
    module = SpikingModule(snn)
    _, first = module(x)
    a, _ = module(x, first)
    b, _ = module(x, first)
    assert torch.equal(a, b) and first.steps == 1


def test_samples_of_another_shape_are_refused() -> None:
    snn, _ = network("if", "constant")
    with pytest.raises(InputShapeError, match=r"\(2, 2\)"):
        SpikingModule(snn)(torch.zeros(1, 2, 2))
