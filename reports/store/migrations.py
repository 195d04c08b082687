"""Making the tables, and bringing those of an older version up to date: numbered steps, each tested from a kept file.

Own steps and no alembic: there are three tables whose content follows from the whole runs, so that a step is a few
lines, and a user's store has to migrate by itself on opening, under a lock, with no files of revisions beside it.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, insert, inspect, select, text, update

from reports.errors import DamagedStoreError, MissingStoreError, NewerStoreError
from reports.store.places import Place
from reports.store.schema import VERSION, metadata, versions

__all__ = ["STEPS", "prepare"]

STEPS: dict[int, Callable[[Connection], None]] = {}
"""Version -> what leads to it from the one before."""

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
        return
    for step in range(found + 1, VERSION + 1):
        STEPS[step](writing)
    writing.execute(update(versions).values(version=VERSION))


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
