"""A PostgreSQL server of the tests' own: in a new folder, on a socket there, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

NUMBERS = count()


def binaries() -> Path | None:
    """The folder of initdb and postgres; Debian keeps it off the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self) -> str:
        """The URL of a new, empty place: a schema, which is made faster than a database."""
        name = f"runs{next(NUMBERS)}"
        url = f"postgresql://owner@/postgres?host={self.folder}&options=-csearch_path%3D{name}"
        execute(url, f"CREATE SCHEMA {name}")
        return url


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def copy(file: Path, url: str) -> None:
    """The tables of a file of SQLite, with its own statements: their types are known here, but for one."""
    source = sqlite3.connect(file)
    tables = source.execute("SELECT name, sql FROM sqlite_master WHERE sql != '' ORDER BY rootpage").fetchall()
    with psycopg.connect(url) as connection:
        for table, sql in tables:
            connection.execute(sql.replace("BLOB", "BYTEA").replace("FLOAT", "DOUBLE PRECISION"))
            if sql.startswith("CREATE TABLE"):
                rows = source.execute(f"SELECT * FROM {table}").fetchall()
                types = [column[2] for column in source.execute(f"PRAGMA table_info({table})")]
                for row in rows:
                    values = [bool(v) if t == "BOOLEAN" else v for t, v in zip(types, row, strict=True)]
                    connection.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(row))})", values)
    source.close()


@contextmanager
def running(bin_folder: Path) -> Iterator[Server]:
    """A server; it refuses to run as root, so then it runs as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="runs-pg-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = next(pwd.getpwnam(n) for n in ("postgres", "nobody") if n in {u.pw_name for u in pwd.getpwall()})
        os.chown(folder, other.pw_uid, other.pw_gid)
        who = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
    data = folder / "data"
    make = [bin_folder / "initdb", "-D", data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
    options = ["-k", folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40"]
    server = None
    try:
        subprocess.run(make, cwd=folder, check=True, capture_output=True, **who)
        with (folder / "log").open("wb") as log:
            command = [bin_folder / "postgres", "-D", data, *options]
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **who)
        found = Server(folder)
        _wait(found, server)
        yield found
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(found: Server, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            found.place()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.1)
