"""A history of runs in a database. A run's key is the hash of its content, so adding it twice is adding it once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from evaluate.records import Run
from reports.errors import FullStoreError, StoreError
from reports.history import Entry
from reports.store.failures import in_words
from reports.store.migrations import prepare
from reports.store.opening import check_file, engine_of
from reports.store.packing import entry_from, pack, run_of
from reports.store.places import Place, place_of
from reports.store.queries import Filters, chosen, starts
from reports.store.schema import documents, runs

__all__ = ["Added", "Commit", "Store", "open_store"]

_BATCH = 100
"""Runs in one transaction: a kill loses at most so many, and others do not wait long."""

T = TypeVar("T")


@dataclass(frozen=True)
class Added:
    """How many runs were new, and how many the store had already."""

    new: int
    known: int


@dataclass(frozen=True)
class Commit:
    """A commit that has runs: how many, and when the latest was made."""

    commit: str
    made: str
    runs: int


def open_store(url: str, create: bool = True) -> Store:
    """The store at `url`: a file of SQLite, or ``postgresql://USER@HOST/DATABASE``.

    Raises
    ------
    StoreError
        It is damaged, of a newer version, of another program, or cannot be reached; without `create` also where
        there is none.
    """
    place = place_of(url)
    engine = engine_of(place, create)
    try:
        with in_words(place):
            check_file(engine, place)
            prepare(engine, place, create)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, place)


class Store:
    """Runs in a database; made by `open_store`. Safe for several threads, processes and machines at once."""

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine, self.place = engine, place

    def __enter__(self) -> Self:
        """Itself, to be closed at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def __len__(self) -> int:
        """The number of runs."""
        return int(self._rows(select(func.count()).select_from(runs))[0][0])

    def add(self, new: Iterable[Run]) -> Added:
        """Keep the runs that are not there yet; what is added stays added, whatever happens later.

        Raises
        ------
        StoreError, ReportError
            The store cannot be written; a run cannot be kept.
        """
        rest, added, seen = iter(new), 0, 0
        try:
            while batch := list(islice(rest, _BATCH)):
                added += self._insert(batch)
                seen += len(batch)
        except FullStoreError as error:
            raise FullStoreError(f"{error}; {added} new runs were added before") from error
        return Added(added, seen - added)

    def _insert(self, batch: Sequence[Run]) -> int:
        """In the order of the keys, so that two writers never wait for each other crosswise."""
        packed = {rows.head["content"]: rows for rows in map(pack, batch)}
        heads = [packed[key].head for key in sorted(packed)]
        verb = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        keep = verb(runs).on_conflict_do_nothing().returning(runs.c.content)
        with in_words(self.place), self._engine.execution_options(writes=True).begin() as writing:
            fresh = list(writing.execute(keep, heads).scalars())
            if fresh:
                writing.execute(insert(documents), [packed[key].document for key in fresh])
        return len(fresh)

    def entries(self, **filters: Unpack[Filters]) -> list[Entry]:
        """Light entries of the runs that `filters` leave, the oldest first."""
        return [entry_from(row) for row in self._rows(chosen(filters, *runs.c))]

    def runs(self, **filters: Unpack[Filters]) -> Iterator[Run]:
        """The whole runs that `filters` leave, the oldest first, a few at a time in memory."""
        keys = iter(self._rows(chosen(filters, runs.c.content)))
        while batch := [row[0] for row in islice(keys, _BATCH)]:
            found = dict(self._rows(select(documents).where(documents.c.content.in_(batch))))
            yield from (run_of(key, found[key]) for key in batch)

    def run(self, prefix: str) -> Run:
        """The run whose key, or else whose id, starts with `prefix`.

        Raises
        ------
        StoreError
            None does, or several do.
        """
        keys = list(self.keys_from(prefix))
        if len(keys) != 1:
            told = f"means several ({', '.join(key[:12] for key in keys[:10])}); write more of it" if keys else "no run"
            raise StoreError(f"{prefix}: {told} in {self.place}; python -m reports list shows the keys")
        return next(self.runs(key=keys[0]))

    def known(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that the store has."""
        rest, found = iter(keys), set()
        while batch := list(islice(rest, _BATCH)):
            found |= {row[0] for row in self._rows(select(runs.c.content).where(runs.c.content.in_(batch)))}
        return found

    def keys_from(self, prefix: str) -> dict[str, str]:
        """Key -> id of the runs whose key, or else whose id, starts with `prefix`, the oldest first."""
        for column in (runs.c.content, runs.c.run):
            query = select(runs.c.content, runs.c.run).where(starts(column, prefix))
            if found := self._rows(query.order_by(runs.c.made, runs.c.content)):
                return {row[0]: row[1] for row in found}
        return {}

    def commits_from(self, prefix: str) -> list[str]:
        """The commits whose hash starts with `prefix`."""
        query = select(runs.c.commit).where(starts(runs.c.commit, prefix)).distinct().order_by(runs.c.commit)
        return [row[0] for row in self._rows(query)]

    def commits(self, last: int) -> list[Commit]:
        """The `last` commits that have runs, the latest first."""
        latest = func.max(runs.c.made)
        query = select(runs.c.commit, latest, func.count()).where(runs.c.commit != "").group_by(runs.c.commit)
        return [Commit(*row) for row in self._rows(query.order_by(latest.desc(), runs.c.commit).limit(last))]

    def _rows(self, query: Any) -> Sequence[Any]:
        with in_words(self.place), self._engine.connect() as reading:
            return reading.execute(query).all()
