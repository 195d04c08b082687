"""The graph of a torch.export archive: JSON to torch.fx nodes, by hand and without executing anything.

The nodes are the same that `torch.export` makes in memory, so one walk reads both. Names of operators are looked
up among ATen's only; everything else becomes a `_Foreign` call, which the walk refuses by name. Symbolic sizes are
replaced by the sizes that they had when the graph was captured.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from convert.errors import CorruptFileError, GraphError, UnsupportedOpError
from convert.reading.captured import Captured
from convert.reading.pt2_tensors import DTYPES

__all__ = ["captured_from"]

_ASSERTIONS = ("_assert_scalar", "_assert_tensor_metadata", "_assert_async", "sym_constrain_range",
               "sym_constrain_range_for_size")  # fmt: skip
_DECOMPOSED: dict[str, tuple[str, dict[str, Any]]] = {
    "torch.ops.aten.max_pool2d_with_indices.default": ("torch.ops.aten.max_pool2d.default", {}),
    "torch.ops.aten.native_layer_norm.default": ("torch.ops.aten.layer_norm.default", {}),
    "torch.ops.aten._native_batch_norm_legit_no_training.default": (
        "torch.ops.aten.batch_norm.default", {"training": False, "cudnn_enabled": False}),
}  # fmt: skip
"""Core ATen operators that give more than the one value that networks use; that value comes first."""

_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
_LARGEST = 2**26
"""Values in one activation of the captured batch: 256 MiB of float32."""


class _Foreign:
    """A call of something that is not an ATen operator; it is named and never made."""

    def __init__(self, target: str) -> None:
        self.target = target

    __name__ = "foreign"

    def __call__(self, *args: object) -> None:
        """Never: the walk refuses it."""
        raise NotImplementedError(self.target)

    def __str__(self) -> str:
        return self.target.removeprefix("torch.ops.")


class _UnreadError(ValueError):
    """An argument of a kind that no operation we read takes."""


def captured_from(program: Mapping[str, Any], tensors: Mapping[str, Tensor], origin: str) -> Captured:
    """The program of an archive as captured calls.

    Raises
    ------
    UnsupportedOpError, GraphError, CorruptFileError
    """
    return _Decoder(program["graph_module"], tensors, origin).decode()


class _Decoder:
    """One walk over the JSON graph."""

    def __init__(self, module: Mapping[str, Any], tensors: Mapping[str, Tensor], origin: str) -> None:
        self.source, self.signature, self.calls = module["graph"], module["signature"], module["module_call_graph"]
        self.tensors, self.origin = tensors, origin
        self.graph = fx.Graph()
        self.nodes: dict[str, fx.Node] = {}
        self.constants: dict[str, Tensor] = {}
        self.batch = 0

    def decode(self) -> Captured:
        """The captured calls."""
        for spec in self.signature["input_specs"]:
            self._input(spec)
        if not self.batch:
            raise GraphError(f"{self.origin}: has no input; expected a network of one tensor: capture it again")
        for node in self.source["nodes"]:
            self._call(node)
        outputs = [spec["user_output"]["arg"] for spec in self.signature["output_specs"] if "user_output" in spec]
        values = [self.nodes[arg["as_tensor"]["name"]] if "as_tensor" in arg else None for arg in outputs]
        self.graph.output(tuple(values))
        returned = tuple(zip(self._titles(len(values)), values, strict=True))
        return Captured(self.graph, self.constants, self.batch, returned, from_file=True)

    def _input(self, spec: Mapping[str, Any]) -> None:
        ((kind, body),) = ((k, v) for k, v in spec.items() if v is not None)
        if kind in ("parameter", "buffer", "tensor_constant"):
            key, name = body[f"{kind}_name"], body["arg"]["name"]
            if key not in self.tensors:
                raise CorruptFileError(f"{self.origin}: {key} is not in the archive; capture the network again")
            weight = self.tensors[key]
            shape = self._shape(name, weight.numel())  # what is stored may be as large as it is
            self._placeholder(name, shape, torch.float32)
            if tuple(weight.shape) != shape:
                raise CorruptFileError(
                    f"{self.origin}: {key} has shape {tuple(weight.shape)}, but the graph expects "
                    f"{shape}; capture the network again"
                )
            self.constants[self.nodes[name].name] = weight
        elif kind == "user_input" and "as_tensor" in body["arg"]:
            self._user_input(body["arg"]["as_tensor"]["name"])
        elif kind not in ("token", "constant_input") or body.get("value", {}).get("as_none") is None:
            raise UnsupportedOpError(
                f"{self.origin}: takes an input of kind {kind}; expected one tensor of samples: capture the network "
                "with that input fixed"
            )

    def _user_input(self, name: str) -> None:
        shape = self._shape(name)
        if self.batch or len(shape) < 2 or shape[0] < 1:
            found = "a second input" if self.batch else f"an input of shape {shape}"
            raise UnsupportedOpError(
                f"{self.origin}: takes {found} ({name}); expected one batch of samples: capture it as "
                "torch.export.export(model, (x,)) with the batch in front of x"
            )
        self.batch = shape[0]
        self._placeholder(name, shape, torch.float32)

    def _placeholder(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        node = self.graph.placeholder(name)
        node.meta["val"] = torch.empty(shape, dtype=dtype, device="meta")
        self.nodes[name] = node

    def _call(self, entry: Mapping[str, Any]) -> None:
        target, outputs = str(entry["target"]), entry["outputs"]
        made = [name for output in outputs for name in _tensor_names(output)]
        if not made and (outputs or target.removeprefix("torch.ops.aten.").partition(".")[0] in _ASSERTIONS):
            return  # sizes, which are known, and checks of them
        plain, extra = _DECOMPOSED.get(target, (target, {}))
        made = made if plain == target else made[:1]
        try:
            args: tuple[Any, ...] = ()
            kwargs = {**self._arguments(entry["inputs"]), **extra}
            function = _operator(plain)
            if isinstance(function, torch._ops.OpOverload):
                args, kwargs = _as_in_memory(function, kwargs)
        except _UnreadError as unread:
            args, kwargs, function = (), {}, _Foreign(f"{target} with {unread}")
        node = self.graph.create_node("call_function", function, args, kwargs, made[0] if made else None)
        node.meta.update(_place(entry.get("metadata") or {}))
        if len(made) == 1 and "as_tensor" in outputs[0]:
            node.meta["val"] = torch.empty(self._shape(made[0]), device="meta")
        self.nodes |= dict.fromkeys(made, node)
        if len(outputs) == 1 and "as_tensors" in outputs[0]:
            self._parts(node, made)

    def _parts(self, node: fx.Node, names: list[str]) -> None:
        """The tensors of a list, each by its number, as torch.export takes them in memory."""
        for i, name in enumerate(names):
            part = self.graph.create_node("call_function", operator.getitem, (node, i), {}, name)
            part.meta.update({**node.meta, "val": torch.empty(self._shape(name), device="meta")})
            self.nodes[name] = part

    def _arguments(self, inputs: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The arguments by name."""
        return {str(entry["name"]): self._argument(entry["arg"]) for entry in inputs}

    def _argument(self, arg: Mapping[str, Any]) -> Any:
        ((kind, value),) = arg.items()
        if kind in ("as_tensor", "as_optional_tensor"):
            return self._tensor(value)
        if kind in ("as_tensors", "as_optional_tensors"):
            return [self._tensor(item) for item in value]
        if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
            return self._number(value)
        if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools"):
            return [self._number(item) for item in value]
        return _plain(kind, value)

    def _tensor(self, value: Mapping[str, Any]) -> fx.Node | None:
        if value.get("as_none") is not None:
            return None
        return self.nodes[value.get("as_tensor", value)["name"]]

    def _number(self, value: Mapping[str, Any]) -> int | float | bool:
        """A size that was a symbol, as the number that it was when the graph was captured."""
        if "as_name" not in value:
            return _number(next(iter(value.values())))
        tables = (self.source.get(f"sym_{kind}_values") or {} for kind in ("int", "float", "bool"))
        return self._size(next(table[value["as_name"]] for table in tables if value["as_name"] in table))

    def _size(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return _number(value)
        if "as_expr" not in value:
            return _number(next(iter(value.values())))
        hint = value["as_expr"].get("hint")
        if hint is None:
            raise GraphError(
                f"{self.origin}: has the size {value['as_expr'].get('expr_str')}, of unknown value; expected sizes "
                "with a value: capture it without dynamic_shapes"
            )
        return _number(next(iter(hint.values())))

    def _shape(self, name: str, stored: int = 0) -> tuple[int, ...]:
        shape = tuple(self._size(size) for size in self.source["tensor_values"][name]["sizes"])
        if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) > max(_LARGEST, stored):
            raise CorruptFileError(
                f"{self.origin}: {name} has shape {shape}; expected at most {_LARGEST:,} values: capture the network "
                "with a smaller batch"
            )
        return shape

    def _titles(self, count: int) -> list[str]:
        """Keys and positions of the outputs in what forward() returns."""
        spec = (self.calls[0].get("signature") or {}).get("out_spec") if self.calls else None
        titles = list(_paths(json.loads(spec)[1], ())) if isinstance(spec, str) else []
        return titles if len(titles) == count else [str(i) if count > 1 else "" for i in range(count)]


