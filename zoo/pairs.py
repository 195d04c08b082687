"""Data sets that give (sample, label) pairs by index, as torch, torchvision and Hugging Face do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.arrays import labels
from zoo.errors import DatasetError
from zoo.images import Pixels
from zoo.preparation import Preparation
from zoo.samples import Samples
from zoo.streaming import stacked

__all__ = ["Pairs", "as_sample", "first_sample", "read_pairs"]


class Pairs:
    """A source of pairs.

    Parameters
    ----------
    source : object with len() and indices
    split : callable
        Item -> (sample, label or None).
    prepared : Preparation
        For samples that are images.
    """

    def __init__(
        self, source: Any, prepared: Preparation, split: Callable[[Any], tuple[Any, Any]] | None = None
    ) -> None:
        self.source, self.prepared, self.split = source, prepared, split or _in_two

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Pixels, Any]:
        """The sample as an array, and its label."""
        sample, label = self.split(self.source[index])
        return as_sample(sample, self.prepared), label


def _in_two(item: Any) -> tuple[Any, Any]:
    if isinstance(item, (tuple, list)) and len(item) >= 2:
        return item[0], item[1]
    return (item[0], None) if isinstance(item, (tuple, list)) and len(item) == 1 else (item, None)


def as_sample(value: Any, prepared: Preparation) -> Pixels:
    """An image, tensor, array or nested list as float32; images are prepared, numbers are used as they are.

    Raises
    ------
    ValueError, TypeError
        It is none of these.
    """
    if hasattr(value, "convert") and hasattr(value, "resize"):  # a Pillow image, without importing Pillow
        return prepared.sample(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"a sample of type {type(value).__name__} ({array.dtype})")
    return np.ascontiguousarray(array, dtype=np.float32)


def first_sample(spec: str, pairs: Pairs) -> tuple[tuple[int, ...], bool]:
    """The shape of a sample, and whether it comes with a label.

    Raises
    ------
    DatasetError
    """
    if len(pairs) == 0:
        raise DatasetError(f"{spec}: has no samples; expected one at least")
    sample, label = _item(spec, pairs, 0)
    return sample.shape, label is not None


def read_pairs(spec: str, pairs: Pairs, split: str, indices: Tensor | None = None) -> Samples:
    """The pairs at `indices`, or all of them.

    Raises
    ------
    DatasetError
        An item that is no pair of numbers, samples of several shapes, labels that are none.
    """
    chosen = (torch.arange(len(pairs)) if indices is None else indices).tolist()
    found: list[Any] = []

    def samples() -> Iterator[Pixels]:
        for index in chosen:
            sample, label = _item(spec, pairs, index)
            found.append(label.item() if isinstance(label, Tensor) and label.ndim == 0 else label)
            yield sample

    shape, has_labels = first_sample(spec, pairs)
    x = stacked(spec, samples(), len(chosen), shape, lambda i: f"sample {chosen[i]}")
    if not has_labels:
        return Samples(x, None, split)
    try:
        y = np.asarray([np.asarray(label) for label in found])
    except ValueError as error:
        raise DatasetError(f"{spec}: labels of several shapes ({error}); expected one for each sample") from error
    if y.dtype.kind not in "fiub":
        raise DatasetError(f"{spec}: labels of type {y.dtype}; expected numbers: class indices, or targets")
    return Samples(x, labels(spec, y), split)


def _item(spec: str, pairs: Pairs, index: int) -> tuple[Pixels, Any]:
    try:
        return pairs[index]
    except KeyboardInterrupt:
        raise
    except Exception as error:  # whatever the code of others raises
        why = (str(error).splitlines() or [""])[0][:200]
        raise DatasetError(
            f"{spec}: sample {index}: {type(error).__name__}: {why}\n"
            "expected a sample, or a pair (sample, label), of numbers or images"
        ) from error
