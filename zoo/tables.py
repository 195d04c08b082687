"""CSV tables: a row is a sample, the last column or the one called ``label=NAME`` is its label, or ``label=none``.

The separator (comma, semicolon or tab) and whether there is a header are told from the first two rows: a header is
there when a cell that is no number stands above one that is, and the numbers beside it can only be those of columns.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from zoo.arrays import finite, labels
from zoo.errors import DatasetError, MissingDatasetError
from zoo.samples import Dataset, Samples
from zoo.specs import Spec
from zoo.splitting import plain

__all__ = ["open_table"]

_LARGEST_BYTES = 2 * 2**30
_SEPARATORS = ",;\t"
_LONGEST_LINE = 2**24
_MAKE_IT = "expected rows of numbers, and a label in the last column or in label=NAME"


def open_table(spec: Spec) -> Dataset:
    """The table in the file that `spec` names; it is read at once, since only its end tells how many rows it has.

    Raises
    ------
    MissingDatasetError
        No such file.
    DatasetError
        Not a table, text or NaN among the numbers, no such column.
    """
    spec.check_options(("label",))
    file = Path(spec.rest)
    if not file.is_file():
        raise MissingDatasetError(f"{file}: no such file; {_MAKE_IT}")
    samples, names = _samples(file, spec.options.get("label"))
    note = "values are used as they are, not rescaled"
    if names:
        note += f"; labels are text, numbered in alphabetical order: {', '.join(names[:5])}{', ...' * (len(names) > 5)}"
    return plain(
        spec.text, file.stem, tuple(samples.x.shape[1:]), len(samples), partial(_all, samples),
        has_labels=samples.y is not None, note=note, class_names=names, place=str(file.parent),
    )  # fmt: skip


def _all(samples: Samples, indices: Tensor | None) -> Samples:
    return samples if indices is None else samples.take(indices)


def _samples(file: Path, label: str | None) -> tuple[Samples, tuple[str, ...]]:
    table = _table(file)
    if label == "none":
        x, y = table, None
    else:
        if label is not None and label not in table.columns:
            columns = ", ".join(map(str, table.columns[:8]))
            raise DatasetError(f"{file}: has no column {label!r}; expected one of {columns}, or label=none")
        if table.shape[1] < 2:
            raise DatasetError(f"{file}: has one column; {_MAKE_IT}; without labels add label=none to the spec")
        column = table.columns[-1] if label is None else label
        x, y = table.drop(columns=column), table[column]
    values = finite(str(file), _numbers(file, x))
    if y is None:
        return Samples(values, None, "whole"), ()
    if pd.api.types.is_numeric_dtype(y):
        return Samples(values, labels(str(file), y.to_numpy()), "whole"), ()
    if y.isna().any():
        raise DatasetError(f"{file}: row {int(np.flatnonzero(y.isna())[0]) + 1} has no label; {_MAKE_IT}")
    names = tuple(sorted({str(name) for name in y}))
    numbered = y.astype(str).map({name: i for i, name in enumerate(names)}).to_numpy()
    return Samples(values, labels(str(file), numbered), "whole"), names


def _table(file: Path) -> pd.DataFrame:
    try:
        if (size := file.stat().st_size) > _LARGEST_BYTES:
            raise ValueError(f"{size / 2**30:.1f} GiB, beyond {_LARGEST_BYTES >> 30}; use npz:FILE")
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first, second = lines.readline(_LONGEST_LINE), lines.readline(_LONGEST_LINE)
        separator = max(_SEPARATORS, key=first.count)
        header = 0 if _has_header(first.strip().split(separator), second.strip().split(separator)) else None
        table = pd.read_csv(
            file, sep=separator, header=header, encoding="utf-8-sig", compression=None, skipinitialspace=True,
            low_memory=False,
        )  # fmt: skip
    except (OSError, ValueError, MemoryError, OverflowError) as error:  # pandas' errors of parsing are ValueErrors
        raise DatasetError(f"{file}: not a readable table ({_brief(error)}); {_MAKE_IT}") from error
    if not len(table):
        raise DatasetError(f"{file}: has no rows; {_MAKE_IT}")
    return table


def _has_header(first: list[str], second: list[str]) -> bool:
    numbers = [float(cell.strip().strip('"')) for cell in first if _is_number(cell)]
    if any(after != before + 1 for before, after in itertools.pairwise(numbers)):
        return False
    if second == [""]:
        return not all(map(_is_number, first[:-1]))
    return any(not _is_number(above) and _is_number(below) for above, below in zip(first, second, strict=False))


def _is_number(cell: str) -> bool:
    try:
        return not math.isnan(float(cell.strip().strip('"')))
    except ValueError:
        return False


def _numbers(file: Path, x: pd.DataFrame) -> np.ndarray[Any, np.dtype[Any]]:
    """The features, if all of them are numbers; else the first that is none, by row and column."""
    for name in x.columns:
        column = x[name]
        if pd.api.types.is_numeric_dtype(column):
            continue
        bad = pd.to_numeric(column, errors="coerce").isna()
        row = int(np.flatnonzero(bad)[0]) if bad.any() else 0
        raise DatasetError(
            f"{file}: column {name}, row {row + 1}: {str(column.iloc[row])[:40]!r} is no number; {_MAKE_IT}: drop or "
            "encode the column"
        )
    return x.to_numpy()


def _brief(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]
