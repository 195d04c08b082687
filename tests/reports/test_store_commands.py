"""The commands of the run store, lines of JSON, and the gate by commits and keys."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evaluate.records import Metric, Run, write_run
from reports.__main__ import app
from reports.errors import MissingStoreError, ReportError, StoreError
from reports.history import content_id
from reports.store import Added, find_runs, open_store
from reports.store.intake import lines, take_in
from reports.store.lines import write_lines
from tests.reports.histories import at, small

MakeRun = Callable[[str], Run]

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(TEXT, VALUES, max_size=4)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
METRICS = st.builds(
    Metric, TEXT, st.none() | NUMBERS, st.just("J"), st.sampled_from(["higher", "lower", "neither"]),
    low=st.none() | NUMBERS, note=st.just("why"), timing=st.booleans(),
    observations=st.lists(NUMBERS, max_size=3).map(tuple),
)  # fmt: skip
RUNS = st.builds(
    Run, st.text("0123456789abcdef", min_size=4, max_size=12), TABLES, st.lists(METRICS, max_size=4).map(tuple),
    st.just({}), st.lists(TABLES, max_size=3).map(tuple), TABLES, TABLES, st.lists(TEXT, max_size=3).map(tuple),
)  # fmt: skip


def command(*words: str | Path, store: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*map(str, words)], env={"ANN2SPIKE_STORE": store})
    return done.exit_code, done.stdout, done.stderr


@settings(max_examples=6)
@given(st.lists(RUNS, max_size=9))
def test_export_and_import_are_the_identity(tmp_path_factory: pytest.TempPathFactory, runs: list[Run]) -> None:
    folder = tmp_path_factory.mktemp("lines")
    with open_store(str(folder / "one.db")) as one, open_store(str(folder / "other.db")) as other:
        one.add(runs)
        assert write_lines(one, folder / "one.jsonl") == len({content_id(run) for run in runs})
        assert take_in(other, lines(folder / "one.jsonl")).new == len(one)
        assert list(other.runs()) == list(one.runs()) and other.entries() == one.entries()
        write_lines(other, folder / "other.jsonl")
    assert (folder / "one.jsonl").read_bytes() == (folder / "other.jsonl").read_bytes()


def test_a_store_moves_between_databases_and_grows_at_its_end(store_url: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    with open_store(store_url) as store:
        store.add(map(small, range(3)))
        write_lines(store, first)
        store.add(map(small, range(5)))
        write_lines(store, second)
    assert second.read_bytes().startswith(first.read_bytes()) and second.read_bytes().count(b"\n") == 5
    with open_store(str(tmp_path / "copy.db")) as copy:
        assert take_in(copy, lines(first)) == Added(3, 0)
        assert take_in(copy, lines(second)) == Added(2, 3)
        assert list(copy.runs()) == [small(i) for i in range(5)]


def test_damaged_lines_are_named_all_and_nothing_is_added(store_url: str, tmp_path: Path) -> None:
    good = [small(i).to_line() for i in range(3)]
    bad = ["<<<<<<< HEAD", good[0][:-9], '{"schema": "ann2spike.run/99"}', good[1].replace('"fraction"', '""')]
    path = tmp_path / "runs.jsonl"
    path.write_bytes("\n".join([good[0], bad[0], good[1], "", *bad[1:], good[2]]).encode() + b"\n\xff\n")
    with open_store(store_url) as store:
        with pytest.raises(ReportError) as error:
            take_in(store, lines(path))
        assert len(store) == 0
    told = str(error.value)
    assert told.startswith("5 of 8 cannot be read, so nothing was added")
    assert [int(row.partition("line ")[2].partition(":")[0]) for row in told.splitlines()[1:]] == [2, 5, 6, 7, 9]
    path.write_text("nonsense\n" * 50)
    with open_store(store_url) as store, pytest.raises(ReportError, match=r"and 30 more: .*line 50"):
        take_in(store, lines(path))


def test_add_list_show_export_import(make_run: MakeRun, tmp_path: Path) -> None:
    store, key = str(tmp_path / "runs.db"), content_id(at(make_run("full")))
    for name, run in (("one", at(make_run("full"))), ("other", at(make_run("losing"), "b", 2))):
        (tmp_path / "out" / name).mkdir(parents=True)
        write_run(run, tmp_path / "out" / name / "run.json")
    assert command("add", tmp_path / "out", store=store) == (0, f"2 added, 0 known already; {store} now has 2\n", "")
    assert command("add", tmp_path / "out" / "one", "--store", store)[1].startswith("0 added, 1 known already")
    status, table, _ = command("list", store=store)
    assert status == 0 and table.splitlines()[2].startswith(f"{key[:10]}  aaaaaaaa  2026-11-01 08:00")
    assert all(part in table.splitlines()[2] for part in ("96.9 %", "98.9 %", "3.52", "20,800", "digits-mlp"))
    assert "1 of 2 runs" in command("list", "--commit", "bb", store=store)[1]
    assert "0 of 2 runs" in command("list", "--network", "x", store=store)[1]
    status, told, _ = command("show", key[:6], "--out", tmp_path / "back", store=store)
    assert status == 0 and "Energy verdict" in told
    assert (tmp_path / "back" / "run.json").read_bytes() == (tmp_path / "out" / "one" / "run.json").read_bytes()
    assert command("export", tmp_path / "runs.jsonl", store=store)[1] == f"2 runs in {tmp_path / 'runs.jsonl'}\n"
    assert command("import", tmp_path / "runs.jsonl", store=str(tmp_path / "new.db"))[1].startswith("2 added")


def test_bad_input_ends_in_a_message(tmp_path: Path) -> None:
    store = str(tmp_path / "runs.db")
    (tmp_path / "bad.json").write_text("{}")
    for words, told in (
        (("add", tmp_path / "bad.json", tmp_path / "none.json"), "2 of 2 cannot be read, so nothing was added"),
        (("add", tmp_path / "bad.json", "--store", "mysql://a:secret@b/c"), "scheme 'mysql'"),
        (("import", tmp_path / "none.jsonl"), "cannot be read"),
        (("list", "--store", tmp_path / "none.db"), "there is no store"),
        (("export", tmp_path / "a.jsonl", "--store", tmp_path / "none.db"), "there is no store"),
        (("show", "abcd", "--store", tmp_path / "bad.json"), "restore a copy"),
        (("list", "--since", "soon"), "expected a time"),
    ):
        status, said, error = command(*words, store=store)
        assert (status, said) == (2, "") and error.startswith("reports: ") and told in error, words
        assert "secret" not in error and "Traceback" not in error


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def committed(run: Run, commit: str, **more: object) -> Run:
    return replace(run, environment={**run.environment, "git": {"commit": commit, "dirty": False, **more}})


def test_the_gate_takes_commits_branches_and_keys(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q", "-b", "trunk")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    old = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "two")
    new = git(tmp_path, "rev-parse", "HEAD")
    good, bad = committed(make_run("full"), old), committed(make_run("losing"), new)
    write_run(bad, tmp_path / "head.json")
    with open_store("runs.db") as store:
        store.add([good, bad, committed(make_run("mixed"), old, dirty=True)])
    for name in ("HEAD~1", "trunk^", old, old[:7], content_id(good)[:10]):
        assert find_runs(name, "runs.db") == [good], name
    assert command("gate", "--base", "HEAD~1", "--head", "head.json", store="runs.db")[0] == 3
    assert command("gate", "--base", "trunk~1", "--head", old[:8])[0] == 0
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "three")
    status, _, error = command("gate", "--base", "trunk", "--head", "head.json")
    assert status == 2 and "trunk (commit" in error and f"  {new[:12]}  " in error and f"  {old[:12]}  " in error
    assert command("gate", "--base", "trunk", "--head", "head.json", store="none.db")[0] == 2
    (tmp_path / "trunk").mkdir()
    write_run(good, tmp_path / "trunk" / "run.json")
    assert find_runs("trunk", "none.db") == [good]


def test_the_commit_of_a_run_is_that_of_the_project_it_ran_in(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "model")
    model = {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}

    def run(kind: str, code: dict[str, object] | None, project: dict[str, object]) -> Run:
        made = make_run(kind)
        return replace(made, environment={**made.environment, "git": code, "project": project})

    good, changed = run("full", None, model), run("mixed", None, {**model, "dirty": True})
    developed = run("losing", {"commit": "c" * 40, "dirty": True}, model)
    with open_store("runs.db") as store:
        store.add([good, changed, developed])
        assert [(found.commit, found.runs) for found in store.commits(last=5)] == [(model["commit"], 3)]
    assert {found.id for found in find_runs("main", "runs.db")} == {good.id, developed.id}


def test_names_that_mean_several_or_nothing(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    full = make_run("full")
    runs = [committed(full, "abcd1" + "0" * 35), committed(full, "abcd2" + "0" * 35)]
    dirty = replace(committed(full, "feed" * 10, dirty=True), id="deadbeef01")
    repeats = [replace(at(full, "c", day), id="0badcafe") for day in (1, 2)]
    with open_store("runs.db") as store:
        store.add([*runs, dirty, *repeats])
    assert find_runs("abcd2", "runs.db") == [runs[1]]
    assert find_runs("deadbeef", "runs.db") == [dirty] and find_runs("0badcafe", "runs.db") == repeats
    for name, told in (("abcd", "several"), ("feed", "uncommitted"), ("abc", "latest commits"), ("--all", "no run of")):
        with pytest.raises(StoreError, match=told):
            find_runs(name, "runs.db")
    with pytest.raises((MissingStoreError, ValueError), match="cannot be read as a run file"):
        find_runs("abcd", "none.db")


def test_lines_are_runs_as_other_programs_read_them(store_url: str, make_run: MakeRun, tmp_path: Path) -> None:
    run = at(make_run("full"))
    with open_store(store_url) as store:
        store.add([run])
        write_lines(store, tmp_path / "runs.jsonl")
    assert json.loads((tmp_path / "runs.jsonl").read_text()) == json.loads(run.to_json())
