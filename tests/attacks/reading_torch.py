"""Reading a file of torch.save the whole way, and the form of a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from convert.errors import ConvertError
from convert.reading.sources import identify
from convert.reading.torch_file import load_module
from convert.reading.tracing import trace


def read(path: Path) -> nn.Module:
    """The whole way of a model file."""
    module = load_module(identify(path))
    trace(module, (8,), str(path))
    return module


def refused(path: Path, error: type[ConvertError] = ConvertError) -> str:
    """The message with which `path` is refused: named, short, about this file, and without Python's own words."""
    with pytest.raises(error) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) <= 6
    assert max(map(len, message.splitlines())) <= 700
    for foreign in ("Traceback", "weights_only", "torch.serialization", "_Record", "object at 0x"):
        assert foreign not in message
    return message


def saved(tmp_path: Path, value: object, name: str = "model.pt") -> Path:
    path = tmp_path / name
    torch.save(value, path)
    return path
