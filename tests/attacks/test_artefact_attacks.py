"""Files that try to harm: a spiking network's file, broken in every way. Each loads finite or fails by name."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

from convert import ConvertConfig, ConvertError, SpikingNetwork, convert, simulate, trace
from convert.graph import ir
from convert.writing.artefact import from_bytes, to_bytes

Header = dict[str, Any]


@pytest.fixture(scope="module")
def content() -> bytes:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).eval()
    return to_bytes(convert(trace(model, (6,)), torch.rand(20, 6), ConvertConfig()).snn)


def harmless(content: bytes) -> None:
    """It loads as a network whose numbers are finite and which runs, or it is refused by name; at once, either way."""
    begin = time.perf_counter()
    try:
        snn = from_bytes(content)
    except ConvertError as error:
        assert str(error)
    else:
        assert finite(snn)
        width = snn.graph.input.shape
        if len(width) == 1 and width[0] < 1000:
            with suppress(ConvertError):  # such as a quantum that no longer is 1
                simulate(snn, torch.rand(2, *width), 2)
    assert time.perf_counter() - begin < 60  # it does not hang


def finite(snn: SpikingNetwork) -> bool:
    tensors = [t for node in snn.graph for t in ir.tensors(node.op).values()]
    tensors += [t for site in snn.sites.values() for t in (site.threshold, site.quantum, site.initial)]
    return all(bool(torch.isfinite(t).all()) for t in (*tensors, *snn.scales.values())) and snn.dt_s < float("inf")


def parts(content: bytes) -> tuple[Header, Header, bytes]:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["network"]), content[8 + length :]


def joined(header: Header, description: Header | None, data: bytes) -> bytes:
    if description is not None:
        header["__metadata__"]["network"] = json.dumps(description)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("percent", range(0, 100, 5))
def test_truncated(content: bytes, percent: int) -> None:
    with pytest.raises(ConvertError):
        from_bytes(content[: len(content) * percent // 100])


def test_200_flipped_bits(content: bytes) -> None:
    dice = random.Random(0)
    for _ in range(200):
        broken = bytearray(content)
        at = dice.randrange(len(content) * 8)
        broken[at // 8] ^= 1 << (at % 8)
        harmless(bytes(broken))


def test_200_flipped_bits_in_the_header(content: bytes) -> None:
    dice, length = random.Random(1), int.from_bytes(content[:8], "little")
    for _ in range(200):
        broken = bytearray(content)
        at = dice.randrange((8 + length) * 8)
        broken[at // 8] ^= 1 << (at % 8)
        harmless(bytes(broken))


def test_any_tensor_missing(content: bytes) -> None:
    for name in [key for key in parts(content)[0] if key != "__metadata__"]:
        header, description, data = parts(content)
        del header[name]
        harmless(joined(header, description, data))


def test_any_tensor_of_another_shape(content: bytes) -> None:
    for name in [key for key in parts(content)[0] if key != "__metadata__"]:
        for shape in ([2**40], [2**31, 2**31], [0], [1, 1, 1, 1], [-1]):
            header, description, data = parts(content)
            header[name]["shape"] = shape
            harmless(joined(header, description, data))


def test_any_number_not_finite(content: bytes) -> None:
    header, description, data = parts(content)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, single = entry["data_offsets"][0], entry["dtype"] == "F32"
        for high in (b"\xc0\x7f", b"\x80\x7f") if single else (b"\xf8\x7f", b"\xf0\x7f"):
            pattern = bytes(2 if single else 6) + high
            broken = bytearray(data)
            broken[begin : begin + len(pattern)] = pattern
            with pytest.raises(ConvertError):
                from_bytes(joined(header, description, bytes(broken)))


def _set(*path: Any, value: Any) -> Callable[[Header], None]:
    def change(description: Header) -> None:
        for key in path[:-1]:
            description = description[key]
        description[path[-1]] = value

    return change


CHANGES: dict[str, Callable[[Header], None]] = {
    "unknown op": _set("nodes", 1, "op", value="Exec"),
    "op of python": _set("nodes", 1, "op", value="__import__"),
    "no op": lambda d: d["nodes"][1].pop("op"),
    "unknown neuron": _set("sites", "input_2", "family", value="os.system"),
    "forward reference": _set("nodes", 1, "inputs", value=["4"]),
    "reference to itself": lambda d: d["nodes"][1].update(inputs=[d["nodes"][1]["name"]]),
    "reference to nothing": _set("nodes", 1, "inputs", value=["nobody"]),
    "no inputs": _set("nodes", 1, "inputs", value=[]),
    "inputs are text": _set("nodes", 1, "inputs", value="input"),
    "inputs are a number": _set("nodes", 1, "inputs", value=3),
    "a name twice": lambda d: d["nodes"].append(d["nodes"][1]),
    "no nodes": _set("nodes", value=[]),
    "nodes are a number": _set("nodes", value=7),
    "nodes nested": _set("nodes", value=[[[[]]]]),
    "unknown output": _set("output", value="nobody"),
    "output is a list": _set("output", value=["a"]),
    "no sites": _set("sites", value={}),
    "sites are a list": _set("sites", value=[]),
    "dt zero": _set("dt_s", value=0),
    "dt negative": _set("dt_s", value=-1.0),
    "dt infinite": _set("dt_s", value=float("inf")),
    "dt not a number": _set("dt_s", value=float("nan")),
    "dt is text": _set("dt_s", value="soon"),
    "unknown code": _set("input_code", value="morse"),
    "provenance is a list": _set("provenance", value=[1]),
    "huge input": _set("nodes", 0, "attributes", "shape", value=[2**40]),
    "negative input": _set("nodes", 0, "attributes", "shape", value=[-6]),
    "input of many axes": _set("nodes", 0, "attributes", "shape", value=[1] * 5000),
    "input of text": _set("nodes", 0, "attributes", "shape", value="six"),
    "unknown attribute": _set("nodes", 1, "attributes", "hook", value="rm"),
    "attributes are missing": lambda d: d["nodes"][0].pop("attributes"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_description_is_refused(content: bytes, name: str) -> None:
    header, description, data = parts(content)
    if name == "unknown neuron":
        site = next(iter(description["sites"]))
        description["sites"][site]["family"] = "os.system"
    else:
        CHANGES[name](description)
    with pytest.raises(ConvertError):
        from_bytes(joined(header, description, data))


NEURONS = {
    "tau_mem_s": [0, -1, "nan", None, [1], float("nan")],
    "tau_syn_s": [-1, 1e400, "x", float("nan")],
    "v_threshold": [0, 2, None, float("nan")],
    "tau_adapt_s": [0, -3, "y", float("nan")],
    "quanta": [[], [1.0], [float("nan")] * 3, [-1.0, 1.0], "abc", [1.0, "a"]],
    "secret": [1],
}


@pytest.mark.parametrize("field", NEURONS)
def test_a_damaged_neuron_is_refused(content: bytes, field: str) -> None:
    for value in NEURONS[field]:
        header, description, data = parts(content)
        record = next(r for r in description["sites"].values() if field in r or r["family"] == "adaptive")
        record[field] = value
        with pytest.raises(ConvertError):
            from_bytes(joined(header, description, data))


def test_deep_nesting_and_long_headers_end_at_once(content: bytes) -> None:
    header, _, data = parts(content)
    deep = "[" * 100_000
    header["__metadata__"]["network"] = deep
    lengths = [n.to_bytes(8, "little") + content[8:] for n in (2**64 - 1, 2**62, 0)]
    nested = len(deep).to_bytes(8, "little") + deep.encode()
    for broken in (joined(header, None, data), nested, *lengths, b"", b"{}", bytes(1000)):
        with pytest.raises(ConvertError):
            from_bytes(broken)
