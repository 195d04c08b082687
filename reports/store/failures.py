"""What drivers say when a store fails, in words that name the way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reports.errors import (
    BusyStoreError,
    DamagedStoreError,
    FullStoreError,
    ReadOnlyStoreError,
    StoreError,
)
from reports.fields import plain
from reports.store.places import Place

__all__ = ["in_words"]

_KINDS: dict[str, tuple[type[StoreError], str]] = {
    "full": (FullStoreError, "no room is left; make room and do it again: what is in the store already is skipped"),
    "read only": (ReadOnlyStoreError, "it may be read only; ask for the right to write, or name another store"),
    "busy": (BusyStoreError, "other programs kept it locked for too long; do it again: nothing was lost"),
    "damaged": (DamagedStoreError, "it is damaged, or no run store; restore a copy or import an export"),
    "closed": (StoreError, "it cannot be opened or made; look at the rights of the file and its folder"),
    "other": (StoreError, "it cannot be used; see the reason"),
}
_SQLITE = {
    sqlite3.SQLITE_FULL: "full", sqlite3.SQLITE_READONLY: "read only", sqlite3.SQLITE_PERM: "read only",
    sqlite3.SQLITE_BUSY: "busy", sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_CORRUPT: "damaged", sqlite3.SQLITE_NOTADB: "damaged", sqlite3.SQLITE_CANTOPEN: "closed",
}  # fmt: skip
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES = {
    "53100": "full", "25006": "read only", "42501": "read only", "55P03": "busy", "40P01": "busy",
    "57014": "busy", "XX001": "damaged", "XX002": "damaged",
}  # fmt: skip


@contextmanager
def in_words(place: Place) -> Iterator[None]:
    """Raise what a driver raises as a `StoreError` that names the place, the reason and the way out."""
    try:
        yield
    except DBAPIError as error:
        raise _named(place, error.orig or error) from error
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise _named(place, error) from error


def _named(place: Place, error: BaseException) -> StoreError:
    """The error of the room for that of a driver."""
    if isinstance(error, sqlite3.Error):
        kind = _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "other")
    else:
        kind = _POSTGRES.get(getattr(error, "sqlstate", None) or "", "other")
    sort, way_out = _KINDS[kind]
    return sort(f"{place}: {way_out} ({place.hide(plain(error))})")
