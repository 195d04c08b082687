"""Synapses and wiring as NIR nodes, and what NIR has no node for."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.ir import Graph, Node

__all__ = ["Plan", "nir_library", "refused_wiring", "to_primitive"]


def nir_library() -> ModuleType:
    """The optional library `nir`.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        import nir
    except ImportError as error:
        raise ConfigError(
            "--nir: the library nir is not installed; expected nir 1.0.8 or later: pip install 'ann2spike[nir]'"
        ) from error
    return nir


@dataclass
class Plan:
    """NIR nodes by name, and edges; several edges into a node add up."""

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]

    def add(self, name: str, node: Any, sources: tuple[str, ...]) -> None:
        """Add `node`, fed by the sum of `sources`."""
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]


def refused_wiring(graph: Graph, node: Node) -> str:
    """Why NIR has no node for `node`; empty where it has one."""
    op = node.op
    shape = graph[node.inputs[0]].shape if node.inputs else ()
    if isinstance(op, ir.MaxPool):
        return "max pooling of accumulated drive"
    if isinstance(op, ir.RUNNING):
        name = {ir.Softmax: "softmax", ir.LayerNorm: "layer norm", ir.MatMul: "product of two inputs"}[type(op)]
        return f"a {name} of running means, a floating-point function at run time"
    if isinstance(op, ir.Concat):
        return "concatenation"
    if isinstance(op, ir.Linear) and len(shape) != 1:
        return f"a linear map of samples of shape {shape}, NIR's takes vectors"
    if isinstance(op, ir.Reshape) and len(op.shape) != 1 and op.shape != shape:
        return f"a reshape from {shape} to {op.shape}, NIR's flattens"
    if isinstance(op, ir.Affine) and bool((op.shift != 0).any()):
        return "an elementwise shift"
    if isinstance(op, ir.Add) and len(set(node.inputs)) < len(node.inputs):
        return "a value added to itself, NIR's edges are not repeated"
    return _refused_pooling(op)


def _refused_pooling(op: ir.Op) -> str:
    if isinstance(op, ir.AdaptiveAvgPool):
        return "adaptive pooling with unequal windows"
    if not isinstance(op, ir.AvgPool):
        return ""
    if len(op.kernel) != 2:
        return "average pooling in one dimension"
    plain = op.divisor in (None, 1) and (op.count_include_pad or not any(op.padding))
    return "" if plain and not op.ceil_mode else "average pooling with windows of unequal weight"


def to_primitive(graph: Graph, node: Node, drive: tuple[float, float], dtype: npt.DTypeLike, nir: ModuleType) -> Any:
    """The NIR node of a weighted layer, a gain, a pooling or a flatten.

    Parameters
    ----------
    drive : (gain, shift)
        A weighted layer gives gain * (W x + b + shift).
    """
    op, (gain, shift) = node.op, drive
    before = graph[node.inputs[0]].shape

    def array(tensor: Tensor) -> npt.NDArray[Any]:
        return np.ascontiguousarray(tensor.double().numpy().astype(dtype))

    if isinstance(op, (ir.Linear, ir.Conv)):
        bias = op.weight.new_zeros(op.weight.shape[0]) if op.bias is None else op.bias
        parts = array(op.weight.double() * gain), array((bias.double() + shift) * gain)
        return nir.Affine(*parts) if isinstance(op, ir.Linear) else _convolution(op, before, *parts, nir)
    if isinstance(op, ir.Affine):
        return nir.Scale(array(op.scale.expand(node.shape)))
    if isinstance(op, ir.AvgPool):
        pool = nir.SumPool2d if op.divisor == 1 else nir.AvgPool2d
        return pool(np.array(op.kernel), np.array(op.stride), np.array(op.padding))
    if isinstance(op, ir.Reshape):
        return nir.Flatten({"input": np.array(before)}, start_dim=0, end_dim=-1)
    raise TypeError(f"{type(op).__name__} has no NIR node")  # refused_wiring() came first


def _convolution(
    op: ir.Conv, before: tuple[int, ...], weight: npt.NDArray[Any], bias: npt.NDArray[Any], nir: ModuleType
) -> Any:
    if op.groups > 1:  # NIR's own shape check takes the channels of one group for all of them
        weight = _dense(weight, op.groups)
    if len(before) == 2:
        return nir.Conv1d(before[1], weight, op.stride[0], op.padding[0], op.dilation[0], 1, bias)
    return nir.Conv2d(before[1:], weight, op.stride, op.padding, op.dilation, 1, bias)


def _dense(weight: npt.NDArray[Any], groups: int) -> npt.NDArray[Any]:
    """The weights of a grouped convolution as those of a plain one, zero between groups."""
    outs, ins = weight.shape[0] // groups, weight.shape[1]
    dense = np.zeros((weight.shape[0], ins * groups, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outs, (group + 1) * outs)
        dense[rows, group * ins : (group + 1) * ins] = weight[rows]
    return dense
