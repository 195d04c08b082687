"""A spiking network as one safetensors file.

Tensors are stored by name (`node.field`, `node.threshold`, ...), everything else as JSON in the header: the
graph, the neurons with their units, the code, the length of a step and the provenance. Nothing is executed on
loading, and the class that the model once had is not needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from convert.errors import ConvertError, CorruptFileError, MissingFileError, UnknownFormatError
from convert.graph import ir
from convert.graph.folding import rebuild
from convert.graph.ir import Node
from convert.network import Site, SpikingNetwork
from convert.neurons.counting import CountingNeuron
from convert.neurons.families import FAMILIES
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.radix import RadixNeuron

__all__ = ["FORMAT", "VERSION", "from_bytes", "load", "to_bytes"]

FORMAT = "ann2spike-snn"
VERSION = 1

_MOST_VALUES = 2**28
"""Of one sample in all layers together: 1 GiB of float32."""

_OPS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        ir.Input, ir.Linear, ir.Conv, ir.Affine, ir.Relu, ir.Clamp, ir.Tanh, ir.LeakyRelu, ir.Curve, ir.AvgPool,
        ir.AdaptiveAvgPool, ir.MaxPool, ir.Add, ir.Concat, ir.Reshape, ir.Pad, ir.Permute, ir.Staircase, ir.Softmax,
        ir.LayerNorm, ir.MatMul,
    )
}  # fmt: skip
"""What a normalised graph is made of: BatchNorm and Identity are gone."""

_FAMILIES: dict[str, type[LeakyNeuron]] = {**FAMILIES, "counting": CountingNeuron, "radix": RadixNeuron}
"""Neurons by the name under which they are saved."""


def to_bytes(network: SpikingNetwork) -> bytes:
    """The file's content; the same network gives the same bytes."""
    tensors: dict[str, Tensor] = {}
    nodes = []
    for node in network.graph:
        for name, tensor in ir.tensors(node.op).items():
            tensors[f"{node.name}.{name}"] = _compact(tensor)
        tensors[f"{node.name}.scale_of_value"] = network.scales[node.name].double().clone()
        nodes.append({"name": node.name, "op": node.kind, "inputs": node.inputs, "place": node.place,
                      "attributes": _plain_fields(node.op)})  # fmt: skip
    sites = {}
    for name, site in network.sites.items():
        for part in ("threshold", "quantum", "initial"):
            tensors[f"{name}.{part}"] = getattr(site, part).double().clone()
        sites[name] = _neuron_record(site.neuron)
    description = {
        "nodes": nodes, "output": network.graph.output, "sites": sites, "dt_s": network.dt_s,
        "input_code": network.input_code, "readout_delay": network.readout_delay,
        "provenance": dict(network.provenance),
    }  # fmt: skip
    if network.code != "rate":  # as in every file from before there were others
        description["code"] = network.code
    if network.look_ahead:
        description["look_ahead"] = network.look_ahead
    if network.primed:
        description["primed"] = True
    metadata = {"format": FORMAT, "version": str(VERSION), "network": json.dumps(description, sort_keys=True)}
    return _sorted_header(save_tensors(tensors, metadata))


def _sorted_header(content: bytes) -> bytes:
    """The same file with its header's keys in order: safetensors writes metadata in a random one."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def load(path: Path) -> SpikingNetwork:
    """The spiking network in the file at `path`.

    Raises
    ------
    MissingFileError, UnknownFormatError, CorruptFileError
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read ({error.strerror}); expected a snn.safetensors file") from error
    return from_bytes(content, str(path))


def from_bytes(content: bytes, origin: str = "artefact") -> SpikingNetwork:
    """The spiking network in `content`, as `to_bytes` made it."""
    description = _description(content, origin)
    try:
        tensors = load_tensors(content)
        nodes = [_node(record, tensors) for record in description["nodes"]]
        graph = rebuild(nodes, description["output"])
        _refuse_large(graph, origin)
        scales = {node.name: tensors[f"{node.name}.scale_of_value"] for node in nodes}
        sites = {name: _site(name, record, tensors) for name, record in description["sites"].items()}
        provenance = {str(k): str(v) for k, v in description["provenance"].items()}
        delay = int(description.get("readout_delay", 0))  # files of the first version may lack it
        return SpikingNetwork(
            graph, sites, scales, float(description["dt_s"]), description["input_code"], delay, provenance,
            description.get("code", "rate"), int(description.get("look_ahead", 0)),
            _flag(description.get("primed", False)),
        )  # fmt: skip
    except CorruptFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        known = isinstance(error, ConvertError)
        raise CorruptFileError(
            f"{origin}: damaged spiking network ({reason if known else f'{type(error).__name__}: {reason}'}); "
            "convert the model again"
        ) from error


def _refuse_large(graph: ir.Graph, origin: str) -> None:
    """Layers without weights cost nothing in the file; what they make of a sample is bounded here."""
    values = sum(math.prod(node.shape) for node in graph)
    if values > _MOST_VALUES:
        largest = max(graph, key=lambda node: math.prod(node.shape))
        raise CorruptFileError(
            f"{origin}: {largest.place or largest.name} holds values of shape {largest.shape}, all layers {values:,} "
            f"for one sample; expected at most {_MOST_VALUES:,}: convert the model again"
        )


def _description(content: bytes, origin: str) -> dict[str, Any]:
    try:
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        kind, version = metadata["format"], metadata["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnknownFormatError(
            f"{origin}: not a spiking network of ours; expected the snn.safetensors that python -m convert writes"
        ) from error
    if kind != FORMAT or version != str(VERSION):
        raise UnknownFormatError(
            f"{origin}: format {kind!r} version {version!r}; this version reads {FORMAT!r} version {VERSION}; "
            "convert the model again"
        )
    try:
        description = json.loads(metadata["network"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(f"{origin}: its description is damaged; convert the model again") from error
    if not isinstance(description, dict):
        raise CorruptFileError(f"{origin}: its description is damaged; convert the model again")
    return description


def _compact(tensor: Tensor) -> Tensor:
    """float32 where that loses nothing."""
    single = tensor.float()
    return (single if torch.equal(single.double(), tensor.double()) else tensor.double()).contiguous().clone()


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"got {value!r}; expected true or false")
    return value


def _plain_fields(op: ir.Op) -> dict[str, Any]:
    values = {field.name: getattr(op, field.name) for field in fields(op)}
    return {name: value for name, value in values.items() if not isinstance(value, Tensor)}


def _node(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Node:
    name, cls = str(record["name"]), _OPS[record["op"]]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in record["attributes"].items()}
    for field in fields(cls):
        if f"{name}.{field.name}" in tensors:
            values[field.name] = tensors[f"{name}.{field.name}"].double()
    return Node(name, cls(**values), tuple(record["inputs"]), (), str(record["place"]))


def _neuron_record(neuron: LeakyNeuron) -> dict[str, Any]:
    family = next(name for name, cls in _FAMILIES.items() if type(neuron) is cls)
    values = {field.name: getattr(neuron, field.name) for field in fields(neuron)}
    return {"family": family} | {k: "inf" if v == math.inf else v for k, v in values.items()}


def _site(name: str, record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Site:
    values = {k: math.inf if v == "inf" else v for k, v in record.items() if k != "family"}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    parts = {part: tensors[f"{name}.{part}"] for part in ("threshold", "quantum", "initial")}
    return Site(_FAMILIES[record["family"]](**values), **parts)
