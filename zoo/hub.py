"""``hf:NAME``: a data set of the Hugging Face library ``datasets``, from a folder or from its cache.

NAME is a folder that ``save_to_disk`` wrote or that holds Parquet files or images, or the name of a data set that was
downloaded before. Nothing is downloaded unless the spec ends in ``,download=yes``, and code of a data set never runs:
version 4 of the library cannot do so, and an earlier one is refused.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import DatasetError, MissingDatasetError
from zoo.pairs import Pairs, first_sample, read_pairs
from zoo.preparation import IMAGE_OPTIONS, Preparation, read_preparation
from zoo.samples import Dataset
from zoo.specs import Spec
from zoo.splitting import plain, published

__all__ = ["open_hub"]

_OWN = ("download", "config", "x", "label")
_TEST = ("test", "validation", "val", "valid")
_LABELS = ("label", "labels", "fine_label", "target", "y")
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
_MODULES = ("datasets.config", "huggingface_hub.constants")


def open_hub(spec: Spec, data_dir: str | Path | None = None) -> Dataset:
    """The data set of the Hugging Face library that `spec` names.

    Raises
    ------
    MissingDatasetError
        It is neither a folder nor in the cache.
    DatasetError
        The library is not installed or too old, or no column can be samples.
    """
    spec.check_options((*IMAGE_OPTIONS, *_OWN))
    download = spec.options.get("download") == "yes"
    with _network(download):
        loaded = _loaded(spec, _library(spec), data_dir)
    prepared = read_preparation(spec)
    if not isinstance(loaded, dict):
        loaded = {"all": loaded}
    train, test = loaded.get("train"), next((loaded[name] for name in _TEST if name in loaded), None)
    name = spec.rest.rstrip("/").rpartition("/")[2]
    if train is None or test is None:
        part = _pairs(spec, train if train is not None else next(iter(loaded.values())), prepared)
        shape, has_labels = first_sample(spec.text, part)
        return plain(
            spec.text, name, shape, len(part), lambda at: read_pairs(spec.text, part, "whole", at), note=prepared.words,
            has_labels=has_labels, place="Hugging Face datasets", picks=True,
        )  # fmt: skip
    parts = {"train": _pairs(spec, train, prepared), "test": _pairs(spec, test, prepared)}
    shape, has_labels = first_sample(spec.text, parts["test"])
    return published(
        spec.text, name, shape, {split: len(part) for split, part in parts.items()},
        lambda split: read_pairs(spec.text, parts[split], split),
        pick=lambda split, at: read_pairs(spec.text, parts[split], split, at), note=prepared.words, classes=None,
        has_labels=has_labels, place="Hugging Face datasets",
    )  # fmt: skip


@contextlib.contextmanager
def _network(download: bool) -> Iterator[None]:
    """Let the libraries download, or keep them offline: by the environment, which they read when they are imported, and
    by what they made of it, if they were imported before.
    """
    before = {name: os.environ.get(name) for name in _OFFLINE}
    made = [(sys.modules[module], name) for module in _MODULES if module in sys.modules for name in _OFFLINE]
    kept = [(module, name, getattr(module, name)) for module, name in made if hasattr(module, name)]
    os.environ.update(dict.fromkeys(_OFFLINE, "0" if download else "1"))
    for module, name, _ in kept:
        setattr(module, name, not download)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})
        for module, name, value in kept:
            setattr(module, name, value)


def _library(spec: Spec) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DatasetError(
            f"{spec.text}: the library datasets is not installed ({error}); get it with: pip install 'datasets>=4'"
        ) from error
    version = str(getattr(datasets, "__version__", "0"))
    if not version.partition(".")[0].isdecimal() or int(version.partition(".")[0]) < 4:
        raise DatasetError(
            f"{spec.text}: datasets {version} can run code of a data set; expected version 4 or later: "
            "pip install 'datasets>=4'"
        )
    return datasets


def _loaded(spec: Spec, library: Any, data_dir: str | Path | None) -> Any:
    """A data set, or several by split."""
    folder = (
        Path(data_dir, spec.rest) if data_dir is not None and Path(data_dir, spec.rest).is_dir() else Path(spec.rest)
    )
    try:
        if any((folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json")):
            return library.load_from_disk(str(folder))
        return library.load_dataset(str(folder) if folder.is_dir() else spec.rest, spec.options.get("config"))
    except Exception as error:  # the library's errors have no common base
        why = (str(error).splitlines() or [""])[0][:200]
        raise MissingDatasetError(
            f"{spec.text}: {type(error).__name__}: {why}\nexpected a folder, or the name of a data set in the "
            f"library's cache; to download it: {spec.text},download=yes"
        ) from error


def _pairs(spec: Spec, rows: Any, prepared: Preparation) -> Pairs:
    x, y = _columns(spec, rows)
    return Pairs(rows, prepared, lambda row: (row[x], None if y is None else row[y]))


def _columns(spec: Spec, rows: Any) -> tuple[str, str | None]:
    """The columns of samples and labels: those named, or the first image and the first class label."""
    kinds = {name: type(kind).__name__ for name, kind in rows.features.items()}
    for option in ("x", "label"):
        if spec.options.get(option, "none") not in (*kinds, "none"):
            raise DatasetError(f"{spec.text}: {option}: got {spec.options[option]}; expected one of {', '.join(kinds)}")
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    y = spec.options.get("label", next((name for name in (*classes, *_LABELS) if name in kinds), "none"))
    images = [name for name, kind in kinds.items() if kind == "Image"]
    x = spec.options.get("x", next((name for name in (*images, *kinds) if name != y), "none"))
    if x == "none":
        raise DatasetError(
            f"{spec.text}: has no column of samples among {', '.join(kinds)}; expected one: name it with x="
        )
    return x, None if y == "none" else y
