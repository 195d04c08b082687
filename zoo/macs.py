"""Dense multiply-accumulates of a network for one sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["macs"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


def macs(module: nn.Module, sample_shape: tuple[int, ...]) -> int:
    """Products with a weight or of two activations, batch norm folded, for one sample of `sample_shape`.

    Linear layers and attention are counted by torch's own counter. A convolution is counted at its borders too, where
    a window reaches beyond the input: what falls on padding is no product.

    Examples
    --------
    >>> macs(nn.Linear(3, 2), (3,)), macs(nn.Conv1d(1, 1, 3, padding=1), (1, 5))
    (6, 13)
    """
    convolved = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        nonlocal convolved
        convolved += _at_borders(layer, inputs[0])

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, _CONVOLUTIONS)]
    try:
        # Fused attention is not counted on a CPU, its products are.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            module(torch.zeros(1, *sample_shape))
    finally:
        for hook in hooks:
            hook.remove()
    found = counter.get_flop_counts().get("Global", {})
    others = sum(flops for operator, flops in found.items() if "convolution" not in str(operator))
    return others // 2 + convolved


def _at_borders(layer: nn.Module, x: Tensor) -> int:
    """Pairs of a weight and an input value that meet: a convolution of ones by ones."""
    assert isinstance(layer, _CONVOLUTIONS)
    convolve = nn.functional.conv1d if isinstance(layer, nn.Conv1d) else nn.functional.conv2d
    ones = torch.ones(1, 1, *layer.kernel_size)
    taps = convolve(torch.ones(1, 1, *x.shape[2:]), ones, None, layer.stride, layer.padding, layer.dilation)
    return int(taps.sum()) * layer.out_channels * (layer.in_channels // layer.groups)
