"""One of each: files that try to harm whoever reads them as a model or as data, made on the fly.

Each builder writes its file into a folder and returns what to type after `python -m convert`. A payload, where there is
one, makes the canary: a file that exists only if something in the attack was executed.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from tests.attacks import torch_files
from tests.attacks.torch_files import Calls, call, hiding_places, network, payloads, touch

Builder = Callable[[Path, Path], list[str]]
"""(folder, canary) -> arguments of the command line."""


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


# Whole modules


def _module(make: Callable[[], Any]) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        torch.save(make(), folder / "model.pt")
        return ["model.pt"]

    return build


def _payload(kind: str, place: str) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        torch.save(hiding_places(payloads(canary)[kind])[place], folder / "model.pt")
        return ["model.pt"]

    return build


def _bytes(name: str, content: Callable[[Path], bytes], *options: str) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        (folder / name).write_bytes(content(canary))
        return [name, *options]

    return build


def _by_hand(name: str) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        torch_files.assembled(folder / "model.pt", torch_files.PICKLES[name])
        (folder / "model.honest").unlink()
        return ["model.pt"]

    return build


def _hooked() -> nn.Module:
    model = network()
    model[0]._forward_hooks[0] = nn.Tanh()
    return model


def _method() -> nn.Module:
    model = network()
    model[0].__dict__["forward"] = "something"
    return model


def _circle() -> nn.Module:
    model = network()
    model[0]._modules["again"] = model
    return model


def _doubled() -> nn.Module:
    """Sixty containers, each twice in the next: 2^60 layers from a few hundred bytes."""
    layer: nn.Module = nn.Sequential(nn.ReLU())
    for _ in range(60):
        layer = nn.Sequential(layer, layer)
    return nn.Sequential(nn.Linear(8, 8), layer)


def _weightless() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU())
    model[0].in_features = 10**12
    del model[0]._parameters["weight"]
    return model


def _wide() -> nn.Module:
    model = network()
    model[0].in_features = 10**12
    return model


def _expanded() -> nn.Module:
    model = network()
    model[0].weight = nn.Parameter(torch.zeros(1).expand(10**6, 10**6))
    return model


def _recurrent() -> nn.Module:
    model = nn.Sequential(nn.GRU(8, 8), nn.ReLU())
    model[0].num_layers = 10**9
    model[0].hidden_size = 10**9
    model[0].__dict__.pop("_all_weights", None)
    model[0].__dict__.pop("_flat_weights", None)
    return model


def _images(*layers: nn.Module) -> Builder:
    """A convolution on small images, and layers without weights behind it."""

    def build(folder: Path, canary: Path) -> list[str]:
        torch.save(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), *layers).eval(), folder / "model.pt")
        return ["model.pt", "--input-shape", "1,8,8"]

    return build


# Archives of torch


def _repacked(change: Callable[[dict[str, bytes]], None], write: Callable[[Path], Any]) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        path = folder / "model.pt"
        write(path)
        members = members_of(path)
        change(members)
        packed(path, members)
        return ["model.pt"]

    return build


def save_network(path: Path) -> None:
    """An honest file."""
    torch.save(network(), path)


def _appended(name: str, content: bytes, deflate: bool = False, repeat: bool = False) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        path = folder / "model.pt"
        save_network(path)
        with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = archive.namelist()[0] if repeat else name
            archive.writestr(wanted, content, zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED)
        return ["model.pt"]

    return build


def flipped_weight(path: Path) -> None:
    """One bit of a weight, in place: the checksum of its member stays what it was."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if "/data/" in i.filename or "/weights/weight_" in i.filename)
    head = info.header_offset
    start = head + 30 + int.from_bytes(content[head + 26 : head + 28], "little")
    start += int.from_bytes(content[head + 28 : head + 30], "little")
    content[start + 2] ^= 1
    path.write_bytes(content)


def _flipped(write: Callable[[Path], Any], *options: str) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        write(folder / "model.pt")
        flipped_weight(folder / "model.pt")
        return ["model.pt", *options]

    return build


