"""Runs on their way into a store: from run files, or from lines of JSON. If one is damaged, none is added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluate.errors import RunFileError
from evaluate.records import Run, parse_run, read_run
from reports.errors import ReportError
from reports.pairing import run_files
from reports.store.packing import entry_to_keep
from reports.store.store import Added, Store

__all__ = ["Source", "files", "lines", "take_in"]

_TOLD = 20
"""Damages that are told in full; of the rest only the places are."""


@dataclass(frozen=True)
class Source:
    """One run that can be read, and read again."""

    where: str
    read: Callable[[], Run]


def files(places: Iterable[str | Path]) -> list[Source]:
    """The run files at `places`: run files, output folders, or folders of either.

    Raises
    ------
    ReportError
        Names every folder without a run.
    """
    found, faults = [], []
    for place in places:
        try:
            found += [Source(str(path), lambda path=path: read_run(path)) for path in run_files(place)]  # type: ignore[misc]
        except RunFileError as error:
            faults.append(str(error))
    if faults:
        raise ReportError("\n".join(faults))
    return found


def lines(path: Path) -> list[Source]:
    """The lines of the file at `path`, each a run; empty ones are skipped.

    Raises
    ------
    ReportError
        It cannot be read.
    """
    found, start = [], 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    found.append(_line(path, number, start, len(line)))
                start += len(line)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read ({error.strerror}); expected lines of JSON, as exported") from error
    return found


def _line(path: Path, number: int, start: int, size: int) -> Source:
    where = f"{path}, line {number}"

    def read() -> Run:
        with path.open("rb") as file:
            file.seek(start)
            return parse_run(file.read(size), where)

    return Source(where, read)


def take_in(store: Store, sources: Iterable[Source], progress: Callable[[int], None] = lambda n: None) -> Added:
    """Add the runs of `sources` that `store` does not have; each is looked at before the first is added.

    Parameters
    ----------
    progress : callable
        Called with 1 for every source that was looked at, and for every run that was added.

    Raises
    ------
    ReportError
        Some are damaged: all of them are named, and nothing is added.
    """
    found, faults, seen = {}, [], 0
    for source in sources:
        try:
            found[entry_to_keep(source.read()).content] = source
        except (RunFileError, ReportError) as error:
            faults.append((source.where, str(error)))
        seen += 1
        progress(1)
    if faults:
        raise ReportError(_told(faults, seen))
    known = store.known(found)

    def fresh() -> Iterator[Run]:
        for content, source in found.items():
            if content not in known:
                yield source.read()
                progress(1)

    added = store.add(fresh())
    return Added(added.new, seen - added.new)


def _told(faults: list[tuple[str, str]], seen: int) -> str:
    """All places, the reasons of the first."""
    rows = [text if text.startswith(where) else f"{where}: {text}" for where, text in faults[:_TOLD]]
    rest = [where for where, _ in faults[_TOLD:]]
    more = [f"and {len(rest)} more: {'; '.join(rest)}"] if rest else []
    head = f"{len(faults)} of {seen} cannot be read, so nothing was added; repair or leave out"
    return "\n".join([f"{head}:", *rows, *more])
