"""What the makers of hostile files share: archives, honest files to start from, and the form of a builder."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from tests.attacks.torch_files import network

Builder = Callable[[Path, Path], list[str]]
"""(folder, canary) -> arguments of the command line."""


def bytes_of(name: str, content: Callable[[Path], bytes], *options: str) -> Builder:
    """A file of these bytes."""

    def build(folder: Path, canary: Path) -> list[str]:
        (folder / name).write_bytes(content(canary))
        return [name, *options]

    return build


def members_of(path: Path) -> dict[str, bytes]:
    """The members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, members: dict[str, bytes]) -> Path:
    """An archive of these members, stored."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def flipped_member(path: Path, name: str, at: int = 2) -> None:
    """One bit of a stored member, in place: its checksum stays what it was."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith(name))
    head = info.header_offset
    lengths = (int.from_bytes(content[head + i : head + i + 2], "little") for i in (26, 28))
    content[head + 30 + sum(lengths) + at] ^= 1
    path.write_bytes(content)


def exported(path: Path, module: nn.Module | None = None, *example: torch.Tensor) -> Path:
    """A torch.export archive of `module`."""
    program = torch.export.export(module or network(), example or (torch.zeros(1, 8),), strict=False)
    torch.export.save(program, str(path))
    return path


def scripted(path: Path, module: nn.Module | None = None) -> Path:
    """A TorchScript archive of `module`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module or network()).save(str(path))
    return path


def save_network(path: Path) -> None:
    """An honest file."""
    torch.save(network(), path)
