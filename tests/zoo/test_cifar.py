"""CIFAR from files of our own making: the published form, few images."""

import hashlib
import io
import pickle
import struct
import tarfile
from dataclasses import replace

import numpy as np
import pytest

import zoo.cifar
from zoo.datasets import open_dataset
from zoo.errors import DatasetError
from zoo.inert import read_batch

DRAW = np.random.default_rng(0)
PIXELS = {name: DRAW.integers(0, 256, (4, 3072), dtype=np.uint8) for name in (*map(str, range(1, 6)), "test")}
LABELS = {name: DRAW.integers(0, 10, 4, dtype=np.uint8) for name in PIXELS}


class Python2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings."""

    def save_bytes(self, value):
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_bytes}


def pickled(value):
    """By protocol 2, with the names of numpy 1."""
    Python2(stream := io.BytesIO(), protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def python_batch(name, key=b"labels"):
    return pickled({key: LABELS[name].tolist(), b"data": PIXELS[name]})


def files(kind, binary):
    """Name in the archive -> content."""
    if kind == "cifar10" and binary:
        names = {f"data_batch_{i}.bin": str(i) for i in range(1, 6)} | {"test_batch.bin": "test"}
        return {n: np.c_[LABELS[k], PIXELS[k]].tobytes() for n, k in names.items()}
    if kind == "cifar10":
        return {f"data_batch_{i}": python_batch(str(i)) for i in range(1, 6)} | {"test_batch": python_batch("test")}
    names = {"train": "1", "test": "test"}
    if binary:
        coarse = np.full(4, 19, np.uint8)
        return {f"{n}.bin": np.c_[coarse, LABELS[k], PIXELS[k]].tobytes() for n, k in names.items()}
    return {n: python_batch(k, b"fine_labels") for n, k in names.items()}


def archive(path, folder, contents):
    with tarfile.open(path, "w:gz") as packed:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Put files in place, known by their hashes, and give the folder."""

    def make(kind, binary, packed):
        old = zoo.cifar._VERSIONS[kind][0 if binary else 1]
        contents = files(kind, binary)
        md5 = {} if binary else {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
        if packed:
            archive(tmp_path / old.archive, old.folder, contents)
        else:
            (tmp_path / old.folder).mkdir()
            for name, content in contents.items():
                (tmp_path / old.folder / name).write_bytes(content)
        proof = hashlib.md5((tmp_path / old.archive).read_bytes()).hexdigest() if packed else ""
        monkeypatch.setitem(zoo.cifar._VERSIONS, kind, (replace(old, archive_md5=proof, md5=md5),))
        monkeypatch.setattr(zoo.cifar, "_COUNTS", {"train": 20 if kind == "cifar10" else 4, "test": 4})
        return tmp_path

    return make


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "python"])
@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
def test_every_published_form_gives_the_same_samples(cifar, kind, binary, packed):
    opened = open_dataset(kind, cifar(kind, binary, packed))
    test, train = opened.scored(), opened.calibration()
    assert (test.x * 255).round().numpy().astype(np.uint8).reshape(4, -1).tolist() == PIXELS["test"].tolist()
    assert test.y.tolist() == LABELS["test"].tolist()
    assert train.y[:4].tolist() == LABELS["1"].tolist()
    assert opened.sample_shape == (3, 32, 32)
    assert ("no published hash" in test.files) == (binary and not packed)


def test_the_folder_itself_can_be_named(cifar):
    folder = cifar("cifar10", True, False)
    assert len(open_dataset(f"cifar10:{folder / 'cifar-10-batches-bin'}").scored()) == 4
    assert len(open_dataset(f"torchvision:CIFAR10:{folder}").scored()) == 4


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "python"])
def test_another_archive_than_the_published_is_not_opened(cifar, binary, monkeypatch):
    folder = cifar("cifar10", binary, True)
    path = next(folder.iterdir())
    path.write_bytes(path.read_bytes() + b"\0")
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: pytest.fail("opened"))
    with pytest.raises(DatasetError, match=r"md5 is .*\nexpected"):
        open_dataset("cifar10", folder).scored()


def test_another_pickle_than_the_published_is_not_read(cifar, monkeypatch):
    folder = cifar("cifar10", False, False)
    (folder / "cifar-10-batches-py/test_batch").write_bytes(python_batch("1"))
    monkeypatch.setattr(zoo.cifar, "read_batch", lambda *a, **k: pytest.fail("read"))
    with pytest.raises(DatasetError, match="test_batch: md5 is"):
        open_dataset("cifar10", folder).scored()


@pytest.mark.parametrize("cut", [1, 3073])
def test_binary_files_that_are_too_short(cifar, cut):
    folder = cifar("cifar10", True, False)
    path = folder / "cifar-10-batches-bin/test_batch.bin"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DatasetError, match=r"whole number of records|3 images"):
        open_dataset("cifar10", folder).scored()


def test_column_order_of_an_array_is_honoured():
    content = pickled({b"labels": [1, 2], b"data": np.asfortranarray(PIXELS["1"][:2])})
    assert read_batch(content, 3072)[0].tolist() == PIXELS["1"][:2].tolist()
