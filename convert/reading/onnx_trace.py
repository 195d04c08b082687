"""trace_onnx(): an ONNX model to a Graph, checked against the reference evaluator of the onnx package.

Values on the data path are nodes of our graph; everything else is a constant and is computed while reading. Where
the file leaves the batch open, it is read at an odd size, so that an operation that moves or mixes the batch axis
shows itself in the shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto

from convert.errors import GraphError, InputShapeError, NonFiniteWeightError
from convert.graph.ir import Graph, Input, Node, Op
from convert.graph.readout import Head
from convert.graph.semantics import infer_shape
from convert.reading.activations import principal
from convert.reading.aten import OPERATORS, Chain, Refusal
from convert.reading.coverage import Coverage, check, describe_node
from convert.reading.onnx_compounds import spelled_out
from convert.reading.onnx_constants import Array, Budget, evaluate
from convert.reading.onnx_file import OnnxNetwork
from convert.reading.onnx_nodes import READ_OUT, ancestors, attributes, before_read_out, place, printable
from convert.reading.onnx_operators import TRANSLATORS
from convert.reading.onnx_step import Data, Step
from convert.reading.onnx_tensors import FLOATS, element_type
from convert.reading.onnx_verify import verify
from convert.reading.tracing import Traced

__all__ = ["trace_onnx"]

_BATCH = 10_007
"""A prime that no layer has by accident."""
_MOST_VALUES = 1 << 27
"""No network holds more activations for one sample (VGG-16 at 224 x 224 holds 2^24)."""
_ORDER_KEPT = "moved to the read-out: the order of classes is unchanged"
_POSITIVE = "moved to the read-out: above 0.5 means above 0 before it"
_WAYS_OUT = {
    "pad": "pads unevenly or on its own, which is not supported; use the same padding on both sides inside the layer",
    "permute": "moves values to other places (a layout change); keep channels first, and flatten without a transpose",
}


def trace_onnx(network: OnnxNetwork, shape: tuple[int, ...]) -> Traced:
    """The Graph of `network` for samples of `shape`.

    Raises
    ------
    UnsupportedOpError, NoNeuronError
        All offenders at once.
    CorruptFileError, GraphError
        Tensors that are not what they declare; a graph that computes something else than the file.
    """
    origin = str(network.source.path)
    walk = _Walk(network, shape)
    graph, output = walk.read()
    check(walk.rows, origin, has_neurons=graph is None or bool(graph.sites()))
    if graph is None:
        raise GraphError(f"{origin}: its output does not depend on its input; nothing to convert")
    note = verify(network, graph, walk.needed, output)
    heads = (Head("", graph[graph.output].shape, walk.readout),) if walk.readout != "identity" else ()
    return Traced(graph, tuple(walk.rows), notes=(note,) if note else (), heads=heads)


class _Walk:
    """One pass over the nodes that the output needs."""

    def __init__(self, network: OnnxNetwork, shape: tuple[int, ...]) -> None:
        self.network = network
        self.batch = network.dims[0] or _BATCH
        self.budget = Budget(network.source.path.stat().st_size)
        self.stored = {tensor.name: tensor for tensor in network.proto.graph.initializer}
        self.values: dict[str, Data | Array | None] = {network.input: Data("input", shape)}
        """ONNX name -> value; None behind something that was refused."""
        self.from_shapes: set[str] = set()
        self.nodes = [Node("input", Input(shape), (), shape, network.input)]
        self.rows: list[Coverage] = []
        self.activations = 0
        self.needed: list[NodeProto] = []
        self.readout = "identity"
        self._count(shape)

    def read(self) -> tuple[Graph | None, str]:
        """The graph, None where something was refused, and the ONNX name of its output."""
        graph = self.network.proto.graph
        output, dropped = before_read_out(graph.node, graph.output[0].name)
        self.needed = ancestors(graph.node, output)
        for node in spelled_out(self.needed, output, self._number, self.network.opset):
            self._visit(node)
        for node in dropped:
            self._drop(node, self.values.get(output))
        final = self.values.get(output)
        if not isinstance(final, Data) or any(row.fate == "refused" for row in self.rows):
            return None, output
        try:
            return Graph(tuple(self.nodes), final.node), output
        except NonFiniteWeightError as error:
            raise NonFiniteWeightError(f"{self.network.source.path}: {error}") from error

    def _visit(self, node: NodeProto) -> None:
        try:
            value = self._value(node)
        except Refusal as refusal:
            self._refuse(node, str(refusal))
            value = None
        for name in node.output:
            self.values[name] = None
        self.values[node.output[0]] = value

    def _value(self, node: NodeProto) -> Data | Array | None:
        if node.domain not in ("", "ai.onnx"):
            raise Refusal(
                f"belongs to {printable(node.domain)}, which is not standard ONNX; export with standard operators"
            )
        options = attributes(node)
        if node.op_type == "Constant":
            return self._literal(options)
        inputs = [self._input(name) for name in node.input]
        if any(name and value is None for name, value in zip(node.input, inputs, strict=True)):
            if node.op_type not in TRANSLATORS:  # refused on its own account as well
                raise _unknown(node)
            return None
        if node.op_type == "Shape" and isinstance(inputs[0], Data):
            self.from_shapes.add(node.output[0])
            full = np.array((self.batch, *inputs[0].shape), dtype=np.int64)
            return full[options.get("start", 0) : options.get("end")]
        if not any(isinstance(value, Data) for value in inputs):
            if self.from_shapes.intersection(node.input):
                self.from_shapes.add(node.output[0])
            return evaluate(node, [v for v in inputs if not isinstance(v, Data)], self.network.opset, self.budget)
        return self._operation(node, options, inputs)

    def _input(self, name: str) -> Data | Array | None:
        if name and name not in self.values and name in self.stored:
            self.values[name] = self.network.tensors.read(self.stored[name])
        return self.values.get(name) if name else None

    def _number(self, name: str) -> Array | None:
        """The single number that the file stores under `name`."""
        stored = self.stored.get(name)
        return None if stored is None or math.prod(stored.dims) != 1 else np.asarray(self._input(name))

    def _literal(self, options: dict[str, Any]) -> Array:
        for name in ("value_float", "value_floats", "value_int", "value_ints"):
            if name in options:
                return np.asarray(options[name], np.float32 if "float" in name else np.int64)
        if not isinstance(options.get("value"), TensorProto):
            raise Refusal("a constant that is text or sparse; only dense numbers can be converted")
        if options["value"].data_location == TensorProto.EXTERNAL:
            raise Refusal("a constant whose values lie in another file; export it as an initializer")
        return self.network.tensors.read(options["value"])

    def _operation(self, node: NodeProto, options: dict[str, Any], inputs: Sequence[Any]) -> Data:
        if node.op_type not in TRANSLATORS:
            raise _unknown(node)
        if self._used(node.output[1:]):
            raise Refusal("its second output is used, which has no counterpart here; use the first alone")
        if node.op_type == "Cast" and options["to"] not in FLOATS:
            raise Refusal(f"makes {element_type(options['to'])} values of the data, which rounds; remove it")
        shapes = frozenset(i for i, name in enumerate(node.input) if name in self.from_shapes)
        step = Step(node.op_type, options, tuple(inputs), self.batch, self.network.opset, shapes)
        calls = TRANSLATORS[node.op_type](step)
        ops: list[Op] = []
        for call in calls if isinstance(calls, tuple) else (calls,):
            if call.operator not in OPERATORS:
                raise Refusal(_WAYS_OUT.get(call.operator, "has no spiking counterpart here"))
            made = OPERATORS[call.operator](call)
            ops.extend(made if isinstance(made, Chain) else (made,))
        value = self._append(node, ops, tuple(v.node for v in inputs if isinstance(v, Data)))
        row = describe_node(place(node), options.get("title", b"").decode() or node.op_type, principal(ops))
        half = node.op_type == "Cast" and options["to"] in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
        rounding = f"computed in float32, without rounding to {element_type(options['to'])}" if half else ""
        self.rows.append(Coverage(row.place, row.op, row.fate, row.becomes, rounding) if half else row)
        return value

    def _append(self, node: NodeProto, ops: Sequence[Op], source: tuple[str, ...]) -> Data:
        made = {entry.name: entry.shape for entry in self.nodes if entry.name in source}
        shapes = [made[name] for name in source]
        shape: tuple[int, ...] = ()
        new: list[Node] = []
        for op in ops:
            title = f"{node.op_type.lower()}_{len(self.nodes) + len(new)}"
            try:
                shape = infer_shape(op, *shapes)
            except (GraphError, ZeroDivisionError, OverflowError, TypeError) as error:
                raise Refusal(f"does not fit its input: {error}; export the model again") from error
            self._count(shape, shapes[0], getattr(op, "padding", ()))
            new.append(Node(title, op, source, shape, place(node)))
            source, shapes = (title,), [shape]
        self.nodes.extend(new)
        return Data(source[0], shape)

    def _count(self, shape: tuple[int, ...], before: tuple[int, ...] = (), padding: tuple[int, ...] = ()) -> None:
        """Add up what the layers hold for one sample: their results, and their inputs where those are padded."""
        padded = [size + 2 * pad for size, pad in zip(before[len(before) - len(padding) :], padding, strict=True)]
        self.activations += math.prod(shape) + (math.prod((before[0], *padded)) if any(padding) else 0)
        if self.activations > _MOST_VALUES or min(shape, default=1) < 1:
            raise InputShapeError(
                f"{self.network.source.path}: its layers hold {self.activations:,} values or more for one sample, or "
                f"one of them none ({shape}); expected at most {_MOST_VALUES:,}: name smaller samples, or export again"
            )

    def _drop(self, node: NodeProto, value: Data | Array | None) -> None:
        """A softmax or sigmoid at the very end becomes a part of the read-out."""
        self.readout = READ_OUT.get(node.op_type, self.readout)
        if node.op_type not in READ_OUT:
            self.rows.append(Coverage(place(node), node.op_type, "dropped", "nothing at inference"))
        elif node.op_type == "Sigmoid":
            self.rows.append(Coverage(place(node), node.op_type, "dropped", "read-out", _POSITIVE))
        elif isinstance(value, Data) and (len(value.shape) != 1 or attributes(node).get("axis", 1) not in (1, -1)):
            self._refuse(node, "is not taken over the classes alone; end with a vector of classes, or remove it")
        else:
            self.rows.append(Coverage(place(node), node.op_type, "dropped", "read-out", _ORDER_KEPT))

    def _refuse(self, node: NodeProto, why: str) -> None:
        self.rows.append(Coverage(place(node), printable(node.op_type), "refused", "", why))

    def _used(self, names: Sequence[str]) -> bool:
        return any(name and name in other.input for name in names for other in self.needed)


def _unknown(node: NodeProto) -> Refusal:
    return Refusal("has no spiking counterpart here; replace or remove it")
