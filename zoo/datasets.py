"""Data sets by name: `open_dataset` reads a spec and headers; samples are loaded when they are asked for.

digits                8x8 digits of scikit-learn, 1,797 samples, 10 classes
fashion-mnist[:DIR]   Fashion-MNIST, 70,000 samples, 10 classes; likewise mnist, kmnist, emnist[:SPLIT]
cifar10, cifar100     [:DIR], from the binary or the Python version
waveform              Breiman's waveforms, synthetic series of 21 values, 11,000 samples, 3 classes
npz:FILE              your own: arrays x (n, ...) and, where there are labels, y (n,) or (n, k)
csv:FILE              a table of numbers; the label is the last column, or label=NAME
folder:DIR            images in one folder for each class; streamed, so ImageNet fits
python:MODULE:NAME    a function of yours that returns (x, y) or a torch data set; it is run
torchvision:NAME, hf:NAME   data sets of these libraries
"""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np
import torch

from zoo.cifar import CIFAR_KINDS, open_cifar
from zoo.errors import DatasetError
from zoo.folders import open_folder
from zoo.functions import open_function
from zoo.hub import open_hub
from zoo.mnist import MNIST_KINDS, open_mnist
from zoo.npz import open_npz
from zoo.samples import Dataset, Samples
from zoo.specs import Spec, parse
from zoo.tables import open_table
from zoo.vision import open_vision
from zoo.waveform import open_waveform

__all__ = ["NAMED", "SPECS", "Dataset", "Samples", "open_dataset"]

SPECS = (
    "digits, waveform, fashion-mnist, mnist, kmnist, emnist[:SPLIT], cifar10, cifar100 (each [:DIR]), npz:FILE, "
    "csv:FILE, folder:DIR, python:MODULE:NAME, torchvision:NAME, hf:NAME"
)

NAMED = ("digits", "waveform", *MNIST_KINDS, *CIFAR_KINDS)
"""Data sets that are found by their names."""

_READ_HERE = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist", "KMNIST": "kmnist", "CIFAR10": "cifar10",
              "CIFAR100": "cifar100"}  # fmt: skip
_OPENERS = {"csv": open_table, "folder": open_folder, "python": open_function}

_DIGITS_SPLITS = {"train": 1347, "test": 450}
_DIGITS_SEED = 0


def open_dataset(spec: str, data_dir: str | Path | None = None) -> Dataset:
    """Open a data set; cheap, no more than one sample is loaded, except where code of the user makes them.

    Parameters
    ----------
    spec : str
        One of `SPECS`, with options: ``mnist,mean=0.1307,std=0.3081`` or ``folder:DIR,preset=imagenet``.
    data_dir : str or Path, optional
        A folder to look in before all others, see `zoo.places`.

    Raises
    ------
    MissingDatasetError
        The files are not on this machine.
    DatasetError
        An unknown spec, or a file that cannot be used.

    Examples
    --------
    >>> open_dataset("digits").sample_shape
    (1, 8, 8)
    """
    parsed = _ours(parse(spec))
    if parsed.kind in (*MNIST_KINDS, *CIFAR_KINDS):
        return (open_cifar if parsed.kind in CIFAR_KINDS else open_mnist)(parsed, data_dir)
    if parsed.kind == "digits" and not parsed.rest:
        return _open_digits(parsed)
    if parsed.kind == "waveform" and not parsed.rest:
        parsed.check_options(())
        return open_waveform(spec)
    if parsed.kind == "npz" and parsed.rest:
        return open_npz(spec, parsed.rest)
    if parsed.kind in _OPENERS and parsed.rest:
        return _OPENERS[parsed.kind](parsed)
    if parsed.kind in ("torchvision", "hf") and parsed.rest:
        return (open_vision if parsed.kind == "torchvision" else open_hub)(parsed, data_dir)
    raise DatasetError(f"data set {spec!r}: unknown\nexpected one of: {SPECS}{_hint(spec)}")


def _ours(spec: Spec) -> Spec:
    """The name that torchvision gives to a data set that is read here, without it and without executing pickles."""
    name, _, root = spec.rest.partition(":")
    ours = _READ_HERE.get(name) if spec.kind == "torchvision" and "download" not in spec.options else None
    return spec if ours is None else Spec(spec.text, ours, root, spec.options)


def _hint(spec: str) -> str:
    """What was perhaps meant: a file or a folder without its kind, or a name that is close."""
    path = Path(spec)
    kind = {".npz": "npz", ".csv": "csv"}.get(path.suffix) or ("folder" if spec and path.is_dir() else None)
    near = difflib.get_close_matches(spec, NAMED, 1)
    meant = f"{kind}:{spec}" if kind else near[0] if near else ""
    return f"\ndid you mean {meant} ?" if meant else ""


def _open_digits(spec: Spec) -> Dataset:
    spec.check_options(())
    return Dataset(
        spec=spec.text,
        name="digits",
        sample_shape=(1, 8, 8),
        classes=10,
        class_names=tuple("0123456789"),
        has_labels=True,
        split_note="A stratified 75/25 split with a fixed seed: 1,347 training samples (calibration) and "
        "450 test samples (scored), pixels divided by 16.",
        splits=_DIGITS_SPLITS,
        scored_split="test",
        calibration_split="train",
        whole_split="test",
        read=_read_digits,
        place="scikit-learn",
    )


def _read_digits(split: str) -> Samples:
    from sklearn.datasets import load_digits  # takes a second to import
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    test = _DIGITS_SPLITS["test"]
    parts = train_test_split(np.arange(len(y)), test_size=test, stratify=y, random_state=_DIGITS_SEED)
    chosen = parts[0] if split == "train" else parts[1]
    images = (x[chosen] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return Samples(torch.from_numpy(images), torch.from_numpy(y[chosen].astype(np.int64)), split)
