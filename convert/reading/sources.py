"""identify(): what a file is, told from its content and never from its name."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from convert.errors import CorruptFileError, MissingFileError, UnknownFormatError
from convert.reading.pickles import is_estimator_pickle
from convert.reading.protobuf import looks_like_onnx

__all__ = ["Source", "identify", "safetensors_metadata"]


@dataclass(frozen=True)
class Source:
    """A file, inert: nothing in it has been executed or interpreted.

    Parameters
    ----------
    kind : str
        torch-pickle, pt2, torchscript, safetensors, zoo-checkpoint, snn, onnx, skops or estimator-pickle.
    path : Path
    sha256 : str
    """

    kind: str
    path: Path
    sha256: str


def identify(path: Path) -> Source:
    """What the file at `path` is.

    Raises
    ------
    MissingFileError, CorruptFileError, UnknownFormatError
    """
    if not path.exists():
        raise MissingFileError(
            f"{path}: no such file; expected a model saved by torch.save(model, 'model.pt'), "
            "or a name from the zoo such as zoo:digits-relu (python -m zoo list)"
        )
    if not path.is_file():
        raise MissingFileError(f"{path}: not a file; expected a model file, such as {path / 'model.pt'}")
    try:
        with path.open("rb") as file:
            head = file.read(64)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return Source(_kind(path, head), path, digest)


def _kind(path: Path, head: bytes) -> str:
    if not head:
        raise CorruptFileError(f"{path}: the file is empty; save the model again")
    if head.startswith(b"PK"):
        return _zip_kind(path)
    # A header of 1,408 bytes begins as a pickle of protocol 5 does, but no pickle goes on with zeros.
    safetensors = head[8:9] == b"{" and (head[4:8] == bytes(4) or head[:1] != b"\x80")
    if not safetensors and is_estimator_pickle(path):
        return "estimator-pickle"
    if not safetensors and head[:1] == b"\x80":
        return "torch-pickle"
    if safetensors:
        declared = safetensors_metadata(path).get("format", "")
        return {"ann2spike-zoo": "zoo-checkpoint", "ann2spike-snn": "snn"}.get(declared, "safetensors")
    if looks_like_onnx(path):
        return "onnx"
    raise UnknownFormatError(
        f"{path}: not a model file (it starts with {head[:12]!r}); expected a .pt file written by "
        "torch.save(model, path), where model is an nn.Module made of torch.nn classes"
    )


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise CorruptFileError(
            f"{path}: truncated or damaged ({error}); a .pt file is a complete zip archive: copy or save it again"
        ) from error
    leaves = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in leaves and any(name.startswith("code/") or "/code/" in name for name in names):
        return "torchscript"
    if leaves & {"archive_format", "serialized_exported_program.json"}:
        return "pt2"
    if "data.pkl" in leaves:
        return "torch-pickle"
    if "schema.json" in names:
        return "skops"
    raise UnknownFormatError(
        f"{path}: a zip archive without a model (members: {', '.join(sorted(leaves)[:5]) or 'none'}); "
        "expected a .pt file written by torch.save(model, path)"
    )


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The text metadata of a safetensors file, read without touching its tensors.

    Raises
    ------
    CorruptFileError
        The header is not what its length field declares.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = file.read(length) if length <= min(size - 8, 100_000_000) else b""
    try:
        metadata = json.loads(header).get("__metadata__", {})
    except (ValueError, AttributeError, RecursionError) as error:
        raise CorruptFileError(
            f"{path}: the header of this safetensors file is damaged; copy or save it again"
        ) from error
    return {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {}
