"""Captured: a straight line of ATen calls, and capturing one from a module with `torch.export`.

Modules, functional calls and tensor methods are the same thing after export: ATen operators.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from convert.errors import LoadError

__all__ = ["Captured", "called", "capture", "export", "first_line", "operator_of", "place_of", "quiet"]


@dataclass(frozen=True, eq=False)
class Captured:
    """A straight line of ATen calls, however it was captured.

    Parameters
    ----------
    graph : fx.Graph
        Placeholders, calls and one output; the value of each call is in its ``meta["val"]``.
    constants : mapping
        Placeholder -> weight; the one that is not in it is the input.
    batch : int
        Size of the batch axis in the recorded shapes.
    returned : tuple of (str, fx.Node or other)
        What the network returns, with the key or position of each.
    from_file : bool
        Whether a file chose the calls: then none is made but those that are known to be harmless.
    """

    graph: fx.Graph
    constants: Mapping[str, Tensor]
    batch: int
    returned: tuple[tuple[str, Any], ...]
    from_file: bool = False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Torch reports what it tries and fails to standard error and through many loggers; we raise one error instead."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def called(module: Callable[[Tensor], Any], x: Tensor) -> Any:
    """What `module` gives for `x`, without gradients."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the speed of an operation, in the original only
        return module(x)


def export(module: nn.Module, example: Tensor, origin: str) -> ExportedProgram:
    """The program that `module` runs on `example`; nothing is computed.

    Raises
    ------
    LoadError
    """
    try:
        with quiet():  # on failure torch.export prints the graph to standard error
            return torch.export.export(module, (example,), strict=False)
    except Exception as error:  # torch.export raises many private types
        raise LoadError(
            f"{origin}: torch.export cannot trace it ({type(error).__name__}: {first_line(error)}); expected a "
            "forward() without control flow that depends on the data: remove it, or export the part without it"
        ) from error


def capture(program: ExportedProgram, batch: int) -> Captured:
    """The calls of a program that torch.export captured in memory with that batch size."""
    signature = program.graph_signature
    targets: dict[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    targets |= dict(signature.inputs_to_lifted_tensor_constants)
    tensors: Mapping[str, Any] = {**dict(program.state_dict), **dict(program.constants)}
    constants = {name: tensors[target].detach() for name, target in targets.items()}
    return Captured(program.graph, constants, batch, _returned(program))


def _returned(program: ExportedProgram) -> tuple[tuple[str, Any], ...]:
    """What forward() returns, with the key or position of each."""
    (node,) = (node for node in program.graph.nodes if node.op == "output")
    kinds = [spec.kind.name for spec in program.graph_signature.output_specs]
    flat = [value for value, kind in zip(node.args[0], kinds, strict=True) if kind == "USER_OUTPUT"]
    structure = program.call_spec.out_spec
    if structure is None:
        return ()
    paths, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(list(range(len(flat))), structure))
    return tuple((pytree.keystr(p).replace("'", "").strip("[].").replace("][", "."), flat[i]) for p, i in paths)


def operator_of(node: fx.Node) -> str:
    """Name of the ATen operator that `node` calls, such as ``relu``; "" for other functions."""
    return str(node.target).partition(".")[2].partition(".")[0].removesuffix("_")


def place_of(node: fx.Node) -> str:
    """Where the call stands: the module path for a layer, the line of source for a function."""
    stack = node.meta.get("nn_module_stack") or {}
    path, owner = (list(stack.values()) or [("", None)])[-1]
    trace_lines = (node.meta.get("stack_trace") or "").strip().splitlines()
    line = trace_lines[-1].strip() if trace_lines else str(node.target)
    name = owner if isinstance(owner, str) else getattr(owner, "__module__", "")
    if path and str(name).startswith("torch.nn"):
        return path
    return f"{path}: {line}" if path else line


def first_line(error: Exception) -> str:
    """What an error of torch says, without its advice."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
