"""A run store keeps each run once, in a file and on a server, whoever else writes and whatever becomes of a writer."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from evaluate.records import Metric, Run, content_hash
from reports.errors import MissingStoreError, ReportError, StoreError
from reports.history import content_id, entry_of
from reports.store import Added, open_store
from reports.store.places import place_of
from tests.reports.histories import at, small

ROOT = Path(__file__).parents[2]
MakeRun = Callable[[str], Run]


def count(url: str, table: str) -> int:
    with open_store(url) as store, store._engine.connect() as reading:
        return int(reading.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def script(body: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process, without the rest of the room, whose figures take seconds to import."""
    head = """
import os, signal, sys, types
sys.modules["reports"] = types.ModuleType("reports")
sys.modules["reports"].__path__ = ["reports"]
from reports.store import open_store
from tests.reports.histories import small
"""
    command = [sys.executable, "-c", head + body, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_comes_back_as_it_went_in(store_url: str, any_run: Run) -> None:
    with open_store(store_url) as store:
        assert store.add([any_run]) == Added(1, 0)
        assert list(store.runs()) == [any_run]
        assert store.entries() == [entry_of(any_run)]
        assert store.run(content_id(any_run)[:8]) == any_run == store.run(any_run.id)


def test_the_same_run_twice_is_one_row(store_url: str, make_run: MakeRun) -> None:
    one, other = at(make_run("full")), at(make_run("full"), day=2)
    with open_store(store_url) as store:
        assert store.add([one, one, other]) == Added(2, 1)
    with open_store(store_url) as store:
        assert store.add([other, one]) == Added(0, 2)
        assert len(store) == 2 and store.known([content_id(one), "0" * 64]) == {content_id(one)}


def test_filters_and_order(store_url: str, make_run: MakeRun) -> None:
    first, second, third = (at(make_run("full"), commit, day) for commit, day in (("a", 1), ("b", 2), ("c", 3)))
    other = replace(third, case={**third.case, "config": {"neuron": "if", "recipe": "best_onebit"}})
    with open_store(store_url) as store:
        store.add([third, first, other, second])
        keys = lambda **f: [entry.content for entry in store.entries(**f)]  # noqa: E731
        expected = sorted([third, other], key=content_id)
        assert list(store.runs()) == [first, second, *expected]
        assert keys(last=3) == [content_id(run) for run in (second, *expected)]
        assert keys(network="digits-mlp", neuron="if") == keys(recipe="best_onebit") == [content_id(other)]
        assert keys(case="BEST_one") == [content_id(other)] and keys(case="best-one") == keys(case="best%") == []
        assert keys(commit="bb") == [content_id(second)] and keys(commit="B") == []
        assert keys(since="2026-11-02T10:00+02:00") == keys(since="2026-11-02", network=None) == keys(last=3)
        assert [(c.commit[0], c.runs) for c in store.commits(last=2)] == [("c", 2), ("b", 1)]
        for wrong in ({"since": "yesterday"}, {"last": 0}):
            with pytest.raises(ReportError, match="expected"):
                store.entries(**wrong)  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="several"):
            store.run(first.id)
        with pytest.raises(StoreError, match="no run"):
            store.run("nothing")


def test_writers_at_once_lose_nothing_and_double_nothing(store_url: str) -> None:
    body = """
start, stop = int(sys.argv[2]), int(sys.argv[3])
with open_store(sys.argv[1]) as store:
    for i in range(start, stop, 5):
        added = store.add(map(small, range(i, i + 5)))
        print(added.new)
"""
    spans = [(0, 30), (15, 45), (0, 45)]
    writers = [script(body, store_url, str(a), str(b)) for a, b in spans]
    said = [writer.communicate(timeout=120) for writer in writers]
    assert [error for _, error in said] == ["", "", ""]
    assert sum(int(line) for out, _ in said for line in out.split()) == 45
    with open_store(store_url) as store:
        assert list(store.runs()) == [small(i) for i in range(45)]


