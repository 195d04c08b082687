"""Connections to a store: how SQLite is set up so that writers wait for each other and a kill loses nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from reports.errors import DamagedStoreError, MissingStoreError, StoreError
from reports.fields import plain
from reports.store.places import Place
from reports.store.schema import versions

__all__ = ["check_file", "engine_of"]

_PATIENCE_S = 60.0
"""How long a writer waits for others."""


def engine_of(place: Place, create: bool) -> Engine:
    """Connections to `place`, none of them open yet; `create` says whether a missing file may be made.

    Raises
    ------
    StoreError
        There is none and none to be made.
    """
    if place.file is None:
        return create_engine(place.url, connect_args={"connect_timeout": 10})
    engine = create_engine(place.url, creator=_connector(place.file, create), poolclass=QueuePool)
    event.listen(engine, "begin", _begin)
    return engine


def check_file(engine: Engine, place: Place) -> None:
    """Read the whole file, if it is one, and see that its pages fit together; a server looks after its own.

    Raises
    ------
    DamagedStoreError
        They do not.
    """
    if place.file is None:
        return
    with engine.connect() as connection:
        said = connection.exec_driver_sql("PRAGMA quick_check(3)").scalars().all()
    if said != ["ok"]:
        raise DamagedStoreError(f"{place}: is damaged ({plain(said)}); restore a copy or import an export")


def _begin(connection: Connection) -> None:
    """The driver's own transactions begin late and end at changes of tables; a writer takes its turn at once."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _connector(file: Path, create: bool) -> Callable[[], sqlite3.Connection]:
    """What opens `file`; a file that must not be written is read as it lies there."""
    if file.is_dir():
        raise StoreError(f"{file}: is a folder; expected the file of a store, such as {file / 'runs.db'}")
    if not file.exists():
        if not create:
            raise MissingStoreError(f"{file}: there is no store; python -m reports add RUN --store {file} makes one")
        if not file.parent.is_dir():
            raise StoreError(f"{file}: the folder {file.parent} does not exist; make it, or name another")
    fixed = file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))
    if not fixed:
        return lambda: _writable(file)
    # WAL needs a shared index beside the file. Where it cannot be made and no log is pending, none is needed.
    pending = file.with_name(f"{file.name}-wal").exists()
    return lambda: _connect(file, "mode=ro" if pending else "mode=ro&immutable=1")


def _connect(file: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?{options}",
        uri=True, isolation_level=None, timeout=_PATIENCE_S, check_same_thread=False,
    )  # fmt: skip


def _writable(file: Path) -> sqlite3.Connection:
    connection = _connect(file, "mode=rwc")
    try:
        _write_ahead(connection)
        # The last commits survive a loss of power, too.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers go on while one writes. The change of mode does not wait for others by itself, so it is tried again.

    The file of another program, which will be refused, stays as it is.
    """
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if names and versions.name not in names:
        return
    until = time.monotonic() + _PATIENCE_S
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.05)
