"""Networks of known shape with random weights: they classify nothing, and only what they cost is meant."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

__all__ = ["perceptron", "resnet18", "vgg16"]

_VGG_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_RESNET_WIDTHS = (64, 128, 256, 512)


def perceptron(sizes: list[int]) -> nn.Sequential:
    """Linear layers of the given sizes, with ReLU between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def vgg16(pool: type[nn.AvgPool2d] | type[nn.MaxPool2d], head: tuple[int, ...]) -> nn.Sequential:
    """Thirteen 3x3 convolutions with batch norm (configuration D of Simonyan and Zisserman, ICLR 2015).

    Parameters
    ----------
    head : tuple of int
        Sizes of the linear layers, from the flat image to the classes.
    """
    layers: list[nn.Module] = []
    channels = 3
    for width, convolutions in _VGG_STAGES:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(pool(2))
    return nn.Sequential(*layers, *perceptron(list(head)))


class _Block(nn.Module):
    """Two 3x3 convolutions and what goes past them."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.past: nn.Module = nn.Identity()
        if stride > 1 or before != width:
            self.past = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.past(x))


def resnet18() -> nn.Sequential:
    """The network of 18 layers of He et al. (CVPR 2016), for images of 224 x 224 and 1,000 classes."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    before = 64
    for width in _RESNET_WIDTHS:
        layers += [_Block(before, width, 1 if width == before else 2), _Block(width, width, 1)]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))
