"""safetensors, spiking networks and data that try to harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.attacks.builders import Builder, bytes_of, save_network
from tests.attacks.torch_files import Calls, touch


def _safetensors(header: Any, content: bytes = bytes(120), length: int | None = None) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = len(text) if length is None else length
        (folder / "w.safetensors").write_bytes(struct.pack("<Q", size) + text + content)
        return ["w.safetensors", "--activation", "relu"]

    return build


def artefact(folder: Path) -> bytes:
    """An honest snn.safetensors."""
    from convert import convert, trace
    from convert.writing.artefact import to_bytes

    layers = nn.ReflectionPad2d(1), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(8, 3)
    model = nn.Sequential(*layers).eval()
    return to_bytes(convert(trace(model, (1, 6, 6)), torch.rand(10, 1, 6, 6)).snn)


def _artefact(change: Callable[[dict[str, Any]], None]) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        content = artefact(folder)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        description = json.loads(header["__metadata__"]["network"])
        change(description)
        header["__metadata__"]["network"] = json.dumps(description)
        text = json.dumps(header).encode()
        (folder / "snn.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        return ["snn.safetensors"]

    return build


def _attribute(op: str, name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(description: dict[str, Any]) -> None:
        next(node for node in description["nodes"] if node["op"] == op)["attributes"][name] = value

    return change


# Data


def _npz(make: Callable[[Path], bytes]) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        save_network(folder / "model.pt")
        (folder / "data.npz").write_bytes(make(canary))
        return ["model.pt", "--data", "npz:data.npz"]

    return build


def _arrays(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _declared(shape: tuple[int, ...], deflate: bool = False, content: bytes = b"") -> bytes:
    """An archive with an array x whose header declares `shape`."""
    head, stream = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
        archive.writestr("x.npy", head.getvalue() + content)
    return stream.getvalue()


def _idx(folder: Path, canary: Path) -> list[str]:
    torch.save(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1352, 10)), folder / "model.pt")
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{stem}-ubyte.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    return ["model.pt", "--data", "fashion-mnist:."]


def _border(description: dict[str, Any]) -> None:
    """A pool behind it makes the shapes fit again."""
    _attribute("Pad", "mode", "zeros")(description)
    _attribute("Pad", "after", [0, 100_000, 100_000])(description)
    _attribute("MaxPool", "stride", [100_000, 100_000])(description)


OTHERS: dict[str, Builder] = {
    "nothing": bytes_of("model.pt", lambda c: b""),
    "text": bytes_of("model.pt", lambda c: b"import torch\n"),
    "a header of 2^62 bytes": _safetensors(b"{}", length=2**62),
    "a header nested 10^5 deep": _safetensors(b'{"a":' * 10**5),
    "2^40 declared values": _safetensors({"0.weight": {"dtype": "F32", "shape": [2**40, 6], "data_offsets": [0, 120]}}),
    "offsets beyond the end": _safetensors({"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [0, 2**50]}}),
    "weights that are NaN": _safetensors(
        {"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [0, 120]}}, b"\xff" * 120),
    "spikes: a border of 10^5": _artefact(_border),
    "spikes: an input of 2^40": _artefact(_attribute("Input", "shape", [1, 2**20, 2**20])),
    "spikes: an unknown operation": _artefact(lambda d: d["nodes"][1].update(op="__import__")),
    "spikes: a neuron called os.system": _artefact(
        lambda d: next(iter(d["sites"].values())).update(family="os.system")),
    "data: pickled objects": _npz(lambda c: _arrays(x=np.array([Calls(os.system, touch(c))], dtype=object))),
    "data: 2^40 declared samples": _npz(lambda c: _declared((2**40, 8))),
    "data: samples that unpack a thousandfold": _npz(
        lambda c: _declared((2**28, 8), deflate=True, content=bytes(40_000_000))),
    "data: samples that are NaN": _npz(lambda c: _arrays(x=np.full((50, 8), np.nan, np.float32))),
    "data: a gzip bomb": _idx,
}  # fmt: skip
