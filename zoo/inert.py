"""read_batch(): a pickled batch of CIFAR without executing anything that the pickle names.

A pickle is a program. Here its only callables are two stand-ins of our own, which record what an array and its type
are made of; the array is then put together from checked parts. Whatever else the pickle names is refused.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

__all__ = ["read_batch"]

_LABELS = (b"labels", b"fine_labels")
_Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class _Array:
    """Stands for numpy.ndarray: keeps the state that the pickle gives it."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep it."""
        self.state = state


class _Type:
    """Stands for numpy.dtype: keeps its name."""

    def __init__(self, name: Any = None, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Nothing of it matters for single bytes."""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """One of the stand-ins."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """None are expected."""
        raise pickle.UnpicklingError("it asks for an object outside of the file")


def read_batch(content: bytes, pixels: int) -> tuple[_Bytes, np.ndarray[Any, np.dtype[np.int64]]]:
    """Pixels (n, pixels) and labels (n,) of a batch in CIFAR's Python version.

    Raises
    ------
    ValueError
        The pickle asks for anything but arrays of bytes, lists and dicts, or does not hold a batch.
    """
    try:
        batch = _Reader(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"not a batch of CIFAR ({type(error).__name__}: {error}); nothing in it was executed"
        ) from error
    data = batch.get(b"data") if isinstance(batch, dict) else None
    labels = next((batch[name] for name in _LABELS if name in batch), None) if isinstance(batch, dict) else None
    x = _pixels(data, pixels)
    good = isinstance(labels, list) and len(labels) == len(x) and all(type(v) is int and 0 <= v < 100 for v in labels)
    if not good:
        raise ValueError(f"not a batch of CIFAR: expected a list of {len(x)} labels from 0 to 99")
    return x, np.array(labels, dtype=np.int64)


def _pixels(data: Any, pixels: int) -> _Bytes:
    """The array that a stand-in describes: its state is (version, shape, type, Fortran order, bytes)."""
    state = data.state if isinstance(data, _Array) else None
    if isinstance(state, tuple) and len(state) == 5:
        _, shape, kind, fortran, content = state
        name = kind.name if isinstance(kind, _Type) else None
        count = len(content) // pixels if isinstance(content, bytes) else 0
        if name in (b"u1", "u1") and count and shape == (count, pixels) and len(content) == count * pixels:
            return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran is True else "C")
    raise ValueError(f"not a batch of CIFAR: expected an array of bytes of shape (n, {pixels})")
