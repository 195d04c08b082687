"""The architectures: plain `nn.Sequential` of `torch.nn` classes, so any reader of modules can take them.

Two shapes, each once with ReLU and once with tanh: a multi-layer perceptron for the 8x8 digits, and a
batch-normalised convolutional network with average pooling for Fashion-MNIST (0.43 million parameters,
15.0 million multiply-accumulates a sample).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from zoo.errors import UnknownNetworkError

__all__ = ["ARCHITECTURES", "Architecture", "architecture", "cnn", "mlp"]


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


def cnn(activation: type[nn.Module]) -> nn.Sequential:
    """Four convolutions and two linear layers for samples of shape (1, 28, 28)."""
    return nn.Sequential(
        *_convolution(1, 32, activation),
        nn.AvgPool2d(2),
        *_convolution(32, 64, activation),
        *_convolution(64, 64, activation),
        nn.AvgPool2d(2),
        *_convolution(64, 128, activation),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, 256),
        activation(),
        nn.Dropout(0.3),
        nn.Linear(256, 10),
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


def _convolution(inputs: int, outputs: int, activation: type[nn.Module]) -> tuple[nn.Module, ...]:
    """3x3 convolution that keeps the size, batch norm (which carries the bias), activation."""
    return (
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    )


_MLP = "multi-layer perceptron 64-128-64-10, {} hidden units"
_CNN = "convolutional network 32-64-64-128 + 256, batch norm, average pooling, {} units"

ARCHITECTURES: dict[str, Architecture] = {
    entry.name: entry
    for entry in (
        Architecture("digits-relu", "digits", (1, 8, 8), _MLP.format("ReLU"), lambda: mlp(nn.ReLU)),
        Architecture("digits-tanh", "digits", (1, 8, 8), _MLP.format("tanh"), lambda: mlp(nn.Tanh)),
        Architecture("fashion-cnn-relu", "fashion-mnist", (1, 28, 28), _CNN.format("ReLU"), lambda: cnn(nn.ReLU)),
        Architecture("fashion-cnn-tanh", "fashion-mnist", (1, 28, 28), _CNN.format("tanh"), lambda: cnn(nn.Tanh)),
    )
}
