"""How an image becomes a sample: colours, resize, centre crop, numbers in [0, 1], normalisation per channel.

The steps and their rounding are those of torchvision's classification presets: the shorter side is resized to `resize`
(bilinear with antialiasing), the centre of `crop` x `crop` is taken, bytes are divided by 255, then
(x - mean) / std for each channel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, tensor

from zoo.errors import DatasetError
from zoo.specs import Spec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["IMAGE_OPTIONS", "NORM_OPTIONS", "Preparation", "read_preparation"]

NORM_OPTIONS = ("norm", "mean", "std")
"""Options of data sets whose images have their size already."""

IMAGE_OPTIONS = (*NORM_OPTIONS, "preset", "resize", "crop", "colours")
"""Options of data sets made of image files."""

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # torchvision, transforms/_presets.py
_NORMS = {"imagenet": _IMAGENET, "half": ((0.5,), (0.5,))}
_PRESETS: Mapping[str, Mapping[str, str]] = {
    "imagenet": {"resize": "256", "crop": "224", "norm": "imagenet", "colours": "rgb"}
}
_MODES = {"rgb": "RGB", "grey": "L"}
_LARGEST_SIDE = 4096

_Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Preparation:
    """What is done to every image, in the order of the fields.

    Parameters
    ----------
    colours : str
        ``rgb`` or ``grey``.
    resize : int or None
        Length of the shorter side in pixels.
    crop : int or None
        Side of the centre square in pixels.
    mean, std : tuple of float
        For each channel, or one for all; empty: bytes divided by 255 and no more.
    """

    colours: str = "rgb"
    resize: int | None = None
    crop: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def words(self) -> str:
        """All of it in words, for a note."""
        said = [self.colours, *([f"shorter side {self.resize}"] if self.resize else []),
                *([f"centre {self.crop} x {self.crop}"] if self.crop else []), "pixels divided by 255"]  # fmt: skip
        return ", ".join(said) + self.norm_words

    @property
    def norm_words(self) -> str:
        """The normalisation in words."""
        return f", then (x - {_listed(self.mean)}) / {_listed(self.std)}" if self.mean else ""

    def sample(self, image: Image) -> _Array:
        """`image` as float32 of shape (channels, height, width).

        Raises
        ------
        ValueError
            The crop does not fit into the image.
        """
        from PIL.Image import Resampling

        image = image.convert(_MODES[self.colours])
        if self.resize:
            image = image.resize(_scaled(image.size, self.resize), Resampling.BILINEAR)
        if self.crop:
            image = image.crop(_centre(image.size, self.crop))
        pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
        channels_first = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(self._normalised(channels_first))

    def _normalised(self, pixels: _Array) -> _Array:
        if not self.mean:
            return pixels
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std

    def apply(self, x: Tensor) -> Tensor:
        """Normalise `x` of shape (n, channels, height, width), numbers in [0, 1], in place."""
        if self.mean:
            x.sub_(tensor(self.mean)[:, None, None]).div_(tensor(self.std)[:, None, None])
        return x


def read_preparation(spec: Spec, channels: int | None = None) -> Preparation:
    """The preparation that the options of `spec` name.

    Parameters
    ----------
    channels : int or None
        Of images that have their size and colours already, which then cannot be resized.

    Raises
    ------
    DatasetError
    """
    options = dict(spec.options)
    preset = options.pop("preset", None)
    if preset is not None:
        if preset not in _PRESETS:
            raise _refused(spec, "preset", preset, " or ".join(_PRESETS))
        options = {**_PRESETS[preset], **options}
    colours = options.get("colours", "rgb")
    if colours not in _MODES:
        raise _refused(spec, "colours", colours, " or ".join(_MODES))
    mean, std = _norm(spec, options)
    count = channels or {"rgb": 3, "grey": 1}[colours]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (0, 1, count):
            raise _refused(spec, name, _listed(values), f"one number, or {count} separated by /, one for each channel")
    plain = Preparation(colours, _pixels(spec, options, "resize"), _pixels(spec, options, "crop"))
    return replace(plain, mean=mean, std=std)


def _norm(spec: Spec, options: Mapping[str, str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    norm = options.get("norm")
    if norm is not None and norm not in _NORMS:
        raise _refused(spec, "norm", norm, f"{' or '.join(_NORMS)}; for others mean= and std=")
    mean, std = _NORMS.get(norm or "", ((), ()))
    mean = _numbers(spec, "mean", options["mean"]) if "mean" in options else mean
    std = _numbers(spec, "std", options["std"]) if "std" in options else std
    if any(value <= 0 for value in std):
        raise _refused(spec, "std", _listed(std), "positive numbers")
    return (mean or (0.0,), std or (1.0,)) if mean or std else ((), ())


def _numbers(spec: Spec, name: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split("/"))
    except ValueError:
        values = (math.nan,)
    if not all(math.isfinite(value) for value in values):
        raise _refused(spec, name, text, "numbers separated by /, such as 0.5/0.5/0.5")
    return values


def _pixels(spec: Spec, options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= _LARGEST_SIDE:
        raise _refused(spec, name, text, f"a number of pixels from 1 to {_LARGEST_SIDE}")
    return int(text)


def _scaled(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Width and height with the shorter side at `shorter`; the other is rounded down, as torchvision does."""
    width, height = size
    if width <= height:
        return shorter, max(1, int(shorter * height / width))
    return max(1, int(shorter * width / height)), shorter


def _centre(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    if min(size) < side:
        raise ValueError(
            f"{size[0]} x {size[1]} pixels, smaller than crop={side}; expected resize={side} or more first"
        )
    left, top = (round((length - side) / 2.0) for length in size)
    return left, top, left + side, top + side


def _listed(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _refused(spec: Spec, name: str, got: str, expected: str) -> DatasetError:
    return DatasetError(f"data set {spec.text!r}: {name}: got {got!r}; expected {expected}")
