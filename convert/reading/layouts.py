"""Where the batch lies in a captured tensor, for code that moves it: (tokens, batch x heads, width) and back.

Our samples have no batch axis. Attention as torch writes it puts the batch second, merges it with the heads, and takes
it apart again. So each captured tensor has a layout: its axes as products of factors, one of which is the batch. Our
sample has the other factors as its axes, in the same order. A view or a permutation of the tensor is one of the sample.

A batch of one may lie anywhere: then the sample has the tensor's own axes, but for a leading one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convert.graph import ir
from convert.graph.ir import Op

__all__ = ["Layout"]

_BATCH = 0
"""Marks the factor that is the batch; sizes are positive."""


@dataclass(frozen=True)
class Layout:
    """The axes of a captured tensor, each a tuple of factors.

    >>> Layout.of((7, 2, 16), 7).axes, Layout.of((7, 2, 16), 7).sample
    (((0,), (2,), (16,)), (2, 16))
    """

    axes: tuple[tuple[int, ...], ...]
    batch: int

    @classmethod
    def of(cls, shape: Sequence[int], batch: int) -> Layout:
        """The usual one: the batch in front, alone where its axis has that size."""
        first = (_BATCH,) if shape[0] == batch else (_BATCH, shape[0] // batch)
        return cls((first, *((size,) for size in shape[1:])), batch)

    @property
    def sample(self) -> tuple[int, ...]:
        """Shape of one sample of ours."""
        return tuple(size for axis in self.axes for size in axis if size != _BATCH)

    @property
    def is_usual(self) -> bool:
        """Whether the batch is the first axis, and that axis is nothing else."""
        return self.axes[0] == (_BATCH,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the captured tensor."""
        return tuple(math.prod(size or self.batch for size in axis) for axis in self.axes)

    def holds_batch(self, axis: int) -> bool:
        """Whether the batch is a factor of this axis; a batch of one is none of an axis that is longer."""
        return _BATCH in self.axes[axis] and (self.batch > 1 or self.shape[axis] == 1)

    def position(self, axis: int) -> int:
        """Which axis of our sample an axis without the batch is."""
        return sum(size != _BATCH for before in self.axes[: axis % len(self.axes)] for size in before)

    def permuted(self, order: Sequence[int]) -> tuple[Layout, list[Op]]:
        """The layout with its axes in another order, and what that does to a sample."""
        if self.batch == 1:
            turned = Layout.of([self.shape[i] for i in order], 1)
            return turned, [ir.Reshape(self.shape), ir.Permute(tuple(order)), ir.Reshape(turned.sample)]
        places = [[self.position(i) + k for k in range(sum(s != _BATCH for s in self.axes[i]))] for i in order]
        moved = tuple(place for axis in places for place in axis)
        result = Layout(tuple(self.axes[i] for i in order), self.batch)
        return result, [] if moved == tuple(range(len(moved))) else [ir.Permute(moved)]

    def viewed(self, shape: Sequence[int]) -> tuple[Layout, list[Op]] | None:
        """The layout of the same values in another shape, or None where the batch would be torn apart."""
        result = Layout.of(shape, 1) if self.batch == 1 else self._split(shape)
        if result is None:
            return None
        return result, [] if result.sample == self.sample else [ir.Reshape(result.sample)]

    def _split(self, shape: Sequence[int]) -> Layout | None:
        flat = [size for axis in self.axes for size in axis]
        before = math.prod(flat[: flat.index(_BATCH)])
        passed = 1
        for i, size in enumerate(shape):
            until = passed * size
            if until >= before * self.batch and size != 1:
                if before % passed or until % (before * self.batch):
                    return None
                outer, inner = before // passed, until // (before * self.batch)
                axis = (*((outer,) if outer > 1 else ()), _BATCH, *((inner,) if inner > 1 else ()))
                return Layout((*((n,) for n in shape[:i]), axis, *((n,) for n in shape[i + 1 :])), self.batch)
            passed = until
        return None

    def cropped(self, axis: int, start: int, stop: int, drop: bool) -> tuple[Layout, list[Op]]:
        """The layout with a part of an axis that is not the batch's; with `drop`, without that axis."""
        axis %= len(self.axes)
        if self.batch == 1:
            return self._cropped_whole(axis, start, stop, drop)
        at, sample = self.position(axis), self.sample
        before = tuple(-start if i == at else 0 for i in range(len(sample)))
        after = tuple(stop - size if i == at else 0 for i, size in enumerate(sample))
        crop: list[Op] = [ir.Pad(before, after)] if any(before) or any(after) else []
        left = (*self.axes[:axis], *(() if drop else ((stop - start,),)), *self.axes[axis + 1 :])
        result = Layout(left, self.batch)
        return result, [*crop, ir.Reshape(result.sample)] if drop else crop

    def _cropped_whole(self, axis: int, start: int, stop: int, drop: bool) -> tuple[Layout, list[Op]]:
        """`cropped` for a batch of one: on the tensor's own axes."""
        before = tuple(-start if i == axis else 0 for i in range(len(self.shape)))
        after = tuple(stop - size if i == axis else 0 for i, size in enumerate(self.shape))
        left = (*self.shape[:axis], *(() if drop else (stop - start,)), *self.shape[axis + 1 :])
        result = Layout.of(left, 1)
        return result, [ir.Reshape(self.shape), ir.Pad(before, after), ir.Reshape(result.sample)]

    def without(self, axes: Sequence[int], keep: bool) -> Layout:
        """The layout where these axes, none of them the batch's, have been summed up; with `keep`, of size 1."""
        gone = [axis % len(self.axes) for axis in axes]
        left = tuple(((1,) if i in gone else axis) for i, axis in enumerate(self.axes) if keep or i not in gone)
        if self.batch == 1:
            return Layout.of([math.prod(size or 1 for size in axis) for axis in left], 1)
        return Layout(left, self.batch)
