"""members(): files of a gzipped tar archive, read into memory; nothing is unpacked, so that no path can escape."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

from zoo.errors import DatasetError

__all__ = ["members"]

_LARGEST_TOTAL = 512 << 20  # of the whole archive, unpacked: CIFAR's hold 185 MB
_CHUNK = 1 << 20


class _Bounded:
    """A stream that refuses to give more than `limit` bytes, whatever the archive claims to hold."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.left = stream, limit

    def read(self, size: int = -1) -> bytes:
        """The next bytes, `size` at most."""
        content = self.stream.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f"more than {_LARGEST_TOTAL >> 20} MiB unpacked")
        return content


def members(path: Path, names: Collection[str], largest: int) -> dict[str, bytes]:
    """The files called `names` in the archive at `path`.

    Parameters
    ----------
    largest : int
        Bytes that one of them may have.

    Raises
    ------
    DatasetError
        Not an archive, one of the files is missing or is no plain file, or there is more in it than there can be.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as stream:
            bounded = _Bounded(stream, _LARGEST_TOTAL)  # type: ignore[arg-type]
            with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]
                for member in archive:
                    file = archive.extractfile(member) if member.name in names and member.isfile() else None
                    if file is None:
                        continue
                    if member.size > largest:
                        raise ValueError(f"{member.name} is larger than {largest >> 20} MiB")
                    found[member.name] = file.read()
            while bounded.read(_CHUNK):  # to the end, where the checksum is
                pass
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise DatasetError(f"{path}: not a readable archive ({error}); is it complete? Download it again") from error
    if missing := [name for name in names if name not in found]:
        raise DatasetError(f"{path}: lacks the files {', '.join(missing)}; expected the published archive")
    return found
