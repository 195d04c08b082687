"""Small `nn.Module`s of every kind that the converter reads, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """y = relu(x + conv(relu(conv(x)))), twice, then a classifier: identity paths through ReLU sums."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.first = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.second = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for first, second in zip(self.first, self.second, strict=True):
            x = F.relu(x + second(F.relu(first(x))))
        return self.head(x.mean([2, 3]))


class Branches(nn.Module):
    """Two branches of different width, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.wide, self.narrow = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)
        self.head = nn.Linear(6 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = torch.cat([F.relu(self.wide(x)), F.relu(self.narrow(x))], dim=1)
        return self.head(F.avg_pool2d(x, 2).flatten(1))


def _head(features: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(features, 3)]


Layers = Callable[[], nn.Module]

NETWORKS: dict[str, tuple[Layers, tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 3)), (8,)),
    "mlp without bias": (
        lambda: nn.Sequential(nn.Linear(8, 12, bias=False), nn.ReLU(), nn.Linear(12, 3, bias=False)), (8,)),
    "relu6": (lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU6(), nn.Linear(12, 3)), (8,)),
    "tanh": (lambda: nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 3)), (8,)),
    "hard tanh": (lambda: nn.Sequential(nn.Linear(8, 12), nn.Hardtanh(), nn.Linear(12, 3)), (8,)),
    "ends with neurons": (lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3), nn.ReLU()), (8,)),
    "neurons first": (lambda: nn.Sequential(nn.ReLU(), nn.Linear(8, 3)), (8,)),
    "norm of the input": (
        lambda: nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 3, 3), nn.ReLU(), *_head(3 * 16)), (1, 6, 6)),
    "norm of neurons": (
        lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.BatchNorm1d(12), nn.Linear(12, 3)), (8,)),
    "conv1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), nn.AvgPool1d(2), nn.Conv1d(4, 3, 3), nn.ReLU(),
                              *_head(9)), (2, 10)),
    "max pool 1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.MaxPool1d(3, 2), *_head(12)), (2, 10)),
    "strided": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), *_head(36)), (1, 6, 6)),
    "grouped and dilated": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=2, dilation=2,
                              groups=2), nn.ReLU(), *_head(4 * 36)), (2, 6, 6)),
    "depthwise": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(),
                              nn.Conv2d(4, 2, 1), nn.ReLU(), *_head(32)), (1, 6, 6)),
    "conv norm average": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2),
                              nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *_head(4)), (1, 6, 6)),
    "average of the drive": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.AvgPool2d(3), nn.ReLU(), *_head(16)), (1, 6, 6)),
    "padded average": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(3, 2, 1), *_head(27)), (1, 6, 6)),
    "padded average, padding not counted": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(),
                              nn.AvgPool2d(2, 2, 1, count_include_pad=False), *_head(48)), (1, 6, 6)),
    "average in ceil mode": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True), *_head(27)), (1, 6, 6)),
    "average with a divisor": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2, divisor_override=3), *_head(12)),
        (1, 6, 6)),
    "adaptive average": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 6),
                              nn.ReLU(), nn.Linear(6, 3)), (1, 6, 6)),
    "adaptive average, uneven": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), *_head(48)),
        (1, 6, 6)),
    "max pool": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, padding=1),
                              nn.ReLU(), nn.MaxPool2d(3), *_head(4)), (1, 6, 6)),
    "max pool, overlapping": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 3, 3), nn.Tanh(),
                              *_head(12)), (1, 6, 6)),
    "max pool of the drive": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.ReLU(), *_head(12)),
        (1, 6, 6)),
    "max pool of the input": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 4, 2), nn.ReLU(), *_head(16)), (1, 6, 6)),
    "max pool after average": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.MaxPool2d(2, 1),
                              nn.Conv2d(3, 4, 2), nn.ReLU(), *_head(4)), (1, 6, 6)),
    "residual": (Residual, (1, 6, 6)),
    "concat": (Branches, (1, 6, 6)),
}  # fmt: skip


def network(name: str, seed: int = 0) -> tuple[nn.Module, tuple[int, ...]]:
    """The named network in evaluation mode, with weights from `seed`, and the shape of its samples."""
    layers, shape = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = layers()
        for layer in module.modules():
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                layer.running_mean.normal_(0.2, 0.2)
                layer.running_var.uniform_(0.3, 1.0)
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, 0.1, 0.1)
    return module.eval(), shape


def samples(shape: tuple[int, ...], count: int, seed: int = 1) -> Tensor:
    """`count` samples uniform in [0, 1)."""
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(seed))
