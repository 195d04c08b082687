"""Which samples calibrate and which are scored: the published splits, or a fixed part of a plain collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoo.samples import Dataset, Samples

__all__ = ["held_back", "plain", "published", "split_indices"]

_SPLIT_SEED = 20260102


def held_back(count: int) -> int:
    """How many of `count` samples are kept for calibration: a fifth, and never all.

    >>> held_back(50), held_back(2), held_back(1)
    (10, 1, 0)
    """
    return max(1, count // 5) if count > 1 else 0


def split_indices(split: str, count: int) -> Tensor:
    """The samples of a split of `plain`, in file order."""
    if split == "whole":
        return torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_SPLIT_SEED))
    chosen = order[: held_back(count)] if split == "calibration" else order[held_back(count) :]
    return chosen.sort().values


def plain(
    spec: str,
    name: str,
    shape: tuple[int, ...],
    count: int,
    read: Callable[[Tensor | None], Samples],
    *,
    has_labels: bool,
    note: str,
    class_names: tuple[str, ...] = (),
    place: str = "",
    picks: bool = False,
) -> Dataset:
    """A collection without published splits: a fifth for calibration, by a permutation with a fixed seed.

    Parameters
    ----------
    read : callable
        Loads the samples at these indices, or all of them for None; the name of its split is ignored.
    note : str
        What becomes of the values, for the split note.
    picks : bool
        Whether loading a few samples costs less than loading all.
    """
    calibration = held_back(count)

    def part(split: str) -> Samples:
        if picks:
            return _named(read(None if split == "whole" else split_indices(split, count)), split)
        whole = read(None)
        return _named(whole if split == "whole" else whole.take(split_indices(split, count)), split)

    return Dataset(
        spec=spec, name=name, sample_shape=shape, classes=len(class_names) or None, class_names=class_names,
        has_labels=has_labels,
        split_note=f"A permutation of the {'files' if picks else 'file'} with a fixed seed: {calibration:,} samples "
        f"(20 %) for calibration, {count - calibration:,} scored; {note}.",
        splits={"calibration": calibration, "scored": count - calibration},
        scored_split="scored", calibration_split="calibration", whole_split="whole", read=part,
        pick=(lambda split, at: _named(read(split_indices(split, count)[at]), split)) if picks else None, place=place,
    )  # fmt: skip


def published(
    spec: str,
    name: str,
    shape: tuple[int, ...],
    splits: Mapping[str, int],
    read: Callable[[str], Samples],
    *,
    note: str,
    classes: int | None,
    class_names: tuple[str, ...] = (),
    has_labels: bool = True,
    place: str = "",
    pick: Callable[[str, Tensor], Samples] | None = None,
    said: str = "The published split",
) -> Dataset:
    """A data set whose authors say what is for training; the last of its two `splits` is scored."""
    train, test = splits
    return Dataset(
        spec=spec, name=name, sample_shape=shape, classes=classes, class_names=class_names, has_labels=has_labels,
        split_note=f"{said}: {splits[train]:,} training images (calibration) and {splits[test]:,} test "
        f"images (scored), {note}.",
        splits=splits, scored_split=test, calibration_split=train, whole_split=test, read=read, pick=pick, place=place,
    )  # fmt: skip


def _named(samples: Samples, split: str) -> Samples:
    return Samples(samples.x, samples.y, split, samples.files)
