"""Image folders: ``DIR/class/image.png``, or ``DIR/train/class/...`` and ``DIR/val/class/...`` as ImageNet is kept.

Classes are the names of the folders in alphabetical order, as torchvision numbers them. Images are decoded one by one
into `zoo.streaming.stacked`, so that a collection of any size can be scored; opening lists the files and decodes one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import DatasetError, MissingDatasetError
from zoo.images import SUFFIXES, Pixels, need_pillow, read_image
from zoo.preparation import IMAGE_OPTIONS, Preparation, read_preparation
from zoo.samples import Dataset, Samples
from zoo.specs import Spec
from zoo.splitting import plain, published
from zoo.streaming import stacked

__all__ = ["open_folder"]

_TRAIN = ("train", "training")
_TEST = ("test", "val", "validation")
_LAYOUT = "expected one folder of PNG or JPEG images for each class, or train/ and val/ that hold such folders"


@dataclass(frozen=True)
class _Files:
    """The images of one split, class by class, sorted; a path is put together when it is needed."""

    root: Path
    classes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]

    @property
    def count(self) -> int:
        return sum(map(len, self.names))

    def labels(self) -> Tensor:
        return torch.repeat_interleave(torch.arange(len(self.names)), torch.tensor([len(n) for n in self.names]))

    def path(self, index: int) -> Path:
        for name, files in zip(self.classes, self.names, strict=True):
            if index < len(files):
                return self.root / name / files[index]
            index -= len(files)
        raise IndexError(index)


def open_folder(spec: Spec) -> Dataset:
    """The images in the folder that `spec` names.

    Raises
    ------
    MissingDatasetError
        No such folder.
    DatasetError
        No images, classes of the two splits that differ, an unknown option, Pillow is not installed; on reading also an
        image that cannot be decoded, or has another shape than the first.
    """
    spec.check_options(IMAGE_OPTIONS)
    prepared, root = read_preparation(spec), Path(spec.rest)
    need_pillow()
    if not root.is_dir():
        raise MissingDatasetError(f"{spec.text}: {root}: no such folder; {_LAYOUT}: check the path")
    parts = _splits(root)
    if parts is None:
        return _alone(spec, _listed(root), prepared)
    train, test = (_listed(root / part) for part in parts)
    if train.classes != test.classes:
        differ = sorted(set(train.classes) ^ set(test.classes))
        raise DatasetError(
            f"{root}: {parts[0]}/ and {parts[1]}/ differ in the classes {', '.join(differ[:5])}; expected the same "
            "folders in both, since their order numbers the classes"
        )
    found = dict(zip(parts, (train, test), strict=True))
    return published(
        spec.text, root.name, read_image(test.path(0), prepared).shape, {p: f.count for p, f in found.items()},
        lambda split: _read(spec, found[split], prepared, split, None),
        pick=lambda split, at: _read(spec, found[split], prepared, split, at), note=prepared.words,
        said="The split of the folders", classes=len(test.classes), class_names=test.classes, place=str(root),
    )  # fmt: skip


def _alone(spec: Spec, files: _Files, prepared: Preparation) -> Dataset:
    shape = read_image(files.path(0), prepared).shape
    return plain(
        spec.text, files.root.name, shape, files.count, partial(_read, spec, files, prepared, "whole"), has_labels=True,
        note=prepared.words, class_names=files.classes, place=str(files.root), picks=True,
    )  # fmt: skip


def _splits(root: Path) -> tuple[str, str] | None:
    train = next((name for name in _TRAIN if (root / name).is_dir()), None)
    test = next((name for name in _TEST if (root / name).is_dir()), None)
    return (train, test) if train and test else None


def _listed(root: Path) -> _Files:
    try:
        with os.scandir(root) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        names = tuple(_images(root / name) for name in classes)
    except OSError as error:
        raise DatasetError(f"{root}: cannot be listed ({error.strerror}); {_LAYOUT}") from error
    empty = [name for name, files in zip(classes, names, strict=True) if not files]
    if not classes or len(empty) == len(classes):
        raise DatasetError(f"{root}: {_LAYOUT}; found {len(classes)} folders and no image in them")
    if empty:
        raise DatasetError(
            f"{root}: no image in {', '.join(empty[:5])}; expected some in every folder, since the folders' order "
            "numbers the classes: remove what is no class, or add its images"
        )
    return _Files(root, tuple(classes), names)


def _images(folder: Path) -> tuple[str, ...]:
    """The images below `folder`, relative to it, in torchvision's order."""
    found = []
    for at, _, files in sorted(os.walk(folder)):
        within = os.path.relpath(at, folder)
        found += [os.path.normpath(f"{within}/{name}") for name in sorted(files) if name.lower().endswith(SUFFIXES)]
    return tuple(found)


def _read(spec: Spec, files: _Files, prepared: Preparation, split: str, indices: Tensor | None) -> Samples:
    chosen = torch.arange(files.count) if indices is None else indices
    first = read_image(files.path(int(chosen[0])), prepared).shape

    def images() -> Iterator[Pixels]:
        for index in chosen.tolist():
            yield read_image(files.path(index), prepared)

    x = stacked(spec.text, images(), len(chosen), first, lambda i: str(files.path(int(chosen[i]))))
    return Samples(x, files.labels()[chosen], split)
