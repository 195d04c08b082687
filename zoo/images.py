"""PNG and JPEG files as samples; nothing in such a file is trusted."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DatasetError
from zoo.preparation import Preparation

__all__ = ["SUFFIXES", "Pixels", "need_pillow", "read_image"]

Pixels = np.ndarray[Any, np.dtype[np.float32]]
"""A sample: float32 of shape (channels, height, width)."""

SUFFIXES = (".png", ".jpg", ".jpeg")
"""What image files are called, in any case."""

_LARGEST_PIXELS = 64 * 2**20  # a photograph of today's largest cameras; a PNG of 100 kB can claim 100 times as many
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error, zlib.error)


def need_pillow() -> None:
    """Refuse to go on without Pillow.

    Raises
    ------
    DatasetError
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            "image files: Pillow is not installed; get it with: pip install 'ann2spike[images]'"
        ) from error


def read_image(path: Path, prepared: Preparation) -> Pixels:
    """The image at `path`, prepared: float32 of shape (channels, height, width).

    Raises
    ------
    DatasetError
        Not a readable PNG or JPEG, more pixels than any photograph, or too small for the crop.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's of many pixels; ours is an error
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if image.width * image.height > _LARGEST_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels, beyond {_LARGEST_PIXELS >> 20} million")
                return prepared.sample(image)
    except (*_UNREADABLE, Image.DecompressionBombError, MemoryError) as error:
        raise DatasetError(
            f"{path}: not usable as an image ({error}); expected a PNG or JPEG file: mend or remove it"
        ) from error
