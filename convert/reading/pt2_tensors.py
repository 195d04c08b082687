"""The weights of a torch.export archive: raw bytes under a declared shape, checked before anything is made.

From torch 2.9 on each tensor is a member of raw bytes, described in a JSON table. Before that the weights were one
member written by `torch.save`, which torch's restricted unpickler reads here.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from convert.errors import CorruptFileError, UnsafeFileError
from convert.reading.archive import refuse_hostile_archive
from convert.reading.growth import refuse_growing_pickle

__all__ = ["DTYPES", "saved_tensors", "tables"]

DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""Numbers of torch._export.serde.schema.ScalarType."""

_AGAIN = "capture it again with torch.export.save"


def tables(content: Mapping[str, bytes], model: str, origin: str) -> dict[str, Tensor]:
    """Weights and constants of the program called `model`, by the names that its signature uses.

    Raises
    ------
    CorruptFileError, UnsafeFileError
    """
    found: dict[str, Tensor] = {}
    for folder, kind in (("data/weights", "weights"), ("data/constants", "constants")):
        config = content.get(f"{folder}/{model}_{kind}_config.json")
        if config is not None:
            for name, entry in json.loads(config)["config"].items():
                if entry["tensor_meta"] is not None:  # None: an object, which no operation that we read can use
                    found[name] = _payload(content, f"{folder}/{entry['path_name']}", entry, f"{origin}: {name}")
        elif (saved := content.get(f"{folder}/{model}.pt")) is not None:
            found |= saved_tensors(saved, f"{origin}: {folder}/{model}.pt")
    return found


def saved_tensors(member: bytes, place: str) -> dict[str, Tensor]:
    """A member that `torch.save` wrote: a table of tensors, read without executing anything.

    Raises
    ------
    CorruptFileError, UnsafeFileError
    """
    content = _unpickled(member, place)
    if not isinstance(content, dict):
        raise CorruptFileError(f"{place}: holds a {type(content).__name__}; expected a table of tensors: {_AGAIN}")
    return {name: _plain(value, len(member), f"{place}: {name}") for name, value in content.items()
            if isinstance(value, Tensor)}  # fmt: skip


def _unpickled(member: bytes, place: str) -> Any:
    if not member.startswith(b"PK"):
        raise UnsafeFileError(f"{place}: a bare pickle, which would run code; expected tensors: {_AGAIN}")
    refuse_hostile_archive(member, place)
    refuse_growing_pickle(member, place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(member), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle program fails in as many ways as it has instructions
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UnsafeFileError(
            f"{place}: cannot be read without executing it ({reason}); nothing was executed; expected tensors: {_AGAIN}"
        ) from error


def _payload(content: Mapping[str, bytes], member: str, entry: Mapping[str, Any], place: str) -> Tensor:
    if member not in content:
        raise CorruptFileError(f"{place}: its member {member} is not in the archive; {_AGAIN}")
    data, meta = content[member], entry["tensor_meta"]
    sizes = tuple(_whole(size, place) for size in meta["sizes"])
    if entry.get("use_pickle"):
        value = _unpickled(data, place)
        if not isinstance(value, Tensor) or tuple(value.shape) != sizes:
            raise CorruptFileError(f"{place}: its member is not a tensor of the declared shape {sizes}; {_AGAIN}")
        return _plain(value, len(data), place)
    strides = tuple(_whole(stride, place) for stride in meta["strides"])
    return _view(data, meta["dtype"], sizes, strides, _whole(meta["storage_offset"], place), place)


def _view(data: bytes, code: Any, sizes: tuple[int, ...], strides: tuple[int, ...], offset: int, place: str) -> Tensor:
    """The tensor of these sizes in `data`, copied out of it."""
    dtype = DTYPES.get(code) if isinstance(code, int) else None
    if dtype is None:
        raise CorruptFileError(f"{place}: of scalar type {code}; expected a float, integer or bool tensor: {_AGAIN}")
    count = math.prod(sizes)
    last = offset + sum((n - 1) * stride for n, stride in zip(sizes, strides, strict=True)) + 1 if count else 0
    if max(count, last) * dtype.itemsize > len(data):
        raise CorruptFileError(
            f"{place}: of shape {sizes} needs {max(count, last) * dtype.itemsize:,} bytes, but its member has "
            f"{len(data):,}; {_AGAIN}"
        )
    if count == 0:
        return torch.empty(sizes, dtype=dtype)
    flat = torch.frombuffer(bytearray(data[: last * dtype.itemsize]), dtype=dtype)
    return flat.as_strided(sizes, strides, offset).clone(memory_format=torch.contiguous_format)


def _plain(value: Tensor, limit: int, place: str) -> Tensor:
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu" or value.numel() > limit:
        raise CorruptFileError(f"{place}: not a dense tensor that its member can hold; {_AGAIN}")
    return value.detach()


def _whole(value: Any, place: str) -> int:
    number = value.get("as_int") if isinstance(value, dict) else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise CorruptFileError(f"{place}: got {str(value)[:80]} in its shape; expected whole numbers: {_AGAIN}")
    return number
