"""stack(): a plain stack of linear layers from the shapes of its weights.

The shapes of linear layers and batch norms determine the network up to its activation, which the user names.
Convolutions do not: stride, padding and pooling leave no trace in a weight.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from convert.errors import ArchitectureError
from convert.reading.weights import Weights, strip_prefixes

__all__ = ["stack"]

_LAYERS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU,
    "silu": nn.SiLU, "elu": nn.ELU,
}  # fmt: skip
_NORM = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
_WAY_OUT = "name the network's code with --arch net.py:Net"

_Group = dict[str, Tensor]


def stack(weights: Weights, activation: str, origin: str) -> tuple[nn.Sequential, tuple[str, ...]]:
    """The network, and what was assumed.

    Raises
    ------
    ArchitectureError
        The shapes do not determine a network; says which entry.
    """
    groups: dict[str, _Group] = {}
    for name, tensor in strip_prefixes(weights.tensors).items():
        owner, _, leaf = name.rpartition(".")
        groups.setdefault(owner, {})[leaf] = tensor
    if faults := [fault for name, group in groups.items() if (fault := _fault(name, group))]:
        raise ArchitectureError(
            f"{origin}: the shapes do not determine the network:\n  " + "\n  ".join(faults[:20]) +
            f"\nexpected linear layers, each with batch norm or not, for --activation; {_WAY_OUT}"
        )  # fmt: skip
    names = list(groups) if weights.ordered else _order(groups, origin)
    layers = list(_layers(names, groups, activation, origin))
    note = (f"The file holds weights only; read as a stack of {sum(isinstance(m, nn.Linear) for m in layers)} linear "
            f"layers with {activation} between them and none after the last.")  # fmt: skip
    if activation == "leaky_relu":
        note += (
            f" The slope below zero is torch's default, {nn.LeakyReLU().negative_slope:g}, which weights do not tell."
        )
    if norms := [layer for layer in layers if isinstance(layer, nn.BatchNorm1d)]:
        note += f" Batch norm was read with torch's default epsilon, {norms[0].eps:g}, which weights do not tell."
    return nn.Sequential(*layers).eval().requires_grad_(False), (note,)


def _fault(name: str, group: _Group) -> str:
    """Why this entry cannot be part of a plain stack, or nothing."""
    weight = group.get("weight")
    if "running_mean" in group:
        fits = (
            group.keys() <= _NORM and "running_var" in group and len({t.shape for k, t in group.items() if t.ndim}) == 1
        )
        return "" if fits and group["running_mean"].ndim == 1 else f"{name}: batch norm with entries of other shapes"
    if weight is None or not group.keys() <= {"weight", "bias"}:
        return f"{name or 'top level'}: entries {', '.join(group)}; only weight and bias are known"
    if weight.ndim in (3, 4, 5):
        return (f"{name}: a convolution of shape {tuple(weight.shape)}; its stride, its padding and the pooling after "
                "it are not in the file")  # fmt: skip
    if weight.ndim != 2 or not weight.is_floating_point():
        return f"{name}: weight of shape {tuple(weight.shape)}, {weight.dtype}"
    bias = group.get("bias")
    return f"{name}: bias of shape {tuple(bias.shape)}" if bias is not None and bias.shape != weight.shape[:1] else ""


def _order(groups: Mapping[str, _Group], origin: str) -> list[str]:
    """The order of the layers where the file has lost it: by number, else by the only chain of sizes."""
    stems = {re.sub(r"\d+", "#", name) for name in groups}
    if len(stems) == 1 and "#" in next(iter(stems)):
        return sorted(groups, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    chains = list(_chains([n for n in groups if "running_mean" not in groups[n]], groups))
    if len(chains) != 1 or any("running_mean" in group for group in groups.values()):
        raise ArchitectureError(
            f"{origin}: safetensors keeps no order, and the sizes of {', '.join(groups)} do not give one; expected "
            f"layers numbered in order or of different sizes; {_WAY_OUT}"
        )
    return chains[0]


def _chains(names: list[str], groups: Mapping[str, _Group]) -> Iterator[list[str]]:
    """Orders in which sizes chain: two at the most, and none for more layers than are worth a search."""
    found = 0
    paths: list[list[str]] = [[name] for name in names] if len(names) <= 8 else []
    while paths and found < 2:
        path = paths.pop()
        if len(path) == len(names):
            found += 1
            yield path
        out = groups[path[-1]]["weight"].shape[0]
        paths += [[*path, n] for n in names if n not in path and groups[n]["weight"].shape[1] == out]


def _layers(names: list[str], groups: Mapping[str, _Group], activation: str, origin: str) -> Iterator[nn.Module]:
    """The layers with the activation between them, sizes and places checked."""
    width, previous = None, ""
    for name in names:
        group = groups[name]
        if "running_mean" in group:
            if width is None or not _follows(previous, name) or len(group["running_mean"]) != width:
                raise ArchitectureError(
                    f"{origin}: {name}: batch norm that is not known to follow a linear layer directly, before the "
                    f"activation; expected it at the next number after a layer of its size; {_WAY_OUT}"
                )
            yield _norm(group)
        else:
            linear = _linear(group)
            if width is not None:
                _check_link(previous, name, width, linear.in_features, origin)
                yield _LAYERS[activation]()
            yield linear
            width = linear.out_features
        previous = name


def _check_link(previous: str, name: str, width: int, wanted: int, origin: str) -> None:
    if width != wanted:
        raise ArchitectureError(
            f"{origin}: {name} takes {wanted} values but {previous} gives {width}; expected sizes that chain; "
            f"{_WAY_OUT}"
        )
    if _follows(previous, name):
        raise ArchitectureError(
            f"{origin}: {previous} and {name} stand next to each other, so no activation was between them; expected "
            f"one between every two layers; {_WAY_OUT}"
        )


def _follows(previous: str, name: str) -> bool:
    """Whether `name` is the next number after `previous` in one nn.Sequential, such as 3 after 2."""
    (a, _, i), (b, _, j) = previous.rpartition("."), name.rpartition(".")
    return a == b and i.isdigit() and j.isdigit() and int(j) == int(i) + 1


def _linear(group: _Group) -> nn.Linear:
    weight, bias = group["weight"], group.get("bias")
    with torch.device("meta"):  # draws no random numbers
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    linear.weight = nn.Parameter(weight)
    linear.register_parameter("bias", None if bias is None else nn.Parameter(bias))
    return linear


def _norm(group: _Group) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(len(group["running_mean"]), affine="weight" in group)
    state = {k: v for k, v in group.items() if k in norm.state_dict()}
    norm.load_state_dict(state, strict=False)
    return norm
