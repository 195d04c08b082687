"""Data sets by name: `open_dataset` reads a spec and headers; samples are loaded when they are asked for.

digits                8x8 digits of scikit-learn, 1,797 samples, 10 classes
fashion-mnist[:DIR]   Fashion-MNIST, 70,000 samples, 10 classes
waveform              Breiman's waveforms, synthetic series of 21 values, 11,000 samples, 3 classes
npz:FILE              your own: arrays x (n, ...) and, where there are labels, y (n,) or (n, k)
"""

from __future__ import annotations

import numpy as np
import torch

from zoo.errors import DatasetError
from zoo.fashion import open_fashion_mnist
from zoo.npz import open_npz
from zoo.samples import Dataset, Samples
from zoo.waveform import open_waveform

__all__ = ["SPECS", "Dataset", "Samples", "open_dataset"]

SPECS = "digits, fashion-mnist[:DIR], waveform, npz:FILE"

_DIGITS_SPLITS = {"train": 1347, "test": 450}
_DIGITS_SEED = 0


def open_dataset(spec: str) -> Dataset:
    """Open a data set; cheap, no sample is loaded.

    Parameters
    ----------
    spec : str
        ``digits``, ``fashion-mnist[:DIR]``, ``waveform`` or ``npz:FILE``.

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
    kind, _, rest = spec.partition(":")
    if kind == "digits" and not rest:
        return _open_digits(spec)
    if kind == "fashion-mnist":
        return open_fashion_mnist(spec, rest or None)
    if kind == "waveform" and not rest:
        return open_waveform(spec)
    if kind == "npz" and rest:
        return open_npz(spec, rest)
    hint = f"\ndid you mean npz:{spec} ?" if spec.endswith(".npz") else ""
    raise DatasetError(f"data set {spec!r}: unknown\nexpected one of: {SPECS}{hint}")


def _open_digits(spec: str) -> Dataset:
    return Dataset(
        spec=spec,
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
