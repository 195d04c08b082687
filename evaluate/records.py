"""The run file: the seam between measuring and telling.

`evaluate` writes a `Run`, `reports` reads it. Only the standard library is used here, so that a report or
a dashboard is built in seconds on a machine without torch.

A run holds what was asked (`case`), what came out (`metrics`, `curves`, `layers`), what was assumed
(`assumptions`: energy model with constants and sources, counting conventions, published baselines), and
what is needed to run it again (`case`, `environment`). Its `id` is a hash of `case` and the code version,
so the same id means the same numbers, timing and environment excepted. A metric that came from a clock says so
(`Metric.timing`) and brings its single values.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from evaluate.errors import RunFileError

__all__ = [
    "BENCHMARK",
    "LEADERBOARD",
    "SCHEMA",
    "Metric",
    "Run",
    "atomic_file",
    "content_hash",
    "metric_of",
    "pack_bits",
    "parse_run",
    "read_run",
    "run_of",
    "unpack_bits",
    "write_atomically",
    "write_run",
]

SCHEMA = "ann2spike.run/1"

BENCHMARK = "benchmark"
"""What ``kind`` is in the case of a run that tells of speed; the case of a conversion has none."""

LEADERBOARD = "leaderboard"
"""The same in the case of a run of many networks and methods."""

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """One number with everything a reader needs to judge it.

    Parameters
    ----------
    name : str
        Part of the interface, e.g. ``snn.accuracy``.
    value : float or None
        ``None`` means *unmeasured* or *not reached*; `note` then says why and how to measure it.
    unit : str
        Never empty: ``fraction``, ``steps``, ``ms``, ``J``, ``SynOps``, ``SynOps/s/W``, ...
    better : {"higher", "lower", "neither"}
        Direction of improvement.
    samples : int or None
        Number of samples behind the value.
    low, high : float or None
        95 % interval where one is defined; for modelled joules the range of the constants.
    note : str
        How the number came about, or why it is missing.
    timing : bool
        Whether it came from a clock: another run of the same id gives another value.
    observations : tuple of float
        The single values behind it, in the order in which they were taken.

    Raises
    ------
    ValueError
        Without a unit, with a value that is not finite, or with ``None`` and no note.
    """

    name: str
    value: float | None
    unit: str
    better: Better
    samples: int | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    timing: bool = False
    observations: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a metric that cannot be read: no unit, not finite, missing without a reason."""
        if not self.unit:
            raise ValueError(f"metric {self.name}: a metric needs a unit")
        for label, number in (("value", self.value), ("low", self.low), ("high", self.high)):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"metric {self.name}: {label} is {number}; use None and a note")
        if not all(math.isfinite(number) for number in self.observations):
            raise ValueError(f"metric {self.name}: an observation is not finite; leave it out and say so in the note")
        if self.value is None and not self.note:
            raise ValueError(f"metric {self.name}: no value and no note that says why")


