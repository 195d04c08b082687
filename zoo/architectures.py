"""Which network is called what: its name, its data, the shape of its samples, and how it is built."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from zoo.errors import UnknownNetworkError
from zoo.layers import QuantisedClip
from zoo.nets import cnn, mlp, mobile, resnet20, series, vit

__all__ = ["ARCHITECTURES", "Architecture", "architecture", "build"]


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
    activation : str
        Its activation function.
    build : callable
        Makes the network with fresh weights, drawn from torch's current generator.
    """

    name: str
    data: str
    sample_shape: tuple[int, ...]
    description: str
    activation: str
    build: Callable[[], nn.Sequential]


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


def build(name: str) -> nn.Sequential:
    """The network called `name` with fresh weights, for files that hold weights only.

    On the command line of `python -m convert`: ``--arch "zoo.architectures:build('digits-relu')"``.
    """
    return architecture(name).build()


_SHAPES = {"digits": (1, 8, 8), "fashion-mnist": (1, 28, 28), "waveform": (1, 21)}

_MLP = "multi-layer perceptron 64-128-64-10"
_CNN = "convolutional network 32-64-64-128 + 256, batch norm, {} pooling"
_RESNET = "residual network of 20 layers, widths 16-32-64, batch norm"
_MOBILE = "depthwise-separable network 16-32-64-128-128, batch norm"
_VIT = "vision transformer, 16 patches of 7x7, width 64, 4 heads, 2 layers, layer norm"
_SERIES = "1-D convolutional network 16-32-64 for series, batch norm, average pooling"

_ROWS: tuple[tuple[str, str, str, str, Callable[[], nn.Sequential]], ...] = (
    ("digits-relu", "digits", _MLP, "ReLU", lambda: mlp(nn.ReLU)),
    ("digits-tanh", "digits", _MLP, "tanh", lambda: mlp(nn.Tanh)),
    ("digits-sigmoid", "digits", _MLP, "sigmoid", lambda: mlp(nn.Sigmoid)),
    ("fashion-cnn-relu", "fashion-mnist", _CNN.format("average"), "ReLU", lambda: cnn(nn.ReLU)),
    ("fashion-cnn-tanh", "fashion-mnist", _CNN.format("average"), "tanh", lambda: cnn(nn.Tanh)),
    ("fashion-cnn-max", "fashion-mnist", _CNN.format("max"), "ReLU", lambda: cnn(nn.ReLU, nn.MaxPool2d)),
    ("fashion-cnn-gelu", "fashion-mnist", _CNN.format("average"), "GELU", lambda: cnn(nn.GELU)),
    ("fashion-cnn-qcfs", "fashion-mnist", _CNN.format("average"), "QCFS of 4 levels", lambda: cnn(QuantisedClip)),
    ("fashion-resnet20", "fashion-mnist", _RESNET, "ReLU", resnet20),
    ("fashion-mobile", "fashion-mnist", _MOBILE, "ReLU", mobile),
    ("fashion-vit", "fashion-mnist", _VIT, "GELU", vit),
    ("waveform-cnn-relu", "waveform", _SERIES, "ReLU", series),
)

ARCHITECTURES: dict[str, Architecture] = {
    name: Architecture(name, data, _SHAPES[data], f"{described}, {activation} units", activation, build)
    for name, data, described, activation, build in _ROWS
}
