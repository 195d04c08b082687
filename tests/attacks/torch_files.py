"""Files that try to harm whoever reads them as a model, written on the fly; nothing harmful is kept in the tree.

A payload makes a sentinel: a file that exists only if something in the attack was executed.
"""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def network() -> nn.Sequential:
    """A small honest network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def touch(sentinel: Path) -> str:
    """A shell command that makes the sentinel."""
    return f"touch {sentinel}"


def code(sentinel: Path) -> str:
    """A Python expression that makes the sentinel."""
    return f"open({str(sentinel)!r}, 'w').close()"


def payloads(sentinel: Path) -> dict[str, Any]:
    """Objects that make the sentinel when they are unpickled by an ordinary unpickler."""
    return {
        "os.system": Calls(os.system, touch(sentinel)),
        "eval": Calls(builtins.eval, code(sentinel)),
        "exec": Calls(builtins.exec, code(sentinel)),
        "touch": Calls(Path.touch, sentinel),
        "pickle in a pickle": Calls(pickle.loads, pickle.dumps(Calls(os.system, touch(sentinel)))),
        "getattr": Calls(builtins.eval, f"getattr(__import__('os'), 'system')({touch(sentinel)!r})"),
    }


def hiding_places(payload: Any) -> dict[str, Any]:
    """Models and other objects with `payload` somewhere inside."""
    places: dict[str, Any] = {
        "alone": payload,
        "list": [network(), payload],
        "dict": {"model": network(), "x": payload},
    }

    def place(name: str, module: nn.Module) -> None:
        places[name] = module

    model = network()
    model[0].extra = payload
    place("attribute", model)
    model = network()
    model._modules["3"] = payload
    place("layer", model)
    model = network()
    model[0].__dict__["_parameters"]["weight"] = payload
    place("weight", model)
    model = network()
    model[0].__dict__["_buffers"]["more"] = payload
    place("buffer", model)
    model = network()
    model[1].inplace = payload
    place("option", model)
    model = network()
    model[0]._forward_hooks[0] = payload
    place("hook", model)
    model = network()
    model[0].weight.note = payload
    place("attribute of a weight", model)
    model = network()
    model.__dict__["_modules"] = OrderedDict([*model._modules.items()])
    model.__dict__[payload if isinstance(payload, str) else "classes"] = ({"deep": [payload]},)
    place("deep inside", model)
    return places


def rewritten(source: Path, target: Path, pickled: Callable[[bytes], bytes], compressed: str = "") -> None:
    """The archive `source` with another pickle inside, and with the member that ends in `compressed` deflated."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            content = old.read(info.filename)
            content = pickled(content) if info.filename.endswith("data.pkl") else content
            deflate = bool(compressed) and info.filename.endswith(compressed)
            new.writestr(info.filename, content, zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED)


def assembled(target: Path, pickled: bytes) -> None:
    """An archive around a hand-written pickle, in the form of torch.save."""
    torch.save(network(), target.with_suffix(".honest"))
    rewritten(target.with_suffix(".honest"), target, lambda _: pickled)


def text(value: str) -> bytes:
    """A string, pickled."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def call(module: str, name: str, arguments: bytes) -> bytes:
    """A pickle that calls `module.name` with the pickled tuple `arguments`."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + arguments + b"R."


def doubled(times: int) -> bytes:
    """A pickle that encodes a string as hex, and the result again, `times` times."""
    inner = b"c_codecs\nencode\n" + text("harmless") + text("utf-8") + b"\x86R"
    for _ in range(times):
        inner = b"c_codecs\nencode\n" + inner + text("hex") + b"\x86R"
    return b"\x80\x02" + inner + b"."


LINEAR = ("torch.nn.modules.linear", "Linear")
MILLION = b"J" + struct.pack("<i", 10**6)

PICKLES: dict[str, bytes] = {
    "layer called with huge sizes": call(*LINEAR, MILLION + MILLION + b"\x86"),
    "layer made with arguments": b"\x80\x02ctorch.nn.modules.linear\nLinear\n" + MILLION + MILLION + b"\x86\x81.",
    "layer called without arguments": call(*LINEAR, b")"),
    "layer without state": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.",
    "layer with a number as state": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81K\x01b.",
    "layer with an empty state": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.",
    "layer that is a class": b"\x80\x02ctorch.nn.modules.linear\nLinear\n.",
    "function of torch": call("torch", "ones", MILLION + MILLION + b"\x86"),
    "initialiser of torch.nn": call("torch.nn.init", "zeros_", b"]\x85"),
    "torch.load": call("torch", "load", text("/etc/passwd") + b"\x85"),
    "torch.hub": call("torch.hub", "load", text("somebody/something") + text("model") + b"\x86"),
    "huge bytearray": call("builtins", "bytearray", b"\x8a\x08" + struct.pack("<q", 2**60) + b"\x85"),
    "huge tensor": call("torch", "Tensor", MILLION + MILLION + b"\x86"),
    "unknown opcode": b"\x80\x02\xff.",
    "no opcodes": b"",
    "stop at once": b".",
    "pop from an empty stack": b"\x80\x020.",
    "memo that was never written": b"\x80\x02h\x05.",
    "another protocol": b"\x80\x63N.",
    "text without end": b"\x80\x02X\xff\xff\xff\x7fabc",
}
"""Hand-written pickles: name -> opcodes."""


def legacy(value: Any) -> bytes:
    """`value` in torch's format before 1.6, a row of pickles."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()
