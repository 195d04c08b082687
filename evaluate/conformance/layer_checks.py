"""What must hold between neurons: scales, biases, borders, pooling, sums, silence.

Sums of outputs are those of the ANN times T wherever every neuron's own T z / lam is a whole number, no step brings
more than one threshold of charge, and no charge is negative: then each potential ends where it began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn

from evaluate.conformance.contract import Check
from evaluate.conformance.drives import calibration, column, linear

__all__ = ["LAYER_CHECKS"]

_T = 16
_ALL = tuple(k / _T for k in range(_T + 1))
_COUNTS = tuple(range(_T + 1))


def _chain(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*layers)


def _single(name: str, why: str, layers: Sequence[nn.Module], inputs: Sequence[float], sums: Sequence[Fraction | int],
            off: float = 0.0, on: float = 1.0) -> Check:  # fmt: skip
    """One input, one output."""
    return Check(name, why, _chain(*layers), calibration([off], [on]), column(inputs), _T, (tuple(sums),))


def _kernel(centre: float, edges: float, corners: float) -> nn.Conv2d:
    """A 3 x 3 convolution with a border of zeros."""
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    plus = torch.tensor([[corners, edges, corners], [edges, centre, edges], [corners, edges, corners]])
    with torch.no_grad():
        layer.weight.copy_(plus[None, None])
    return layer


def _borders() -> Check:
    """Weights 1/2 and eight times 1/16 on ones: 1 inside, 1/2 + 5/16 at an edge, 1/2 + 3/16 in a corner."""
    corner, edge, inside = 11, 13, 16
    sums = (corner, edge, edge, corner, *2 * (edge, inside, inside, edge), corner, edge, edge, corner)
    return Check("borders", "padding shifts all that is near the rim where it is filled with anything but silence",
                 _chain(_kernel(1 / 2, 1 / 16, 1 / 16), nn.ReLU(), nn.Flatten(), linear(torch.eye(16))),
                 _images(0.0, 1.0, 4), torch.ones(1, 1, 4, 4), _T, (sums,))  # fmt: skip


def _batch_norm() -> Check:
    """Weights 1/2 and four times 1/16 on ones, then (c - 1/4) / (2 * 1/2) + 1/2: 1 inside, 15/16 edge, 7/8 corner."""
    norm = nn.BatchNorm2d(1, eps=0.0)
    numbers = {"weight": 0.5, "bias": 0.5, "running_mean": 0.25, "running_var": 0.25}
    with torch.no_grad():
        for name, value in numbers.items():
            getattr(norm, name).fill_(value)
    layers = _chain(_kernel(1 / 2, 1 / 16, 0.0), norm, nn.ReLU(), nn.Flatten(), linear(torch.eye(9)))
    return Check("batch norm", "folded in the wrong order, or left to run on spikes", layers,
                 _images(-1.0, 1.0, 3), torch.ones(1, 1, 3, 3), _T,
                 ((14, 15, 14, 15, 16, 15, 14, 15, 14),))  # fmt: skip


def _images(off: float, on: float, size: int, channels: int = 1) -> Tensor:
    return calibration(torch.full((channels, size, size), off), torch.full((channels, size, size), on))


def _channels() -> Check:
    """Two channels with activations x and 4 x, every second pixel, then all four read with weights 1, 2, 4, 8."""
    first = nn.Conv2d(2, 2, 1, stride=2, groups=2, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([1.0, 4.0]).reshape(2, 1, 1, 1))
    x = torch.zeros(1, 2, 3, 3)
    x[0, :, ::2, ::2] = torch.tensor([[[0.25, 0.5], [0.75, 1.0]], [[1.0, 0.75], [0.5, 0.25]]])
    read = torch.cat([torch.tensor([1.0, 2, 4, 8]), torch.tensor([16.0, 32, 64, 128])])
    values = (0.25, 0.5, 0.75, 1.0, 4.0, 3.0, 2.0, 1.0)
    total = sum(Fraction(value) * 2**i for i, value in enumerate(values)) * _T
    return Check("channels", "a scale that lands on the wrong channel, or the wrong place behind a flatten",
                 _chain(first, nn.ReLU(), nn.Flatten(), linear([read.tolist()])), _images(0.0, 1.0, 3, 2), x, _T,
                 ((total,),))  # fmt: skip


def _pooled(
    name: str, why: str, pool: nn.Module, pixels: Sequence[int], total: int, more: Sequence[nn.Module]
) -> Check:
    """A window of four neurons with rates `pixels` / T."""
    relay = nn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        relay.weight.fill_(1.0)
    x = torch.tensor(pixels, dtype=torch.float32).reshape(1, 1, 2, 2) / _T
    layers = _chain(relay, nn.ReLU(), pool, nn.Flatten(), *more)
    return Check(name, why, layers, _images(0.0, 1.0, 2), x, _T, ((total,),))


class _Residual(nn.Module):
    """relu(h + relu(h) + relu(2 h)), h = relu(x): 4 x from branches whose thresholds are 1, 1 and 2."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.two, self.read = (linear([[w]]) for w in (1.0, 1.0, 2.0, 1.0))
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.relus[0](self.first(x))
        total = h + self.relus[1](self.one(h)) + self.relus[2](self.two(h))
        out: Tensor = self.read(self.relus[3](total))
        return out