@dataclass(frozen=True)
class Run:
    """One case, measured. All members but `metrics` are plain JSON values."""

    id: str
    case: dict[str, Any]
    metrics: tuple[Metric, ...]
    curves: dict[str, list[dict[str, Any]]]
    layers: tuple[dict[str, Any], ...]
    assumptions: dict[str, Any]
    environment: dict[str, Any]
    notes: tuple[str, ...] = ()
    exports: tuple[dict[str, Any], ...] = ()
    """Verdicts on exported files, one for each form, target and reading."""
    diagnosis: dict[str, Any] = field(default_factory=dict)
    """Where and why accuracy was lost, where it was asked for; see `evaluate.diagnosis`."""
    samples: dict[str, Any] = field(default_factory=dict)
    """``count``, and for each of ``snn_right``, ``ann_right``, ``agree`` that is known one bit a sample, in the order
    of the data, as `pack_bits` writes them; after the last step, of the first head."""
    trace: dict[str, Any] = field(default_factory=dict)
    """The first sample, spike by spike, for a few neurons; see `evaluate.rasters`."""
    schema: str = field(default=SCHEMA)

    def metric(self, name: str) -> Metric:
        """The metric called `name`; `KeyError` names those there are."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"{name}; this run has {', '.join(m.name for m in self.metrics)}")

    def to_json(self) -> str:
        """Indented JSON, keys in the order of the declaration."""
        return json.dumps(self._record(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def to_line(self) -> str:
        """The same on one line, without its end."""
        return json.dumps(self._record(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    def _record(self) -> dict[str, Any]:
        """What JSON says of it; shares its members with the run."""
        return {"schema": self.schema, **vars(self), "metrics": [vars(metric) for metric in self.metrics]}


def content_hash(value: Any) -> str:
    """sha256 of the canonical JSON form of `value`.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def pack_bits(bits: Sequence[bool]) -> str:
    """One bit a sample, eight in a byte, the first one highest, as base64.

    >>> pack_bits([True, False, True])
    'oA=='
    """
    padded = [bool(bit) for bit in bits] + [False] * (-len(bits) % 8)
    rows = (padded[i : i + 8] for i in range(0, len(padded), 8))
    return base64.b64encode(bytes(sum(bit << (7 - i) for i, bit in enumerate(row)) for row in rows)).decode()


def unpack_bits(text: str, count: int) -> list[bool]:
    """The first `count` bits of what `pack_bits` wrote.

    Raises
    ------
    RunFileError
        No base64, or another number of bits.

    >>> unpack_bits("oA==", 3)
    [True, False, True]
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise RunFileError(f"samples: got no base64 ({error}); expected bits; convert the model again") from error
    if len(packed) != (count + 7) // 8:
        raise RunFileError(f"samples: got {len(packed)} bytes for {count} samples; convert the model again")
    return [bool(packed[i // 8] >> (7 - i % 8) & 1) for i in range(count)]


def read_run(path: Path | str) -> Run:
    """The run in the file at `path`, or in the output folder at `path`.

    Raises
    ------
    RunFileError
        Missing, not JSON, another schema, or members missing.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "run.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFileError(
            f"{path}: cannot be read ({error.strerror}); expected a run.json or the folder that holds it, "
            "as written by python -m convert"
        ) from error
    return parse_run(content, str(path))


def parse_run(content: bytes, where: str) -> Run:
    """The run that `content` says in JSON; `where` it stands goes into messages.

    Raises
    ------
    RunFileError
        Not JSON, another schema, or members missing.
    """
    try:
        record = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunFileError(f"{where}: not a run file (no JSON: {error}); expected {SCHEMA}") from error
    try:
        return run_of(record)
    except RunFileError as error:
        raise RunFileError(f"{where}: {error}") from error


def run_of(record: Any) -> Run:
    """The run that JSON has as `record`.

    Raises
    ------
    RunFileError
        Another schema, or members missing.
    """
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise RunFileError(f"schema is {schema!r}; this version reads {SCHEMA!r}; convert the model again")
    try:
        record = dict(record)
        metrics = tuple(metric_of(metric) for metric in record.pop("metrics"))
        layers, notes = tuple(record.pop("layers")), tuple(record.pop("notes", ()))
        exports = tuple(record.pop("exports", ()))
        return Run(metrics=metrics, layers=layers, notes=notes, exports=exports, **record)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise RunFileError(f"damaged run file ({error}); convert the model again") from error


def metric_of(record: dict[str, Any]) -> Metric:
    """The metric that JSON has as `record`: its lists are tuples here."""
    return Metric(**{**record, "observations": tuple(record.get("observations", ()))})


def write_run(run: Run, path: Path) -> None:
    """Write `run` to `path` atomically."""
    write_atomically(path, run.to_json().encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` at one stroke; see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A neighbour of `path` to write to, renamed at the end of the block, so that no reader sees half a file."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
