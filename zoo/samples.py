"""What a data set is once it is open: its facts, its splits, and samples drawn from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.errors import DatasetError

__all__ = ["Dataset", "Samples"]

_ORDER_SEED = 20260101


@dataclass(frozen=True)
class Samples:
    """Samples in memory.

    Parameters
    ----------
    x : Tensor
        float32, shape (samples, *sample_shape).
    y : Tensor or None
        int64 class indices, shape (samples,), or several for each sample; float32 numbers; ``None`` without labels.
    split : str
        Name of the split they come from.
    files : str
        What is known of the files that they were read from: verified, or their hashes; one sentence, or empty.
    """

    x: Tensor
    y: Tensor | None
    split: str
    files: str = ""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.x)

    @property
    def sha256(self) -> str:
        """Hash of the shape and the bytes of `x` and `y`, in hexadecimal."""
        digest = hashlib.sha256(repr((tuple(self.x.shape), self.y is not None)).encode())
        digest.update(self.x.contiguous().numpy().data)
        if self.y is not None:
            digest.update(self.y.contiguous().numpy().data)
        return digest.hexdigest()

    def take(self, indices: Tensor) -> Samples:
        """The samples at `indices`, in that order."""
        return replace(self, x=self.x[indices], y=None if self.y is None else self.y[indices])


@dataclass(frozen=True)
class Dataset:
    """An opened data set: headers were read, no sample is in memory yet.

    Parameters
    ----------
    spec : str
        What the user wrote, e.g. ``npz:my.npz``.
    name : str
        Short name for people.
    sample_shape : tuple of int
        Shape of one sample, without the batch.
    classes : int or None
        Number of classes where the data set declares it.
    class_names : tuple of str
        Names of the classes, or empty.
    has_labels : bool
        Whether samples come with `y`.
    split_note : str
        How the splits came about, one sentence for the report.
    splits : mapping of str to int
        Name of each split and its number of samples. `scored_split` and `calibration_split` are two of
        them and have no sample in common.
    whole_split : str
        What may be scored when calibration uses another data set.
    read : callable
        Loads one split by name, or `whole_split`.
    pick : callable or None
        Loads some samples of one split, by their indices in file order, where that costs less than the whole split.
    place : str
        Where its files are.
    """

    spec: str
    name: str
    sample_shape: tuple[int, ...]
    classes: int | None
    class_names: tuple[str, ...]
    has_labels: bool
    split_note: str
    splits: Mapping[str, int]
    scored_split: str
    calibration_split: str
    whole_split: str
    read: Callable[[str], Samples]
    pick: Callable[[str, Tensor], Samples] | None = None
    place: str = ""

    def scored(self, limit: int | None = None) -> Samples:
        """Samples for scoring; never one that `calibration` can return.

        Parameters
        ----------
        limit : int or None
            ``None``: all, in file order. Otherwise the first `limit` of one fixed permutation, so that
            classes are mixed and a smaller limit is a prefix of a larger one; beyond the split, all of it.
        """
        return self._drawn(self.scored_split, limit, _ORDER_SEED)

    def whole(self, limit: int | None = None, seed: int = _ORDER_SEED) -> Samples:
        """Samples for scoring when calibration comes from another data set: every sample of a file without a
        published split, the test split otherwise. `limit` as in `scored`, by the permutation of `seed`.
        """
        return self._drawn(self.whole_split, limit, seed)

    def calibration(self, limit: int | None = None, seed: int = 0) -> Samples:
        """Samples for calibration, drawn by `seed` without replacement; no `limit`: all, in file order.

        Raises
        ------
        DatasetError
            The data set is too small to have a calibration split, or as in `read`.
        """
        _check_limit(self.spec, limit)
        if not self.splits[self.calibration_split]:
            raise DatasetError(
                f"{self.spec}: has a single sample, none is left for calibration; expected 2 at least; "
                "name another data set for calibration"
            )
        return self._drawn(self.calibration_split, limit, seed)

    def _drawn(self, split: str, limit: int | None, seed: int) -> Samples:
        _check_limit(self.spec, limit)
        if limit is None:
            return self.read(split)
        generator = torch.Generator().manual_seed(seed)
        if self.pick is not None:
            count = self.splits[split] if split in self.splits else sum(self.splits.values())
            return self.pick(split, torch.randperm(count, generator=generator)[:limit])
        samples = self.read(split)
        return samples.take(torch.randperm(len(samples), generator=generator)[:limit])


def _check_limit(spec: str, limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise DatasetError(f"{spec}: a limit of {limit} samples; expected at least 1, or no limit for all of them")
