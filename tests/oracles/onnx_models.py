"""ONNX models written by hand with `onnx.helper`, so that no exporter stands between a network and its file."""

from __future__ import annotations

from typing import Any

from torch import nn


def by_hand(module: nn.Sequential, shape: tuple[int, ...]) -> bytes:
    """The layers of `module`, one node for each."""
    from onnx import helper, numpy_helper

    nodes: list[Any] = []
    stored: list[Any] = []
    name = "x"
    for i, layer in enumerate(module):
        out = f"v{i}" if i < len(module) - 1 else "y"
        op, options, weights = _node(layer)
        inputs = [f"{i}.{kind}" for kind in weights]
        arrays = [getattr(layer, kind).detach().numpy() for kind in weights]
        stored += [numpy_helper.from_array(array, title) for array, title in zip(arrays, inputs, strict=True)]
        nodes.append(helper.make_node(op, [name, *inputs], [out], **options))
        name = out
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, ("N", *shape))], [info("y", 1, None)], stored)
    imports = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


def _node(layer: nn.Module) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Operator, attributes and names of the weights."""
    if isinstance(layer, nn.Linear):
        return "Gemm", {"transB": 1}, ("weight", "bias")
    if isinstance(layer, nn.Conv2d):
        options = {"pads": [*layer.padding] * 2, "strides": [*layer.stride]}
        return "Conv", options, ("weight",) if layer.bias is None else ("weight", "bias")
    if isinstance(layer, nn.BatchNorm2d):
        return "BatchNormalization", {"epsilon": layer.eps}, ("weight", "bias", "running_mean", "running_var")
    if isinstance(layer, nn.AvgPool2d):
        return "AveragePool", {"kernel_shape": [layer.kernel_size] * 2, "strides": [layer.stride] * 2}, ()
    names = {nn.ReLU: "Relu", nn.Flatten: "Flatten", nn.Dropout: "Identity"}
    return names[type(layer)], {}, ()
