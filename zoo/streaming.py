"""stacked(): samples made one by one, as one tensor, in memory that does not grow with their number.

A small stack is in memory. A large one is a scratch file without a name, mapped into memory: who slices the tensor
batch by batch keeps a batch in memory, and the system drops what was read. The file goes when the tensor goes, however
the process ends. Its place is ``$TMPDIR``, or else ``/var/tmp``, which is on a disk where ``/tmp`` may not be.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.errors import DatasetError

__all__ = ["IN_MEMORY_BYTES", "stacked"]

IN_MEMORY_BYTES = 256 << 20
"""Stacks of more bytes than this are in a scratch file."""

_FLUSH_BYTES = 64 << 20  # written samples leave memory after so many

_Array = np.ndarray[Any, np.dtype[np.float32]]


def stacked(
    spec: str,
    samples: Iterable[_Array],
    count: int,
    shape: tuple[int, ...],
    name: Callable[[int], str] = lambda i: f"sample {i}",
) -> torch.Tensor:
    """The `samples`, `count` float32 arrays of one shape, as a tensor of shape (count, *shape).

    Parameters
    ----------
    name : callable
        What to call a sample in a message.

    Raises
    ------
    DatasetError
        A sample of another shape, with NaN or infinity; too little space for the scratch file.
    """
    room = _room(spec, count, shape)
    size, unsaved, done = 4 * math.prod(shape), 0, 0
    for i, sample in enumerate(samples):
        if sample.shape != shape or not np.isfinite(sample).all():
            raise DatasetError(f"{spec}: {name(i)}: {_fault(sample, shape)}")
        room[i] = sample
        unsaved, done = unsaved + size, i + 1
        if isinstance(room, np.memmap) and unsaved >= _FLUSH_BYTES:
            _release(room)
            unsaved = 0
    if done != count:
        raise DatasetError(f"{spec}: gave {done} samples; expected the {count} that it announced")
    return torch.from_numpy(np.asarray(room))


def _fault(sample: _Array, shape: tuple[int, ...]) -> str:
    if sample.shape != shape:
        return (
            f"shape {sample.shape}; the first sample has {shape}, and all must have one shape; "
            "for images add resize=N,crop=N to the spec"
        )
    return "NaN or infinite values; expected finite numbers: drop or repair the sample"


def _room(spec: str, count: int, shape: tuple[int, ...]) -> _Array:
    size = 4 * count * math.prod(shape)
    if size <= IN_MEMORY_BYTES:
        return np.empty((count, *shape), np.float32)
    folder = _scratch_folder()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DatasetError(
            f"{spec}: {count:,} samples of shape {shape} take {size / 2**30:.1f} GiB of scratch space, {folder} has "
            f"{free / 2**30:.1f} GiB; expected enough: score fewer with --limit, or set TMPDIR to a larger disk"
        )
    with tempfile.TemporaryFile(dir=folder, prefix="ann2spike-") as file:
        file.truncate(size)
        return np.memmap(file, np.float32, "r+", shape=(count, *shape))


def _scratch_folder() -> Path:
    disk = Path("/var/tmp")
    own = os.environ.get("TMPDIR")
    return Path(own) if own and Path(own).is_dir() else disk if disk.is_dir() else Path(tempfile.gettempdir())


def _release(room: np.memmap[Any, Any]) -> None:
    """Write what is dirty, and let go of the pages; reading them again reads the file."""
    room.flush()
    pages: mmap.mmap = room._mmap  # type: ignore[attr-defined]  # numpy's name for the map it keeps
    if hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)
