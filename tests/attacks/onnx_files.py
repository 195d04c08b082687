"""ONNX files that try to harm, and the honest one that they start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.attacks.builders import Builder


def network() -> ModelProto:
    """Conv, Relu, a flatten through a computed shape, Gemm."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((2, 1, 3, 3)), "v": rng.standard_normal((18, 3)), "b": np.zeros(3)}
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    stored += [numpy_helper.from_array(np.array([0]), "zero"), numpy_helper.from_array(np.array([-1]), "rest")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="first"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Shape", ["r"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Concat", ["n", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["r", "t"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "b"], ["y"]),
    ]
    return model(nodes, stored, ("N", 1, 5, 5))


def model(nodes: list[NodeProto], stored: list[TensorProto], shape: tuple[Any, ...]) -> ModelProto:
    """A model of one input x of that shape and one output y."""
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], stored)  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def external(tmp_path: Path, location: str, **entries: Any) -> tuple[ModelProto, Path]:
    """A model in a folder of its own, with values in `location`; and secret.bin above the folder."""
    made = network()
    tensor = made.graph.initializer[1]
    values = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    for place in (folder / "data.bin", tmp_path / "secret.bin"):
        place.write_bytes(b"\0" * 8 + values)
    return made, folder / "m"


def _of(make: Callable[[], ModelProto], *options: str) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        (folder / "m.onnx").write_bytes(make().SerializeToString())
        return ["m.onnx", *options]

    return build


def _layers(*layers: tuple[str, dict[str, Any]], shape: tuple[Any, ...] = ("N", 1, 5, 5), **stored: Any) -> Builder:
    """A chain of operations behind a Relu; `stored` are more inputs of the operation of that name."""

    def make() -> ModelProto:
        nodes, name = [helper.make_node("Relu", ["x"], ["n0"])], "n0"
        for i, (op, options) in enumerate(layers):
            more = [key for key in stored if key.startswith(op)]
            nodes.append(helper.make_node(op, [name, *more], [f"n{i + 1}"], **options))
            name = f"n{i + 1}"
        nodes.append(helper.make_node("Identity", [name], ["y"]))
        return model(nodes, [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()], shape)

    return _of(make)


def _declared(dims: list[int]) -> Builder:
    def make() -> ModelProto:
        made = network()
        made.graph.initializer[1].dims[:] = dims
        return made

    return _of(make)


def _elsewhere(location: str, **entries: Any) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        made, path = external(folder, location, **entries)
        path.write_bytes(made.SerializeToString())
        return [str(path.relative_to(folder))]

    return build


def _not_finite() -> ModelProto:
    made = network()
    made.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full((18, 3), np.nan, np.float32), "v"))
    return made


def _doubled() -> ModelProto:
    nodes, name = [helper.make_node("Relu", ["x"], ["n0"])], "n0"
    for i in range(60):
        nodes.append(helper.make_node("Concat", [name, name], [f"n{i + 1}"], axis=1))
        name = f"n{i + 1}"
    return model([*nodes, helper.make_node("Identity", [name], ["y"])], [], ("N", 4))


WIDE = np.array([0, 0, 2**20, 2**20] * 2)

MODELS: dict[str, Builder] = {
    "onnx: 2^40 declared values": _declared([2**40, 3]),
    "onnx: negative sizes": _declared([-1, 3]),
    "onnx: an input of 2^40": _of(lambda: model([helper.make_node("Relu", ["x"], ["y"])], [], ("N", 2**20, 2**20))),
    "onnx: doubled sixty times": _of(_doubled),
    "onnx: a border of 2^20": _layers(("Pad", {}), Pad_amounts=WIDE),
    "onnx: a border of ones of 2^20": _layers(("Pad", {}), Pad_amounts=WIDE, Pad_value=np.float32(1)),
    "onnx: enlarged by 10^5": _layers(
        ("Resize", {"mode": "nearest"}), Resize_roi=np.zeros(0, np.float32),
        Resize_scales=np.array([1, 1, 1e5, 1e5], np.float32)),
    "onnx: expanded": _layers(("Expand", {}), Expand_shape=np.array([1, 1, 2**20, 2**20])),
    "onnx: a pool beyond its input": _layers(("MaxPool", {"kernel_shape": [2**20] * 2, "pads": [2**19] * 4})),
    "onnx: weights that are NaN": _of(_not_finite),
    "onnx: values above the folder": _elsewhere("../secret.bin", offset=8, length=216),
    "onnx: values in /etc": _elsewhere("/etc/hostname"),
    "onnx: values that are not there": _elsewhere("data.bin", offset=2**40, length=216),
}  # fmt: skip
"""Name -> builder."""
