"""Fashion-MNIST from the IDX files of its authors, plain or gzipped, verified by content.

Source: Xiao, Rasul and Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms, arXiv:1708.07747; https://github.com/zalandoresearch/fashion-mnist (MIT licence).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
import torch

from zoo.errors import DatasetError, MissingDatasetError
from zoo.samples import Dataset, Samples

__all__ = ["CLASS_NAMES", "open_fashion_mnist"]

CLASS_NAMES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

_SPLITS = {"train": 60_000, "test": 10_000}
_STEMS = {"train": "train", "test": "t10k"}
_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_GET_IT = (
    "get it with: apt-get install dataset-fashion-mnist\n"
    "or download the four files from https://github.com/zalandoresearch/fashion-mnist and name their folder: "
    "fashion-mnist:DIR"
)


def open_fashion_mnist(spec: str, folder: str | None) -> Dataset:
    """Fashion-MNIST from `folder`, or from the first place that has all four files.

    The places, in this order: ``$ANN2SPIKE_DATA/fashion-mnist``, ``/usr/share/datasets/fashion-mnist``
    (Debian package dataset-fashion-mnist), ``./data/FashionMNIST/raw`` (torchvision's layout).

    Raises
    ------
    MissingDatasetError
        No place has all four files.
    DatasetError
        On reading: a file is damaged, or its content is not that of Fashion-MNIST.
    """
    places = [Path(folder)] if folder else _places()
    found = next((place for place in places if not _missing(place)), None)
    if found is None:
        looked = "\n".join(f"  {place}: lacks {', '.join(_missing(place))}" for place in places)
        raise MissingDatasetError(f"{spec}: Fashion-MNIST is not on this machine; looked in\n{looked}\n{_GET_IT}")
    home = found
    return Dataset(
        spec=spec,
        name="fashion-mnist",
        sample_shape=(1, 28, 28),
        classes=10,
        class_names=CLASS_NAMES,
        has_labels=True,
        split_note="The published split: 60,000 training images (calibration) and 10,000 test images "
        "(scored), pixels divided by 255.",
        splits=_SPLITS,
        scored_split="test",
        calibration_split="train",
        whole_split="test",
        read=lambda split: _read(home, split),
    )


def _places() -> list[Path]:
    own = os.environ.get("ANN2SPIKE_DATA")
    return [
        *([Path(own) / "fashion-mnist"] if own else []),
        Path("/usr/share/datasets/fashion-mnist"),
        Path("data/FashionMNIST/raw"),
    ]


def _file(folder: Path, name: str) -> Path | None:
    """The file called `name` in `folder`, plain before gzipped."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _missing(folder: Path) -> list[str]:
    return [name for name in _SHA256 if _file(folder, name) is None]


def _read(folder: Path, split: str) -> Samples:
    count, stem = _SPLITS[split], _STEMS[split]
    x = _idx(folder, f"{stem}-images-idx3-ubyte", (count, 28, 28))
    y = _idx(folder, f"{stem}-labels-idx1-ubyte", (count,))
    images = torch.from_numpy(x.astype(np.float32)).div_(255.0).unsqueeze(1)
    return Samples(images, torch.from_numpy(y.astype(np.int64)), split)


def _idx(folder: Path, name: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The unsigned bytes of one IDX file: magic number 0x0800 + dimensions, sizes (big-endian), content."""
    path = _file(folder, name)
    if path is None:
        raise MissingDatasetError(f"{folder}: lacks {name}, which was there a moment ago\n{_GET_IT}")
    content = _content(path, limit=4 + 4 * len(shape) + int(np.prod(shape)))
    header = np.frombuffer(content[: 4 + 4 * len(shape)], dtype=">u4").tolist() if len(content) >= 16 else []
    expected = [0x0800 + len(shape), *shape]
    if header != expected:
        raise DatasetError(f"{path}: IDX header {header}; expected {expected} (magic number, sizes)\n{_GET_IT}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256[name]:
        raise DatasetError(
            f"{path}: sha256 of the content is {digest}\nexpected {_SHA256[name]}, the file of its authors; "
            f"it is damaged or another data set\n{_GET_IT}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def _content(path: Path, limit: int) -> bytes:
    """What the file holds, one byte beyond `limit` at most, so that a gzip bomb stays small."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read(limit + 1)
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); expected an IDX file, plain or gzipped\n{_GET_IT}"
        ) from error
