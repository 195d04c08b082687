"""CIFAR-10 and CIFAR-100 from their archives or the folders in them, binary or Python version; nothing is unpacked.

Source: Krizhevsky (2009), Learning multiple layers of features from tiny images; https://www.cs.toronto.edu/~kriz/cifar.html.
md5 of the archives: that page; md5 of the files of the Python version: torchvision/datasets/cifar.py.

A record of the binary version is one label byte (CIFAR-100: the coarse label, then the fine one) and 3,072 bytes of
pixels: red, green, blue, each 32 x 32 row by row. The Python version holds the same in pickles, which are only read
when their hash is the published one, and then by `zoo.inert`, which executes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.archives import members
from zoo.errors import DatasetError
from zoo.inert import read_batch
from zoo.places import find
from zoo.preparation import NORM_OPTIONS, Preparation, read_preparation
from zoo.samples import Dataset, Samples
from zoo.specs import Spec
from zoo.splitting import published

__all__ = ["CIFAR_KINDS", "open_cifar"]

_PIXELS = 3 * 32 * 32
_COUNTS = {"train": 50_000, "test": 10_000}
_LARGEST_FILE = 200 << 20  # the training file of CIFAR-100's Python version holds 155 MB

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class _Version:
    """One published form of a data set.

    Parameters
    ----------
    folder : str
        Inside the archive, and beside it once it is unpacked.
    archive : str
    archive_md5 : str
    files : dict
        Split -> its files.
    md5 : dict
        File -> md5, where published.
    """

    folder: str
    archive: str
    archive_md5: str
    files: dict[str, tuple[str, ...]]
    md5: dict[str, str]

    @property
    def is_binary(self) -> bool:
        return not self.md5


_TEN = tuple(f"data_batch_{i}" for i in range(1, 6))
_VERSIONS = {
    "cifar10": (
        _Version(
            "cifar-10-batches-bin", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530",
            {"train": tuple(f"{name}.bin" for name in _TEN), "test": ("test_batch.bin",)}, {},
        ),
        _Version(
            "cifar-10-batches-py", "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a",
            {"train": _TEN, "test": ("test_batch",)},
            {
                "data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e",
            },
        ),
    ),
    "cifar100": (
        _Version(
            "cifar-100-binary", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8",
            {"train": ("train.bin",), "test": ("test.bin",)}, {},
        ),
        _Version(
            "cifar-100-python", "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85",
            {"train": ("train",), "test": ("test",)},
            {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        ),
    ),
}  # fmt: skip
_CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar100": (),
}

CIFAR_KINDS = tuple(_VERSIONS)


def open_cifar(spec: Spec, data_dir: str | Path | None = None) -> Dataset:
    """CIFAR-10 or CIFAR-100, from the folder in the spec or from the first place that has a version of it.

    Raises
    ------
    MissingDatasetError
        No place has one.
    DatasetError
        An option that it does not have; on reading: a file is damaged, or is not the published one.
    """
    spec.check_options(NORM_OPTIONS)
    prepared, title = read_preparation(spec, channels=3), spec.kind.upper().replace("R1", "R-1")
    home = find(spec.text, title, ("", spec.kind), partial(_lacks, spec.kind), _get_it(spec.kind), spec.rest, data_dir)
    version = next(version for version in _VERSIONS[spec.kind] if _is_there(version, home))
    names = _CLASSES[spec.kind]
    return published(
        spec.text, spec.kind, (3, 32, 32), _COUNTS, partial(_read, spec.kind, version, home, prepared),
        note=f"pixels divided by 255{prepared.norm_words}", classes=len(names) or 100, class_names=names,
        place=str(home / (version.folder if _has_files(version, home / version.folder) else "")),
    )  # fmt: skip


def _get_it(kind: str) -> str:
    archive = _VERSIONS[kind][0].archive
    return (
        f"get it with: curl -LO https://www.cs.toronto.edu/~kriz/{archive}\n"
        f"and put the archive, packed or unpacked, into one of these folders, or name its own: {kind}:DIR"
    )


def _has_files(version: _Version, folder: Path) -> bool:
    return all((folder / name).is_file() for names in version.files.values() for name in names)


def _is_there(version: _Version, home: Path) -> bool:
    return (home / version.archive).is_file() or any(_has_files(version, home / at) for at in (version.folder, ""))


def _lacks(kind: str, home: Path) -> Sequence[str]:
    """What would do, if none of it is there."""
    if any(_is_there(version, home) for version in _VERSIONS[kind]):
        return ()
    return [" or ".join((f"{version.folder}/", version.archive)) for version in _VERSIONS[kind]]


def _read(kind: str, version: _Version, home: Path, prepared: Preparation, split: str) -> Samples:
    contents, known = _contents(kind, version, home, version.files[split])
    label_bytes = 1 if kind == "cifar10" else 2
    decode = partial(_binary, label_bytes) if version.is_binary else partial(read_batch, pixels=_PIXELS)
    parts = [_decoded(name, content, decode, kind) for name, content in contents.items()]
    x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    classes = len(_CLASSES[kind]) or 100
    if len(x) != _COUNTS[split] or int(y.max()) >= classes:
        raise DatasetError(
            f"{home}: {len(x):,} images of the {split} split, labels up to {int(y.max())}; expected {_COUNTS[split]:,} "
            f"images, and labels below {classes}\n{_get_it(kind)}"
        )
    pixels = torch.from_numpy(x.reshape(-1, 3, 32, 32).astype(np.float32)).div_(255.0)
    return Samples(prepared.apply(pixels), torch.from_numpy(y.astype(np.int64)), split, known)


def _contents(kind: str, version: _Version, home: Path, names: Sequence[str]) -> tuple[dict[str, bytes], str]:
    """The files of a split, verified as far as a hash is published, and what is known of them."""
    folder = next((home / at for at in (version.folder, "") if _has_files(version, home / at)), None)
    try:
        if folder is None:
            return _from_archive(kind, version, home / version.archive, names)
        sizes = {name: (folder / name).stat().st_size for name in names}
        if large := [name for name, size in sizes.items() if size > _LARGEST_FILE]:
            raise DatasetError(f"{folder / large[0]}: {sizes[large[0]]:,} bytes; expected CIFAR's\n{_get_it(kind)}")
        contents = {name: (folder / name).read_bytes() for name in names}
    except OSError as error:
        raise DatasetError(f"{home}: cannot be read ({error})\n{_get_it(kind)}") from error
    known = [_verified(kind, folder / name, content, version.md5.get(name)) for name, content in contents.items()]
    return contents, "; ".join(known)


def _from_archive(kind: str, version: _Version, path: Path, names: Sequence[str]) -> tuple[dict[str, bytes], str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if digest != version.archive_md5:
        raise _differs(kind, path, digest, version.archive_md5)
    found = members(path, [f"{version.folder}/{name}" for name in names], _LARGEST_FILE)
    return {Path(name).name: content for name, content in found.items()}, f"{path.name}: md5 as published"


def _verified(kind: str, path: Path, content: bytes, expected: str | None) -> str:
    if expected is None:
        digest = hashlib.sha256(content).hexdigest()
        return f"{path.name}: sha256 {digest}, no published hash is known to us"
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise _differs(kind, path, found, expected)
    return f"{path.name}: md5 as published"


def _differs(kind: str, path: Path, found: str, expected: str) -> DatasetError:
    return DatasetError(
        f"{path}: md5 is {found}\nexpected {expected}, the file of its authors; it is damaged or another data set\n"
        f"{_get_it(kind)}"
    )


def _binary(label_bytes: int, content: bytes) -> tuple[_Bytes, _Bytes]:
    """Pixels and the last label byte of every record."""
    record = label_bytes + _PIXELS
    if not content or len(content) % record:
        raise ValueError(f"{len(content):,} bytes, not a whole number of records of {record}")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, label_bytes:], records[:, label_bytes - 1]


def _decoded(name: str, content: bytes, decode: Any, kind: str) -> tuple[_Bytes, Any]:
    try:
        pixels, labels = decode(content)
    except ValueError as error:
        raise DatasetError(f"{name}: {error}; is it complete?\n{_get_it(kind)}") from error
    return pixels, labels
