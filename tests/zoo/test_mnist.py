"""The MNIST family from IDX files of our own making: same form, few samples."""

import gzip
import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

import zoo.mnist
from zoo.datasets import open_dataset
from zoo.errors import DatasetError, MissingDatasetError


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write(folder, stems=("train", "t10k"), counts=(30, 10), packed=True, classes=10, first=0):
    """Four files, and their contents by name."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, contents = np.random.default_rng(0), {}
    for stem, count in zip(stems, counts, strict=True):
        contents[f"{stem}-images-idx3-ubyte"] = idx(draw.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        contents[f"{stem}-labels-idx1-ubyte"] = idx(draw.integers(first, classes, count, dtype=np.uint8))
    for name, content in contents.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return contents


@pytest.fixture
def small(monkeypatch):
    """MNIST with 30 and 10 images, proven by these hashes."""

    def make(hashes):
        family = replace(zoo.mnist._FAMILIES["mnist"], counts=(30, 10), hashes=hashes)
        monkeypatch.setitem(zoo.mnist._FAMILIES, "mnist", family)

    return make


@pytest.mark.parametrize("at", ["", "raw", "MNIST/raw", "mnist"])
@pytest.mark.parametrize("packed", [True, False])
def test_files_are_found_in_every_layout(tmp_path, small, at, packed):
    small({})
    contents = write(tmp_path / at, packed=packed)
    if at == "raw":
        spec, data_dir = f"mnist:{tmp_path / at}", None
    else:
        spec, data_dir = (f"mnist:{tmp_path}", None) if not at else ("mnist", tmp_path)
    mnist = open_dataset(spec, data_dir)
    test = mnist.scored()
    pixels = np.frombuffer(contents["t10k-images-idx3-ubyte"][16:], np.uint8).reshape(10, 1, 28, 28)
    assert torch.equal(test.x, torch.from_numpy(pixels / np.float32(255)))
    assert dict(mnist.splits) == {"train": 30, "test": 10}
    assert mnist.place == str(tmp_path / at)
    assert not {row.numpy().tobytes() for row in test.x} & {row.numpy().tobytes() for row in mnist.calibration().x}


def test_data_dir_comes_before_the_environment_and_that_before_the_rest(tmp_path, small, monkeypatch):
    small({})
    monkeypatch.chdir(tmp_path)
    for root in ("data", "env", "option"):
        write(tmp_path / root / "MNIST/raw")
    assert open_dataset("mnist").place == "data/MNIST/raw"
    monkeypatch.setenv("ANN2SPIKE_DATA", "env")
    assert open_dataset("mnist").place == "env/MNIST/raw"
    assert open_dataset("mnist", "option").place == "option/MNIST/raw"
    assert open_dataset("torchvision:MNIST:data").place == "data/MNIST/raw"


def test_a_data_dir_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="--data-dir"):
        open_dataset("mnist", tmp_path / "none")


@pytest.mark.parametrize("kind", ["sha256", "md5", "gz-md5"])
def test_a_hash_proves_the_file_or_refuses_it(tmp_path, small, kind):
    contents = write(tmp_path)

    def hashed(content):
        if kind == "sha256":
            return hashlib.sha256(content).hexdigest()
        return hashlib.md5(gzip.compress(content, mtime=0) if kind == "gz-md5" else content).hexdigest()

    good = {name: (f"{kind}:{hashed(content)}",) for name, content in contents.items()}
    small(good)
    files = open_dataset(f"mnist:{tmp_path}").scored().files
    assert files.count(f"{kind} as published") == 2
    small(good | {"t10k-labels-idx1-ubyte": (f"{kind}:{'0' * 64}",)})
    with pytest.raises(DatasetError, match=f"t10k-labels.*: {kind} is "):
        open_dataset(f"mnist:{tmp_path}").scored()


def test_without_a_published_hash_the_one_found_is_told(tmp_path, small):
    contents = write(tmp_path, packed=False)
    small({"t10k-images-idx3-ubyte": ("gz-md5:00",)})  # of a file that is not packed here
    files = open_dataset(f"mnist:{tmp_path}").scored().files
    assert hashlib.sha256(contents["t10k-images-idx3-ubyte"]).hexdigest() in files
    assert files.count("no published hash is known to us") == 2


def test_normalisation(tmp_path, small):
    small({})
    write(tmp_path)
    plain, scaled = (open_dataset(f"mnist:{tmp_path}{more}") for more in ("", ",mean=0.1307,std=0.3081"))
    torch.testing.assert_close(scaled.scored().x, (plain.scored().x - 0.1307) / 0.3081)
    assert "(x - 0.1307) / 0.3081" in scaled.split_note


@pytest.mark.parametrize("options", ["mean=x", "std=0", "mean=0.1/0.2", "norm=none", "crop=3", "mean=1,mean=2"])
def test_options_that_cannot_be(tmp_path, small, options):
    small({})
    write(tmp_path)
    with pytest.raises(DatasetError, match="got"):
        open_dataset(f"mnist:{tmp_path},{options}")


@pytest.mark.parametrize(("split", "classes"), [("letters", 27), ("balanced", 47), ("byclass", 62), ("digits", 10)])
def test_emnist_takes_its_counts_from_the_files(tmp_path, split, classes):
    write(tmp_path / "EMNIST/raw", (f"emnist-{split}-train", f"emnist-{split}-test"), (12, 7), classes=classes)
    emnist = open_dataset(f"emnist:{split}:{tmp_path}")
    assert (dict(emnist.splits), emnist.classes) == ({"train": 12, "test": 7}, classes)
    assert len(emnist.scored()) == 7
    assert open_dataset(f"emnist:{split}", tmp_path).splits == emnist.splits


def test_labels_beyond_the_classes_are_refused(tmp_path):
    write(tmp_path, ("emnist-digits-train", "emnist-digits-test"), (12, 7), classes=12, first=11)
    with pytest.raises(DatasetError, match="7 labels up to 11"):
        open_dataset(f"emnist:digits:{tmp_path}").scored()


@pytest.mark.parametrize("name", ["mnist", "kmnist", "emnist", "emnist:letters", "cifar10", "cifar100"])
def test_what_is_missing_comes_with_the_places_and_a_command(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ANN2SPIKE_DATA", str(tmp_path / "own"))
    with pytest.raises(MissingDatasetError) as refused:
        open_dataset(name)
    for words in (
        "own: no such folder",
        "data: no such folder",
        "cache/ann2spike",
        "/usr/share/datasets",
        "get it with: ",
    ):
        assert words in str(refused.value)
