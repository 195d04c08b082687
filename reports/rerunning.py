"""rerun(): a run from its run file alone, and whether every number comes out again.

The recorded command is taken apart and started without a shell, as ``python -m convert``; what it asks for beyond
numbers (an output folder, JSON on the terminal) is left out. The weights are checked before anything is converted;
data and configuration before any number is compared.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluate.errors import RunFileError
from evaluate.records import Run, read_run
from reports.errors import ReportError
from reports.fields import branch, check, number, text
from reports.quantities import times

__all__ = ["Rerun", "rerun"]

_TREE = Path(__file__).resolve().parent.parent
_STARTS = ["python", "-m", "convert"]
_EXECUTES = ("--arch", "--trust")
_CODE_AS_DATA = "python:"  # a data set that is a function of the user
_DOWNLOADS = ",download=yes"
_SEVERAL = ("--auto", "--predict", "--check")
_MACHINE = ("processor", "platform", "cpu_count", "torch_threads", "python", "packages")


@dataclass(frozen=True)
class Rerun:
    """What came of it.

    Parameters
    ----------
    mismatches : tuple of str
        Weights, data or configuration that are not those of the run; then no number was compared.
    compared : int
        Deterministic numbers that were compared.
    differences : tuple of str
        Those that differ.
    machine : tuple of str
        What differs between the machines; times are comparable where nothing does.
    seconds : tuple of str
        The times of both, in words.
    """

    mismatches: tuple[str, ...]
    compared: int = 0
    differences: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()
    seconds: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 identical, 3 numbers differ, 4 something else would have been compared."""
        return 4 if self.mismatches else 3 if self.differences else 0

    def lines(self) -> list[str]:
        """The result in words."""
        if self.mismatches:
            return ["Rerun: not the same case, so no number was compared", *(f"  {line}" for line in self.mismatches)]
        same = self.compared - len(self.differences)
        said = "every deterministic number is identical" if not self.differences else "numbers differ"
        lines = [f"Rerun: {said}; {same} of {self.compared}", *(f"  {line}" for line in self.differences)]
        fair = "no, these differ: " + "; ".join(self.machine) if self.machine else "yes, the same machine and software"
        return [*lines, f"Times comparable: {fair}", *(f"  {line}" for line in self.seconds)]


def rerun(run: Run, folder: Path, trust: bool = False) -> Rerun:
    """Run the case of `run` again.

    Parameters
    ----------
    folder : Path
        Where the recorded command was given: relative paths are found from here.
    trust : bool
        Whether code that the recorded command names (``--arch``, ``--trust``) may run.

    Raises
    ------
    ReportError
        The run does not say how it was made, it would execute code, or the command failed.
    RunFileError
        The new run file cannot be read.
    """
    check(run)
    words = _words(run, trust)
    if text(branch(run.case, "model"), "format") != "spiking network":  # its hash is compared after it has run
        found = json.loads(_convert([*words, "--check", "--json"], folder))
        if wrong := _unlike("weights", branch(run.case, "model"), branch(found, "model")):
            return Rerun((wrong,))
    with tempfile.TemporaryDirectory() as place:
        _convert([*words, "--out", f"{place}/again"], folder)
        again = _written(Path(place) / "again")
    return Rerun(said) if (said := _mismatches(run, again)) else _compared(run, again)


def _words(run: Run, trust: bool) -> list[str]:
    """The recorded command without its output."""
    try:
        words = shlex.split(text(run.case, "command"))
    except ValueError:
        words = []
    if words[:3] != _STARTS:
        raise ReportError(
            f"run {run.id}: got the command {text(run.case, 'command')!r}; expected python -m convert ...; only "
            "conversions from the command line can be run again"
        )
    given = {word.partition("=")[0] for word in words}
    if several := given & set(_SEVERAL) or ("all" in words and {"--recipe all"}) or ("each" in words and {"each"}):
        raise ReportError(f"run {run.id}: got {', '.join(several)}, which is no single run; give that command again")
    values = [word.partition("=")[2] if word.startswith("--") else word for word in words]
    named = {value for value in values if value.startswith(_CODE_AS_DATA) or value.endswith(_DOWNLOADS)}
    if not trust and (executes := sorted(given & set(_EXECUTES) | named)):
        raise ReportError(
            f"run {run.id}: its command has {', '.join(executes)}, which executes code; expected none in a file "
            "from others: read it, then pass --trust"
        )
    return list(_without(words[3:], "--out", "--json"))


