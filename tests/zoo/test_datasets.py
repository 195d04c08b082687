import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo.mnist
import zoo.npz
from zoo.datasets import open_dataset
from zoo.errors import DatasetError, MissingDatasetError
from zoo.samples import Samples


@pytest.fixture
def npz(tmp_path):
    """Write arrays to an .npz file and give its spec."""

    def write(**arrays):
        path = tmp_path / "mine.npz"
        np.savez(path, **arrays)
        return f"npz:{path}"

    return write


def rows(samples):
    return {row.numpy().tobytes() for row in samples.x}


def numbered(count, **more):
    return {"x": np.arange(count * 3, dtype=np.float32).reshape(count, 3), "y": np.arange(count) % 4, **more}


def test_digits_splits_are_disjoint_stratified_and_fixed():
    digits = open_dataset("digits")
    scored, calibration = digits.scored(), digits.calibration()
    assert (len(scored), len(calibration)) == (450, 1347) == (digits.splits["test"], digits.splits["train"])
    assert scored.x.shape[1:] == digits.sample_shape
    assert scored.x.dtype == torch.float32
    assert scored.y.dtype == torch.int64
    assert float(scored.x.min()) == 0
    assert float(scored.x.max()) == 1
    assert not rows(scored) & rows(calibration)
    assert scored.y.bincount().min() >= 43  # of 450 in 10 classes
    assert scored.sha256 == "f02ba6938f375f158064123ecf56992f15d8bf721f6c993469f2d4b4b4845d17"


def test_a_limit_takes_a_prefix_of_one_fixed_order():
    digits = open_dataset("digits")
    small, large = digits.scored(20), digits.scored(40)
    assert torch.equal(small.x, large.x[:20])
    assert len(set(small.y.tolist())) >= 6
    assert len(digits.scored(9999)) == 450


