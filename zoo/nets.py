"""The architectures, each an `nn.Sequential`.

Two shapes, each once with ReLU and once with tanh: a multi-layer perceptron for the 8x8 digits, and a
batch-normalised convolutional network with average pooling for Fashion-MNIST (0.43 million parameters,
15.0 million multiply-accumulates a sample); the latter also with max pooling. They consist of `torch.nn` classes, so
any reader of modules can take them. `resnet20` has a class of its own for its blocks (He et al., CVPR 2016,
section 4.2: 20 layers, widths 16, 32, 64; here with 1x1 convolutions where the width changes), and `vit` for its
tokens (a vision transformer after Dosovitskiy et al., ICLR 2021, section 3.1, with the mean of the tokens instead of
a class token).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.errors import UnknownNetworkError

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "MeanOfTokens",
    "PatchEmbedding",
    "ResidualBlock",
    "architecture",
    "cnn",
    "mlp",
    "resnet20",
    "vit",
]


@dataclass(frozen=True)
class Architecture:
    """A network without weights.

    Parameters
    ----------
    name : str
        Name in the zoo.
    data : str
        Data set it is made for, as `zoo.datasets.open_dataset` reads it.
    sample_shape : tuple of int
        Shape of one sample, without the batch.
    description : str
        One sentence for people.
    build : callable
        Makes the network with fresh weights, drawn from torch's current generator.
    """

    name: str
    data: str
    sample_shape: tuple[int, ...]
    description: str
    build: Callable[[], nn.Sequential]


def mlp(activation: type[nn.Module]) -> nn.Sequential:
    """Perceptron 64-128-64-10 for samples of shape (1, 8, 8)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        activation(),
        nn.Linear(128, 64),
        activation(),
        nn.Linear(64, 10),
    )


def cnn(activation: type[nn.Module], pool: type[nn.Module] = nn.AvgPool2d) -> nn.Sequential:
    """Four convolutions and two linear layers for samples of shape (1, 28, 28)."""
    return nn.Sequential(
        *_convolution(1, 32, activation),
        pool(2),
        *_convolution(32, 64, activation),
        *_convolution(64, 64, activation),
        pool(2),
        *_convolution(64, 128, activation),
        pool(2),
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, 256),
        activation(),
        nn.Dropout(0.3),
        nn.Linear(256, 10),
    )


class ResidualBlock(nn.Module):
    """y = ReLU(F(x) + x) with F two 3x3 convolutions; a 1x1 convolution on the way of x where the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """`stride` of the first convolution, 1 or 2."""
        super().__init__()
        self.first = nn.Sequential(*_convolution(inputs, outputs, nn.ReLU, stride))
        self.second = nn.Sequential(*_convolution(outputs, outputs, nn.Identity))
        same = inputs == outputs and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        y: Tensor = self.activation(self.second(self.first(x)) + self.shortcut(x))
        return y


def resnet20() -> nn.Sequential:
    """Residual network of 20 layers for samples of shape (1, 28, 28)."""
    widths = (16, 16, 32, 64)
    blocks = [
        ResidualBlock(widths[stage if i else stage - 1], widths[stage], 2 if stage > 1 and i == 0 else 1)
        for stage in (1, 2, 3)
        for i in range(3)
    ]
    return nn.Sequential(
        *_convolution(1, 16, nn.ReLU), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


class PatchEmbedding(nn.Module):
    """Square patches of an image as tokens: a strided convolution, and a learned position for each token."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        """`size` of the image and `patch` in pixels, `width` of a token."""
        super().__init__()
        self.patches = nn.Conv2d(1, width, kernel_size=patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, size, size) to (batch, tokens, width)."""
        tokens: Tensor = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return tokens


class MeanOfTokens(nn.Module):
    """The mean over all tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) to (batch, width)."""
        return x.mean(1)


def vit(width: int = 64, heads: int = 4, layers: int = 2) -> nn.Sequential:
    """Vision transformer of 16 patches of 7x7 pixels, for samples of shape (1, 28, 28)."""
    blocks = [
        nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        for _ in range(layers)
    ]
    return nn.Sequential(
        PatchEmbedding(28, 7, width), *blocks, nn.LayerNorm(width), MeanOfTokens(), nn.Linear(width, 10)
    )


def architecture(name: str) -> Architecture:
    """The architecture called `name`.

    Raises
    ------
    UnknownNetworkError
        No such name; the message lists those there are.

    Examples
    --------
    >>> architecture("digits-relu").sample_shape
    (1, 8, 8)
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    near = difflib.get_close_matches(name, ARCHITECTURES, n=1)
    hint = f"did you mean {near[0]}?" if near else "see python -m zoo list"
    raise UnknownNetworkError(f"network {name!r}: not in the zoo\nexpected one of: {', '.join(ARCHITECTURES)}\n{hint}")


def _convolution(inputs: int, outputs: int, activation: type[nn.Module], stride: int = 1) -> tuple[nn.Module, ...]:
    """3x3 convolution that keeps the size at stride 1, batch norm (which carries the bias), activation."""
    return (
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    )


_MLP = "multi-layer perceptron 64-128-64-10, {} hidden units"
_CNN = "convolutional network 32-64-64-128 + 256, batch norm, {} pooling, {} units"
_RESNET = "residual network of 20 layers, widths 16-32-64, batch norm, ReLU units"
_VIT = "vision transformer, 16 patches of 7x7, width 64, 4 heads, 2 layers, layer norm, GELU units"

ARCHITECTURES: dict[str, Architecture] = {
    entry.name: entry
    for entry in (
        Architecture("digits-relu", "digits", (1, 8, 8), _MLP.format("ReLU"), lambda: mlp(nn.ReLU)),
        Architecture("digits-tanh", "digits", (1, 8, 8), _MLP.format("tanh"), lambda: mlp(nn.Tanh)),
        Architecture(
            "fashion-cnn-relu", "fashion-mnist", (1, 28, 28), _CNN.format("average", "ReLU"), lambda: cnn(nn.ReLU)
        ),
        Architecture(
            "fashion-cnn-tanh", "fashion-mnist", (1, 28, 28), _CNN.format("average", "tanh"), lambda: cnn(nn.Tanh)
        ),
        Architecture(
            "fashion-cnn-max",
            "fashion-mnist",
            (1, 28, 28),
            _CNN.format("max", "ReLU"),
            lambda: cnn(nn.ReLU, nn.MaxPool2d),
        ),
        Architecture("fashion-resnet20", "fashion-mnist", (1, 28, 28), _RESNET, resnet20),
        Architecture("fashion-vit", "fashion-mnist", (1, 28, 28), _VIT, vit),
    )
}
