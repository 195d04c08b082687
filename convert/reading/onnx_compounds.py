"""spelled_out(): ONNX nodes that together are one activation, as one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from convert.reading.compounds import Part, chains, grid, recognised
from convert.reading.onnx_constants import Array
from convert.reading.onnx_nodes import ancestors

__all__ = ["SPELLED_OUT", "spelled_out"]

SPELLED_OUT = "SpelledOut"
"""Type of a node that stands for several; its attributes are an ATen operator and its arguments."""

_ELEMENTWISE = frozenset((
    "Abs", "Add", "Cast", "Div", "Erf", "Exp", "Greater", "GreaterOrEqual", "HardSigmoid", "Less", "LessOrEqual",
    "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Relu", "Sigmoid", "Sign", "Softplus", "Sqrt", "Sub",
    "Tanh", "Where",
))  # fmt: skip
_MOST_TRIED = 1000
"""Parts that are compared at most: a file cannot make reading slow."""


def spelled_out(
    nodes: Sequence[NodeProto], output: str, constant: Callable[[str], Array | None], opset: int
) -> list[NodeProto]:
    """`nodes` with every group that is an activation replaced by one node of type `SPELLED_OUT`.

    Parameters
    ----------
    constant : callable
        The value of a name that does not depend on the data, or None.
    """
    made_by = {node.output[0]: node for node in nodes if len(node.output) == 1}
    stored = {name for node in nodes for name in node.input if name and name not in made_by}
    numbers = {name: value for name in stored if (value := constant(name)) is not None and value.size == 1}
    numbers |= {name: value for name, node in made_by.items() if (value := _literal(node)) is not None}
    inputs: dict[str, list[str]] = {}
    for name, node in made_by.items():
        if node.op_type in _ELEMENTWISE and node.domain in ("", "ai.onnx") and all(node.input):
            data = [i for i in node.input if i not in numbers]
            if data:
                inputs[name] = data
    replaced: dict[str, NodeProto] = {}
    inside: set[str] = set()
    for part in islice(chains(inputs), _MOST_TRIED):
        if inside.intersection(part.names):
            continue
        found = recognised(values) if (values := _computed(part, made_by, numbers, opset)) is not None else None
        if found is not None:
            operator, arguments = found
            inside.update(part.names)
            last = made_by[part.names[-1]]
            given: dict[str, Any] = {"operator": operator, **arguments}
            given["title"] = ", ".join(made_by[name].op_type for name in part.names)
            replaced[last.output[0]] = helper.make_node(
                SPELLED_OUT, [part.source], [last.output[0]], name=last.name, **given
            )
    merged = [replaced.get(node.output[0], node) if node.output else node for node in nodes]
    return ancestors(merged, output) if replaced else list(nodes)


def _literal(node: NodeProto) -> Array | None:
    """The single number that a Constant node holds."""
    if node.op_type != "Constant" or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name in ("value_float", "value_int"):
        return np.asarray(helper.get_attribute_value(attribute), np.float32)
    plain = attribute.name == "value" and attribute.t.data_location != TensorProto.EXTERNAL
    if not plain or any(n != 1 for n in attribute.t.dims):
        return None
    try:
        return numpy_helper.to_array(attribute.t)
    except (ValueError, TypeError):  # a damaged literal is refused where it is read
        return None


def _computed(part: Part, made_by: dict[str, NodeProto], numbers: dict[str, Array], opset: int) -> torch.Tensor | None:
    """The part on the grid, by the reference evaluator."""
    nodes = [made_by[name] for name in part.names]
    needed = {name for node in nodes for name in node.input if name in numbers}
    stored = [numpy_helper.from_array(np.asarray(numbers[name]).reshape(()), name) for name in sorted(needed)]
    info: Any = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "part", [info(part.source, TensorProto.FLOAT, None)],
                              [info(part.names[-1], TensorProto.FLOAT, None)], stored)  # fmt: skip
    try:
        with np.errstate(all="ignore"):
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
            (values,) = ReferenceEvaluator(model).run(None, {part.source: grid().numpy()})
    except Exception:  # the evaluator raises whatever numpy does; then it is no activation of ours
        return None
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
