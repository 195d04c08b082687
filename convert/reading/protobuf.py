"""Whether a file is an ONNX model, told from the wire format of its outermost message, without an ONNX library.

The wire format (Protocol Buffers encoding guide, "Message structure"): each field is a varint tag, field number
times 8 plus wire type, and its payload. Only the fields of ``ModelProto`` (onnx.proto) may stand at the top.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

__all__ = ["looks_like_onnx"]

_VARINT, _BYTES = 0, 2
_FIELDS = {1: _VARINT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _VARINT, 6: _BYTES, 7: _BYTES, 8: _BYTES, 14: _BYTES,
           20: _BYTES, 25: _BYTES, 26: _BYTES}  # fmt: skip
"""Field number -> wire type: ir_version, producer (2-4), model_version, doc_string, graph, opset_import, ..."""
_IR_VERSION, _GRAPH = 1, 7
_LATEST_IR = 100
_MOST_FIELDS = 10_000


def looks_like_onnx(path: Path) -> bool:
    """Whether the file at `path` is an ONNX model, complete or cut off behind its version."""
    size = path.stat().st_size
    version_seen = False
    with path.open("rb") as file:
        for _ in range(_MOST_FIELDS):
            tag = _varint(file)
            if tag is None:
                return version_seen and file.tell() == size
            number, wire = tag >> 3, tag & 7
            payload = _varint(file)
            if _FIELDS.get(number) != wire or payload is None:
                return False
            if number == _IR_VERSION:
                if payload > _LATEST_IR:
                    return False
                version_seen = True
            end = file.tell() + (payload if wire == _BYTES else 0)
            if end > size:
                return version_seen
            if number == _GRAPH and payload:
                return True
            file.seek(end)
    return False


def _varint(file: BinaryIO) -> int | None:
    """The next base-128 number, lowest seven bits first; None at the end of the file or beyond 64 bits."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