def _without(words: Sequence[str], option: str, flag: str) -> Iterator[str]:
    """`words` but for `flag`, and for `option` with its value."""
    skip = False
    for word in words:
        if not skip and word != flag and word != option and not word.startswith(f"{option}="):
            yield word
        skip = not skip and word == option


def _convert(words: Sequence[str], folder: Path) -> str:
    """What ``python -m convert`` prints."""
    paths = [str(_TREE), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "convert", *words], cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
    except OSError as error:
        raise ReportError(f"{folder}: cannot be entered ({error.strerror}); name a folder with --within") from error
    if done.returncode and not ("--check" in words and done.stdout.startswith("{")):
        why = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ReportError(
            f"python -m convert {shlex.join(words)}: ended with {done.returncode} ({why[0]}); expected the run again; "
            "relative paths are found from --within"
        )
    return done.stdout


def _written(folder: Path) -> Run:
    """The run in `folder`."""
    try:
        return read_run(folder)
    except RunFileError as error:
        raise ReportError(f"the recorded command wrote no single run ({error}); give it again by hand") from error


def _unlike(part: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    """That the hashes differ, or that there is none to compare; empty where they are the same."""
    old, new = text(before, "sha256"), text(after, "sha256")
    if not old:
        return f"{part}: the run file holds no hash; convert the model again"
    return "" if old == new else f"{part}: got sha256 {new or 'none'}, the run has {old}"


def _mismatches(run: Run, again: Run) -> tuple[str, ...]:
    """Data, calibration and options that are not those of the run."""
    parts = ("model", "weights"), ("data", "data"), ("calibration", "calibration samples")
    said = [_unlike(name, branch(run.case, part), branch(again.case, part)) for part, name in parts]
    before, after = branch(run.case, "config"), branch(again.case, "config")
    said += [
        f"configuration: {key} is {text(after, key, 'absent')}, the run has {text(before, key, 'absent')}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]
    return tuple(filter(None, said))


def _compared(run: Run, again: Run) -> Rerun:
    """Number by number; what an older run file does not have is not compared."""
    old, new = (dict(_numbers(side)) for side in (run, again))
    differences = [
        f"{name}: got {new.get(name, 'nothing')}, the run has {value}"
        for name, value in old.items()
        if name not in new or new[name] != value
    ]
    machine = [key for key in _MACHINE if run.environment.get(key) != again.environment.get(key)]
    seconds = [branch(side.environment, "seconds") for side in (run, again)]
    told = [
        f"{key}: {after:.3g} s, {times(after / before)} the {before:.3g} s of the run"
        for key in seconds[0]
        if (before := number(seconds[0], key)) and (after := number(seconds[1], key)) is not None
    ]
    code = [text(branch(side.environment, "git"), "commit") for side in (run, again)]
    machine += [f"code {code[0][:12]} and {code[1][:12]}"] if code[0] != code[1] else []
    return Rerun((), len(old), tuple(differences), tuple(machine), tuple(told))


def _numbers(run: Run) -> Iterator[tuple[str, Any]]:
    """Everything that a rerun must give again, by its place in the file."""
    for metric in run.metrics:
        if not metric.timing:
            yield f"metrics.{metric.name}", (metric.value, metric.low, metric.high)
    for part, record in (("curves", run.curves), ("layers", list(run.layers)), ("samples", run.samples),
                         ("trace", run.trace),
                         ("diagnosis", {k: v for k, v in run.diagnosis.items() if k != "verdict"})):  # fmt: skip
        yield from _leaves(part, record)


def _leaves(place: str, record: Any) -> Iterator[tuple[str, Any]]:
    """The single values of a JSON value."""
    if isinstance(record, dict | list | tuple):
        pairs = record.items() if isinstance(record, dict) else enumerate(record)
        for key, value in pairs:
            yield from _leaves(f"{place}.{key}", value)
    elif record is not None:
        yield place, record
