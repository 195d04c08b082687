"""A user's own samples: an .npz file with an array x (n, ...) and, where there are labels, y (n, ...).

Labels are class indices (n,), several labels of 0 and 1 for each sample (n, k), or numbers, as floating point.

Nothing in such a file is trusted: pickled objects are never read, headers are checked against the sizes in
the file, and values are checked when they are loaded.
"""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from zoo.arrays import finite, labels
from zoo.errors import DatasetError, MissingDatasetError
from zoo.samples import Dataset, Samples
from zoo.splitting import plain

__all__ = ["open_npz"]

_LARGEST_BYTES = 8 * 2**30  # of x as float32; a zip can claim far more than it holds
_SPLIT_SEED = 20260102
_MAKE_IT = "make it with: numpy.savez(FILE, x=x, y=y)"
_UNREADABLE = (
    OSError, ValueError, EOFError, RuntimeError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class _Header:
    """What the .npy header of one array declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def open_npz(spec: str, path: str) -> Dataset:
    """The data set in the file at `path`: 20 % of its samples for calibration, the others scored.

    Raises
    ------
    MissingDatasetError
        No such file.
    DatasetError
        Not an .npz, no ``x``, arrays of a type or shape that cannot be samples and labels; on reading also
        NaN, infinity, and whole labels that are not class indices.
    """
    file = Path(path)
    headers = _headers(file)
    x, y = _checked_x(file, headers), headers.get("y")
    _check_y(file, y, x.shape[0])
    note = f"{x.dtype} values are used as they are, not rescaled"
    return plain(
        spec, file.stem, x.shape[1:], x.shape[0], lambda _: _read(file), has_labels=y is not None, note=note,
        place=str(file.parent),
    )  # fmt: skip


def _headers(file: Path) -> dict[str, _Header]:
    """Headers of x and y, checked against the size of their entries in the zip."""
    if not file.is_file():
        raise MissingDatasetError(f"{file}: no such file; expected an .npz with arrays x and y\n{_MAKE_IT}")
    try:
        with zipfile.ZipFile(file) as archive:
            names = [Path(entry.filename).stem for entry in archive.infolist()]
            return {name: _header(archive, name) for name in ("x", "y") if name in names}
    except _UNREADABLE as error:
        raise DatasetError(f"{file}: not a readable .npz file ({error}); is it complete?\n{_MAKE_IT}") from error


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ValueError(f"the entry of {name} is not called {name}.npy") from error
    with archive.open(entry) as stream:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} is in npy format {version}; supported: 1.0, 2.0")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
        size = stream.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and size != entry.file_size:
        raise ValueError(f"{name} declares shape {shape} of {dtype}, {size} bytes; its entry has {entry.file_size}")
    return _Header(shape, dtype)


def _checked_x(file: Path, headers: dict[str, _Header]) -> _Header:
    """The header of x, if x can hold samples."""
    if "x" not in headers:
        raise DatasetError(f"{file}: has no array x; expected x of shape (n, ...) and, optionally, y (n,)\n{_MAKE_IT}")
    x = headers["x"]
    if x.dtype.kind not in "fiub":
        raise DatasetError(
            f"{file}: x is of type {x.dtype}; expected real numbers (float, integer or bool); "
            "convert it, e.g. x.astype(numpy.float32)"
        )
    if len(x.shape) < 2 or 0 in x.shape:
        raise DatasetError(f"{file}: x has shape {x.shape}; expected (n, ...), n >= 1, with a shape for each sample")
    if math.prod(x.shape) * 4 > _LARGEST_BYTES:
        raise DatasetError(
            f"{file}: x has shape {x.shape}, beyond {_LARGEST_BYTES / 2**30:.0f} GiB as float32; "
            "score a part: numpy.savez(FILE, x=x[:n], y=y[:n])"
        )
    return x


def _check_y(file: Path, y: _Header | None, count: int) -> None:
    if y is not None and (y.shape[:1] != (count,) or 0 in y.shape or y.dtype.kind not in "fiub"):
        raise DatasetError(
            f"{file}: y has shape {y.shape} of {y.dtype}; expected class indices of shape ({count},), "
            f"one for each of the {count} samples in x; or ({count}, k): 0 and 1 for each of k labels, or k numbers"
        )
    if y is not None and math.prod(y.shape) * 8 > _LARGEST_BYTES:
        raise DatasetError(f"{file}: y has shape {y.shape}, beyond {_LARGEST_BYTES / 2**30:.0f} GiB; score a part")


def _read(file: Path) -> Samples:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays.get("y")
    except (*_UNREADABLE, KeyError, MemoryError) as error:
        raise DatasetError(f"{file}: cannot be loaded ({error}); is it complete?\n{_MAKE_IT}") from error
    return Samples(finite(str(file), x), None if y is None else labels(str(file), y), "whole")
