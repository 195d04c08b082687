"""``torchvision:NAME[:ROOT]``: a data set class of torchvision, where it is installed.

Nothing is downloaded unless the spec ends in ``,download=yes``. Those that this project reads itself, such as
``torchvision:CIFAR10``, need no torchvision and come from the same files.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from zoo.errors import DatasetError, MissingDatasetError
from zoo.pairs import Pairs, first_sample, read_pairs
from zoo.places import roots
from zoo.preparation import IMAGE_OPTIONS, Preparation, read_preparation
from zoo.samples import Dataset
from zoo.specs import Spec
from zoo.splitting import published

__all__ = ["open_vision"]

_TRAIN = ("train", "trainval")
_TEST = ("test", "val")


def open_vision(spec: Spec, data_dir: str | Path | None = None) -> Dataset:
    """The data set of torchvision that `spec` names.

    Raises
    ------
    MissingDatasetError
        Its files are in none of the roots.
    DatasetError
        torchvision is not installed, or has no such data set with a training and a test split.
    """
    spec.check_options((*IMAGE_OPTIONS, "download"))
    prepared = read_preparation(spec)
    name, _, root = spec.rest.partition(":")
    make = _class(spec, name)
    places = (Path(root),) if root else roots(data_dir)
    download = spec.options.get("download") == "yes"
    if download:
        places[0].mkdir(parents=True, exist_ok=True)
    parts, place = _found(spec, make, places[:1] if download else places, prepared, download)
    shape, has_labels = first_sample(spec.text, parts["test"])
    return published(
        spec.text, name, shape, {split: len(part) for split, part in parts.items()},
        lambda split: read_pairs(spec.text, parts[split], split),
        pick=lambda split, at: read_pairs(spec.text, parts[split], split, at), note=prepared.words, classes=None,
        has_labels=has_labels, place=place,
    )  # fmt: skip


def _class(spec: Spec, name: str) -> Any:
    try:
        import torchvision.datasets as sets
    except (ImportError, RuntimeError) as error:  # RuntimeError: it does not fit the torch that is installed
        raise DatasetError(
            f"{spec.text}: torchvision cannot be imported ({error}); get the one for your torch with: "
            "pip install torchvision"
        ) from error
    make = getattr(sets, name, None)
    takes = set(inspect.signature(make).parameters) if inspect.isclass(make) else set()
    if "root" not in takes or not takes & {"train", "split"}:
        raise DatasetError(
            f"{spec.text}: torchvision.datasets has no {name} with a training and a test split; expected the name of "
            "such a class, e.g. torchvision:SVHN; for others write python:MODULE:NAME"
        )
    return make


def _found(
    spec: Spec, make: Any, places: tuple[Path, ...], prepared: Preparation, download: bool
) -> tuple[dict[str, Pairs], str]:
    looked = []
    for place in places:
        try:
            return {"train": Pairs(_made(make, place, _TRAIN, download), prepared),
                    "test": Pairs(_made(make, place, _TEST, download), prepared)}, str(place)  # fmt: skip
        except (RuntimeError, OSError, ValueError, ImportError) as error:
            looked.append(f"  {place}: {(str(error).splitlines() or [type(error).__name__])[0][:160]}")
    raise MissingDatasetError(
        f"{spec.text}: torchvision finds no such data set; looked in\n" + "\n".join(looked) +
        f"\nget it with: python -m zoo data {spec.text},download=yes, or name its root: torchvision:NAME:ROOT"
    )  # fmt: skip


def _made(make: Any, root: Path, splits: tuple[str, ...], download: bool) -> Any:
    takes = inspect.signature(make).parameters
    more = {"download": True} if download and "download" in takes else {}
    if "train" in takes:
        return make(root=str(root), train=splits is _TRAIN, **more)
    for split in splits[:-1]:
        try:
            return make(root=str(root), split=split, **more)
        except ValueError:  # it calls its splits otherwise
            continue
    return make(root=str(root), split=splits[-1], **more)
