"""The documented command for ImageNet: a state_dict, `--arch`, one folder for each class; here of generated images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluate.benchmarks.architectures import resnet18
from evaluate.records import Run, read_run
from tests.commands import python

Image = pytest.importorskip("PIL.Image")

# The layout of torchvision's residual networks, narrow: stem, max pool, a block that keeps the size, one that halves it
NARROW = """
from torch import nn

class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        same = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += same
        return self.relu(out)

def narrow():
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
        Block(8, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(16, 1000),
    )
"""


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Photographs of noise, larger than 224 x 224 and not square, in train/ and val/, two classes."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for name in ("n01440764", "n01443537"):
            folder = tmp_path / "imagenet" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (9, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((320, 240)).save(folder / f"{name}_{i}.JPEG")
    return tmp_path / "imagenet"


def converted(model: Path, arch: str, folder: Path) -> Run:
    out = model.with_suffix(".snn")
    done = python("convert", model, "--arch", arch, "--data", f"folder:{folder},preset=imagenet", "--limit", 3,
                  "--calibration-samples", 6, "--steps", "2,4", "--out", out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_run(out)


def test_a_residual_network_on_a_folder_of_images(imagenet: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NARROW)
    space: dict[str, object] = {}
    exec(NARROW, space)
    torch.manual_seed(0)
    torch.save(space["narrow"]().state_dict(), tmp_path / "n.pt")  # type: ignore[operator]
    run = converted(tmp_path / "n.pt", f"{tmp_path / 'net.py'}:narrow", imagenet)
    assert run.case["data"]["samples"] == 3 and run.case["data"]["sample_shape"] == [3, 224, 224]
    assert run.case["calibration"]["samples"] == 6 and run.metric("snn.accuracy").samples == 3
    assert (
        run.environment["populations_by_engine"]["dense"] == 0 or not run.environment["populations_by_engine"]["events"]
    )


@pytest.mark.slow
def test_resnet_18(imagenet: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), tmp_path / "r.pt")
    run = converted(tmp_path / "r.pt", "evaluate.benchmarks.architectures:resnet18", imagenet)
    assert run.case["model"]["parameters"] == 11_689_512 and run.metric("agreement").value is not None