def _paths(spec: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The way to each leaf of a structure, such as ``logits`` or ``0.1``."""
    if spec["type"] is None:
        yield ".".join(path)
        return
    children = spec["children_spec"]
    keys = json.loads(spec["context"]) if spec["type"].endswith("ict") else None
    keys = keys if isinstance(keys, list) and len(keys) == len(children) else range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _paths(child, (*path, str(key)))


def _as_in_memory(function: Any, named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments in the operator's own order, positional up to the first that is left out."""
    order = {argument.name: i for i, argument in enumerate(function._schema.arguments)}
    kwargs = {name: named[name] for name in sorted(named, key=order.__getitem__)}
    args = []
    for argument in function._schema.arguments:
        if argument.name not in kwargs or argument.kwarg_only:
            break
        args.append(kwargs.pop(argument.name))
    return tuple(args), kwargs


def _operator(target: str) -> Any:
    found = re.fullmatch(r"torch\.ops\.aten\.(?!__)(\w+)\.(?!__)(\w+)", target)
    packet = getattr(torch.ops.aten, found[1], None) if found else None
    function = getattr(packet, found[2], None) if found and packet is not None else None
    return function if isinstance(function, torch._ops.OpOverload) else _Foreign(target)


def _tensor_names(output: Mapping[str, Any]) -> list[str]:
    ((kind, value),) = output.items()
    if kind == "as_tensor":
        return [value["name"]]
    if kind in ("as_tensors", "as_optional_tensors"):
        return [item.get("as_tensor", item)["name"] for item in value if item.get("as_none") is None]
    return []


def _number(value: Any) -> Any:
    if isinstance(value, str):  # how JSON spells what it has no number for
        return float(value)
    if not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    return value


def _plain(kind: str, value: Any) -> Any:
    if kind == "as_none":
        return None
    if kind in ("as_int", "as_float", "as_bool"):
        return _number(value)
    if kind in ("as_ints", "as_floats", "as_bools"):
        return [_number(item) for item in value]
    if kind == "as_string":
        return str(value)
    if kind == "as_scalar_type":
        return DTYPES.get(value, torch.float32)
    if kind == "as_memory_format":
        return _FORMATS.get(value, torch.preserve_format)
    if kind == "as_layout":
        return torch.strided
    if kind == "as_device":
        return torch.device("cpu")
    raise _UnreadError(kind.removeprefix("as_").replace("_", " "))


def _place(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Where the call stands in the user's model, as torch.export notes it in memory."""
    stack = [entry.split(",") for entry in str(metadata.get("nn_module_stack", "")).split(";") if entry.count(",") == 2]
    return {"nn_module_stack": {key: (path, owner) for key, path, owner in stack},
            "stack_trace": str(metadata.get("stack_trace", ""))}  # fmt: skip
