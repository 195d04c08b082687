"""MNIST and the data sets in its form: IDX files of 28 x 28 grey images, verified where a hash is published.

fashion-mnist   Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747 (MIT licence)
mnist           LeCun, Cortes and Burges, The MNIST database of handwritten digits
kmnist          Clanuwat et al. (2018), Deep Learning for Classical Japanese Literature, arXiv:1812.01718 (CC BY-SA 4.0)
emnist[:split]  Cohen et al. (2017), EMNIST: an extension of MNIST to handwritten letters, arXiv:1702.05373

Hashes: sha256 of Fashion-MNIST's content was measured on the files of Debian's package; md5 of the gzipped files of
MNIST and KMNIST is what torchvision checks (torchvision/datasets/mnist.py); md5 of MNIST's content is that of the same
files unpacked, as several public downloaders state it. For the files of EMNIST none is published.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import DatasetError
from zoo.idx import IdxFile, idx_file, read_idx, sizes_of
from zoo.places import find
from zoo.preparation import NORM_OPTIONS, Preparation, read_preparation
from zoo.samples import Dataset, Samples
from zoo.specs import Spec
from zoo.splitting import published

__all__ = ["EMNIST_SPLITS", "MNIST_KINDS", "open_mnist"]

_DIGITS = tuple(string.digits)
_KINDS_OF_FILE = ("images-idx3-ubyte", "labels-idx1-ubyte")


@dataclass(frozen=True)
class _Family:
    """One data set: how it is called, where it lies, what proves its files."""

    title: str
    layouts: tuple[str, ...]
    get_it: str
    class_names: tuple[str, ...] = _DIGITS
    stems: tuple[str, str] = ("train", "t10k")
    counts: tuple[int | None, int | None] = (60_000, 10_000)
    hashes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [f"{stem}-{kind}" for stem in self.stems for kind in _KINDS_OF_FILE]


_BY_TORCHVISION = (
    "get it with: python -c \"from torchvision import datasets; datasets.{name}('data', {more}download=True)\"\n"
    "or put the {files} into the folder {kind}/ in one of these, or name their folder: {kind}:DIR"
)


def _by_torchvision(kind: str, name: str, files: str = "four files", more: str = "") -> str:
    return _BY_TORCHVISION.format(name=name, kind=kind, files=files, more=more)


_FAMILIES = {
    "fashion-mnist": _Family(
        "Fashion-MNIST",
        ("fashion-mnist", "FashionMNIST/raw"),
        "get it with: apt-get install dataset-fashion-mnist\n"
        "or download the four files from https://github.com/zalandoresearch/fashion-mnist and name their folder: "
        "fashion-mnist:DIR",
        ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        hashes={
            "train-images-idx3-ubyte": ("sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",),
            "train-labels-idx1-ubyte": ("sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",),
            "t10k-images-idx3-ubyte": ("sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",),
            "t10k-labels-idx1-ubyte": ("sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",),
        },
    ),
    "mnist": _Family(
        "MNIST",
        ("mnist", "MNIST/raw"),
        _by_torchvision("mnist", "MNIST"),
        hashes={
            "train-images-idx3-ubyte": (
                "gz-md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "md5:6bbc9ace898e44ae57da46a324031adb",
            ),
            "train-labels-idx1-ubyte": (
                "gz-md5:d53e105ee54ea40749a09fcbcd1e9432",
                "md5:a25bea736e30d166cdddb491f175f624",
            ),
            "t10k-images-idx3-ubyte": (
                "gz-md5:9fb629c4189551a2d022fa330f9573f3",
                "md5:2646ac647ad5339dbf082846283269ea",
            ),
            "t10k-labels-idx1-ubyte": (
                "gz-md5:ec29112dd5afa0611ce80d1b7f02629c",
                "md5:27ae3e4e09519cfbb04c329615203637",
            ),
        },
    ),
    "kmnist": _Family(
        "KMNIST",
        ("kmnist", "KMNIST/raw"),
        _by_torchvision("kmnist", "KMNIST"),
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        hashes={
            "train-images-idx3-ubyte": ("gz-md5:bdb82020997e1d708af4cf47b453dcf7",),
            "train-labels-idx1-ubyte": ("gz-md5:e144d726b3acfaa3e44228e80efcd344",),
            "t10k-images-idx3-ubyte": ("gz-md5:5c965bf0a639b31b8f53240b1b52f4d7",),
            "t10k-labels-idx1-ubyte": ("gz-md5:7320c461ea6c1c855c0b718fb2a4b134",),
        },
    ),
}

_MERGED = tuple(sorted({*string.digits, *string.ascii_letters} - {*"cijklmopsuvwxyz"}))
EMNIST_SPLITS = {
    "balanced": _MERGED,
    "byclass": tuple(sorted({*string.digits, *string.ascii_letters})),
    "bymerge": _MERGED,
    "letters": ("N/A", *string.ascii_lowercase),
    "digits": _DIGITS,
    "mnist": _DIGITS,
}
"""Splits of EMNIST by their class names; letters are labelled from 1, as in the file."""

MNIST_KINDS = (*_FAMILIES, "emnist")


def open_mnist(spec: Spec, data_dir: str | Path | None = None) -> Dataset:
    """One of `MNIST_KINDS`, from the folder in the spec or from the first place that has all four files.

    Raises
    ------
    MissingDatasetError
        No place has all four files.
    DatasetError
        An option that it does not have; on reading: a file is damaged, or is not the published one.
    """
    spec.check_options(NORM_OPTIONS)
    prepared = read_preparation(spec, channels=1)
    family, folder = _emnist(spec) if spec.kind == "emnist" else (_FAMILIES[spec.kind], spec.rest)
    home = find(spec.text, family.title, family.layouts, partial(_missing, family), family.get_it, folder, data_dir)
    counts = [count or sizes_of(_file(family, home, stem, 0))[0] for stem, count in _by_stem(family)]
    read = partial(_read, family, home, prepared)
    as_in_file = " (as in the file, transposed)" if spec.kind == "emnist" else ""
    return published(
        spec.text, spec.kind, (1, 28, 28), dict(zip(("train", "test"), counts, strict=True)),
        read, pick=read, classes=len(family.class_names), class_names=family.class_names,
        note=f"pixels divided by 255{as_in_file}{prepared.norm_words}", place=str(home),
    )  # fmt: skip


def _emnist(spec: Spec) -> tuple[_Family, str]:
    first, _, rest = spec.rest.partition(":")
    split, folder = (first, rest) if first in EMNIST_SPLITS else ("balanced", spec.rest)
    if folder and not Path(folder).is_dir():
        raise DatasetError(
            f"{spec.text}: got {folder!r}, neither a folder nor a split; expected emnist[:SPLIT][:DIR], "
            f"SPLIT being one of {', '.join(EMNIST_SPLITS)}"
        )
    get_it = _by_torchvision("emnist", "EMNIST", f"four files emnist-{split}-*", f"'{split}', ")
    layouts = ("emnist", "emnist/gzip", "EMNIST/raw", "gzip")
    stems = (f"emnist-{split}-train", f"emnist-{split}-test")
    family = _Family(f"EMNIST {split}", layouts, get_it, EMNIST_SPLITS[split], stems, (None, None))
    return family, folder


def _by_stem(family: _Family) -> list[tuple[str, int | None]]:
    return list(zip(family.stems, family.counts, strict=True))


def _missing(family: _Family, folder: Path) -> Sequence[str]:
    return [name for name in family.names() if idx_file(folder, name) is None]


def _file(family: _Family, folder: Path, stem: str, which: int) -> IdxFile:
    name = f"{stem}-{_KINDS_OF_FILE[which]}"
    path = idx_file(folder, name)
    if path is None:
        raise DatasetError(f"{folder}: lacks {name}, which was there a moment ago\n{family.get_it}")
    count = dict(_by_stem(family))[stem]
    sizes = (count, 28, 28) if which == 0 else (count,)
    return IdxFile(path, sizes, family.get_it, family.hashes.get(name, ()))


def _read(family: _Family, home: Path, prepared: Preparation, split: str, at: Tensor | None = None) -> Samples:
    stem = family.stems[split == "test"]
    images, labels = _file(family, home, stem, 0), _file(family, home, stem, 1)
    (x, about_x), (y, about_y) = read_idx(images), read_idx(labels)
    if len(x) != len(y) or int(y.max()) >= len(family.class_names):
        raise DatasetError(
            f"{labels.path}: {len(y)} labels up to {int(y.max())} for {len(x)} images; expected one for each, from 0 "
            f"to {len(family.class_names) - 1}\n{family.get_it}"
        )
    if at is not None:  # bytes take a quarter of the room of the pixels that they become
        x, y = x[at.numpy()], y[at.numpy()]
    pixels = torch.from_numpy(x.astype(np.float32)).div_(255.0).unsqueeze(1)
    return Samples(prepared.apply(pixels), torch.from_numpy(y.astype(np.int64)), split, f"{about_x}; {about_y}")
