"""What a measurement took: the ANN's own time to compare with, and the most memory at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

import zoo

__all__ = ["Peak", "ann_seconds", "watched"]

_BATCH, _MOST = 50, 500
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """The most memory that was resident beyond what was there before; None where the system does not tell."""

    bytes: int | None = None


@contextmanager
def watched() -> Iterator[Peak]:
    """Watch the memory of this process meanwhile."""
    peak, before = Peak(), _resident("VmRSS")
    known = before is not None and _forget()
    yield peak
    most = _resident("VmHWM") if known else None
    peak.bytes = None if most is None or before is None else max(0, most - before)


def _forget() -> bool:
    """Begin the high-water mark anew (Linux, proc_pid_clear_refs(5)); whether that could be done."""
    try:
        _FORGET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    try:
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(field):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


@cache
@torch.no_grad()
def ann_seconds(network: str, limit: int | None) -> float:
    """Seconds that a forward pass of the original takes for each sample, in batches; once for each process."""
    found = zoo.load(network)
    x = zoo.open_dataset(found.data).scored(min(limit or _MOST, _MOST)).x
    module = found.module.eval()
    module(x[:_BATCH])
    begin = time.perf_counter()
    for batch in x.split(_BATCH):
        module(batch)
    return (time.perf_counter() - begin) / len(x)