def _cut(write: Callable[[Path], Any], *options: str) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        write(folder / "model.pt")
        content = (folder / "model.pt").read_bytes()
        (folder / "model.pt").write_bytes(content[: 2 * len(content) // 3])
        return ["model.pt", *options]

    return build


# torch.export


def in_program(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    """A change of the graph in a torch.export archive."""

    def apply(members: dict[str, bytes]) -> None:
        name = next(n for n in members if n.endswith("models/model.json"))
        program = json.loads(members[name])
        change(program["graph_module"])
        members[name] = json.dumps(program).encode()

    return apply


def _pt2_pickle(folder: Path, canary: Path) -> list[str]:
    members = members_of(exported(folder / "model.pt2"))
    payload = pickle.dumps(Calls(os.system, touch(canary)))
    for name, content in list(members.items()):
        if name.endswith("weights_config.json"):
            config = json.loads(content)
            for entry in config["config"].values():
                entry["use_pickle"] = True
            members[name] = json.dumps(config).encode()
        elif "/weights/weight_" in name:
            members[name] = payload
    packed(folder / "model.pt2", members)
    return ["model.pt2"]


def _pt2_samples(folder: Path, canary: Path) -> list[str]:
    """Example inputs, which torch.export.load unpickles; here they are not opened, and the graph asks for os.system."""
    members = members_of(exported(folder / "model.pt2"))
    for name in members:
        if "sample_inputs" in name:
            members[name] = pickle.dumps(Calls(os.system, touch(canary)))
    in_program(lambda m: m["graph"]["nodes"][0].update(target="os.system"))(members)
    packed(folder / "model.pt2", members)
    return ["model.pt2"]


def _sizes(name: str, size: int) -> Callable[[dict[str, bytes]], None]:
    def change(module: dict[str, Any]) -> None:
        for entry in module["graph"]["tensor_values"][name]["sizes"]:
            entry["as_int"] = size

    return in_program(change)


def _target(name: str) -> Callable[[dict[str, bytes]], None]:
    return in_program(lambda module: module["graph"]["nodes"][0].update(target=name))


def _pt2_wide(folder: Path, canary: Path) -> list[str]:
    """Values of 240 MiB each, twenty of them alive at once."""

    class Wide(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            layers = [torch.relu(nn.functional.pad(x, (0, 60_000_000 + i))) for i in range(20)]
            return torch.cat([layer[:, :8] if False else nn.functional.pad(layer, (0, 0)) for layer in layers], 1)

    with torch._subclasses.FakeTensorMode():
        program = torch.export.export(Wide(), (torch.zeros(1, 8),), strict=False)
    program._example_inputs = None
    torch.export.save(program, str(folder / "model.pt2"))
    return ["model.pt2"]


# safetensors and our own artefact


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

    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)).eval()
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


MODULES: dict[str, Builder] = {
    **{f"{kind} {place}": _payload(kind, place) for kind, place in (
        ("os.system", "alone"), ("os.system", "attribute"), ("eval", "layer"), ("exec", "weight"), ("touch", "option"),
        ("pickle in a pickle", "hook"), ("getattr", "deep inside"), ("os.system", "attribute of a weight"))},
    "a layer as a hook": _module(_hooked),
    "an attribute as a method": _module(_method),
    "a network inside itself": _module(_circle),
    "a layer 2^60 times": _module(_doubled),
    "no weights and 10^12 inputs": _module(_weightless),
    "10^12 inputs": _module(_wide),
    "10^12 values from one": _module(_expanded),
    "a GRU of 10^9 layers": _module(_recurrent),
    "AdaptiveAvgPool2d(20000)": _images(nn.AdaptiveAvgPool2d(20_000)),
    "Upsample by 10^5": _images(nn.Upsample(scale_factor=100_000)),
    "ZeroPad2d by 10^5": _images(nn.ZeroPad2d(100_000)),
    "ConstantPad2d by 10^5": _images(nn.ConstantPad2d(100_000, 1.0)),
    "ReflectionPad over and over": _images(*[nn.ReplicationPad2d(2_000) for _ in range(20)]),
    "MaxUnpool, PixelShuffle, Fold": _images(nn.Upsample(size=(60_000, 60_000)), nn.PixelShuffle(2)),
    "a convolution of 10^15 products": _images(nn.ZeroPad2d(4_000), nn.Conv2d(4, 4, 301)),
    "os.system, before torch 1.6": _bytes("model.pt", lambda c: torch_files.legacy(payloads(c)["os.system"])),
    "os.system, a bare pickle": _bytes("model.pt", lambda c: pickle.dumps(payloads(c)["os.system"])),
    "os.system, protocol 0": _bytes("model.pt", lambda c: pickle.dumps(payloads(c)["os.system"], protocol=0)),
    "eval in joblib's compression": _bytes("m.joblib", lambda c: gzip.compress(pickle.dumps(payloads(c)["eval"]))),
    "torch.load in a pickle": _bytes("model.pt", lambda c: call("torch", "load", torch_files.text("x") + b"\x85")),
    **{f"by hand: {name}": _by_hand(name) for name in ("layer called with huge sizes", "huge bytearray", "torch.hub",
                                                       "huge tensor", "text without end", "unknown opcode")},
}  # fmt: skip

ARCHIVES: dict[str, Builder] = {
    "a member that leads out": _appended("../evil", b"x"),
    "an absolute member": _appended("/tmp/evil", b"x"),
    "a member that explodes": _appended("model/data/bomb", bytes(2**24), deflate=True),
    "two members of one name": _appended("", b"another", repeat=True),
    "a flipped weight": _flipped(save_network),
    "a flipped weight in an export": _flipped(exported),
    "a flipped weight in a script": _flipped(scripted, "--trust"),
    "a cut archive": _cut(save_network),
    "a cut export": _cut(exported),
    "a cut script": _cut(scripted, "--trust"),
    "a script": lambda folder, canary: [scripted(folder / "model.pt").name],
    "a script that grows": lambda folder, canary: [
        scripted(folder / "m.pt", nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Upsample(scale_factor=5e4))).name,
        "--trust", "--input-shape", "1,8,8"],
    "a pickle among exported weights": _pt2_pickle,
    "a pickle among example inputs": _pt2_samples,
    "an export with 2^40 inputs": _repacked(_sizes("x", 2**40), exported),
    "an export with a huge weight": _repacked(_sizes("p_0_weight", 2**40), exported),
    "an export that calls torch.load": _repacked(_target("torch.load"), exported),
    "an export that reads a file": _repacked(_target("torch.ops.aten.from_file.default"), exported),
    "an export nested 10^5 deep": _repacked(
        lambda m: m.update({n: b"[" * 10**5 for n in m if n.endswith("model.json")}), exported),
    "an export of 5 GB at once": _pt2_wide,
}  # fmt: skip

OTHERS: dict[str, Builder] = {
    "nothing": _bytes("model.pt", lambda c: b""),
    "text": _bytes("model.pt", lambda c: b"import torch\n"),
    "a header of 2^62 bytes": _safetensors(b"{}", length=2**62),
    "a header nested 10^5 deep": _safetensors(b'{"a":' * 10**5),
    "2^40 declared values": _safetensors({"0.weight": {"dtype": "F32", "shape": [2**40, 6], "data_offsets": [0, 120]}}),
    "offsets beyond the end": _safetensors({"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [0, 2**50]}}),
    "weights that are NaN": _safetensors(
        {"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [0, 120]}}, b"\xff" * 120),
    "spikes: a pool of 20000 x 20000": _artefact(_attribute("AdaptiveAvgPool", "size", [20_000, 20_000])),
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
"""Name -> builder."""


def write_named(name: str, content: bytes) -> Builder:
    """A file of these bytes."""
    return _bytes(name, lambda canary: content)


def with_input(arguments: dict[str, Builder]) -> dict[str, Builder]:
    """The same, as it is; kept for symmetry with the builders of other formats."""
    return arguments


def gallery() -> dict[str, Builder]:
    """All of them, with those of formats whose library is installed."""
    found = {**MODULES, **ARCHIVES, **OTHERS}
    return found
