"""How the networks are built, each an `nn.Sequential`.

A multi-layer perceptron for the 8x8 digits, and a batch-normalised convolutional network for Fashion-MNIST, both for
any activation. They consist of `torch.nn` classes, so any reader of modules can take them; so do `mobile`, which has
depthwise-separable convolutions (Howard et al., MobileNets, arXiv:1704.04861, section 3.1), and `series`, which has 1-D
ones. `resnet20` has blocks of its own (He et al., CVPR 2016, section 4.2: 20 layers, widths 16, 32, 64; here with 1x1
convolutions where the width changes), and `vit` tokens (a vision transformer after Dosovitskiy et al., ICLR 2021,
section 3.1, with the mean of the tokens instead of a class token).
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from zoo.layers import MeanOfTokens, PatchEmbedding, ResidualBlock, convolution

__all__ = ["cnn", "mlp", "mobile", "resnet20", "series", "vit"]


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
        *convolution(1, 32, activation),
        pool(2),
        *convolution(32, 64, activation),
        *convolution(64, 64, activation),
        pool(2),
        *convolution(64, 128, activation),
        pool(2),
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, 256),
        activation(),
        nn.Dropout(0.3),
        nn.Linear(256, 10),
    )


def resnet20() -> nn.Sequential:
    """Residual network of 20 layers for samples of shape (1, 28, 28)."""
    widths = (16, 16, 32, 64)
    blocks = [
        ResidualBlock(widths[stage if i else stage - 1], widths[stage], 2 if stage > 1 and i == 0 else 1)
        for stage in (1, 2, 3)
        for i in range(3)
    ]
    return nn.Sequential(
        *convolution(1, 16, nn.ReLU), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


def mobile() -> nn.Sequential:
    """Depthwise-separable network for samples of shape (1, 28, 28): a 3x3 convolution of stride 2, then four pairs.

    A pair is a 3x3 convolution of each channel by itself and a 1x1 convolution; the second pair has stride 2.
    """
    pairs = [
        layer
        for inputs, outputs, stride in ((16, 32, 1), (32, 64, 2), (64, 128, 1), (128, 128, 1))
        for layer in (
            *convolution(inputs, inputs, nn.ReLU, stride, groups=inputs),
            *convolution(inputs, outputs, nn.ReLU, kernel=1),
        )
    ]
    return nn.Sequential(
        *convolution(1, 16, nn.ReLU, stride=2), *pairs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)
    )


def series() -> nn.Sequential:
    """1-D convolutional network for series of shape (1, 21), 3 classes."""
    layers = [
        layer
        for inputs, outputs in pairwise((1, 16, 32, 64))
        for layer in (
            nn.Conv1d(inputs, outputs, kernel_size=5, padding=2, bias=False),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.AvgPool1d(2),
        )
    ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 2, 3))


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
