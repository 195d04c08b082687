"""The compiled kernel: where it is, and its functions with types.

It is built with the package for several instruction sets, each in a library of its own; the first that this processor
runs is used. Without a compiler there is none, and the dense engine does everything.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from ctypes import POINTER, Structure, c_double, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import torch

__all__ = ["Layer", "Source", "Tracked", "kernel", "team"]

VERSION = 8
"""Of the interface: `events_version` in events.cpp."""

_BUILDS = ("avx512", "avx2", "plain")
"""Fastest first; see `ext-modules` in pyproject.toml."""


class Source(Structure):
    """`Source` of events.cpp."""

    _fields_ = [("bits", c_void_p)] + [
        (name, c_int32)
        for name in (
            "in_h", "in_w", "words", "word_begin", "word_end", "kernel_h", "kernel_w", "stride_h", "stride_w",
            "pad_h", "pad_w", "dilation_h", "dilation_w", "row", "level", "negative", "repeat",
        )
    ]  # fmt: skip


class Layer(Structure):
    """`Layer` of events.cpp."""

    _fields_ = [
        ("first", c_int64), ("last", c_int64),
        ("out_h", c_int32), ("out_w", c_int32), ("steps", c_int32), ("neurons", c_int32), ("width", c_int32),
        ("sources", POINTER(Source)), ("source_count", c_int32), ("rows", c_int32),
        ("weight", c_void_p), ("weight_bytes", c_int32), ("together", c_int32),
        ("tile", c_int32), ("law", c_int32), ("real", c_int32), ("values", c_int32), ("takes_back", c_int32),
        ("base", c_void_p), ("base_step", c_int64), ("base_place", c_int64),
        ("unit", c_double), ("alpha", c_double), ("beta", c_double), ("threshold", c_double), ("quantum", c_double),
        ("alphas", c_void_p),
        ("fresh", c_int32), ("start", c_void_p), ("v", c_void_p),
        ("current", c_void_p), ("sent", c_void_p), ("fired", c_void_p),
        ("rate", c_void_p), ("quanta", c_void_p), ("gains", c_void_p), ("entries", c_int64),
        ("out", c_void_p), ("out_plane", c_int64), ("out_words", c_int32), ("out_word", c_int32),
        ("drive", c_void_p), ("drive_step", c_int64),
        ("line_h", c_int32), ("line_w", c_int32), ("pool_h", c_int32), ("pool_w", c_int32),
        ("pool_stride_h", c_int32), ("pool_stride_w", c_int32), ("pool_pad_h", c_int32), ("pool_pad_w", c_int32),
        ("pool_dilation_h", c_int32), ("pool_dilation_w", c_int32), ("sums", c_void_p), ("currents", c_void_p),
    ]  # fmt: skip


class Tracked(Structure):
    """`Tracked` of events.cpp."""

    _fields_ = [
        ("size", c_int64), ("neurons", c_int64), ("steps", c_int64),
        ("drive", c_void_p), ("drive_step", c_int64), ("drive_bytes", c_int32),
        ("charge", c_void_p), ("count", c_void_p), ("spikes", c_void_p), ("beta", c_double), ("threshold", c_double),
        ("windows", c_void_p), ("inverse", c_void_p), ("units", c_void_p), ("spikes_per", c_void_p), ("apart", c_int32),
        ("breaks", c_void_p), ("rises", c_void_p), ("offsets", c_void_p), ("break_count", c_int64),
        ("low", c_double), ("per_unit", c_double), ("first", c_void_p), ("cells", c_int64),
    ]  # fmt: skip


@cache
def kernel() -> ctypes.CDLL | None:
    """The fastest library that this processor runs, or None where none was built."""
    for build in _BUILDS:
        for path in _libraries(build):
            library = _opened(path)
            if library is not None and library.events_supported():
                return library
    return None


@cache
def team() -> int | None:
    """Address of `GOMP_parallel` in the OpenMP runtime that torch has loaded; None where that is not to be found.

    After a parallel region of torch's its workers wait awake for some milliseconds, and would be in the way of any
    threads but themselves.
    """
    try:
        loaded = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    runtimes = set(re.findall(r"/.*/lib(?:gomp|iomp5|omp)[-.\w]*\.so[.\d]*$", loaded, re.MULTILINE))
    own = {path for path in runtimes if Path(path).is_relative_to(Path(torch.__file__).resolve().parent)}
    try:
        (path,) = own or runtimes  # other packages bring theirs, too
        return ctypes.cast(ctypes.CDLL(path).GOMP_parallel, c_void_p).value
    except (ValueError, OSError, AttributeError):
        return None


def _libraries(build: str) -> Iterator[Path]:
    """Files of the name: beside this module, then in the installed distribution (a source tree has none of its own)."""
    pattern = f"_events_{build}.*"
    folders = [Path(__file__).parent]
    for installed in distributions(name="ann2spike"):  # a source tree may have metadata too, and comes first
        folders.append(Path(str(installed.locate_file("convert/simulation/events"))))
    for folder in folders:
        yield from (path for path in sorted(folder.glob(pattern)) if path.suffix in (".so", ".dylib", ".pyd", ".dll"))


def _opened(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
        if library.events_version() != VERSION:
            return None
    except (OSError, AttributeError):
        return None
    library.events_run.argtypes = [POINTER(Layer), c_int, c_void_p]
    library.events_run.restype = None
    library.events_pool.argtypes = [
        c_void_p, c_int64, POINTER(c_int32), c_int, c_void_p, c_int64, c_int, c_int64, *[c_int] * 10, c_int64, c_int,
        c_void_p,
    ]  # fmt: skip
    library.events_pool.restype = None
    library.events_track.argtypes = [POINTER(Tracked)]
    library.events_track.restype = None
    library.events_count.argtypes = [c_void_p, c_int64]
    library.events_count.restype = c_int64
    library.events_tally.argtypes = [c_void_p, c_int, c_void_p, c_int64, c_int64, c_double, c_void_p, c_void_p]
    library.events_tally.restype = None
    library.events_take_back.argtypes = [
        c_void_p, c_int64, c_int64, c_int, c_void_p, c_void_p, c_int64, c_float, c_void_p, c_void_p,
    ]  # fmt: skip
    library.events_take_back.restype = None
    for name in ("events_pack", "events_unpack"):
        function = getattr(library, name)
        function.argtypes = [c_void_p, c_int64, c_int64, c_int, c_float, c_void_p, c_int]
        function.restype = None
    return library
