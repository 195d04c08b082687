"""The weights file of the zoo.

A checkpoint is a safetensors file: tensors named as in the module, and metadata that names the network, its data, the
accuracy stated for it, the recipe it came from and the training run. Nothing in it can run code, and the same weights
and statements always give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.architectures import Architecture, architecture
from zoo.errors import CheckpointError
from zoo.provenance import Provenance
from zoo.writing import write_atomically

__all__ = ["WEIGHTS", "ZooNetwork", "is_checkpoint", "load_checkpoint", "save_checkpoint"]

WEIGHTS = Path(__file__).parent / "weights"
"""Where the weights are that come with the zoo."""

_FORMAT, _VERSION = "ann2spike-zoo", "1"

_AGAIN = "expected a checkpoint as python -m zoo train NAME writes it; train again or get the file again"


@dataclass(frozen=True)
class ZooNetwork:
    """A trained network and what is stated about it.

    Parameters
    ----------
    name : str
        Name in the zoo.
    module : nn.Sequential
        The network with its weights, in eval mode.
    data : str
        Data set it was trained for, as `zoo.datasets.open_dataset` reads it.
    sample_shape : tuple of int
        Shape of one sample, without the batch.
    accuracy : float
        Stated accuracy on the test split, as a fraction.
    samples : int
        Number of test samples behind `accuracy`.
    sha256 : str
        Hash of the file.
    recipe_sha256 : str
        Hash of the recipe that the weights came from.
    parameters : int
        Number of trained values.
    description : str
        One sentence for people.
    training : Provenance or None
        How the weights came about; None in files from before that was recorded.
    licence : str
        Licence of the weights.
    """

    name: str
    module: nn.Sequential
    data: str
    sample_shape: tuple[int, ...]
    accuracy: float
    samples: int
    sha256: str
    recipe_sha256: str
    parameters: int
    description: str
    training: Provenance | None
    licence: str = "Apache-2.0"


def is_checkpoint(path: Path | str) -> bool:
    """Whether the file at `path` is a checkpoint of the zoo, judged by content; never raises."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == _FORMAT
    except (safetensors.SafetensorError, OSError, ValueError):
        return False


def load_checkpoint(path: Path | str) -> ZooNetwork:
    """The network in the checkpoint at `path`.

    Raises
    ------
    CheckpointError
        Missing, damaged, of another format or version, an unknown network, tensors that do not fit the
        architecture, or values that are not finite.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    net, accuracy, samples, recipe_sha256, training = _statements(path, metadata)
    with torch.device("meta"):  # draws no random numbers
        module = net.build().eval()
    _check_tensors(path, tensors, module.state_dict())
    module.load_state_dict(tensors, assign=True)
    return ZooNetwork(
        name=net.name,
        module=module,
        data=net.data,
        sample_shape=net.sample_shape,
        accuracy=accuracy,
        samples=samples,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        recipe_sha256=recipe_sha256,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        description=net.description,
        training=training,
    )


def save_checkpoint(
    path: Path | str,
    module: nn.Module,
    *,
    network: str,
    accuracy: float,
    samples: int,
    recipe_sha256: str,
    training: Provenance | None = None,
) -> None:
    """Write `module` as the checkpoint of the network called `network`, atomically.

    Raises
    ------
    CheckpointError
        The tensors do not fit the architecture or are not finite, or the file cannot be written.
    """
    net = architecture(network)
    tensors = {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
    with torch.device("meta"):
        _check_tensors(Path(path), tensors, net.build().state_dict())
    metadata = {
        "format": _FORMAT,
        "version": _VERSION,
        "network": network,
        "data": net.data,
        "accuracy": repr(accuracy),
        "samples": str(samples),
        "recipe_sha256": recipe_sha256,
        **({} if training is None else {"training": training.to_json()}),
    }
    write_atomically(path, _with_sorted_header(safetensors.torch.save(tensors, metadata)))


def _with_sorted_header(content: bytes) -> bytes:
    """Put the keys of the JSON header in order; safetensors itself writes metadata in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file; the tensors are copies, not views of the file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file\n{_AGAIN}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})\n{_AGAIN}") from error


def _statements(path: Path, metadata: Mapping[str, str]) -> tuple[Architecture, float, int, str, Provenance | None]:
    """Architecture, accuracy, samples, recipe and training that the metadata states."""
    found = (metadata.get("format"), metadata.get("version"))
    if found != (_FORMAT, _VERSION):
        raise CheckpointError(
            f"{path}: format and version are {found}; this ann2spike reads {(_FORMAT, _VERSION)}\n{_AGAIN}"
        )
    try:
        net = architecture(metadata["network"])
        data, recipe_sha256 = metadata["data"], metadata["recipe_sha256"]
        accuracy, samples = float(metadata["accuracy"]), int(metadata["samples"])
        training = Provenance.from_json(metadata["training"]) if "training" in metadata else None
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: metadata cannot be used: {error}\n{_AGAIN}") from error
    if data != net.data:
        raise CheckpointError(f"{path}: data is {data!r}; expected {net.data!r} for {net.name}\n{_AGAIN}")
    if not 0 <= accuracy <= 1 or samples < 1:
        raise CheckpointError(
            f"{path}: accuracy {accuracy} on {samples} samples; expected 0 to 1 on 1 or more\n{_AGAIN}"
        )
    return net, accuracy, samples, recipe_sha256, training


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Names, shapes and types as in the architecture, every value finite, no negative variance."""
    faults = [f"{name}: missing" for name in expected if name not in tensors]
    faults += [f"{name}: unexpected" for name in tensors if name not in expected]
    for name in tensors.keys() & expected.keys():
        got, want = tensors[name], expected[name]
        if (got.shape, got.dtype) != (want.shape, want.dtype):
            faults.append(f"{name}: {tuple(got.shape)} {got.dtype}, expected {tuple(want.shape)} {want.dtype}")
        elif not got.isfinite().all():
            faults.append(f"{name}: {int((~got.isfinite()).sum())} values are NaN or infinite")
        elif name.endswith("running_var") and (got < 0).any():
            faults.append(f"{name}: negative variance")
    if faults:
        listed = "\n".join(f"  {fault}" for fault in sorted(faults))
        raise CheckpointError(f"{path}: tensors do not fit the network\n{listed}\n{_AGAIN}")
