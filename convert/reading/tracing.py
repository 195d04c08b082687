"""trace(): an `nn.Module` through `torch.export` to a Graph, checked against the module.

Modules, functional calls and tensor methods are the same thing after export: ATen operators. The module is
exported at an odd batch size, so that an operator that moves or mixes the batch axis shows itself in the shape.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from convert.errors import GraphError, InputShapeError, LoadError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import infer_shape, run
from convert.reading.aten import OPERATORS, Call, Chain, Refusal
from convert.reading.coverage import Coverage, check, describe_node

__all__ = ["Captured", "Traced", "capture", "compare", "expected_shape", "read_captured", "trace"]

_BATCH = 7


@dataclass(frozen=True)
class Traced:
    """A network as read: its graph, and what became of every operation."""

    graph: Graph
    coverage: tuple[Coverage, ...]


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
    returned : str
        What the network returns where that is not one tensor, such as ``tuple``.
    """

    graph: fx.Graph
    constants: Mapping[str, Tensor]
    batch: int
    returned: str = ""


def trace(module: nn.Module, sample_shape: tuple[int, ...], origin: str = "model") -> Traced:
    """The Graph of `module` for samples of `sample_shape`.

    Raises
    ------
    UnsupportedOpError, NoNeuronError
        Before any data is touched; all offenders at once.
    InputShapeError
        The module does not accept such samples.
    """
    module = module.eval()
    example = torch.zeros((_BATCH, *sample_shape))
    try:
        with torch.no_grad():
            module(example)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError) as error:
        raise InputShapeError(
            f"{origin}: does not accept samples of shape {sample_shape}: {_first_line(error)}; "
            "check --data, or name the shape with --input-shape"
        ) from error
    traced = read_captured(capture(_export(module, example, origin), _BATCH), origin)
    compare(traced.graph, module, _BATCH, sample_shape, origin)
    return traced


def read_captured(captured: Captured, origin: str) -> Traced:
    """The Graph of what was captured, not yet compared with what it computes.

    Raises
    ------
    UnsupportedOpError, NoNeuronError
        All offenders at once.
    """
    graph, rows = _Reader(captured).read()
    check(rows, origin, has_neurons=graph is not None and bool(graph.sites()))
    if graph is None:
        raise GraphError(f"{origin}: the network returns its input unchanged; nothing to convert")
    return Traced(graph, tuple(rows))


