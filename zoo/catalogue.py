"""The networks of the zoo by name, and whether the installed weights still are what is said about them.

`weights/NAME.safetensors` holds the weights, `weights/manifest.toml` the sha256 of each file and the accuracy
stated for it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.architectures import ARCHITECTURES, architecture
from zoo.checkpoints import WEIGHTS, ZooNetwork, is_checkpoint, load_checkpoint, save_checkpoint
from zoo.datasets import open_dataset
from zoo.errors import CheckpointError
from zoo.training import accuracy
from zoo.writing import write_atomically

__all__ = [
    "WEIGHTS",
    "Verification",
    "ZooNetwork",
    "is_checkpoint",
    "load",
    "load_checkpoint",
    "manifest",
    "names",
    "save_checkpoint",
    "untrained",
    "verify",
    "write_manifest",
]

_FLIPS = 0.0005  # share of samples whose class may change with the order of float32 sums on another machine


@dataclass(frozen=True)
class Verification:
    """What `verify` found for one network; `faults` is empty when all is well."""

    name: str
    stated: float
    measured: float
    samples: int
    faults: tuple[str, ...]


def names() -> tuple[str, ...]:
    """Names of the networks whose weights come with the zoo.

    Examples
    --------
    >>> names()[0]
    'digits-relu'
    """
    return tuple(name for name in ARCHITECTURES if _weights(name).is_file())


def untrained() -> tuple[str, ...]:
    """Names of those that have a recipe, but no weights yet."""
    return tuple(name for name in ARCHITECTURES if not _weights(name).is_file())


def load(name: str) -> ZooNetwork:
    """The network called `name`, with the weights that come with the zoo.

    Raises
    ------
    UnknownNetworkError
        No such name.
    CheckpointError
        The installed weights are missing or damaged.
    """
    path = _weights(architecture(name).name)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; expected the weights of {name}; make them: python -m zoo train {name} --install"
        )
    return load_checkpoint(path)


def manifest() -> dict[str, dict[str, Any]]:
    """For each name the sha256 of its file, the accuracy stated for it and the number of samples behind it.

    Raises
    ------
    CheckpointError
        `weights/manifest.toml` is missing or damaged.
    """
    path = WEIGHTS / "manifest.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); expected a TOML file; install ann2spike again"
        ) from error


def verify(name: str) -> Verification:
    """Hash the installed weights of `name` and score them on the test split, against what is stated.

    Raises
    ------
    ZooError
        Weights or data set cannot be loaded at all.
    """
    network = load(name)
    stated = manifest().get(name, {})
    samples = open_dataset(network.data).scored()
    measured = accuracy(network.module, samples)
    faults = []
    if network.sha256 != stated.get("sha256"):
        faults.append(f"sha256 of the weights is {network.sha256}; the manifest says {stated.get('sha256')}")
    if len(samples) != network.samples:
        faults.append(f"the test split has {len(samples)} samples; stated for {network.samples}")
    if abs(measured - network.accuracy) * len(samples) > max(1.0, _FLIPS * len(samples)) + 1e-6:
        faults.append(f"accuracy is {measured:.4f}; stated is {network.accuracy:.4f}")
    return Verification(name, network.accuracy, measured, len(samples), tuple(faults))


def write_manifest() -> None:
    """Write `weights/manifest.toml` from the installed weights."""
    lines = ["# Written by python -m zoo train NAME --install; checked by python -m zoo verify --all.\n"]
    for network in map(load, names()):
        lines.append(f'\n[{network.name}]\nsha256 = "{network.sha256}"\n')
        lines.append(f"accuracy = {network.accuracy!r}\nsamples = {network.samples}\n")
    write_atomically(WEIGHTS / "manifest.toml", "".join(lines).encode())


def _weights(name: str) -> Path:
    return WEIGHTS / f"{name}.safetensors"