class _Reused(nn.Module):
    """One `nn.ReLU` called twice, as residual blocks do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.read = linear(torch.eye(2)), linear(torch.eye(2))
        self.second = linear([[0.5, 0.5], [0.25, 0.75]])
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.read(self.relu(self.second(self.relu(self.first(x)))))
        return out


def _reused() -> Check:
    """Charges 5.75 and 8.75 in all leave a remainder that the second population must not find.

    With start 0 the first one fires 5 and 8 times, which brings charges 6.5 and 7.25 to the second: 6 and 7. With start
    1/2 it fires 6 and 9 times, charges 7.5 and 8.25: 8 and 8.
    """
    return Check("one ReLU, used twice", "two populations that share one state; torchvision's residual blocks do this",
                 _Reused, calibration([0.0, 0.0], [1.0, 1.0]), torch.tensor([[5.75, 8.75]]) / _T, _T,
                 ((6, 7), (8, 8)))  # fmt: skip


LAYER_CHECKS = (
    _single("bias", "a bias scaled like a weight, or given once instead of in every step",
            (linear([[0.5]], [0.5]), nn.ReLU(), linear([[1.0]])), [k / 8 - 1 for k in _COUNTS], _COUNTS, off=-1.0),
    # a = 4 x, z = a / 2 - 1: net charge 2 x - 1 a step, 0 below x = 1/2; at 3/4 and 1 it repeats every four steps
    _single("bias behind a scale", "a bias divided by the threshold of the layer before it as well",
            (linear([[4.0]]), nn.ReLU(), linear([[0.5]], [-1.0]), nn.ReLU(), linear([[1.0]])), (0.25, 0.75, 1.0),
            (0, 8, 16)),
    _single("bias of the read-out", "added once, or scaled: small rates then lose to it, or drown it",
            (linear([[1.0]]), nn.ReLU(), linear([[1.0]], [0.25])), (0.0, 0.5), (4, 12)),
    _single("scales", "thresholds 4, 1/2 and 2 in a row: each must cancel with the next",
            (linear([[4.0]]), nn.ReLU(), linear([[0.125]]), nn.ReLU(), linear([[4.0]]), nn.ReLU(), linear([[1.0]])),
            _ALL, [2 * k for k in _COUNTS]),
    _channels(),
    _batch_norm(),
    _borders(),
    _pooled("average pooling", "the mean of spikes is graded charge: it must reach the next neuron whole",
            nn.AvgPool2d(2), (4, 8, 12, 16), 10, (linear([[1.0]]), nn.ReLU(), linear([[1.0]]))),
    _pooled("max pooling", "the largest of spikes is not the largest of rates: the union of two trains is faster",
            nn.MaxPool2d(2), (8, 6, 0, 0), 8, (linear([[1.0]]),)),
    Check("residual", "branches with different thresholds meet: their spikes are not worth the same",
          _Residual, calibration([0.0], [1.0]), column(_ALL), _T, (tuple(4 * k for k in _COUNTS),)),
    _reused(),
    Check("silent channel", "a threshold of zero divides by zero, and the result is not finite",
          _chain(linear([[1.0], [-1.0]]), nn.ReLU(), linear(torch.eye(2))), calibration([0.0], [1.0]),
          column([0.5, 1.0]), _T, ((8, 0, 16, 0),)),
    Check("silent layer", "the same for a whole layer: the bias of the read-out is left, or nothing can be said",
          _chain(linear([[-1.0]]), nn.ReLU(), linear([[1.0]], [0.5])), calibration([0.0], [1.0]), column([0.5, 1.0]),
          _T, ((8, 8),), refusal=True),
    _single("dropout", "is the identity after training, and takes spikes at random where it is left switched on",
            (linear([[1.0]]), nn.ReLU(), nn.Dropout(0.5), linear([[1.0]])), _ALL, _COUNTS),
)  # fmt: skip
"""In the order of the table."""