def capture(program: ExportedProgram, batch: int) -> Captured:
    """The calls of a program that torch.export captured in memory with that batch size."""
    signature = program.graph_signature
    targets: dict[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    targets |= dict(signature.inputs_to_lifted_tensor_constants)
    tensors: Mapping[str, Any] = {**dict(program.state_dict), **dict(program.constants)}
    structure, returned = program.call_spec.out_spec, ""
    if structure is None or not structure.is_leaf():
        returned = "nothing" if structure is None or structure.type is None else structure.type.__name__
    constants = {name: tensors[target].detach() for name, target in targets.items()}
    return Captured(program.graph, constants, batch, returned)


def expected_shape(module: nn.Module) -> tuple[int, ...] | None:
    """The sample shape that the first layer fixes on its own, or None.

    >>> expected_shape(nn.Sequential(nn.Linear(64, 10)))
    (64,)
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            width = getattr(layer, "in_features", None)  # a damaged file may lack it
            return (width,) if isinstance(width, int) and width > 0 else None
        if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
            return None
    return None


def _export(module: nn.Module, example: Tensor, origin: str) -> ExportedProgram:
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.fx")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # on failure torch.export prints the graph to stderr
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return torch.export.export(module, (example,))
    except Exception as error:  # torch.export raises many private types
        raise LoadError(
            f"{origin}: torch.export cannot trace it ({type(error).__name__}: {_first_line(error)}); expected a "
            "forward() without control flow that depends on the data: remove it, or export the part without it"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


class _Reader:
    """One walk over the captured calls."""

    def __init__(self, captured: Captured) -> None:
        self.captured, self.batch = captured, captured.batch
        self.values: dict[str, Any] = {}
        """fx name -> name of our node (data path) or the tensor itself (constants)."""
        self.nodes: list[Node] = []
        self.rows: list[Coverage] = []

    def read(self) -> tuple[Graph | None, list[Coverage]]:
        """The graph, or None where something was refused, and the coverage rows."""
        output = None
        for node in self.captured.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                output = self._output(node)
        refused = any(row.fate == "refused" for row in self.rows)
        if refused or output is None:
            return None, self.rows
        return Graph(tuple(self.nodes), output), self.rows

    def _placeholder(self, node: fx.Node) -> None:
        if node.name in self.captured.constants:
            self.values[node.name] = self.captured.constants[node.name]
            return
        shape = tuple(node.meta["val"].shape[1:])
        self.nodes.append(Node("input", ir.Input(shape), (), shape, "input"))
        self.values[node.name] = "input"

    def _output(self, node: fx.Node) -> str | None:
        if kind := self.captured.returned:
            self.rows.append(Coverage("output", kind, "refused", "", "expected one tensor of outputs; return it alone"))
            return None
        returned = list(node.all_input_nodes)
        name = self.values.get(returned[0].name) if returned else None
        return name if isinstance(name, str) else None

    def _call(self, node: fx.Node) -> None:
        place, name = _place(node), str(node.target).removeprefix("aten.")
        if self._behind_refusal(node):
            self.values[node.name] = None
            return
        try:
            call = self._bind(node)
            ops = OPERATORS[call.operator](call)
        except Refusal as refusal:
            self.rows.append(Coverage(place, name, "refused", "", str(refusal)))
            self.values[node.name] = None
            return
        source: tuple[str, ...] = tuple(self.values[n] for n in self._data_names(node))
        for i, op in enumerate(ops if isinstance(ops, Chain) else (ops,)):
            title = node.name if i == 0 else f"{node.name}_{i}"
            shapes = [n.shape for name in source for n in self.nodes if n.name == name]
            self.nodes.append(Node(title, op, source, infer_shape(op, *shapes), place))
            source = (title,)
        recorded = tuple(node.meta["val"].shape[1:])
        if self.nodes[-1].shape != recorded:
            raise GraphError(
                f"{place}: {name} is recorded with samples of shape {recorded}, but gives {self.nodes[-1].shape}; "
                "expected a graph that fits together: capture it again"
            )
        self.rows.append(describe_node(place, name, self.nodes[-1].op if not isinstance(ops, Chain) else ops[0]))
        self.values[node.name] = source[0]
        if str(node.target).split(".")[1].endswith("_"):  # in place: from here on its argument has this value
            self.values[node.all_input_nodes[0].name] = source[0]

    def _behind_refusal(self, node: fx.Node) -> bool:
        """Whether an input was refused; the operation is then only named if it would be refused as well."""
        refused = any(n.name in self.values and self.values[n.name] is None for n in node.all_input_nodes)
        return refused and (_operator(node) in OPERATORS or not isinstance(node.target, torch._ops.OpOverload))

    def _data_names(self, node: fx.Node) -> list[str]:
        """Fx names of the arguments on the data path, in order, repeats kept."""
        found: list[str] = []

        def visit(arg: fx.Node) -> fx.Node:
            if isinstance(self.values.get(arg.name), str):
                found.append(arg.name)
            return arg

        fx.node.map_arg((node.args, node.kwargs), visit)
        return found

    def _bind(self, node: fx.Node) -> Call:
        """The call with its arguments by name and its shapes checked, or a Refusal."""
        target = node.target
        if not isinstance(target, torch._ops.OpOverload):
            raise Refusal("not a tensor operation; only straight tensor code can be converted")
        operator = _operator(node)
        if operator not in OPERATORS:
            raise Refusal("has no spiking counterpart here; use linear, conv1d/2d, batch_norm, relu, relu6, hardtanh, "
                          "tanh, average or max pooling, add, cat, flatten, or remove it")  # fmt: skip
        value = node.meta.get("val")
        if not isinstance(value, Tensor):
            raise Refusal("returns several tensors")
        if value.ndim == 0 or value.shape[0] != self.batch:
            raise Refusal(f"moves or mixes the batch axis (its result has shape {tuple(value.shape)} "
                          f"for a batch of {self.batch}); keep the batch in front")  # fmt: skip
        arguments, data = self._arguments(node, target)
        if not data:
            raise Refusal("does not depend on the input; compute it before saving")
        shapes = tuple(n.shape for name in self._data_names(node) for n in self.nodes if n.name == self.values[name])
        return Call(operator, arguments, data, shapes, tuple(value.shape[1:]))

    def _arguments(self, node: fx.Node, target: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        arguments: dict[str, Any] = {}
        data: list[str] = []
        for i, parameter in enumerate(target._schema.arguments):
            raw = node.args[i] if i < len(node.args) else node.kwargs.get(parameter.name, parameter.default_value)
            if isinstance(raw, fx.Node):
                value = self.values.get(raw.name)
                if isinstance(value, str):
                    data.append(parameter.name)
                arguments[parameter.name] = None if isinstance(value, str) else value
            else:
                if isinstance(raw, (list, tuple)) and any(isinstance(item, fx.Node) for item in raw):
                    data.append(parameter.name)
                arguments[parameter.name] = raw
        return arguments, tuple(data)


def _operator(node: fx.Node) -> str:
    """Name of the ATen operator that `node` calls, such as ``relu``; "" for other functions."""
    return str(node.target).partition(".")[2].partition(".")[0].removesuffix("_")


def _place(node: fx.Node) -> str:
    """Module path for a layer, the line of source for a function."""
    stack = node.meta.get("nn_module_stack") or {}
    path, owner = (list(stack.values()) or [("", None)])[-1]
    trace_lines = (node.meta.get("stack_trace") or "").strip().splitlines()
    line = trace_lines[-1].strip() if trace_lines else str(node.target)
    name = owner if isinstance(owner, str) else getattr(owner, "__module__", "")
    if path and str(name).startswith("torch.nn"):
        return path
    return f"{path}: {line}" if path else line


def compare(
    graph: Graph, module: Callable[[Tensor], Tensor], batch: int, sample_shape: tuple[int, ...], origin: str
) -> None:
    """The graph must compute what the module computes; a difference is a defect and never passes.

    Raises
    ------
    GraphError
    """
    x = torch.randn((batch, *sample_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, got = module(x.clone()), run(graph, x)
    scale = float(expected.abs().max()) + 1e-6
    if not torch.isfinite(expected).all():
        raise GraphError(f"{origin}: gives NaN or infinite outputs on random inputs; its weights are not usable")
    if got.shape != expected.shape or float((got - expected).abs().max()) > 1e-4 * scale:
        raise GraphError(
            f"{origin}: reading it changes what it computes (in-place operations on shared tensors are the usual "
            "cause); rewrite forward() without in-place operations"
        )
