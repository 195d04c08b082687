"""Files of torch.save that try to harm: payloads, pickles by hand, layers that ask for more than the file holds."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.attacks import torch_files
from tests.attacks.builders import Builder, bytes_of
from tests.attacks.torch_files import call, hiding_places, network, payloads


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


def _archived(pickled: bytes) -> Builder:
    """An archive around a hand-written pickle."""

    def build(folder: Path, canary: Path) -> list[str]:
        torch_files.assembled(folder / "model.pt", pickled)
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
    "os.system, before torch 1.6": bytes_of("model.pt", lambda c: torch_files.legacy(payloads(c)["os.system"])),
    "os.system, a bare pickle": bytes_of("model.pt", lambda c: pickle.dumps(payloads(c)["os.system"])),
    "os.system, protocol 0": bytes_of("model.pt", lambda c: pickle.dumps(payloads(c)["os.system"], protocol=0)),
    "eval in joblib's compression": bytes_of("m.joblib", lambda c: gzip.compress(pickle.dumps(payloads(c)["eval"]))),
    "a bytearray of 16 GB": _archived(call("builtins", "bytearray", b"\x8a\x05\0\0\0\0\x04\x85")),
    "hex of hex of hex": _archived(torch_files.doubled(40)),
    "torch.load in a pickle": bytes_of("model.pt", lambda c: call("torch", "load", torch_files.text("x") + b"\x85")),
    **{f"by hand: {name}": _archived(torch_files.PICKLES[name]) for name in (
        "layer called with huge sizes", "huge bytearray", "torch.hub",
                                                       "huge tensor", "text without end", "unknown opcode")},
}  # fmt: skip
