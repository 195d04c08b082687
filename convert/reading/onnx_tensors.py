"""Tensors of an ONNX file, decoded only after their declared size has been found in the bytes that are there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from convert.errors import CorruptFileError, UnsafeFileError
from convert.reading.onnx_nodes import printable

__all__ = ["FLOATS", "TensorReader", "element_type"]

FLOATS: tuple[int, ...] = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
"""Element types that are computed in float32 here."""

_ITEM_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2,
    TensorProto.INT64: 8, TensorProto.INT32: 4, TensorProto.BOOL: 1,
}  # fmt: skip
_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data", TensorProto.DOUBLE: "double_data", TensorProto.INT64: "int64_data",
}  # fmt: skip
_RANK = 8


def element_type(number: int) -> str:
    """The name of an element type, such as ``float16``."""
    return TensorProto.DataType.Name(number).lower() if number in TensorProto.DataType.values() else f"type {number}"


def _title(tensor: TensorProto) -> str:
    return printable(tensor.name or "a constant")


@dataclass(frozen=True)
class TensorReader:
    """Decodes the tensors of the model at `path`.

    Parameters
    ----------
    path : Path
        The .onnx file; external data may only lie in its folder.
    """

    path: Path

    def read(self, tensor: TensorProto) -> npt.NDArray[np.generic]:
        """The values; floating-point ones as float32.

        Raises
        ------
        CorruptFileError, UnsafeFileError
        """
        self.check(tensor)
        raw = self.external(tensor) if tensor.data_location == TensorProto.EXTERNAL else None
        if raw is not None:
            inline = TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=raw)
            values = numpy_helper.to_array(inline)
        else:
            values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and that is refused by name
            return values.astype(np.float32) if tensor.data_type in FLOATS else values

    def check(self, tensor: TensorProto) -> None:
        """Refuse a tensor whose declared size is not what the file holds."""
        if tensor.data_type not in _ITEM_BYTES:
            kinds = ", ".join(element_type(kind) for kind in _ITEM_BYTES)
            raise self._damaged(tensor, f"holds {element_type(tensor.data_type)} values; expected {kinds}")
        if len(tensor.dims) > _RANK or any(size < 0 for size in tensor.dims):
            raise self._damaged(tensor, f"declares the shape {list(tensor.dims)[:_RANK]}")
        declared = math.prod(tensor.dims) * _ITEM_BYTES[tensor.data_type]
        if tensor.data_location == TensorProto.EXTERNAL:
            self._slice(tensor)
            return
        present = len(tensor.raw_data)
        if not tensor.HasField("raw_data"):
            field = _FIELDS.get(tensor.data_type, "int32_data")
            present = len(getattr(tensor, field)) * _ITEM_BYTES[tensor.data_type]
        if declared != present:
            raise self._damaged(tensor, f"declares {declared:,} bytes of values and holds {present:,}")

    def external(self, tensor: TensorProto) -> bytes:
        """The raw values of a tensor that lies in another file of the folder."""
        file, offset, length = self._slice(tensor)
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def sha256(self, own: str, tensors: Iterable[TensorProto]) -> str:
        """`own`, the hash of the file; with external data a hash of the file and of those, each value once."""
        outside = [(tensor, self._slice(tensor)) for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]
        if not outside:
            return own
        files = {file for _, (file, _, _) in outside}
        if sum(length for _, (_, _, length) in outside) > sum(file.stat().st_size for file in files):
            raise self._damaged(outside[0][0], "shares its external values with other tensors")
        digest = hashlib.sha256(own.encode())
        for tensor, _ in outside:
            digest.update(self.external(tensor))
        return digest.hexdigest()

    def _slice(self, tensor: TensorProto) -> tuple[Path, int, int]:
        """File, offset and length of external values, each checked."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = self._inside(tensor, entries.get("location", ""))
        needed = math.prod(tensor.dims) * _ITEM_BYTES[tensor.data_type]
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", needed))
        except ValueError:
            raise self._damaged(tensor, "has an offset or length that is not a number") from None
        if length != needed or offset < 0 or offset + length > file.stat().st_size:
            raise self._damaged(
                tensor, f"declares {needed:,} bytes and points at {length:,} from {offset:,} of {file.name}, "
                f"which has {file.stat().st_size:,}",
            )  # fmt: skip
        return file, offset, length

    def _inside(self, tensor: TensorProto, location: str) -> Path:
        """The file that `location` names, which must lie in the model's own folder, links followed."""
        folder = self.path.parent.resolve()
        named = Path(location)
        if not location or "\0" in location or named.is_absolute() or ".." in named.parts or "\\" in location:
            raise self._escapes(tensor, location)
        try:
            file = (folder / named).resolve()
            found = file.is_file()
        except (OSError, RuntimeError):  # a name too long, a loop of links
            file, found = folder, False
        if not file.is_relative_to(folder):
            raise self._escapes(tensor, location)
        if not found:
            raise CorruptFileError(
                f"{self.path}: {_title(tensor)}: its values are in {printable(location)!r}, which is not "
                f"in {folder}; expected the file beside the model: copy both together"
            )
        return file

    def _escapes(self, tensor: TensorProto, location: str) -> UnsafeFileError:
        return UnsafeFileError(
            f"{self.path}: {_title(tensor)}: its values are in {printable(location)!r}; expected a file inside "
            "the model's own folder; refused, nothing was read: export the model again beside its data"
        )

    def _damaged(self, tensor: TensorProto, what: str) -> CorruptFileError:
        return CorruptFileError(
            f"{self.path}: {_title(tensor)} {what}; expected what an ONNX exporter writes: export again"
        )
