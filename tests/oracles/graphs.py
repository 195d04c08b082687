"""Random graphs: a list of words and a seed become a network in float64, for tests that shrink well."""

from __future__ import annotations

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.ir import Graph, Node, Op
from convert.graph.semantics import infer_shape

WORDS = (
    "conv", "strided", "grouped", "dilated", "norm", "relu", "relu6", "tanh", "hardtanh", "max", "overlapping max",
    "average", "padded average", "average without padding", "adaptive even", "adaptive odd", "drop", "remember",
    "add", "concat", "gain", "plane gain", "border", "reflected border", "rolled border", "cropped", "turned",
    "channels last", "refolded", "leaky", "gelu", "sigmoid",
)  # fmt: skip


class Growing:
    """A graph in the making; every method appends nodes and moves `head` on."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.nodes = [Node("input", ir.Input(shape), (), shape, "input")]
        self.head = "input"
        self.remembered: list[str] = []

    def shape(self, name: str | None = None) -> tuple[int, ...]:
        return next(n.shape for n in self.nodes if n.name == (name or self.head))

    def random(self, *size: int) -> Tensor:
        return torch.randn(size, generator=self.generator, dtype=torch.float64)

    def uniform(self, *size: int) -> Tensor:
        return torch.rand(size, generator=self.generator, dtype=torch.float64)

    def append(self, op: Op, *inputs: str) -> None:
        inputs = inputs or (self.head,)
        name = f"{type(op).__name__.lower()}_{len(self.nodes)}"
        shape = infer_shape(op, *(self.shape(i) for i in inputs))
        self.nodes.append(Node(name, op, inputs, shape, f"place.{name}"))
        self.head = name

    def conv(self, stride: int = 1, groups: int = 1, dilation: int = 1) -> None:
        channels, *spatial = self.shape()
        out = 2 * groups
        kernel = 3 if min(spatial) + 2 > 2 * dilation else 1
        padding = dilation if kernel == 3 else 0
        rank = len(spatial)
        weight = self.random(out, channels // groups, *[kernel] * rank) / (channels // groups * kernel**rank) ** 0.5
        bias = 0.2 * self.random(out) if torch.rand((), generator=self.generator) < 0.7 else None
        self.append(ir.Conv(weight, bias, (stride,) * rank, (padding,) * rank, (dilation,) * rank, groups))

    def linear(self, out: int, bias: bool = True) -> None:
        features = self.shape()[-1]
        weight = self.random(out, features) / features**0.5
        self.append(ir.Linear(weight, 0.2 * self.random(out) if bias else None))

    def norm(self) -> None:
        c = self.shape()[0]
        self.append(
            ir.BatchNorm(0.3 * self.random(c), 0.5 + self.uniform(c), self.random(c), 0.3 * self.random(c), 1e-5)
        )

    def grow(self, word: str) -> None:
        """Append what `word` says, where the present shape allows it."""
        shape = self.shape()
        spatial = shape[1:]
        rank, room = len(spatial), min(spatial, default=0)
        two, one, zero = (2,) * rank, (1,) * rank, (0,) * rank
        simple: dict[str, Op] = {
            "relu": ir.Relu(), "relu6": ir.Clamp(0.0, 6.0), "tanh": ir.Tanh(), "hardtanh": ir.Clamp(-1.0, 1.0),
            "drop": ir.Identity(), "leaky": ir.LeakyRelu(torch.tensor([0.125])), "gelu": ir.Curve("gelu"),
            "sigmoid": ir.Curve("sigmoid"),
        }  # fmt: skip
        pooling: dict[str, Op] = {
            "max": ir.MaxPool(two, two, zero, one),
            "overlapping max": ir.MaxPool((3,) * rank, one, one, one),
            "average": ir.AvgPool(two, two, zero),
            "padded average": ir.AvgPool((3,) * rank, two, one, ceil_mode=True),
            "average without padding": ir.AvgPool((3,) * rank, two, one, count_include_pad=False),
            "adaptive even": ir.AdaptiveAvgPool(tuple(n // 2 if n % 2 == 0 else 1 for n in spatial)),
            "adaptive odd": ir.AdaptiveAvgPool((2,) * rank),
            "border": ir.Pad((0, *one), (0, *two)),
            "reflected border": ir.Pad((0, *one), (0, *two), "reflect"),
            "rolled border": ir.Pad((0, *two), (0, *one), "circular"),
            "cropped": ir.Pad((0, *(-n for n in one)), (0, *zero)),
            "turned": ir.Permute((0, *range(rank, 0, -1))),
        }
        if word in simple:
            self.append(simple[word])
        elif word in pooling:
            if room >= 3:
                self.append(pooling[word])
        elif word == "conv":
            self.conv()
        elif word == "strided":
            self.conv(stride=2)
        elif word == "dilated":
            self.conv(dilation=2)
        elif word == "grouped":
            self.conv(groups=2 if shape[0] % 2 == 0 else 1)
        elif word == "norm":
            self.norm()
        elif word == "gain":
            self.append(ir.Affine(0.5 + self.uniform(shape[0], *one), 0.2 * self.random(shape[0], *one)))
        elif word == "plane gain":
            self.append(ir.Affine(0.5 + self.uniform(1, *spatial), 0.2 * self.random(1, *spatial)))
        elif word == "channels last":
            if room <= 8:
                self.append(ir.Permute((*range(1, rank + 1), 0)))
        elif word == "refolded":
            if spatial[0] * shape[0] <= 12:  # channels side by side: scales now differ from place to place
                self.append(ir.Reshape((1, shape[0] * spatial[0], *spatial[1:])))
        elif word == "remember":
            self.remembered.append(self.head)
        elif word == "add":
            if same := [n for n in self.remembered if self.shape(n) == shape]:
                self.append(ir.Add(), self.head, same[-1])
        elif word == "concat":
            if same := [
                n for n in self.remembered if self.shape(n)[1:] == spatial and self.shape(n)[0] + shape[0] <= 8
            ]:
                self.append(ir.Concat(0), self.head, same[-1])
        else:
            raise KeyError(word)

    def classify(self, outputs: int = 3) -> None:
        """Flatten, then a linear layer."""
        size = 1
        for n in self.shape():
            size *= n
        self.append(ir.Reshape((size,)))
        self.linear(outputs)

    def graph(self, output: str | None = None) -> Graph:
        return Graph(tuple(self.nodes), output or self.head)


def grown(words: list[str], seed: int, shape: tuple[int, ...] = (2, 6, 6), outputs: int | None = 3) -> Graph:
    """The graph that `words` describe; without `outputs` it ends where the words end."""
    growing = Growing(shape, seed)
    for word in words:
        growing.grow(word)
    if outputs is not None:
        growing.classify(outputs)
    return growing.graph()
