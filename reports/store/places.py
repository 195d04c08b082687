"""Where a store is: a file of SQLite, or a database of PostgreSQL. Passwords are never shown."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from reports.errors import StoreError

__all__ = ["Place", "place_of"]

_EXPECTED = "expected a file such as runs.db, or postgresql://USER@HOST/DATABASE"
_POSTGRES = ("postgresql+psycopg", "postgresql", "postgres")


@dataclass(frozen=True)
class Place:
    """A parsed URL. `file` is None where a server keeps the store."""

    url: URL
    file: Path | None = None

    def __str__(self) -> str:
        """As it is shown to people: without password and options."""
        if self.file is not None:
            return str(self.file)
        shown = self.url.set(drivername="postgresql", query={})
        return shown.render_as_string(hide_password=True)

    def hide(self, message: str) -> str:
        """`message` without the password, should somebody have put it there."""
        secrets = [self.url.password, *(v for k, v in self.url.query.items() if "pass" in k.lower())]
        for secret in secrets:
            if isinstance(secret, str) and secret:
                message = message.replace(secret, "***")
        return message


def place_of(url: str) -> Place:
    """The place that `url` names; anything without a scheme is a file.

    Raises
    ------
    StoreError
        Another scheme, or a URL that cannot be read.

    >>> str(place_of("runs.db")), str(place_of("postgres://me:secret@host/runs"))
    ('runs.db', 'postgresql://me:***@host/runs')
    """
    if "://" not in url:
        return _file(url)
    scheme = url.partition("://")[0]
    if scheme not in ("sqlite", "sqlite+pysqlite", *_POSTGRES):
        raise StoreError(f"--store: got a URL of scheme {scheme!r}; {_EXPECTED}")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(f"--store: got a URL of scheme {scheme!r} that cannot be read; {_EXPECTED}") from None
    if scheme in _POSTGRES:
        return _server(parsed)
    if parsed.query:
        raise StoreError(f"--store: got options after the file of {scheme}; {_EXPECTED}")
    return _file(parsed.database or "")


def _file(name: str) -> Place:
    if not name.strip() or name == ":memory:" or "\0" in name:
        raise StoreError(f"--store: got {name!r}, which no file can be kept under; {_EXPECTED}")
    return Place(URL.create("sqlite+pysqlite", database=name), Path(name))


def _server(parsed: URL) -> Place:
    """Refuses an address that would carry a part of the password into messages."""
    if "@" in (parsed.host or ""):
        raise StoreError("--store: got a URL with two @; write an @ of the password as %40")
    if find_spec("psycopg") is None:
        raise StoreError("--store: PostgreSQL needs psycopg; pip install 'ann2spike[postgres]'")
    return Place(parsed.set(drivername="postgresql+psycopg"))
