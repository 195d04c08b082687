"""Archives of torch that try to harm: saved modules, torch.export and TorchScript."""

from __future__ import annotations

import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.attacks.builders import Builder, exported, flipped_member, members_of, packed, save_network, scripted
from tests.attacks.torch_files import Calls, touch


def _repacked(change: Callable[[dict[str, bytes]], None], write: Callable[[Path], Any]) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        path = folder / "model.pt"
        write(path)
        members = members_of(path)
        change(members)
        packed(path, members)
        return ["model.pt"]

    return build


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


def _flipped(write: Callable[[Path], Any], *options: str) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        write(folder / "model.pt")
        flipped_member(folder / "model.pt", "data/weights/weight_0" if write is exported else "data/0")
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
        name = next(n for n in members if "/models/" in n and n.endswith(".json"))
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
    "an export with 2^40 inputs": _repacked(_sizes("input", 2**40), exported),
    "an export with a huge weight": _repacked(_sizes("p_0_weight", 2**40), exported),
    "an export that calls torch.load": _repacked(_target("torch.load"), exported),
    "an export that reads a file": _repacked(_target("torch.ops.aten.from_file.default"), exported),
    "an export nested 10^5 deep": _repacked(
        lambda m: m.update({n: b"[" * 10**5 for n in m if n.endswith("model.json")}), exported),
    "an export of 5 GB at once": _pt2_wide,
}  # fmt: skip
