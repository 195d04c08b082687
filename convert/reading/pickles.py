"""Pickles of scikit-learn estimators: recognised without being executed, and refused.

`pickletools.genops` disassembles a pickle and runs nothing. joblib writes its pickles plain or through a
compressor; of those at most the first 64 KiB are unpacked.
"""

from __future__ import annotations

import bz2
import lzma
import pickletools
import zlib
from collections.abc import Callable
from pathlib import Path

from convert.errors import LoadError, UnsafeFileError

__all__ = ["estimator_refusal", "is_estimator_pickle"]

_HEAD = 1 << 16
_MEMORY = 1 << 26

_UNPACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x78": lambda data: zlib.decompressobj().decompress(data, _HEAD),
    b"\x1f\x8b": lambda data: zlib.decompressobj(wbits=31).decompress(data, _HEAD),
    b"BZh": lambda data: bz2.BZ2Decompressor().decompress(data, _HEAD),
    b"\xfd7zXZ": lambda data: lzma.LZMADecompressor(memlimit=_MEMORY).decompress(data, _HEAD),
    b"\x5d\x00": lambda data: lzma.LZMADecompressor(memlimit=_MEMORY).decompress(data, _HEAD),
}
"""First bytes -> how to unpack the beginning: zlib, gzip, bzip2, xz, lzma."""


def is_estimator_pickle(path: Path) -> bool:
    """Whether the file is a pickle that names scikit-learn or joblib, or any compressed pickle."""
    content, packed = _beginning(path)
    if packed:
        return content[:1] == b"\x80" or bool(_globals(content))
    return any(name.startswith(("sklearn.", "joblib.")) for name in _globals(content))


def estimator_refusal(path: Path) -> LoadError:
    """Why such a file is not read, and what to do instead."""
    names = _globals(_beginning(path)[0])
    asks = f" (it asks for {', '.join(names[:6])}{', ...' if len(names) > 6 else ''})" if names else ""
    return UnsafeFileError(
        f"{path}: a pickle of a scikit-learn estimator{asks}; unpickling runs whatever code a file names, so it was "
        "not opened; nothing was executed.\nexpected a skops file. Way out, in the script that has the model:\n"
        "  import skops.io; skops.io.dump(model, 'model.skops')"
    )


def _beginning(path: Path) -> tuple[bytes, bool]:
    """The first bytes of the content, and whether they had to be unpacked."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for magic, unpack in _UNPACKERS.items():
        if head.startswith(magic):
            try:
                return unpack(head), True
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError):
                return b"", False
    return head, False


def _globals(content: bytes) -> list[str]:
    """What the pickle names, as far as it can be disassembled, in order of appearance."""
    found: dict[str, None] = {}
    strings: list[str] = ["", ""]
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("GLOBAL", "INST"):
                found[str(argument).replace(" ", ".")] = None
            elif opcode.name == "STACK_GLOBAL":
                found[".".join(strings[-2:])] = None
            elif isinstance(argument, str):
                strings.append(argument)
    except Exception:  # the end of the head, raw arrays between the opcodes, or no pickle at all: all are answers
        pass
    return list(found)
