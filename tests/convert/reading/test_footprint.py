"""What a network may ask for before anything of it is computed, and what the comparison after it finds."""

import pytest
import torch
from torch import nn

from convert.errors import GraphError, InputShapeError, NonFiniteWeightError
from convert.reading import footprint
from convert.reading.captured import capture, export
from convert.reading.probes import probes, verify
from convert.reading.tracing import trace


def captured(module, *shape):
    return capture(export(module.eval(), torch.zeros(7, *shape), "net"), 7)


def test_the_most_values_alive_at_once_by_hand():
    """Input 8, first 100, second 200, sum of both 100 + 200 + 100: the sum's inputs live until it is made."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 100), nn.Linear(100, 100)

        def forward(self, x):
            x = self.a(x)
            return x + self.b(x)

    held, largest = footprint._held(captured(Net(), 8))
    assert held == 7 * (100 + 100 + 100)
    assert largest.meta["val"].shape == (7, 100)


@pytest.mark.parametrize(("module", "shape", "products"), [
    (nn.Linear(8, 5), (8,), 8 * 5),
    (nn.Conv2d(4, 6, 3, groups=2), (4, 10, 10), 6 * 8 * 8 * 2 * 9),
    (nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2)), (8,), 8 * 5 + 5 * 2),
])  # fmt: skip
def test_products_by_hand(module, shape, products):
    assert footprint._products(captured(module, *shape)) == 7 * products


def test_a_network_that_fits_only_sample_by_sample_is_tried_so(monkeypatch):
    module = nn.Sequential(nn.Linear(8, 100), nn.ReLU())
    monkeypatch.setattr(footprint, "MOST_VALUES", 3 * 250)
    assert footprint.affordable_batch(captured(module, 8), "net") == 3
    monkeypatch.setattr(footprint, "MOST_VALUES", 250)
    assert footprint.affordable_batch(captured(module, 8), "net") == 1
    monkeypatch.setattr(footprint, "MOST_VALUES", 150)
    with pytest.raises(InputShapeError, match=r"net: 0: linear gives samples of shape \(100,\).* hold 200 values at"):
        footprint.affordable_batch(captured(module, 8), "net")


def test_nothing_runs_before_the_bound(monkeypatch):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.real = nn.Linear(8, 8), []

        def forward(self, x):
            if not isinstance(x, torch._subclasses.FakeTensor):
                self.real.append(x.shape)
            return torch.relu(self.layer(x))

    net = Net()
    monkeypatch.setattr(footprint, "MOST_VALUES", 1)
    with pytest.raises(InputShapeError, match="at most 1"):
        trace(net, (8,))
    assert net.real == []


@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20)])
def test_samples_beyond_the_bound_are_refused(shape):
    with pytest.raises(InputShapeError, match="expected at most"):
        trace(nn.ReLU(), shape)


def test_samples_have_several_sizes_in_every_batch():
    x, sizes = probes(7, (1000,))
    assert set(sizes.tolist()) == {torch.tensor(0.1).item(), 1.0, 10.0, 1000.0}
    torch.testing.assert_close(x.std(1), sizes, rtol=0.1, atol=0)
    assert float(probes(7, (5,), largest=10.0)[1].max()) == 10.0


@pytest.mark.parametrize("batch", [1, 3, 7])
@pytest.mark.parametrize("layers", [0, 3])
def test_relu6_read_as_relu_is_found(batch, layers):
    """Weights are drawn here, after the seed: a front drawn with other numbers may never pass 6, and hide the error."""
    torch.manual_seed(0)
    front = nn.Sequential(*(layer for _ in range(layers) for layer in (nn.Linear(6, 6), nn.ReLU())))
    right = nn.Sequential(front, nn.ReLU6(), nn.Linear(6, 3)).eval()
    wrong = nn.Sequential(front, nn.ReLU(), right[2]).eval()
    graph = trace(wrong, (6,)).graph
    verify(graph, (), wrong, batch, "net")
    with pytest.raises(GraphError, match="changes what it computes"):
        verify(graph, (), right, batch, "net")


def test_small_samples_find_a_small_constant():
    """A shift of 1e-5 is nothing beside samples of unit size, and 1e-4 of those of a tenth."""
    graph = trace(nn.ReLU(), (4,)).graph
    with pytest.raises(GraphError, match="changes what it computes"):
        verify(graph, (), lambda x: torch.relu(x) + 1e-4, 7, "net")


def test_a_network_that_fails_on_numbers_is_a_named_error():
    def fails(x):
        raise RuntimeError("same dtype, please")

    with pytest.raises(GraphError, match=r"net: fails on random samples of shape .4,.: same dtype"):
        verify(trace(nn.ReLU(), (4,)).graph, (), fails, 7, "net")


def test_weights_that_are_not_finite_name_their_file():
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    module[0].weight.data[0, 0] = float("nan")
    with pytest.raises(NonFiniteWeightError, match=r"^net\.pt: .*0\.weight \(1 of 12\)"):
        trace(module, (4,), "net.pt")


@pytest.mark.parametrize(("layer", "kinds"), [
    (nn.Hardtanh(-float("inf"), float("inf")), ["Input", "Linear", "Identity", "Relu"]),
    (nn.Hardtanh(0.0, float("inf")), ["Input", "Linear", "Relu", "Relu"]),
])  # fmt: skip
def test_a_clamp_that_is_open_is_what_it_computes(layer, kinds):
    graph = trace(nn.Sequential(nn.Linear(4, 3), layer, nn.ReLU()), (4,)).graph
    assert [node.kind for node in graph] == kinds
