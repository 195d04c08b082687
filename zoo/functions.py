"""``python:MODULE:NAME``: samples from code of the user, which runs only because they named it.

MODULE is a module, such as ``my.data``, or a file, such as ``data.py``. NAME is a function without arguments, or a
value. What it gives is (x, y), or x alone, or a data set of pairs (``len()`` and indices, as torch's), or a dict of two
of these called ``train`` and ``test``. It is called once for each process.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.arrays import finite, labels
from zoo.errors import DatasetError
from zoo.pairs import Pairs, first_sample, read_pairs
from zoo.preparation import Preparation
from zoo.samples import Dataset, Samples
from zoo.specs import Spec
from zoo.splitting import plain, published

__all__ = ["open_function"]

_EXPECTED = "expected python:MODULE:NAME, such as python:data.py:load or python:package.module:load"
_GIVES = "expected (x, y), x, a data set of pairs, or a dict of these called train and test"


def open_function(spec: Spec) -> Dataset:
    """The samples that the code named by `spec` gives.

    Raises
    ------
    DatasetError
        No such file, module or name; an error in the code, with file and line; something else than samples.
    """
    spec.check_options(())
    module, _, name = spec.rest.rpartition(":")
    if not module or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise DatasetError(f"data set {spec.text!r}: {_EXPECTED}")
    given = _called(spec.text, module, name)
    note = "values are used as they are, not rescaled"
    if not isinstance(given, dict):
        part = _Part(spec.text, given)
        return plain(
            spec.text, name, part.shape, part.count, part.read, has_labels=part.has_labels, note=note, place=module,
            picks=part.pairs is not None,
        )  # fmt: skip
    if set(given) != {"train", "test"}:
        raise DatasetError(f"{spec.text}: got a dict with {', '.join(map(str, given))}; {_GIVES}")
    parts = {split: _Part(spec.text, given[split]) for split in ("train", "test")}
    test = parts["test"]
    return published(
        spec.text, name, test.shape, {split: part.count for split, part in parts.items()},
        lambda split: parts[split].read(None), pick=lambda split, at: parts[split].read(at), note=note, classes=None,
        has_labels=test.has_labels, place=module, said="The split of the function",
    )  # fmt: skip


class _Part:
    """One collection: arrays in memory, or pairs that are made when they are asked for."""

    def __init__(self, spec: str, given: Any) -> None:
        self.spec, self.samples, self.pairs = spec, _arrays(spec, given), None
        if self.samples is None:
            if not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
                raise DatasetError(f"{spec}: got a {type(given).__name__}; {_GIVES}")
            self.pairs = Pairs(given, Preparation())
            self.count = len(self.pairs)
            self.shape, self.has_labels = first_sample(spec, self.pairs)
        else:
            self.count, self.shape = len(self.samples), tuple(self.samples.x.shape[1:])
            self.has_labels = self.samples.y is not None

    def read(self, indices: Tensor | None) -> Samples:
        """The samples at `indices`, or all of them."""
        if self.pairs is not None:
            return read_pairs(self.spec, self.pairs, "whole", indices)
        assert self.samples is not None  # one of the two is there
        return self.samples if indices is None else self.samples.take(indices)


def _arrays(spec: str, given: Any) -> Samples | None:
    """(x, y) or x, checked; None for something else."""
    pair = given if isinstance(given, (tuple, list)) else (given, None)
    if len(pair) != 2 or not all(isinstance(part, (np.ndarray, Tensor)) or part is None for part in pair):
        return None
    x, y = (part.detach().cpu().numpy() if isinstance(part, Tensor) else part for part in pair)
    if x is None:
        return None
    kinds = [array.dtype.kind for array in (x, y) if array is not None]
    if x.ndim < 2 or not x.size or any(kind not in "fiub" for kind in kinds):
        raise DatasetError(f"{spec}: x has shape {x.shape} of {x.dtype}; expected numbers of shape (n, ...), n >= 1")
    if y is not None and (y.shape[:1] != x.shape[:1] or not y.size):
        raise DatasetError(
            f"{spec}: y has shape {y.shape}; expected ({len(x)},) or ({len(x)}, k), as x has {len(x)} samples"
        )
    return Samples(finite(spec, x), None if y is None else labels(spec, y), "whole")


@functools.cache
def _called(spec: str, module: str, name: str) -> Any:
    """What the user's code gives; once, so that every split is of the same samples."""
    with _guarded(spec), contextlib.redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
        found = _import(spec, module)
        if not hasattr(found, name):
            raise DatasetError(f"{spec}: {module} has no {name}; {_EXPECTED}: check the spelling")
        value = getattr(found, name)
        is_data = hasattr(value, "__getitem__") and hasattr(value, "__len__")
        return value() if callable(value) and (isinstance(value, type) or not is_data) else value


def _import(spec: str, name: str) -> ModuleType:
    path = Path(name)
    if not name.endswith(".py"):
        if not re.fullmatch(r"\w+(\.\w+)*", name):
            raise DatasetError(f"{spec}: got {name!r}, neither a file nor a module; {_EXPECTED}")
        return importlib.import_module(name)
    if not path.is_file():
        raise DatasetError(f"{spec}: {name}: no such file; {_EXPECTED}")
    private = f"_ann2spike_data_{path.stem}"
    found = importlib.util.spec_from_file_location(private, path)
    if found is None or found.loader is None:
        raise DatasetError(f"{spec}: {name}: not a Python file; {_EXPECTED}")
    module = importlib.util.module_from_spec(found)
    sys.modules[private] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.resolve().parent))
    try:
        found.loader.exec_module(module)
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(path.resolve().parent))
    return module


@contextlib.contextmanager
def _guarded(spec: str) -> Iterator[None]:
    """Any failure of the user's code, as one message with its file and line."""
    try:
        yield
    except DatasetError:
        raise
    except (Exception, SystemExit) as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")][1:]
        at = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
        why = (str(error).splitlines() or [""])[0][:200]
        raise DatasetError(f"{spec}: {at}{type(error).__name__}: {why}\n{_GIVES}: mend the code") from error