def test_a_kill_in_the_middle_of_an_insert_leaves_whole_batches(store_url: str) -> None:
    body = """
from sqlalchemy import event
store = open_store(sys.argv[1])
seen = []
@event.listens_for(store._engine, "before_cursor_execute")
def die(connection, cursor, statement, parameters, context, executemany):
    if statement.startswith("INSERT INTO documents"):
        seen.append(1)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
store.add(map(small, range(1000)))
"""
    victim = script(body, store_url)
    _, error = victim.communicate(timeout=120)
    assert victim.returncode == -signal.SIGKILL, error
    with open_store(store_url) as store:
        assert list(store.runs()) == [small(i) for i in range(200)]
        assert store.add(map(small, range(250))) == Added(50, 200)
    assert count(store_url, "runs") == count(store_url, "documents") == 250


def test_many_threads_share_a_store(store_url: str) -> None:
    with open_store(store_url) as store, ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda i: store.add([small(i % 20)]).new, range(40)))
        assert sum(added) == 20 == len(store) == len(store.entries())


@pytest.mark.parametrize("strange", ["\0 in a note", "\ud800", "𝄞 ü ẞ"])
def test_what_a_database_might_not_hold(store_url: str, strange: str) -> None:
    run = replace(small(1), notes=(strange,), case={"model": {"name": strange}}, layers=({"name": strange},))
    with open_store(store_url) as store:
        if strange == "\ud800":
            with pytest.raises(ReportError, match="cannot be kept"):
                store.add([run])
            return
        store.add([run])
        assert list(store.runs()) == [run] and store.entries() == [entry_of(run)]
        with pytest.raises(ReportError, match="id"):
            store.add([replace(run, id="a\0b")])
        with pytest.raises(ReportError, match="cannot be kept"):
            store.add([replace(run, curves={"steps": [{"x": float("nan")}]})])


def test_a_reader_makes_no_store(store_url: str) -> None:
    with pytest.raises(MissingStoreError, match="python -m reports add"):
        open_store(store_url, create=False)
    if "://" not in store_url:
        assert not Path(store_url).exists()


def test_a_member_of_a_later_version_changes_no_key() -> None:
    """A member of a run or a metric that has its default value is as good as none: old runs keep their keys."""
    run = small(1)
    old = {"id": run.id, "case": {}, "curves": {}, "layers": list(run.layers), "assumptions": {},
           "environment": run.environment, "schema": run.schema}  # fmt: skip
    metric = {"name": "snn.accuracy", "value": 0.001, "unit": "fraction", "better": "higher", "samples": 1000}
    assert content_id(run) == content_hash({**old, "metrics": [metric]})
    assert content_id(replace(run, notes=("one",))) != content_id(run)
    assert content_id(replace(run, metrics=(replace(run.metrics[0], timing=True),))) != content_id(run)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://me:secret@host/x", "scheme 'mysql'"),
        ("postgresql://me:sec@ret@host/x", "two @"),
        ("postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:***@127.0.0.1:1/x: "),
        ("postgresql://127.0.0.1:1/x?password=secret", "postgresql://127.0.0.1:1/x: "),
        ("postgresql://me:secret@127.0.0.1:port/x", "cannot be read"),
        ("sqlite:///runs.db?mode=secret", "options"),
        ("sqlite://", "no file"),
        (" ", "no file"),
        ("nowhere/runs.db", "folder nowhere does not exist"),
        (str(ROOT), "is a folder"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(url: str, told: str) -> None:
    with pytest.raises(StoreError) as error:
        open_store(url)
    assert told in str(error.value)
    assert "secret" not in str(error.value) and "ret@" not in str(error.value)


def test_addresses_of_the_same_place() -> None:
    names = {"postgres://a:b@c/d", "postgresql://a:b@c/d", "postgresql+psycopg://a:b@c/d"}
    assert {str(place_of(name)) for name in names} == {"postgresql://a:***@c/d"}
    assert place_of("sqlite:///a/b.db") == place_of("a/b.db")
    assert "secret" not in repr(place_of("postgresql://me:secret@c/d"))


def test_metrics_of_every_kind_come_back(store_url: str) -> None:
    times = Metric("time.snn", 2.0, "ms", "lower", 3, 1.0, 3.0, "a note", timing=True, observations=(1.0, 2.0, 3.0))
    run = replace(small(1), metrics=(times, Metric("x", None, "J", "neither", note="unmeasured")))
    with open_store(store_url) as store:
        store.add([run])
        assert store.entries()[0].metrics == run.metrics
