"""Which runs belong together: the same case at the base and at the head, repeats of it in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from evaluate.errors import RunFileError
from evaluate.records import Run, read_run
from reports.fields import branch, text

__all__ = ["Pair", "case_name", "interleaved", "load_runs", "machine_of", "pair_up", "run_files"]


@dataclass(frozen=True)
class Pair:
    """One case: its runs at the base and at the head, each the oldest first."""

    case: str
    base: tuple[Run, ...]
    head: tuple[Run, ...]


def load_runs(place: str | Path) -> list[Run]:
    """The runs at `place`: a run file, an output folder, or a folder of either.

    Raises
    ------
    RunFileError
        There is none, or one of them is damaged.
    """
    return [read_run(file) for file in run_files(place)]


def run_files(place: str | Path) -> list[Path]:
    """The run files at `place`, sorted; what is no folder counts as one.

    Raises
    ------
    RunFileError
        A folder without any.
    """
    path = Path(place)
    if not path.is_dir():
        return [path]
    if (path / "run.json").is_file():
        return [path / "run.json"]
    files = sorted({*path.rglob("run.json"), *path.glob("*.json")})
    if not files:
        raise RunFileError(f"{path}: holds no run; expected a run.json, or folders that hold one")
    return files


def case_name(run: Run) -> str:
    """What was asked, as a name that survives a change of the code and of the weights."""
    config, data = branch(run.case, "config"), branch(run.case, "data")
    model = text(branch(run.case, "model"), "name", "a model without a name")
    kind = text(run.case, "kind")
    parts = [text(config, "recipe"), text(config, "neuron"), text(config, "input_code")]
    steps, seed = text(config, "steps"), text(config, "seed")
    how = [*(p for p in parts if p), *([f"T={steps}"] if steps else []), *([f"seed {seed}"] if seed else [])]
    where = [text(data, "spec"), text(data, "samples")]
    return ", ".join(p for p in (kind, model, " x ".join(p for p in where if p), *how) if p)


def machine_of(run: Run) -> str:
    """What the times of a run depend on, the code excepted; empty where the run does not say."""
    parts = (text(run.environment, "processor"), text(run.environment, "platform"))
    threads, python = text(run.environment, "torch_threads"), text(run.environment, "python")
    named = (*parts, f"{threads} threads" if threads else "", f"Python {python}" if python else "")
    return ", ".join(part for part in named if part)


def pair_up(base: Sequence[Run], head: Sequence[Run]) -> list[Pair]:
    """Runs of one name together, in the order of the base; a single one on each side belongs together whatever."""
    telling = _telling(base) | _telling(head)
    sides = [_by_case(base, telling), _by_case(head, telling)]
    if all(len(side) == 1 for side in sides):
        (name, before), (_, after) = (next(iter(side.items())) for side in sides)
        return [Pair(name, before, after)]
    names = dict.fromkeys((*sides[0], *sides[1]))
    return [Pair(name, sides[0].get(name, ()), sides[1].get(name, ())) for name in names]


def _telling(runs: Iterable[Run]) -> set[tuple[str, str]]:
    """(name, option) where runs of one name on one side differ in that option: they are other cases, not repeats."""
    seen: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for option, value in _options(run).items():
            seen.setdefault((case_name(run), option), set()).add(value)
    return {place for place, values in seen.items() if len(values) > 1}


def _options(run: Run) -> dict[str, str]:
    """What else a case can differ in."""
    config, model = branch(run.case, "config"), branch(run.case, "model")
    return {key: text(config, key, "none") for key in config} | {"file": text(model, "origin", "none")}


def _by_case(runs: Iterable[Run], telling: set[tuple[str, str]]) -> dict[str, tuple[Run, ...]]:
    """Runs by the name of their case and the options that are `telling`, each list by time."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        name = case_name(run)
        more = (f"{option} {value}" for option, value in _options(run).items() if (name, option) in telling)
        found.setdefault(", ".join((name, *more)), []).append(run)
    return {name: tuple(sorted(rows, key=_time)) for name, rows in found.items()}


def _time(run: Run) -> str:
    return text(run.environment, "time_utc")


def interleaved(pair: Pair) -> bool:
    """Whether base and head were run in turn: nowhere more than two runs of one side after each other."""
    timed = sorted([(_time(run), 0) for run in pair.base] + [(_time(run), 1) for run in pair.head])
    if not all(time for time, _ in timed):
        return False
    streaks = [len(list(rows)) for _, rows in groupby(side for _, side in timed)]
    return len(pair.base) == len(pair.head) and max(streaks, default=0) <= 2
