"""The input of a spiking network: a constant current, or Poisson spikes from an explicit generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convert.lattice import INPUT_BITS, snap

__all__ = ["constant_current", "poisson_spikes"]


def constant_current(x: Tensor) -> Tensor:
    """`x` on the input's lattice (2^-16), in float64, where the first layer's sums are exact."""
    return snap(x, INPUT_BITS)


def poisson_spikes(x: Tensor, scale: float, steps: int, seed: int, samples: Sequence[int]) -> Tensor:
    """Signed Bernoulli spikes with probability |x| / scale per step: the Poisson code in discrete time.

    Parameters
    ----------
    x : Tensor (batch, *shape)
        Magnitudes above `scale` fire in every step.
    seed : int
    samples : sequence of int
        Number of each sample in its data set. Every sample draws from a generator of its own, so the spikes
        do not depend on the batch it is simulated in.

    Returns
    -------
    Tensor (steps, batch, *shape)
        Spikes -1, 0, 1 in float32.
    """
    trains = []
    for image, number in zip(x, samples, strict=True):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
        draw = torch.rand((steps, *image.shape), generator=generator, dtype=torch.float64)
        trains.append(torch.sign(image) * (draw < (image.double().abs() / scale)))
    return torch.stack(trains, dim=1).float()
