"""verify(): the Graph must compute what the file means, as told by `onnx.reference`, an implementation of its own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from convert.errors import GraphError
from convert.graph import ir
from convert.graph.ir import Graph
from convert.graph.semantics import run
from convert.reading.calls import MOST_VALUES
from convert.reading.onnx_file import OnnxNetwork
from convert.reading.onnx_tensors import FLOATS
from convert.reading.probes import TOLERANCE, by_size, probes

__all__ = ["verify"]

_SECONDS = 10.0
_PRODUCTS_PER_SECOND = 1e9
_WINDOWS_PER_SECOND = 1e5
_COPIES_PER_SECOND = 2e7
"""What the reference, written in Python for clarity, does on one core; copies count for their memory as well."""


def verify(network: OnnxNetwork, graph: Graph, nodes: Sequence[NodeProto], output: str) -> str:
    """Compare `graph` with the reference on random samples.

    Returns
    -------
    str
        Empty, or the reason why the comparison was left out.

    Raises
    ------
    GraphError
        They differ by more than 1e-4 of the largest output, or the reference cannot compute the file.
    """
    origin = str(network.source.path)
    batch = network.dims[0] or 3
    if (seconds := batch * _seconds(graph)) > _SECONDS:
        return (f"{origin}: not compared with the ONNX reference evaluator, which would take about {seconds:,.0f} s "
                f"(limit {_SECONDS:.0f} s).")  # fmt: skip
    if (held := batch * sum(math.prod(node.shape) for node in graph)) > MOST_VALUES:
        return (f"{origin}: not compared with the ONNX reference evaluator, which would hold {held:,} values for the "
                f"batch of {batch:,} that the file fixes (limit {MOST_VALUES:,}).")  # fmt: skip
    x, sizes = probes(batch, graph.input.shape, largest=10.0)
    expected = torch.from_numpy(_reference(network, nodes, output, x.numpy()))
    try:
        got = run(graph, x)
    except (RuntimeError, ValueError, IndexError) as error:
        raise _different(origin, str(error).splitlines()[0]) from error
    if not torch.isfinite(expected).all():
        raise GraphError(
            f"{origin}: gives NaN or infinite outputs on random inputs; expected finite ones: its weights are not "
            "usable, save an earlier checkpoint"
        )
    if got.shape != expected.shape:
        raise _different(origin, f"outputs {tuple(got.shape)}, not {tuple(expected.shape)}")
    for _, worst, scale in by_size(expected, got, sizes):
        if worst > TOLERANCE * scale:
            raise _different(origin, f"outputs differ by {worst:.2g} where the largest is {scale:.2g}")
    return ""


def _different(origin: str, what: str) -> GraphError:
    return GraphError(
        f"{origin}: reading it does not give what the ONNX reference evaluator gives ({what}); expected the same "
        "within 1e-4: an operation that mixes the batch is the usual cause; export with a dynamic batch axis"
    )


def _reference(
    network: OnnxNetwork, nodes: Sequence[NodeProto], output: str, x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    model = _float32_model(network, nodes, output)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (value,) = ReferenceEvaluator(model).run(None, {network.input: x})
    except Exception as error:  # the evaluator raises whatever numpy does
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _different(str(network.source.path), f"it stops: {reason[:200]}") from error
    return np.ascontiguousarray(value, dtype=np.float32)


def _float32_model(network: OnnxNetwork, nodes: Sequence[NodeProto], output: str) -> ModelProto:
    """The part of the file that makes `output`, with every floating-point value in float32."""
    needed = {name for node in nodes for name in node.input}
    weights = [numpy_helper.from_array(network.tensors.read(tensor), tensor.name)
               for tensor in network.proto.graph.initializer if tensor.name in needed]  # fmt: skip
    inputs = [helper.make_tensor_value_info(network.input, TensorProto.FLOAT, None)]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    graph = helper.make_graph([_in_float32(node, network) for node in nodes], "part", inputs, outputs, weights)
    imports = [helper.make_opsetid("", network.opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=network.proto.ir_version)


def _in_float32(node: NodeProto, network: OnnxNetwork) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in FLOATS:
            attribute.i = TensorProto.FLOAT
        if node.op_type == "Constant" and attribute.name == "value":
            attribute.t.CopyFrom(numpy_helper.from_array(network.tensors.read(attribute.t)))
    return copy


def _seconds(graph: Graph) -> float:
    """Roughly what the reference needs for one sample; values that it copies stand for memory as well."""
    return sum(
        _products(node.op, node.shape) / _PRODUCTS_PER_SECOND
        + _windows(node.op, node.shape) / _WINDOWS_PER_SECOND
        + _copies(node.op, graph[node.inputs[0]].shape if node.inputs else (), node.shape) / _COPIES_PER_SECOND
        for node in graph
    )


def _products(op: Any, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * (op.weight[0].numel() if isinstance(op, ir.WEIGHTED) else 1)


def _windows(op: Any, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * (1 + math.prod(op.kernel) // 100) if isinstance(op, (ir.AvgPool, ir.MaxPool)) else 0


def _copies(op: Any, before: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The padded input, and for a convolution the patch under each output."""
    if not isinstance(op, (ir.Conv, ir.AvgPool, ir.MaxPool)):
        return 0
    padded = math.prod(size + 2 * pad for size, pad in zip(before[1:], op.padding, strict=True)) * before[0]
    return padded + (math.prod(shape[1:]) * op.weight[0].numel() if isinstance(op, ir.Conv) else 0)
