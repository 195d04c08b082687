"""Samples that try to harm: .npz and IDX files, cut, flipped and repacked. Each loads finite, or is one named error."""

import gzip
import random
import struct
import zipfile

import numpy as np
import pytest
import torch

import zoo.mnist
from tests.attacks.builders import flipped_member, members_of, packed
from zoo.datasets import open_dataset
from zoo.errors import DatasetError


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.random.default_rng(0).random((30, 4), dtype=np.float32), y=np.arange(30) % 3)
    return path


def outcome(path):
    try:
        samples = open_dataset(f"npz:{path}").scored()
    except DatasetError as error:
        assert str(path) in str(error)
        return error
    assert torch.isfinite(samples.x).all()
    return None


def test_flipped_bits(npz):
    content, draw = npz.read_bytes(), random.Random(0)
    errors = 0
    for _ in range(200):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        npz.write_bytes(flipped)
        errors += outcome(npz) is not None
    assert errors > 100


@pytest.mark.parametrize("member", ["x.npy", "y.npy"])
def test_a_flipped_value_never_passes_its_checksum(npz, member):
    for at in range(130, 230, 10):
        content = npz.read_bytes()
        flipped_member(npz, member, at)
        assert outcome(npz) is not None
        npz.write_bytes(content)


def test_every_member_truncated(npz):
    whole = members_of(npz)
    for name in whole:
        for size in range(0, len(whole[name]), 20):
            error = outcome(packed(npz, {**whole, name: whole[name][:size]}))
            assert error is not None, (name, size)


def test_truncated(npz):
    content = npz.read_bytes()
    for size in range(0, len(content), 40):
        npz.write_bytes(content[:size])
        assert outcome(npz) is not None


def test_flipped_bits_under_valid_checksums(npz):
    whole, draw = members_of(npz), random.Random(1)
    for _ in range(100):
        name = draw.choice(sorted(whole))
        changed = bytearray(whole[name])
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        outcome(packed(npz, {**whole, name: bytes(changed)}))


@pytest.mark.parametrize("name", ["../evil.npy", "/tmp/ann2spike-evil.npy", "a/../../evil.npy"])
def test_members_that_escape_are_not_extracted(npz, name):
    with zipfile.ZipFile(npz, "a") as archive:
        archive.writestr(name, b"x")
    outcome(npz)
    assert [path.name for path in npz.parent.iterdir()] == ["data.npz"]


@pytest.fixture
def images(tmp_path):
    """Files in the form of Fashion-MNIST, not its content."""
    for name in zoo.mnist._FAMILIES["fashion-mnist"].names():
        count = 60_000 if name.startswith("train") else 10_000
        sizes = (count, 28, 28) if "images" in name else (count,)
        head = struct.pack(f">{1 + len(sizes)}I", 0x0800 + len(sizes), *sizes)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(head + bytes(int(np.prod(sizes))), compresslevel=1))
    return tmp_path


def refused(folder):
    with pytest.raises(DatasetError) as caught:
        open_dataset(f"fashion-mnist:{folder}").scored()
    return str(caught.value)


def test_images_of_the_right_form_and_another_content(images):
    assert "sha256" in refused(images)


def test_images_cut_and_flipped(images):
    path, draw = images / "t10k-images-idx3-ubyte.gz", random.Random(0)
    content = path.read_bytes()
    for size in range(0, len(content), max(1, len(content) // 12)):
        path.write_bytes(content[:size])
        assert str(path) in refused(images)
    for _ in range(12):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        refused(images)
