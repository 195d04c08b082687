"""Image folders, prepared as torchvision prepares them, and streamed."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from zoo.datasets import open_dataset
from zoo.errors import DatasetError, MissingDatasetError
from zoo.preparation import read_preparation
from zoo.specs import parse
from zoo.streaming import stacked

Image = pytest.importorskip("PIL.Image")
ROOT = Path(zoo.__file__).parents[1]


def picture(path, height, width, level=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels if level is None else np.full_like(pixels, level)).save(path)


@pytest.fixture
def animals(tmp_path):
    """Classes cat and dog, told by their grey level."""
    for split, count in (("train", 8), ("val", 5)):
        for name, level in (("dog", 200), ("cat", 40)):
            for i in range(count):
                kind = "png" if i % 2 else "JPEG"
                picture(tmp_path / split / name / f"{i}.{kind}", 12, 12, level + i + (split == "val") * 10)
    return tmp_path


def test_a_folder_with_train_and_val(animals):
    opened = open_dataset(f"folder:{animals}")
    test, fitted = opened.scored(), opened.calibration(6, seed=3)
    assert dict(opened.splits) == {"train": 16, "val": 10}
    assert opened.class_names == ("cat", "dog")
    assert opened.sample_shape == (3, 12, 12) == tuple(test.x.shape[1:])
    assert ((test.x.mean((1, 2, 3)) > 0.5).long() == test.y).all()
    assert ((fitted.x.mean((1, 2, 3)) > 0.5).long() == fitted.y).all()
    assert len(fitted) == 6
    assert opened.calibration(6, seed=3).sha256 == fitted.sha256 != opened.calibration(6, seed=4).sha256


def test_a_plain_folder_is_split(animals):
    opened = open_dataset(f"folder:{animals / 'val'},colours=grey")
    scored, fitted, whole = opened.scored(), opened.calibration(), opened.whole()
    assert (len(scored), len(fitted), len(whole)) == (8, 2, 10)
    assert whole.y.tolist() == [0] * 5 + [1] * 5
    joined = torch.cat([scored.x, fitted.x]).sum((1, 2, 3)).sort().values
    assert torch.equal(joined, whole.x.sum((1, 2, 3)).sort().values)
    first = opened.scored(4)
    assert torch.equal(first.x, opened.scored(6).x[:4])


def test_only_the_samples_that_are_drawn_are_decoded(animals, monkeypatch):
    opened, seen = open_dataset(f"folder:{animals}"), []
    read = zoo.folders.read_image
    monkeypatch.setattr(zoo.folders, "read_image", lambda path, prepared: seen.append(path) or read(path, prepared))
    opened.calibration(3)
    assert len(set(seen)) == 3


def test_resize_crop_and_normalisation_are_those_of_the_preset():
    """The formula of torchvision's presets, written out with Pillow and numpy."""
    pixels = np.random.default_rng(1).integers(0, 256, (50, 71, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    got = read_preparation(parse("folder:x,resize=33,crop=30,norm=imagenet")).sample(image)
    small = np.asarray(image.resize((int(33 * 71 / 50), 33), Image.Resampling.BILINEAR), np.float32) / 255
    top, left = round((33 - 30) / 2), round((46 - 30) / 2)
    middle = small[top : top + 30, left : left + 30].transpose(2, 0, 1)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    np.testing.assert_allclose(got, (middle - mean) / std, rtol=1e-6)
    preset = read_preparation(parse("folder:x,preset=imagenet,crop=200"))
    assert (preset.resize, preset.crop, preset.mean) == (256, 200, (0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("resize=0", "resize: got '0'"),
        ("crop=9999", "from 1 to 4096"),
        ("preset=vgg", "imagenet"),
        ("colours=cmyk", "rgb or grey"),
        ("mean=1/2,std=1", "mean"),
        ("sise=3", "did you mean resize"),
    ],
)
def test_options_that_cannot_be(animals, options, words):
    with pytest.raises(DatasetError, match=words):
        open_dataset(f"folder:{animals},{options}")


def test_a_crop_that_does_not_fit(animals):
    with pytest.raises(DatasetError, match="smaller than crop=20"):
        open_dataset(f"folder:{animals},crop=20")


def test_images_of_several_sizes_need_a_crop(animals):
    picture(animals / "val/dog/large.png", 20, 15)
    with pytest.raises(DatasetError, match=r"large.png: shape .*resize=N,crop=N"):
        open_dataset(f"folder:{animals}").scored()
    assert open_dataset(f"folder:{animals},resize=12,crop=12").scored().x.shape == (11, 3, 12, 12)


def test_folders_that_hold_no_classes(animals, tmp_path):
    with pytest.raises(MissingDatasetError, match="no such folder"):
        open_dataset("folder:nowhere")
    (animals / "val/empty").mkdir()
    with pytest.raises(DatasetError, match="no image in empty"):
        open_dataset(f"folder:{animals / 'val'}")
    picture(animals / "val/empty/1.png", 12, 12)
    with pytest.raises(DatasetError, match="differ in the classes empty"):
        open_dataset(f"folder:{animals}")
    (tmp_path / "bare/inner").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no image in them"):
        open_dataset(f"folder:{tmp_path / 'bare'}")


def test_a_large_stack_is_a_file_that_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo.streaming, "IN_MEMORY_BYTES", 100)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    x = stacked("x", (np.full((2, 3), i, np.float32) for i in range(50)), 50, (2, 3))
    assert x[:, 1, 2].tolist() == list(range(50))
    assert list(tmp_path.iterdir()) == []
    small = stacked("x", iter([np.zeros((2,), np.float32)]), 1, (2,))
    assert small.tolist() == [[0, 0]]


def test_too_little_scratch_space_is_said_beforehand(monkeypatch):
    monkeypatch.setattr(zoo.streaming.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(DatasetError, match="--limit, or set TMPDIR"):
        stacked("x", iter(()), 10**9, (3, 224, 224))


@pytest.mark.parametrize("bad", [np.zeros(3, np.float32), np.full(2, np.nan, np.float32)])
def test_samples_that_do_not_fit_are_named(bad):
    with pytest.raises(DatasetError, match="sample 1: "):
        stacked("x", iter([np.zeros(2, np.float32), bad]), 2, (2,))


BOUND = """
    import resource, sys
    from pathlib import Path
    import zoo, zoo.streaming
    zoo.open_dataset(sys.argv[1]).scored(2)  # everything is imported
    used = next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, ((used << 10) + (48 << 20), resource.RLIM_INFINITY))
    if sys.argv[2] == "memory":
        zoo.streaming.IN_MEMORY_BYTES = 2**40
    else:
        zoo.streaming.IN_MEMORY_BYTES = 8 << 20
    x = zoo.open_dataset(sys.argv[1]).whole().x
    total = sum(float(x[i : i + 8].sum()) for i in range(0, len(x), 8))
    print(x.numel() * 4 >> 20, total > 0)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA bounds private memory on Linux")
@pytest.mark.parametrize(("way", "passes"), [("stream", True), ("memory", False)])
def test_a_folder_larger_than_the_memory_it_may_take(tmp_path, way, passes):
    """144 MiB of samples within 48 MiB; the second case shows that the limit bites."""
    picture(tmp_path / "one/0.png", 224, 224, level=90)
    for i in range(1, 250):
        (tmp_path / f"one/{i}.png").hardlink_to(tmp_path / "one/0.png")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BOUND), f"folder:{tmp_path}", way],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == passes, done.stderr
    assert done.stdout.split() == (["143", "True"] if passes else [])
    assert passes or "Memory" in done.stderr
