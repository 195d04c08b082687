"""Spikes as bit planes: one bit for each neuron, step and value.

A spike of value m is a bit in the plane worth m; see events.cpp for the layout. Where a layer is computed densely, the
planes are unpacked, and its spikes packed.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.graph.ir import AvgPool
from convert.simulation.events.library import kernel, team

__all__ = ["Planes", "geometry", "packed", "pooled", "words_of"]


_ENOUGH = 1 << 14
"""Words of which to count the bits."""


@dataclass(frozen=True, eq=False)
class Planes:
    """The spikes of a population in a block of steps.

    Parameters
    ----------
    bits : Tensor (planes, batch, height * width, steps, words) of int32
        A word holds 32 channels, the first in its lowest bit.
    levels : tuple of int
        Plane p is worth 2^levels[p] units, and
    negative : tuple of bool
        minus that, if negative[p].
    unit : float
        The least value of a spike, in quanta.
    shape : tuple of int
        Of one sample.
    """

    bits: Tensor
    levels: tuple[int, ...]
    negative: tuple[bool, ...]
    unit: float
    shape: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Steps of the block."""
        return self.bits.shape[3]

    def density(self, plane: int) -> float:
        """Which part of the bits of a plane is set, about: as among its first."""
        bits, library = self.bits[plane], kernel()
        assert library is not None  # there are planes
        words = min(bits.numel(), _ENOUGH)
        channels = geometry(self.shape)[0]
        return float(library.events_count(bits.data_ptr(), words)) / max(1, words * channels // bits.shape[-1])

    def unpacked(self) -> Tensor:
        """The values in quanta, (steps, batch, *shape) in float32, channels innermost in memory."""
        channels, height, width = geometry(self.shape)
        batch, library = self.bits.shape[1], kernel()
        assert library is not None  # there are planes
        values = torch.zeros((self.steps, batch, height * width, channels), dtype=torch.float32)
        for plane, level, negative in zip(self.bits, self.levels, self.negative, strict=True):
            worth = self.unit * 2.0**level * (-1 if negative else 1)
            library.events_unpack(plane.data_ptr(), self.steps, batch * height * width, channels, worth,
                                  values.data_ptr(), words_of(channels))  # fmt: skip
        image = values.unflatten(2, (height, width)).movedim(-1, 2)
        return image if len(self.shape) == 3 else image.reshape(self.steps, batch, *self.shape)

    def take_back(self, index: Tensor, kept: Tensor, sums: Tensor | None, numbers: Tensor) -> None:
        """Subtract the spikes that some samples have sent after the first few steps of the block.

        Parameters
        ----------
        index, kept : Tensor (n,) of int64
            The samples, and the steps of the block that count.
        sums : Tensor (n, height * width, 32 words) of float32
            Sums of values in quanta, or None.
        numbers : Tensor (height * width, 32 words) of float64
            Numbers of spikes of all of them.
        """
        library = kernel()
        assert library is not None  # there are planes
        _, _, places, steps, words = self.bits.shape
        for plane, level, negative in zip(self.bits, self.levels, self.negative, strict=True):
            worth = self.unit * 2.0**level * (-1 if negative else 1)
            library.events_take_back(plane.data_ptr(), steps, places, words, index.data_ptr(), kept.data_ptr(),
                                     len(index), worth, None if sums is None else sums.data_ptr(),
                                     numbers.data_ptr())  # fmt: skip


def geometry(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of a sample of `shape`.

    >>> geometry((8,)), geometry((8, 5))
    ((8, 1, 1), (8, 1, 5))
    """
    channels, *space = shape
    return (channels, *[1] * (2 - len(space)), *space)  # type: ignore[return-value]


def words_of(channels: int) -> int:
    """Words that hold so many channels."""
    return -(-channels // 32)


def packed(spikes: Tensor, values: tuple[float, ...], signed: bool) -> Planes:
    """The planes of spikes given as numbers.

    Parameters
    ----------
    spikes : Tensor (steps, batch, *shape)
    values : tuple of float
        Magnitudes 1, 1/2, ... that they have.
    """
    shape = tuple(spikes.shape[2:])
    channels, height, width = geometry(shape)
    steps, batch = spikes.shape[:2]
    rows = spikes.reshape(steps, batch, channels, height, width).movedim(2, -1).float().contiguous()
    worth = [*values, *(-v for v in values)] if signed else list(values)
    bits = torch.empty((len(worth), batch, height * width, steps, words_of(channels)), dtype=torch.int32)
    library = kernel()
    assert library is not None  # the caller has asked
    for plane, value in zip(bits, worth, strict=True):
        library.events_pack(rows.data_ptr(), steps, batch * height * width, channels, value,
                            plane.data_ptr(), words_of(channels))  # fmt: skip
    least = min(values)
    levels = tuple(round(math.log2(abs(v) / least)) for v in worth)
    return Planes(bits, levels, tuple(v < 0 for v in worth), least, shape)


def pooled(planes: Planes, op: AvgPool, shape: tuple[int, ...]) -> Planes:
    """Sums over windows: positive and negative spikes each as a binary number, bit by bit.

    Parameters
    ----------
    op : AvgPool
        With divisor 1: sum pooling.
    shape : tuple of int
        Of one sample of the result.
    """
    library = kernel()
    assert library is not None  # there are planes
    sums: list[Tensor] = []
    levels: list[int] = []
    negative: list[bool] = []
    (_, in_h, in_w), (_, out_h, out_w) = geometry(planes.shape), geometry(shape)
    kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w = (
        n for pair in (op.kernel, op.stride, op.padding) for n in ((1, *pair) if len(pair) == 1 else pair)
    )
    pad_h = 0 if len(op.padding) == 1 else pad_h
    _, batch, _, steps, words = planes.bits.shape
    for sign in sorted(set(planes.negative)):
        mine = [p for p, n in enumerate(planes.negative) if n == sign]
        most = kernel_h * kernel_w * sum(2 ** planes.levels[p] for p in mine)
        source = planes.bits[mine].contiguous() if len(mine) < len(planes.negative) else planes.bits
        out = torch.empty((most.bit_length(), batch, out_h * out_w, steps, words), dtype=torch.int32)
        in_levels = (ctypes.c_int32 * len(mine))(*(planes.levels[p] for p in mine))
        library.events_pool(
            source.data_ptr(), source.stride(0), in_levels, len(mine), out.data_ptr(), out.stride(0), len(out),
            batch, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, steps * words,
            torch.get_num_threads(), team(),
        )  # fmt: skip
        sums.append(out)
        levels += range(len(out))
        negative += [sign] * len(out)
    return Planes(torch.cat(sums) if len(sums) > 1 else sums[0], tuple(levels), tuple(negative), planes.unit, shape)
