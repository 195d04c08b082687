"""IDX files of unsigned bytes, plain or gzipped: magic number 0x0800 + dimensions, sizes, content, all big-endian.

Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits, section "file formats".
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from zoo.errors import DatasetError

__all__ = ["IdxFile", "header", "idx_file", "read_idx", "sizes_of"]

_LARGEST_BYTES = 2**30  # EMNIST ByClass, the largest that is published, holds 0.55 GB of pixels
_UNREADABLE = (OSError, EOFError, zlib.error)

_md5 = partial(hashlib.md5, usedforsecurity=False)


@dataclass(frozen=True)
class IdxFile:
    """Where an IDX file is, and what its bytes must be.

    Parameters
    ----------
    path : Path
    sizes : tuple of int or None
        The sizes that its header must state; None in a place takes any number.
    get_it : str
        How to obtain the file again.
    hashes : tuple of str
        Published hashes, any of which proves it: ``sha256:...`` or ``md5:...`` of the content, ``gz-md5:...`` of the
        gzipped file. Empty where none is known.
    """

    path: Path
    sizes: tuple[int | None, ...]
    get_it: str
    hashes: tuple[str, ...] = ()


def idx_file(folder: Path, name: str) -> Path | None:
    """The file called `name` in `folder`, gzipped as it was published before plain."""
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def sizes_of(file: IdxFile) -> tuple[int, ...]:
    """The sizes in the header, checked; no more is read.

    Raises
    ------
    DatasetError
    """
    with _opened(file) as stream:
        return _sizes(file, stream)


def read_idx(file: IdxFile) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], str]:
    """The array of a file, and what is known of its content, in words.

    Raises
    ------
    DatasetError
        The file cannot be read, its header is not the expected one, it is shorter or longer than its header says, or
        its hash is not among those published.
    """
    with _opened(file) as stream:
        sizes = _sizes(file, stream)
        count = math.prod(sizes)
        body = stream.read(count + 1)  # one byte beyond it, so that a gzip bomb stays small
    if len(body) != count:
        more = "more" if len(body) > count else f"{len(body)}"
        raise DatasetError(
            f"{file.path}: holds {more} bytes after a header for {count}; is it complete?\n{file.get_it}"
        )
    known = _verified(file, header(sizes) + body)
    return np.frombuffer(body, dtype=np.uint8).reshape(sizes), known


def header(sizes: tuple[int, ...]) -> bytes:
    """The header of a file of these sizes.

    >>> header((2,)).hex()
    '0000080100000002'
    """
    return np.array([0x0800 + len(sizes), *sizes], dtype=">u4").tobytes()


@contextmanager
def _opened(file: IdxFile) -> Iterator[IO[bytes]]:
    """The bytes of the file, unpacked; what goes wrong while they are read is a `DatasetError`."""
    path = file.path
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream  # type: ignore[misc]
    except _UNREADABLE as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); expected an IDX file, plain or gzipped\n{file.get_it}"
        ) from error


def _sizes(file: IdxFile, stream: IO[bytes]) -> tuple[int, ...]:
    wanted = file.sizes
    found = np.frombuffer(head, ">u4").tolist() if len(head := stream.read(4 + 4 * len(wanted))) % 4 == 0 else []
    expected = [0x0800 + len(wanted), *wanted]
    fits = len(found) == len(expected) and all(b in (a, None) for a, b in zip(found, expected, strict=True))
    if not fits:
        shown = str(expected).replace("None", "any")
        raise DatasetError(f"{file.path}: IDX header {found}; expected {shown} (magic number, sizes)\n{file.get_it}")
    sizes = tuple(found[1:])
    if math.prod(sizes) > _LARGEST_BYTES or 0 in sizes:
        raise DatasetError(
            f"{file.path}: its header claims {sizes}, {math.prod(sizes):,} bytes; expected from one sample up to "
            f"{_LARGEST_BYTES >> 20} MiB\n{file.get_it}"
        )
    return sizes


def _verified(file: IdxFile, content: bytes) -> str:
    """Compare with the published hashes, or tell the hash where none is known."""
    digest = hashlib.sha256(content).hexdigest()
    found = {"sha256": digest}
    kinds = {known.partition(":")[0] for known in file.hashes}
    if "md5" in kinds:
        found["md5"] = _md5(content).hexdigest()
    if "gz-md5" in kinds and file.path.suffix == ".gz":
        with file.path.open("rb") as packed:
            found["gz-md5"] = hashlib.file_digest(packed, _md5).hexdigest()
    comparable = [known for known in file.hashes if known.partition(":")[0] in found]
    for known in comparable:
        kind, _, value = known.partition(":")
        if found[kind] == value:
            return f"{file.path.name}: {kind} as published"
    if comparable:
        kind = comparable[0].partition(":")[0]
        raise DatasetError(
            f"{file.path}: {kind} is {found[kind]}\nexpected {comparable[0].partition(':')[2]}, the file of its "
            f"authors; it is damaged or another data set\n{file.get_it}"
        )
    return f"{file.path.name}: sha256 {digest}, no published hash is known to us"