def test_calibration_is_drawn_by_its_seed_without_replacement():
    digits = open_dataset("digits")
    first, again, other = (digits.calibration(200, seed) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256
    assert len(rows(first)) == 200
    assert rows(first) <= rows(digits.calibration())


def test_loading_samples_leaves_the_global_random_state_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    open_dataset("digits").calibration(10, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(DatasetError, match="at least 1"):
        open_dataset("digits").scored(limit)


def test_sha256_covers_labels_and_shape():
    x, y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)
    variants = [(x, y), (x, None), (x, y + 1), (x.reshape(2, 4), None)]
    assert len({Samples(*variant, "s").sha256 for variant in variants}) == 4
    assert Samples(x, y, "s").sha256 == Samples(x, y, "t").sha256


@pytest.mark.parametrize("spec", ["", "imagenet", "digits:here", "npz:", "model.npz"])
def test_an_unknown_spec_names_those_there_are(spec):
    with pytest.raises(DatasetError, match="fashion-mnist"):
        open_dataset(spec)


def test_npz_is_split_into_disjoint_parts(npz):
    mine = open_dataset(npz(**numbered(50)))
    scored, calibration, whole = mine.scored(), mine.calibration(), mine.whole()
    assert mine.sample_shape == (3,)
    assert (len(calibration), len(scored), len(whole)) == (10, 40, 50)
    assert dict(mine.splits) == {"calibration": 10, "scored": 40}
    assert rows(scored) | rows(calibration) == rows(whole)
    assert torch.equal(whole.y, torch.arange(50) % 4)
    assert torch.equal(scored.y, scored.x[:, 0].long() // 3 % 4)
    assert not rows(mine.scored(30)) & rows(mine.calibration(5, seed=7))


def test_npz_without_labels(npz):
    mine = open_dataset(npz(x=np.zeros((5, 2))))
    assert not mine.has_labels
    assert mine.scored(2).y is None


def test_npz_bytes_stay_in_their_range_and_the_note_says_so(npz):
    mine = open_dataset(npz(x=np.full((5, 2), 255, np.uint8)))
    assert float(mine.scored().x.max()) == 255
    assert "uint8 values are used as they are" in mine.split_note


@pytest.mark.parametrize("labels", [np.arange(4.0), np.array([True, False, True, True]), np.arange(4, dtype=">i2")])
def test_npz_takes_labels_of_any_type_that_are_indices(npz, labels):
    found = open_dataset(npz(x=np.zeros((4, 2)), y=labels)).whole().y
    assert found.tolist() == labels.astype(int).tolist()


@pytest.mark.parametrize("labels", [np.array([0, 1, 0.5, 1]), np.array([0, -1.0, 1, 1]), np.full((4, 2), 0.25)])
def test_npz_takes_numbers_as_targets(npz, labels):
    found = open_dataset(npz(x=np.zeros((4, 2)), y=labels)).whole().y
    assert found.dtype == torch.float32
    assert found.tolist() == labels.tolist()


def test_npz_takes_several_labels_for_each_sample(npz):
    found = open_dataset(npz(x=np.zeros((4, 2)), y=np.eye(4, 3))).whole().y
    assert found.dtype == torch.int64
    assert found.tolist() == np.eye(4, 3).tolist()


def test_opening_an_npz_does_not_load_it(npz, monkeypatch):
    spec = npz(**numbered(8))
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("loaded"))
    assert open_dataset(spec).sample_shape == (3,)


ZEROS = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.zeros(4)}, "no array x"),
        ({"x": np.array([{}, []], dtype=object)}, "object.*expected real numbers"),
        ({"x": ZEROS.astype(complex)}, "complex128.*expected real numbers"),
        ({"x": np.array(["a", "b"])}, "expected real numbers"),
        ({"x": np.zeros((0, 2))}, "shape \\(0, 2\\)"),
        ({"x": np.zeros(4)}, "shape \\(4,\\)"),
        ({"x": np.float32(1)}, "shape \\(\\)"),
        ({"x": ZEROS, "y": np.zeros(5)}, "y has shape \\(5,\\).*\\(4,\\)"),
        ({"x": ZEROS, "y": np.zeros((4, 0))}, "expected class indices"),
        ({"x": ZEROS, "y": np.array(["a"] * 4)}, "expected class indices"),
        ({"x": ZEROS, "y": np.array([None] * 4)}, "expected class indices"),
    ],
)
def test_opening_refuses_arrays_that_cannot_be_samples(npz, arrays, words):
    with pytest.raises(DatasetError, match=words):
        open_dataset(npz(**arrays))


def with_value(value):
    x = np.zeros((4, 2))
    x[2, 1] = x[3, 0] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": with_value(np.nan)}, "2 values.*first at \\(2, 1\\)"),
        ({"x": with_value(-np.inf)}, "2 values.*first at \\(2, 1\\)"),
        ({"x": with_value(1e300)}, "2 values"),
        ({"x": ZEROS, "y": np.array([0.5, 1, np.inf, 1])}, "1 labels.*first inf at 2\nexpected integers"),
        ({"x": ZEROS, "y": np.array([[0, 1], [0, 1], [2, -3], [0, 1]])}, r"first -3 at \(2, 1\)"),
        ({"x": ZEROS, "y": np.array([0, -1, 0, 1])}, "first -1 at 1"),
        ({"x": ZEROS, "y": np.array([0, 1, np.nan, 1])}, "first nan at 2"),
        ({"x": ZEROS, "y": np.array([0, 2**63, 0, 1], np.uint64)}, "first 9223372036854775808 at 1"),
    ],
)
def test_loading_refuses_values_that_cannot_be_samples(npz, arrays, words):
    mine = open_dataset(npz(**arrays))
    for load in (mine.scored, mine.calibration, mine.whole):
        with pytest.raises(DatasetError, match=words):
            load()


def test_a_single_sample_can_be_scored_but_not_calibrated_on(npz):
    mine = open_dataset(npz(x=np.zeros((1, 2))))
    assert len(mine.scored()) == 1
    with pytest.raises(DatasetError, match="single sample"):
        mine.calibration()


