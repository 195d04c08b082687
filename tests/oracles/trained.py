"""Small networks that tests train on digits, as the code that a user would have, and how they are saved."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convert.graph.semantics import run
from convert.reading.models import Model

NETS = '''
import torch
from torch import nn
import torch.nn.functional as F


class MyReLU(nn.ReLU):
    pass


class Mlp(nn.Module):
    """ModuleList, ModuleDict, a functional activation and a subclass of nn.ReLU."""

    def __init__(self, width=24, depth=2):
        super().__init__()
        sizes = [64] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.heads = nn.ModuleDict({"classes": nn.Linear(width, 10)})
        self.act = MyReLU()

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = F.relu(layer(x)) if i else self.act(layer(x))
        return self.heads["classes"](x)


class Cnn(nn.Module):
    """Batch norm, pooling, and one activation used twice."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.block = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.Dropout(0.2))
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.conv1(x))))
        x = self.act(self.block(x))
        return self.head(torch.flatten(x, 1))


def factory():
    return Mlp(24)


def broken():
    return 1 / 0


number = 3
'''

MLP, CNN = "nets.py:Mlp", "nets.py:Cnn"


SHAPES = {"mlp": (64,), "cnn": (1, 8, 8)}
ARCHS = {"mlp": MLP, "cnn": CNN}


def train(module: nn.Module, x: Tensor, y: Tensor, steps: int) -> nn.Module:
    """A few steps of Adam."""
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    for step in range(steps):
        rows = slice(64 * step % 1700, 64 * step % 1700 + 64)
        loss = nn.functional.cross_entropy(module(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module.eval()


def saved(tmp_path: Path, content: Any, **options: Any) -> Path:
    """The file that torch.save makes of `content`."""
    path = tmp_path / "file.pt"
    torch.save(content, path, **options)
    return path


def stack(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them."""
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), activation())]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(*layers[:-1]).eval()


def assert_computes(model: Model, module: nn.Module, shape: tuple[int, ...]) -> None:
    """The graph gives what the module gives."""
    x = torch.randn((5, *shape), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(run(model.traced(shape).graph, x), module(x))


def exported(folder: Path, module: nn.Module, *example: Tensor) -> Path:
    """The archive that torch.export makes of `module`."""
    path = folder / "net.pt2"
    torch.export.save(torch.export.export(module.eval(), example or (torch.zeros(1, 6),)), str(path))
    return path


class Two(nn.Module):
    """Two layers, and a function of them."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(6, 6), nn.Linear(6, 3), forward

    def forward(self, *x):
        return self.function(self, *x)
