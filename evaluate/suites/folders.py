"""Where outcomes are kept: a folder for each run of a case, with its run.json, or failed.json where there is none.

What is finished is told from these files alone: a run names the hash of its case, and half a file is never there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from evaluate.errors import RunFileError, SuiteError
from evaluate.options import Options
from evaluate.records import Metric, Run, read_run, write_atomically, write_run

__all__ = ["FAILURE", "Failure", "Key", "claim", "folder_name", "keep", "kept", "prune"]

FAILURE = "ann2spike.failure/1"
_ASIDE = ("model", "recipe", "data", "calibration", "arch")


@dataclass(frozen=True)
class Key:
    """One run of one case: the hash of the case, and the how-manieth run it is, from 0."""

    case: str
    repeat: int = 0


@dataclass(frozen=True)
class Failure:
    """The outcome of a case without a run: why, in words; ``kind`` is ``refused`` or ``died``."""

    case: str
    repeat: int
    label: str
    command: str
    kind: str
    message: str
    time_utc: str = ""
    schema: str = FAILURE


def folder_name(options: Options, key: Key) -> str:
    """Readable, and different for different cases.

    >>> folder_name(Options("zoo:digits-relu", recipe="radix", bits=4), Key("0123456789abcdef"))
    'digits-relu-radix-bits-4.0123456789ab'
    """
    told = [f"{name}-{value}" for name, value in options.given.items() if name not in _ASIDE]
    words = "-".join((Path(options.model.removeprefix("zoo:")).stem, options.recipe, *told))
    again = f".{key.repeat + 1}" if key.repeat else ""
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '-', words)[:80].strip('.-')}.{key.case[:12]}{again}"


def claim(folder: Path) -> None:
    """Make `folder`.

    Raises
    ------
    SuiteError
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SuiteError(
            f"--out: {folder} cannot be used ({error.strerror}); expected a folder, new or of an earlier run"
        ) from error


def kept(folder: Path, key: Key) -> Run | Failure | None:
    """What is there of `key`; None where nothing is, or what is damaged."""
    try:
        run = read_run(folder / "run.json")
        return run if run.environment.get("suite") == asdict(key) else None
    except (RunFileError, AttributeError):
        pass
    try:
        failure = Failure(**json.loads((folder / "failed.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return failure if (failure.case, failure.repeat, failure.schema) == (key.case, key.repeat, FAILURE) else None


def keep(folder: Path, outcome: Run | Failure, key: Key, timed: bool) -> Run | Failure:
    """Write `outcome`, and return it as it was written.

    Parameters
    ----------
    timed : bool
        Whether its times are metrics, for a gate that judges them by several runs.

    Raises
    ------
    SuiteError
        It cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        if isinstance(outcome, Failure):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            outcome = replace(outcome, time_utc=now)
            write_atomically(folder / "failed.json", (json.dumps(asdict(outcome), indent=1) + "\n").encode())
        else:
            more = tuple(_times(outcome)) if timed else ()
            environment = outcome.environment | {"suite": asdict(key)}
            outcome = replace(outcome, environment=environment, metrics=(*outcome.metrics, *more))
            write_run(outcome, folder / "run.json")
            (folder / "failed.json").unlink(missing_ok=True)
    except OSError as error:
        raise SuiteError(f"--out: {folder} cannot be written ({error.strerror}); finished cases are kept") from error
    return outcome


def _times(run: Run) -> Iterator[Metric]:
    """The wall clock of every stage."""
    for stage, seconds in run.environment["seconds"].items():
        yield Metric(f"time.{stage}", seconds, "s", "lower", note="wall clock of this stage", timing=True)


def prune(folder: Path, expected: Collection[str], remove: bool) -> None:
    """Refuse, or `remove`, runs that are not of this suite: a gate would take them for runs of its cases.

    Raises
    ------
    SuiteError
    """
    others = [path.parent for path in sorted(folder.glob("*/run.json")) if path.parent.name not in expected]
    stale = [path for path in others if _is_ours(path)]
    left = [path for path in others if path not in stale] if remove else others
    if left:
        raise SuiteError(
            f"--out: {folder} holds {len(left)} runs that are not of this suite, or of other code, weights or data, "
            f"such as {left[0].name}; expected none, for they would be taken for its cases: name another folder, or "
            "pass --prune to remove what suites wrote there"
        )
    failed = [path.parent for path in folder.glob("*/failed.json") if path.parent.name not in expected]
    for path in {*failed, *stale}:
        shutil.rmtree(path)


def _is_ours(folder: Path) -> bool:
    """Whether a suite wrote the run there."""
    try:
        return "suite" in read_run(folder).environment
    except RunFileError:
        return False