def test_a_missing_npz_is_named(tmp_path):
    with pytest.raises(MissingDatasetError, match="no such file"):
        open_dataset(f"npz:{tmp_path / 'none.npz'}")


def test_a_folder_is_no_npz(tmp_path):
    with pytest.raises(MissingDatasetError, match="no such file"):
        open_dataset(f"npz:{tmp_path}")


@pytest.mark.parametrize("damage", ["text", "empty", "half", "plain npy", "flipped bits"])
def test_a_damaged_npz_is_refused(npz, damage):
    path = Path(npz(**numbered(500))[4:])
    content = bytearray(path.read_bytes())
    if damage == "plain npy":
        np.save(path.with_suffix(""), np.zeros(3))
        content = bytearray(path.with_suffix(".npy").read_bytes())
    if damage == "flipped bits":
        content[1000:1100] = bytes(byte ^ 255 for byte in content[1000:1100])
    shorter = {"text": b"x,y\n1,2\n", "empty": b"", "half": bytes(content[: len(content) // 2])}
    path.write_bytes(shorter.get(damage, bytes(content)))
    with pytest.raises(DatasetError, match=r"not a readable \.npz file|cannot be loaded"):
        open_dataset(f"npz:{path}").scored()


def test_a_header_that_lies_about_its_size_is_refused(npz):
    path = Path(npz(**numbered(500))[4:])
    path.write_bytes(path.read_bytes().replace(b"'shape': (500, 3)", b"'shape': (900, 3)"))
    with pytest.raises(DatasetError, match="not a readable"):
        open_dataset(f"npz:{path}")


def test_an_array_beyond_memory_is_refused_by_its_header(npz, monkeypatch):
    monkeypatch.setattr(zoo.npz, "_LARGEST_BYTES", 100)
    with pytest.raises(DatasetError, match="score a part"):
        open_dataset(npz(**numbered(50)))


def test_missing_fashion_mnist_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingDatasetError) as refused:
        open_dataset(f"fashion-mnist:{tmp_path}")
    message = str(refused.value)
    assert "apt-get install dataset-fashion-mnist" in message
    assert "https://github.com/zalandoresearch/fashion-mnist" in message
    assert "train-images-idx3-ubyte" in message


def test_fashion_mnist_is_looked_for_in_all_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANN2SPIKE_DATA", str(tmp_path / "own"))
    monkeypatch.setattr(zoo.mnist, "idx_file", lambda folder, name: None)
    with pytest.raises(MissingDatasetError) as refused:
        open_dataset("fashion-mnist")
    for place in (str(tmp_path / "own"), "/usr/share/datasets", "data", "fashion-mnist/", "FashionMNIST/raw/"):
        assert place in str(refused.value)


@pytest.fixture
def fashion():
    try:
        return open_dataset("fashion-mnist")
    except MissingDatasetError as error:
        pytest.skip(str(error))


def test_fashion_mnist_is_that_of_its_authors(fashion):
    test = fashion.scored()
    assert test.x.shape == (10_000, 1, 28, 28)
    assert float(test.x.max()) == 1
    assert test.y.bincount().tolist() == [1000] * 10
    assert torch.equal(fashion.whole(100).x, fashion.scored(100).x)


@pytest.mark.parametrize("damage", ["content", "header", "truncated gzip", "not gzip"])
def test_damaged_fashion_mnist_is_refused(tmp_path, damage):
    content = bytearray(struct.pack(">4I", 0x0803, 10_000, 28, 28) + bytes(10_000 * 28 * 28))
    if damage == "header":
        content[7] ^= 1
    packed = gzip.compress(bytes(content), compresslevel=1)
    packed = {"truncated gzip": packed[:2000], "not gzip": b"x" * 2000}.get(damage, packed)
    for name in zoo.mnist._FAMILIES["fashion-mnist"].names():
        (tmp_path / f"{name}.gz").write_bytes(packed)
    with pytest.raises(DatasetError, match=r"IDX|sha256"):
        open_dataset(f"fashion-mnist:{tmp_path}").scored()
