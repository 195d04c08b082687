"""The networks that are measured: those of the zoo, and some that exist for their shape alone.

mlp-A-B-...-Z   a perceptron with ReLU, random weights; Fashion-MNIST where A is 784, digits where A is 64, else noise
vgg16-32x32     thirteen 3x3 convolutions with batch norm and ReLU in the places of VGG-16 (configuration D of Simonyan
                and Zisserman, ICLR 2015), average in place of max pooling, two linear layers in place of three; random
                weights, noise, batch norms calibrated on it
vgg16-224x224, resnet18-224x224
                the networks of ImageNet, with batch norm; random weights and noise likewise

Random weights are drawn as He et al. (ICCV 2015) do, so activations keep their size from layer to layer. Such a network
classifies nothing; the time it takes and its firing rate are all that is meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

import zoo
from evaluate.benchmarks.architectures import perceptron, resnet18, vgg16
from evaluate.errors import BenchmarkError

__all__ = ["VGG", "Subject", "default_batch", "open_subject", "width_of", "with_width"]

VGG = "vgg16-32x32"

_CALIBRATION = 64
"""Samples that set the thresholds."""

_BATCHES = {VGG: 4, "digits-relu": 256, "digits-tanh": 256, "vgg16-224x224": 1, "resnet18-224x224": 1}
_PERCEPTRON = re.compile(r"mlp(-[1-9]\d{0,4}){3,}")
_DATA = {64: "digits", 784: "fashion-mnist"}
_PASSES = 4
"""Over the noise, until the running statistics of batch norms have settled."""


@dataclass(frozen=True)
class _Images:
    """A network for images of noise.

    Parameters
    ----------
    size, calibration : int
        Height and width of an image; how many set batch norms and thresholds.
    """

    make: Callable[[], nn.Sequential]
    size: int
    calibration: int = _CALIBRATION


_IMAGES = {
    VGG: _Images(partial(vgg16, nn.AvgPool2d, (512, 512, 10)), 32),
    "vgg16-224x224": _Images(partial(vgg16, nn.MaxPool2d, (25088, 4096, 4096, 1000)), 224, 4),
    "resnet18-224x224": _Images(resnet18, 224, 4),
}


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with samples.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    calibration, x : Tensor (samples, *sample shape)
        What sets the thresholds, and what is simulated: no sample is in both.
    weights, data : str
        Where they come from, for the table.
    """

    name: str
    module: nn.Module
    calibration: Tensor
    x: Tensor
    weights: str
    data: str


def default_batch(name: str) -> int:
    """A batch that suits the network `name`: about a millisecond or more of the ANN, and the cache is not left.

    Raises
    ------
    BenchmarkError
        There is no such network.
    """
    if _PERCEPTRON.fullmatch(name):
        return 256
    if name not in (*_IMAGES, *zoo.names()):
        raise BenchmarkError(
            f"--networks: got {name!r}; expected {', '.join((*zoo.names(), *_IMAGES))} or a perceptron such as "
            "mlp-784-1200-1200-10"
        )
    return _BATCHES.get(name, 16)


def width_of(name: str) -> int | None:
    """Neurons of every hidden layer of a perceptron, None where they differ and for other networks.

    >>> width_of("mlp-784-1200-1200-10"), width_of("mlp-784-300-100-10"), width_of("digits-relu")
    (1200, None, None)
    """
    hidden = set(_sizes(name)[1:-1]) if _PERCEPTRON.fullmatch(name) else set()
    return hidden.pop() if len(hidden) == 1 else None


def with_width(name: str, width: int) -> str:
    """The perceptron `name` with hidden layers of another width.

    >>> with_width("mlp-784-1200-1200-10", 300)
    'mlp-784-300-300-10'
    """
    first, *hidden, last = _sizes(name)
    return "-".join(["mlp", *map(str, (first, *[width] * len(hidden), last))])


def open_subject(name: str, batch: int, seed: int = 0) -> Subject:
    """The network `name` with `batch` samples.

    Raises
    ------
    BenchmarkError
        There is no such network, or there are fewer samples.
    zoo.ZooError
        Its weights or data are missing.
    """
    default_batch(name)
    if name in _IMAGES:
        return _of_images(name, batch, seed)
    if _PERCEPTRON.fullmatch(name):
        return _perceptron(name, batch, seed)
    network = zoo.load(name)
    calibration, x = _from_dataset(network.data, batch, seed)
    return Subject(name, network.module.eval(), calibration, x, "trained", network.data)


def _sizes(name: str) -> list[int]:
    return [int(part) for part in name.split("-")[1:]]


def _perceptron(name: str, batch: int, seed: int) -> Subject:
    sizes = _sizes(name)
    module = _drawn(partial(perceptron, sizes), seed)
    data = _DATA.get(sizes[0])
    if data is None:
        noise = torch.rand(_CALIBRATION + batch, sizes[0], generator=torch.Generator().manual_seed(seed + 1))
        return Subject(name, module, noise[:_CALIBRATION], noise[_CALIBRATION:], "random", "uniform noise")
    calibration, x = _from_dataset(data, batch, seed)
    return Subject(name, module, calibration, x, "random", data)


def _of_images(name: str, batch: int, seed: int) -> Subject:
    kind = _IMAGES[name]
    module = _drawn(kind.make, seed)
    shape = (kind.calibration + batch, 3, kind.size, kind.size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1)).clamp(0, 3)
    seen, x = noise[: kind.calibration], noise[kind.calibration :]
    module.train()
    with torch.no_grad():
        for _ in range(_PASSES):
            module(seen)
    return Subject(name, module.eval(), seen, x, "random", "normal noise in [0, 3]")


def _drawn(make: Callable[[], nn.Sequential], seed: int) -> nn.Sequential:
    """A network with weights of variance 2 / inputs, drawn from the seed alone, and without biases."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # torch draws weights of its own, which are not kept
        module = make()
        for layer in module.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                layer.weight.normal_(0, math.sqrt(2 / layer.weight[0].numel()), generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
    return module.eval()


def _from_dataset(spec: str, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    dataset = zoo.open_dataset(spec)
    scored = dataset.scored(batch).x
    if len(scored) < batch:
        raise BenchmarkError(f"--batch: got {batch}; expected at most {len(scored)}, the test samples of {spec}")
    return dataset.calibration(_CALIBRATION, seed).x, scored
