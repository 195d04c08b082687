"""Making the tables, and bringing those of an older version up to date.

Everything in a store follows from the whole runs, so a store of any older version is rebuilt from them, in one
transaction. That is why this is not alembic: a step is one row of `OLDER`, it never calls code of the past, and a
user's store migrates by itself on opening, under a lock. A kept file of each version is among the tests.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, inspect, select, text, update

from reports.errors import DamagedStoreError, MissingStoreError, NewerStoreError
from reports.store.packing import pack, run_of
from reports.store.places import Place
from reports.store.schema import VERSION, documents, metadata, runs, versions

__all__ = ["OLDER", "Layout", "prepare"]


class Layout(NamedTuple):
    """What of an older version must be known to rebuild it."""

    whole: str
    """The table of the whole runs, with columns ``content`` and ``document``."""
    others: tuple[str, ...]
    indexes: tuple[str, ...]


OLDER = {
    # A row for each metric and each layer.
    1: Layout("runs", ("metrics", "layers"), ("runs_by_time",)),
}
"""Version -> its layout."""

_LOCK = 0x616E6E32  # a number of our own among PostgreSQL's advisory locks: "ann2"


def prepare(engine: Engine, place: Place, create: bool) -> None:
    """Make the tables where there are none, and migrate those of an older version, each in one transaction.

    Raises
    ------
    MissingStoreError, NewerStoreError, DamagedStoreError
        No store and none to be made; of a newer version; tables of another program.
    """
    with engine.connect() as reading:
        found = _version(reading, place)
    if found is None and not create:
        raise MissingStoreError(f"{place}: holds no store; python -m reports add RUN --store {place} makes one")
    if found != VERSION:
        with engine.execution_options(writes=True).begin() as writing:
            _catch_up(writing, place)


def _catch_up(writing: Connection, place: Place) -> None:
    """Look again under a lock, since another program may have been faster; then make, or migrate."""
    if writing.dialect.name == "postgresql":
        writing.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = _version(writing, place)
    if found is None:
        metadata.create_all(writing)
        writing.execute(insert(versions).values(version=VERSION))
    elif found != VERSION:
        _rebuild(writing, OLDER[found])
        writing.execute(update(versions).values(version=VERSION))


def _rebuild(writing: Connection, old: Layout) -> None:
    """The tables of today from the whole runs of yesterday, one run at a time in memory."""
    for table in old.others:
        writing.execute(text(f"DROP TABLE {table}"))
    for index in old.indexes:
        writing.execute(text(f"DROP INDEX {index}"))
    writing.execute(text(f"ALTER TABLE {old.whole} RENAME TO run_store_older"))
    metadata.create_all(writing, [runs, documents])
    one = text("SELECT document FROM run_store_older WHERE content = :key")
    for key in writing.execute(text("SELECT content FROM run_store_older ORDER BY content")).scalars().all():
        packed = pack(run_of(key, bytes(writing.execute(one, {"key": key}).scalar_one())))
        writing.execute(insert(runs), packed.head)
        writing.execute(insert(documents), packed.document)
    writing.execute(text("DROP TABLE run_store_older"))


def _version(connection: Connection, place: Place) -> int | None:
    """Of the tables that are there; None without any."""
    names = set(inspect(connection).get_table_names())
    if versions.name not in names:
        others = sorted(names if place.file else names & metadata.tables.keys())
        if others:
            raise DamagedStoreError(
                f"{place}: is no run store, but holds tables of another program ({', '.join(others[:5])}); name another"
            )
        return None
    found = connection.execute(select(versions.c.version)).scalars().all()
    if len(found) != 1 or not found[0] >= 1:
        raise DamagedStoreError(f"{place}: says version {found}; expected one number; restore a copy")
    if found[0] > VERSION:
        raise NewerStoreError(
            f"{place}: is a store of version {found[0]}; this ann2spike knows version {VERSION}; install a newer one"
        )
    return found[0]
