"""Pickles that multiply: what torch's restricted unpickler would run, and what fills the memory from a few bytes.

The unpickler allows `bytearray`, which takes a size (as do tensor classes, whose
memory stays untouched), and `_codecs.encode`, which doubles its input with codecs such
as hex and can be called on its own result. A state_dict needs the first never, and the second for latin1 only.
"""

from __future__ import annotations

import codecs
import io
import mmap
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from convert.errors import UnsafeFileError

__all__ = ["refuse_growing_pickle"]

_OLD_PICKLES = 4
"""Pickles in a row in a file from before torch 1.6."""


def refuse_growing_pickle(content: Path | bytes, origin: str) -> None:
    """Refuse a file whose pickle could ask for memory without bound.

    Raises
    ------
    UnsafeFileError
    """
    if isinstance(content, bytes):
        asks = _asked(content)
    else:
        with content.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            asks = _asked(mapped)
    fault = "builtins.bytearray" if b"bytearray" in asks else ""
    if not fault and b"encode" in asks:
        fault = next((f"_codecs.encode with {text!r}" for text in _strings(content) if not _encodes_text(text)), "")
    if fault:
        raise UnsafeFileError(
            f"{origin}: this pickle asks for {fault}, which can fill the memory; nothing was executed. expected "
            "tensors and plain values: save the state_dict alone, with torch.save(model.state_dict(), 'weights.pt')"
        )


def _asked(content: bytes | mmap.mmap) -> set[bytes]:
    """Which of the two are named; archives of torch are not compressed, so that a search finds them."""
    return {name for name in (b"bytearray", b"encode") if content.find(b"\n" + name + b"\n") >= 0}


def _encodes_text(name: str) -> bool:
    """Whether `name` is no codec, or one that takes text and so cannot take its own result."""
    try:
        return len(name) > 64 or bool(getattr(codecs.lookup(name), "_is_text_encoding", True))
    except (LookupError, ValueError, TypeError):
        return True


def _strings(content: Path | bytes) -> Iterator[str]:
    """The strings in the pickles of the file, as far as they can be disassembled."""
    try:
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                for _ in range(_OLD_PICKLES):
                    yield from _of(file)
                return
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        with archive.open(name) as pickled:
                            yield from _of(pickled)
    except Exception:  # a damaged pickle ends here; a codec's name stands before the call that needs it
        return


def _of(pickled: IO[bytes]) -> Iterator[str]:
    return (arg for _, arg, _ in pickletools.genops(pickled) if isinstance(arg, str))
