"""A store that is full, read only, damaged, foreign, older or newer: nothing is lost, and the message says why."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from evaluate.records import Run, parse_run
from reports.errors import (
    BusyStoreError,
    DamagedStoreError,
    FullStoreError,
    NewerStoreError,
    ReadOnlyStoreError,
    StoreError,
)
from reports.history import entry_of
from reports.store import Added, Store, open_store, opening
from reports.store.schema import VERSION
from tests.reports.histories import small

GOLDEN = Path(__file__).parents[1] / "golden"
MakeRun = Callable[[str], Run]


def on_server(url: str) -> bool:
    return "://" in url


def change(url: str, *statements: str) -> None:
    """Statements past the store."""
    with open_store(url) as store, store._engine.execution_options(writes=True).begin() as writing:
        for statement in statements:
            writing.execute(text(statement))


def fill_up(store: Store) -> None:
    """From now on there is no room for another hundred runs: an error of the database's own, in both."""
    engine: Engine = store._engine
    if engine.dialect.name == "postgresql":
        body = "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END"
        with engine.begin() as writing:
            writing.execute(text(f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"))
            writing.execute(text("CREATE TRIGGER full_disk BEFORE INSERT ON documents EXECUTE FUNCTION full_disk()"))
        return
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")


def test_a_full_disk_keeps_what_was_there(store_url: str) -> None:
    with open_store(store_url) as store:
        store.add(map(small, range(100)))
        fill_up(store)
        with pytest.raises(FullStoreError, match=r"no room is left.*0 new runs were added before"):
            store.add(map(small, range(300)))
        assert list(store.runs()) == [small(i) for i in range(100)]
    if not on_server(store_url):
        with open_store(store_url) as store:
            assert store.add(map(small, range(300))) == Added(200, 100)


def test_a_store_to_read_only(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(store_url) as store:
        store.add([small(1)])
    if on_server(store_url):
        store_url += "%20-cdefault_transaction_read_only%3Don"
    # Root may write everything, so the answer of the system is replaced, and SQLite opens what it would open then.
    monkeypatch.setattr(opening.os, "access", lambda path, mode: mode != os.W_OK)
    with open_store(store_url, create=False) as store:
        assert list(store.runs()) == [small(1)] and len(store.entries()) == 1
        with pytest.raises(ReadOnlyStoreError, match="read only"):
            store.add([small(2)])
        assert len(store) == 1


def test_a_locked_store_says_so_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_PATIENCE_S", 0.1)
    url = str(tmp_path / "runs.db")
    with open_store(url) as store, open_store(url) as other:
        store.add([small(1)])
        with other._engine.execution_options(writes=True).begin():
            with pytest.raises(BusyStoreError, match="do it again"):
                store.add([small(2)])
            assert len(store) == 1
        assert store.add([small(2)]) == Added(1, 0)


@pytest.mark.parametrize("harm", ["text", "cut", "noise", "zeros"])
def test_a_damaged_file_is_refused_on_opening(harm: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with open_store(str(path)) as store:
        store.add(map(small, range(200)))
    whole = path.read_bytes()
    size = len(whole)
    path.write_bytes({
        "text": b"no database at all, but some text of more than a hundred bytes" * 9,
        "cut": whole[: size // 2],
        "noise": whole[: size // 2] + os.urandom(4096) + whole[size // 2 + 4096 :],
        "zeros": whole[: size // 2] + bytes(8192) + whole[size // 2 + 8192 :],
    }[harm])  # fmt: skip
    with pytest.raises(DamagedStoreError, match=r"runs\.db: .*restore a copy"):
        open_store(str(path))


def test_an_empty_file_becomes_a_store_where_one_may_be_made(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.touch()
    with pytest.raises(StoreError, match="holds no store"):
        open_store(str(path), create=False)
    with open_store(str(path)) as store:
        assert len(store) == 0


def test_a_run_that_is_not_what_was_added_is_named(store_url: str) -> None:
    with open_store(store_url) as store:
        store.add(map(small, range(3)))
        keys = [entry.content for entry in store.entries()]
    swap = f"(SELECT document FROM documents WHERE content = '{keys[0]}') WHERE content = '{keys[1]}'"
    change(store_url, f"UPDATE documents SET document = {swap}")
    with open_store(store_url) as store:
        with pytest.raises(DamagedStoreError, match=f"run {keys[1][:12]}: is not what was added"):
            list(store.runs())
        assert store.run(keys[2]) == small(2)
    change(store_url, f"UPDATE runs SET light = substr(light, 1, 20) WHERE content = '{keys[0]}'")
    with open_store(store_url) as store, pytest.raises(DamagedStoreError, match=keys[0][:12]):
        store.entries()


def test_a_newer_store_is_refused_by_name(store_url: str) -> None:
    change(store_url, "UPDATE run_store SET version = 99")
    with pytest.raises(NewerStoreError, match=f"version 99; this ann2spike knows version {VERSION}"):
        open_store(store_url)


@pytest.mark.parametrize("rows", ["DELETE FROM run_store", "UPDATE run_store SET version = 0"])
def test_a_version_that_is_none(store_url: str, rows: str) -> None:
    change(store_url, rows)
    with pytest.raises(DamagedStoreError, match="expected one number"):
        open_store(store_url)


def test_tables_of_another_program_are_left_alone(store_url: str) -> None:
    mine = "CREATE TABLE runs (of_mine int)"
    if on_server(store_url):
        from tests.reports.postgres import execute

        execute(store_url, mine)
    else:
        connection = sqlite3.connect(store_url)
        connection.execute(mine)
        connection.close()
    before = None if on_server(store_url) else Path(store_url).read_bytes()
    with pytest.raises(DamagedStoreError, match=r"tables of another program \(runs\)"):
        open_store(store_url)
    assert on_server(store_url) or Path(store_url).read_bytes() == before


def first_version(url: str) -> list[Run]:
    """Put the kept store of version 1 at `url`; the runs in it."""
    if on_server(url):
        from tests.reports.postgres import copy

        copy(GOLDEN / "store-v1.db", url)
    else:
        shutil.copy(GOLDEN / "store-v1.db", url)
    return [parse_run(line, "golden") for line in (GOLDEN / "store-v1.jsonl").read_bytes().splitlines()]


def test_a_store_of_version_1_is_migrated(store_url: str) -> None:
    kept = first_version(store_url)
    with ThreadPoolExecutor(3) as pool:
        stores = list(pool.map(lambda _: open_store(store_url), range(3)))
    for store in stores:
        with store:
            assert list(store.runs()) == kept
            assert store.entries() == [entry_of(run) for run in kept]
            assert store.add(kept) == Added(0, len(kept))
    with open_store(store_url) as store, store._engine.connect() as reading:
        assert reading.execute(text("SELECT version FROM run_store")).scalars().all() == [VERSION]


def test_a_migration_that_fails_changes_nothing(store_url: str) -> None:
    kept = first_version(store_url)

    def stop(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("DROP TABLE run_store_older"):
            raise RuntimeError("as if the power failed")

    event.listen(Engine, "before_cursor_execute", stop)
    try:
        with pytest.raises(RuntimeError):
            open_store(store_url)
    finally:
        event.remove(Engine, "before_cursor_execute", stop)
    with open_store(store_url) as store:
        assert list(store.runs()) == kept
