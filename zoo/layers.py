"""Layers that `torch.nn` does not have, and one group of layers that several networks share.

`ResidualBlock` is that of He et al. (CVPR 2016, section 3), `PatchEmbedding` and `MeanOfTokens` make tokens of an
image after Dosovitskiy et al. (ICLR 2021, section 3.1) and take their mean, and `QuantisedClip` is the activation of
Bu et al. (Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking neural networks, ICLR 2022,
section 3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["MeanOfTokens", "PatchEmbedding", "QuantisedClip", "ResidualBlock", "convolution"]


def convolution(
    inputs: int, outputs: int, activation: type[nn.Module], stride: int = 1, kernel: int = 3, groups: int = 1
) -> tuple[nn.Module, ...]:
    """Convolution that keeps the size at stride 1, batch norm (which carries the bias), activation."""
    return (
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    )


class ResidualBlock(nn.Module):
    """y = ReLU(F(x) + x) with F two 3x3 convolutions; a 1x1 convolution on the way of x where the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """`stride` of the first convolution, 1 or 2."""
        super().__init__()
        self.first = nn.Sequential(*convolution(inputs, outputs, nn.ReLU, stride))
        self.second = nn.Sequential(*convolution(outputs, outputs, nn.Identity))
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


class QuantisedClip(nn.Module):
    """QCFS: y = lam / L clip(floor(L x / lam + 1/2), 0, L), with one trained `lam` for the layer and L `levels`.

    An integrate-and-fire neuron with threshold lam that starts at lam / 2 has this rate, exactly, after L steps at a
    constant drive. Gradients pass the rounding unchanged (straight-through estimator).
    """

    def __init__(self, levels: int = 4, lam: float = 4.0) -> None:
        """`lam` is where training begins, unless it is fitted to data before."""
        super().__init__()
        self.levels = levels
        self.lam = nn.Parameter(torch.tensor(lam))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, kept."""
        if self.training:
            trained: Tensor = _Rounded.apply(x, self.lam, self.levels)  # type: ignore[no-untyped-call]
            return trained
        return torch.floor(torch.clamp(x / self.lam, 0, 1) * self.levels + 0.5) / self.levels * self.lam


class _Rounded(torch.autograd.Function):
    """The activation with its gradients in closed form: one pass each, where autograd would keep every step.

    With u = clip(x / lam, 0, 1), r = floor(L u + 1/2) / L and y = lam r: dy/dx = 1 where 0 < u < 1, else 0, and
    dy/dlam = r - u dy/dx.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, lam: Tensor, levels: int) -> Tensor:
        u = (x / lam).clamp_(0, 1)
        r = (u * levels).add_(0.5).floor_().div_(levels)
        ctx.save_for_backward(u, r)
        return r * lam

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        u, r = ctx.saved_tensors
        passed = gradient * ((u > 0) & (u < 1))
        return passed, (gradient * r - passed * u).sum(), None
