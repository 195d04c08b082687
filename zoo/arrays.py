"""Arrays as samples: values checked, labels told from numbers. For every file that says nothing about itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zoo.errors import DatasetError

__all__ = ["finite", "labels"]

_Array = np.ndarray[Any, np.dtype[Any]]

_LARGEST_CLASS = 2**31 - 1


def finite(where: str, x: _Array) -> torch.Tensor:
    """`x` as float32, if every value is finite there.

    Parameters
    ----------
    where : str
        The file or function, for the message.

    Raises
    ------
    DatasetError
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.ascontiguousarray(x, dtype=np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(index[0]) for index in np.nonzero(bad))
        raise DatasetError(
            f"{where}: x has {int(bad.sum())} values that are NaN or infinite as float32, first at {first}\n"
            "expected finite numbers; drop or repair these samples"
        )
    return torch.from_numpy(values)


def labels(where: str, y: _Array) -> torch.Tensor:
    """`y` as int64 where all of it is class indices, else numbers as float32.

    Raises
    ------
    DatasetError
        Neither; integers below zero among them.
    """
    if y.dtype.kind == "b":
        return torch.from_numpy(y.astype(np.int64))
    with np.errstate(invalid="ignore", over="ignore"):
        bad = ~((y >= 0) & (y <= _LARGEST_CLASS) & (y == np.floor(y)))
        if not bad.any():
            return torch.from_numpy(y.astype(np.int64))
        numbers = np.ascontiguousarray(y, dtype=np.float32) if y.dtype.kind == "f" else None
    if numbers is not None and np.isfinite(numbers).all():
        return torch.from_numpy(numbers)
    if numbers is not None:
        bad = ~np.isfinite(numbers)
    first = tuple(int(index[0]) for index in np.nonzero(bad))
    raise DatasetError(
        f"{where}: y has {int(bad.sum())} labels that are not class indices, first {y[first]} at "
        f"{first[0] if y.ndim == 1 else first}\n"
        "expected integers 0, 1, 2, ..., or finite numbers as floating point: y.astype(numpy.float32)"
    )
