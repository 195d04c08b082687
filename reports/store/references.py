"""From what people call runs - a path, a commit, a branch, the start of a key - to the runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from evaluate.errors import RunFileError
from evaluate.records import Run
from reports.errors import MissingStoreError, StoreError
from reports.fields import checkout
from reports.pairing import load_runs
from reports.store.store import Commit, Store, open_store

__all__ = ["find_runs"]

_SHORTEST = 4
"""Fewer characters are not taken for the start of a hash; git's own limit."""


def find_runs(place: str, url: str) -> list[Run]:
    """The runs that `place` names: what lies at this path, else those in the store at `url`.

    In a store it may name a commit: anything that git resolves in the current folder, or the start of its hash; or a
    run: the start of its key, as `list` shows it, or of its id.

    Raises
    ------
    RunFileError, StoreError
        No such path and no such run in the store; damaged ones.
    """
    if Path(place).exists():
        return load_runs(place)
    try:
        store = open_store(url, create=False)
    except MissingStoreError as error:
        told = f"{place}: cannot be read as a run file (no such file or folder), and not be looked up either"
        raise RunFileError(f"{told}: {error}") from error
    with store:
        return _look_up(store, place)


def _look_up(store: Store, name: str) -> list[Run]:
    """A name that git knows means that commit and nothing else: its letters may be the start of some hash by chance."""
    commit = _git(name)
    if commit and (found := list(store.runs(commit=commit))):
        return _clean(store, name, found)
    if not commit and len(name) >= _SHORTEST:
        commits, keys = store.commits_from(name), store.keys_from(name)
        if len(commits) + len(set(keys.values())) > 1:
            told = ", ".join([*(f"commit {c[:12]}" for c in commits), *(f"run {key[:12]}" for key in keys)][:10])
            raise StoreError(f"{name}: means several in {store.place} ({told}); write more of it")
        if commits:
            return _clean(store, name, list(store.runs(commit=commits[0])))
        if keys:
            return [run for key in keys for run in store.runs(key=key)]
    resolved = f" (commit {commit[:12]})" if commit else ""
    raise StoreError(
        f"{name}{resolved}: no such path, and {store.place} has no run of it; {_offers(store.commits(last=10))}"
    )


def _git(name: str) -> str:
    """The commit that git takes `name` for in the current folder; empty without one."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _clean(store: Store, name: str, found: Sequence[Run]) -> list[Run]:
    """Those made of the commit itself; with changes of its own it was something else."""
    clean = [run for run in found if not checkout(run).get("dirty")]
    if clean:
        return clean
    raise StoreError(
        f"{name}: of it {store.place} has {len(found)} run{'s' * (len(found) > 1)}, made with uncommitted changes; "
        "name one by its key, as python -m reports list shows it, or run the commit itself"
    )


def _offers(commits: Sequence[Commit]) -> str:
    if not commits:
        return "no run there tells its commit"
    rows = [f"  {c.commit[:12]}  {c.made[:16].replace('T', ' ')}  {c.runs} run{'s' * (c.runs > 1)}" for c in commits]
    return "\n".join(["the latest commits there:", *rows])
