"""read_suite(): the file of a suite, a TOML of options, and the cases that it stands for.

::

    repeat = 1                      # runs of each case, taken in turn

    [options]                       # of every case: those of python -m convert, without the dashes
    limit = 1000
    steps = [4, 8, 16]

    [matrix]                        # lists of values: every combination is a case
    model = ["zoo:digits-relu", "zoo:digits-tanh"]
    recipe = ["seed", "best-onebit"]
    seed = [0, 1]

    [[exclude]]                     # combinations that are left out; of a list, any value
    model = "zoo:digits-tanh"
    recipe = "best-onebit"

    [[include]]                     # one more case each
    model = "zoo:digits-relu"
    recipe = "radix"
    bits = 4
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from convert.errors import ConfigError
from evaluate.errors import SuiteError
from evaluate.options import Options

__all__ = ["Suite", "SuiteCase", "read_suite", "suite_of"]

_TABLES = ("repeat", "options", "matrix", "exclude", "include")
_KINDS = {field.name: str(field.type).removesuffix(" | None") for field in fields(Options)}
_MOST_REPEATS = 1000


@dataclass(frozen=True)
class SuiteCase:
    """One combination of options, and what it is called among the others."""

    options: Options
    label: str


@dataclass(frozen=True)
class Suite:
    """The cases, each once, in the order of the file."""

    cases: tuple[SuiteCase, ...]
    repeat: int = 1


def read_suite(path: Path) -> Suite:
    """The suite in the file at `path`.

    Raises
    ------
    SuiteError
        Missing, no TOML, or as `suite_of`; everything that is wrong at once.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read ({error.strerror}); expected the TOML file of a suite") from error
    except ValueError as error:
        raise SuiteError(f"{path}: no TOML ({error}); see python -m evaluate run --help") from error
    try:
        return suite_of(record)
    except SuiteError as error:
        raise SuiteError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def suite_of(record: Mapping[str, Any]) -> Suite:
    """The suite that `record` describes.

    Raises
    ------
    SuiteError
        Unknown keys, each with the nearest known one; values of the wrong kind; an exclusion that fits no case; no
        case; combinations that ``python -m convert`` refuses.
    """
    wrong = [_unknown(key, _TABLES) for key in record if key not in _TABLES]
    repeat = record.get("repeat", 1)
    if not _fits(repeat, "int") or not 1 <= repeat <= _MOST_REPEATS:
        wrong.append(f"repeat: got {repeat!r}; expected a whole number from 1 to {_MOST_REPEATS}")
    shared = _options(record.get("options", {}), "options", wrong)
    axes = _axes(record.get("matrix", {}), wrong)
    excluded = [_axes(row, wrong, f"exclude {i}") for i, row in _rows(record, "exclude", wrong)]
    included = [_options(row, f"include {i}", wrong) for i, row in _rows(record, "include", wrong)]
    if wrong:
        raise SuiteError("\n".join(wrong))
    combined = [shared | dict(zip(axes, values, strict=True)) for values in product(*axes.values())] if axes else []
    kept = [row for row in combined if not any(_matches(row, rule) for rule in excluded)]
    wrong += [f"exclude {i}: fits no combination of the matrix; expected one, or leave it out"
              for i, rule in enumerate(excluded, 1) if not any(_matches(row, rule) for row in combined)]  # fmt: skip
    cases = _cases([*kept, *(shared | row for row in included)], wrong)
    if wrong:
        raise SuiteError("\n".join(wrong))
    return Suite(cases, repeat)


def _cases(rows: Sequence[Mapping[str, Any]], wrong: list[str]) -> tuple[SuiteCase, ...]:
    """A case for each row; what the command line would refuse goes into `wrong`."""
    if not rows:
        wrong.append("no case: expected a [matrix] with lists of values, such as model = [...], or [[include]]")
    if any("model" not in row for row in rows):
        wrong.append("model: got none; expected it in [options], [matrix] or [[include]]")
        return ()
    telling = {key for row in rows for key in row if len({other.get(key) for other in rows}) > 1} - {"model"}
    found: dict[SuiteCase, None] = {}
    for row in rows:
        label = ", ".join([_name(row["model"], rows), *(f"{_dashed(k)} {row[k]}" for k in row if k in telling)])
        try:
            found[SuiteCase(Options(**row).single(), label)] = None
        except ConfigError as error:
            wrong += [f"{label}: {line}" for line in str(error).splitlines()]
    return tuple(found)


