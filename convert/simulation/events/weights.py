"""Connections to the kernel's weights: whole numbers, in tiles of neurons, a row for each synapse of a window.

The drive is counted in units of 2^-bits quanta, where `bits` is enough for every product of a weight and a spike's
value. A row of a tile holds the weights of 32 or 64 neurons. They are kept in 16 bits where at least two rows can be
added without leaving 16 bits, whichever they are: `together` says how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.lattice import fraction_bits
from convert.simulation.events.library import kernel
from convert.simulation.events.planes import geometry, words_of
from convert.simulation.events.wiring import Connection

__all__ = ["MOST_ROWS", "Part", "bits_of", "listed_level", "parts_of", "reach"]

MOST_ROWS = 65_000
"""Rows are numbered in 16 bits."""


@dataclass(frozen=True, eq=False)
class Part:
    """Neurons `first` .. `first + neurons - 1` of every place, with their weights.

    Parameters
    ----------
    rows : tuple of int
        For each connection, its first row.
    words : tuple of (int, int)
        For each connection, the words of channels that it reads: from, to.
    weight : Tensor (tiles, rows + 1, tile)
        The last row is zero.
    """

    first: int
    neurons: int
    tile: int
    weight: Tensor
    together: int
    rows: tuple[int, ...]
    words: tuple[tuple[int, int], ...]


def bits_of(connections: Sequence[Connection], units: Mapping[str, float]) -> int | None:
    """Fraction bits that hold every product of a weight and the least value of a spike; None where 30 are too few."""
    found = [fraction_bits(c.weight * units[c.source]) for c in connections]
    return None if any(b is None for b in found) else max((b or 0 for b in found), default=0)


def reach(connections: Sequence[Connection], most: Mapping[tuple[str, str | None], float]) -> float:
    """The largest drive that spikes can add up to; `most` says what one element of a source can be worth."""
    sums = [c.weight.abs().flatten(1).sum(1) * most[c.source, c.pool] for c in connections]
    return float(torch.stack(sums).sum(0).max()) if sums else 0.0


def parts_of(
    connections: Sequence[Connection], neurons: int, bits: int, units: Mapping[str, float]
) -> tuple[Part, ...]:
    """The kernel's weights.

    A layer without groups is one part. With groups a part has 32 neurons, and reads only the channels of their groups.
    """
    padded = 32 * words_of(neurons)
    grouped = any(c.groups > 1 for c in connections)
    step = 32 if grouped else padded
    return tuple(_part(connections, neurons, first, step, bits, units) for first in range(0, padded, step))


def _part(
    connections: Sequence[Connection], neurons: int, first: int, size: int, bits: int, units: Mapping[str, float]
) -> Part:
    blocks, rows, words, at = [], [], [], 0
    for c in connections:
        channels = geometry(c.shape)[0]
        inner, outer = channels // c.groups, neurons // c.groups
        last = min(first + size, neurons)
        low = (first // outer) * inner // 32
        high = words_of(((last - 1) // outer + 1) * inner)
        kernel_h, kernel_w = c.weight.shape[2:]
        block = torch.zeros((kernel_w, kernel_h, 32 * (high - low), size), dtype=torch.int64)
        whole = torch.round(c.weight[first:last] * (units[c.source] * 2.0**bits)).long().permute(3, 2, 1, 0)
        if c.groups == 1:
            block[:, :, :channels, : last - first] = whole
        else:
            neuron = torch.arange(first, last)
            for k in range(inner):  # the k-th channel of each neuron's group
                block[:, :, (neuron // outer) * inner + k - 32 * low, neuron - first] = whole[:, :, k]
        rows.append(at)
        words.append((low, high))
        blocks.append(block.reshape(-1, size))
        at += blocks[-1].shape[0]
    weight = torch.cat([*blocks, torch.zeros((1, size), dtype=torch.int64)])
    tile = 64 if size % 64 == 0 else 32
    together = _together(weight, max((2 ** (listed_level(c) + 1) - 1 for c in connections), default=1))
    tiles = weight.reshape(len(weight), size // tile, tile).transpose(0, 1)
    packed = _interleaved(tiles).to(torch.int16) if together > 1 else tiles.to(torch.int32)
    return Part(first, size, tile, packed.contiguous(), together, tuple(rows), tuple(words))


def listed_level(connection: Connection) -> int:
    """Spikes worth up to 2^level units are listed as often as they are worth; beyond it, the sum is shifted."""
    return 2 if connection.pool else 1


def _together(weight: Tensor, most: int) -> int:
    """How many rows of `weight` (rows, neurons), each at most `most` times, can be added in 16 bits: 8, 4, 2 or 1.

    The sum of any n numbers is at most that of the n largest and at least that of the n smallest; what happens on
    the way to it does not matter, as 16-bit numbers wrap around.
    """
    largest = [sign * (sign * weight).topk(min(8, len(weight)), 0).values for sign in (1, -1)]
    for n in (8, 4, 2):
        high, low = (rows.repeat_interleave(most, 0)[:n].sum(0) for rows in largest)
        if int(high.max()) < 2**15 and int(low.min()) >= -(2**15):
            return n
    return 1


def _interleaved(tiles: Tensor) -> Tensor:
    """Channels in the order in which the even and odd halves of 16-bit vectors widen to consecutive ones."""
    library = kernel()
    assert library is not None  # weights are made for it
    n = library.events_lanes()
    return tiles.unflatten(-1, (-1, 2, n)).transpose(-1, -2).flatten(-3)
