"""Networks trained with the quantised activation of Bu et al. (ICLR 2022) bring their thresholds with them."""

import pytest
import torch
from torch import nn

from convert.config import ConvertConfig
from convert.errors import UnsupportedOpError
from convert.graph import ir
from convert.graph.semantics import run
from convert.pipeline import convert
from convert.reading.tracing import trace
from convert.simulation.engine import simulate
from convert.simulation.quiescence import simulate_exact
from convert.writing.artefact import from_bytes, to_bytes

IF = {"neuron": "if", "potential_steps": 0}


class Floor(torch.autograd.Function):
    """Rounding down with a straight-through gradient, as QCFS training writes it."""

    @staticmethod
    def forward(ctx, x):
        return x.floor()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Levels(nn.Module):
    """The activation in the ways in which it is written."""

    def __init__(self, form, lam, levels):
        super().__init__()
        self.form, self.thresh, self.L, self.relu = form, nn.Parameter(torch.tensor([lam])), levels, nn.ReLU(True)

    def forward(self, x):
        if self.form == "authors":
            x = torch.clamp(self.relu(x) / self.thresh, 0, 1)
            return Floor.apply(x * self.L + 0.5) / self.L * self.thresh
        if self.form == "formula":
            return self.thresh / self.L * torch.clamp(torch.floor(x * self.L / self.thresh + 0.5), 0, self.L)
        if self.form == "no shift":
            return Floor.apply(torch.clamp(x / self.thresh, 0, 1) * self.L) / self.L * self.thresh
        return Floor.apply(torch.clamp(x / self.thresh, -1, 1) * self.L + 0.5) / self.L * self.thresh


def network(*lams, form="authors", levels=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [layer for lam in lams for layer in (nn.Linear(16, 16), Levels(form, lam, levels))]
        return nn.Sequential(*layers, nn.Linear(16, 3)).eval()


def samples(count=64):
    return torch.rand((count, 16), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", ["authors", "formula"])
@pytest.mark.parametrize(("lam", "levels"), [(8.0, 8), (0.37, 4), (1.0, 1), (13.7, 32), (1e-3, 16)])
def test_it_is_recognised_with_its_threshold_and_levels(form, lam, levels):
    traced = trace(network(lam, form=form, levels=levels), (16,))
    (op,) = [node.op for node in traced.graph.sites()]
    assert isinstance(op, ir.Staircase) and op.levels == levels
    assert float(op.threshold) == pytest.approx(lam, rel=1e-6)
    assert [row.fate for row in traced.coverage] == ["exact linear", "converted", "exact linear"]


@pytest.mark.parametrize("form", ["no shift", "both signs"])
def test_other_roundings_are_refused_by_name(form):
    with pytest.raises(UnsupportedOpError, match=r"floor: rounds, but not as .*QCFS"):
        trace(network(1.0, form=form), (16,))


@pytest.mark.parametrize("levels", [2, 4, 8])
def test_one_layer_is_reproduced_after_as_many_steps_as_levels(levels):
    """Closed form: after T = L steps at constant drive the count is min(max(floor(L x / lam + 1/2), 0), L)."""
    module, x = network(0.4, levels=levels), samples()
    conversion = convert(trace(module, (16,)), x, ConvertConfig(**IF, rule="max", v_threshold=1.0))
    (site,) = conversion.snn.sites.values()
    assert float(site.threshold.max()) == pytest.approx(0.4) and site.neuron.v_threshold == 0.5
    counts = simulate(conversion.snn, x, levels).counts
    drive = module[0](x).detach().double() * levels / 0.4 + 0.5
    clear = (drive - drive.round()).abs() > 0.01  # no tie that the lattice of the weights could turn
    assert clear.double().mean() > 0.9
    (count,) = counts.values()
    assert torch.equal(count.double()[clear], drive.floor().clamp(0, levels)[clear])
    assert "(QCFS) keep their own thresholds" in " ".join(conversion.notes)


def test_deeper_networks_come_close():
    module, x = network(0.4, 0.3, 0.3, levels=8), samples(256)
    conversion = convert(trace(module, (16,)), x, ConvertConfig(**IF))
    expected = module(x).detach().double()
    errors = {
        t: float((simulate(conversion.snn, x, t).output[-1] - expected).norm() / expected.norm()) for t in (8, 64)
    }
    assert errors[8] < 0.15
    again = simulate(from_bytes(to_bytes(conversion.snn)), x, 8)
    assert torch.equal(again.output, simulate(conversion.snn, x, 8).output)


def test_the_exact_recipe_keeps_the_levels_of_the_training():
    module, x = network(0.5, 0.25, levels=4), samples()
    conversion = convert(trace(module, (16,)), x, ConvertConfig(neuron="if", recipe="exact", exact_levels=15))
    assert {site.neuron.highest for site in conversion.snn.sites.values()} == {4}
    settled, analog = simulate_exact(conversion.snn, x), run(conversion.folded, x.double())
    assert bool(settled.certified.all())
    close = (settled.output - analog).abs().amax(1) < 1e-3  # but for ties that the lattice of the weights turns
    assert close.double().mean() > 0.9


def test_thresholds_from_weights_alone_are_the_trained_ones():
    conversion = convert(trace(network(0.5), (16,)), None, ConvertConfig(**IF))
    (threshold,) = conversion.thresholds.values()
    assert float(threshold.value.max()) == pytest.approx(0.5)