def _name(model: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """What `model` is called: without its folder, where that says enough."""
    short = Path(model.removeprefix("zoo:")).stem
    alike = {row["model"] for row in rows if Path(row["model"].removeprefix("zoo:")).stem == short}
    return short if len(alike) == 1 else model


def _axes(record: Any, wrong: list[str], where: str = "matrix") -> dict[str, list[Any]]:
    """Option -> its values; of an exclusion, a single value may stand without brackets."""
    if not isinstance(record, dict):
        wrong.append(f"{where}: got no table")
        return {}
    alone = where != "matrix"
    for key, values in record.items():
        if not isinstance(values, list) and not alone:
            wrong.append(f"{where}.{key}: got {values!r}; expected a list of values, or put it into [options]")
        elif values == []:
            wrong.append(f"{where}.{key}: got an empty list; expected at least one value")
    if alone and not record:
        wrong.append(f"{where}: got nothing; it would leave out every case")
    lists = {key: values if isinstance(values, list) else [values] for key, values in record.items()}
    columns = {key: [_options({key: value}, where, wrong) for value in values] for key, values in lists.items()}
    return {
        name: list(dict.fromkeys(row[name] for row in rows if row)) for rows in columns.values() for name in rows[0]
    } if all(map(all, columns.values())) and all(columns.values()) else {}  # fmt: skip


def _options(record: Any, where: str, wrong: list[str]) -> dict[str, Any]:
    """The fields of `Options` that `record` gives; what is wrong with it goes into `wrong`, each thing once."""
    if not isinstance(record, dict):
        wrong.append(f"{where}: got no table")
        return {}
    found: dict[str, Any] = {}
    for key, value in record.items():
        name, kind = key.replace("-", "_"), _KINDS.get(key.replace("-", "_"))
        if kind == "str" and not isinstance(value, bool):
            numbers = value if isinstance(value, list) else [value]
            if isinstance(value, str) or all(_fits(number, "float") for number in numbers):
                value = value if isinstance(value, str) else ",".join(map(str, numbers))
        said = ""
        if kind is None:
            said = f"{where}.{_unknown(key, [_dashed(known) for known in _KINDS])}"
        elif not _fits(value, kind):
            said = f"{where}.{key}: got {value!r}; expected {_EXPECTED[kind]}"
        else:
            found[name] = float(value) if kind == "float" else value
        wrong += [said] if said and said not in wrong else []
    return found


_EXPECTED = {"str": "text or numbers", "int": "a whole number", "float": "a number", "bool": "true or false"}


def _fits(value: Any, kind: str) -> bool:
    """Whether a TOML value is of the kind of an option."""
    if kind in ("int", "float"):
        return isinstance(value, (int,) if kind == "int" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, bool if kind == "bool" else str)


def _matches(row: Mapping[str, Any], rule: Mapping[str, Sequence[Any]]) -> bool:
    """Whether every option of `rule` has one of its values in `row`, or by default."""
    return all(row.get(key, getattr(Options, key, None)) in values for key, values in rule.items())


def _rows(record: Mapping[str, Any], key: str, wrong: list[str]) -> list[tuple[int, Any]]:
    """The tables under `key`, counted from 1."""
    rows = record.get(key, [])
    if isinstance(rows, list):
        return list(enumerate(rows, 1))
    wrong.append(f"{key}: got one table; expected [[{key}]]")
    return []


def _unknown(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.0)
    return f"{key}: unknown; did you mean {near[0]}?"


def _dashed(name: str) -> str:
    return name.replace("_", "-")
