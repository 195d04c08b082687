"""Every ONNX operator that we read, against the reference evaluator; every refusal, by name."""

from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from convert.errors import ConvertError, InputShapeError, LoadError, NoNeuronError, UnsupportedOpError  # noqa: E402
from convert.graph import ir  # noqa: E402
from convert.graph.semantics import run  # noqa: E402
from convert.reading.aten import OPERATORS  # noqa: E402
from convert.reading.models import open_model  # noqa: E402

_rng = np.random.default_rng(0)


def floats(*shape):
    return _rng.standard_normal(shape).astype(np.float32)


def node(op, *inputs, out="y", **attributes):
    return helper.make_node(op, list(inputs), [out], **attributes)


def model(nodes, weights=None, shape=("N", 6), opset=20, output="y", dtype=TensorProto.FLOAT):
    """A model whose first operation is a tanh h, so that there is a neuron and both signs reach what is tested."""
    first = helper.make_node("Tanh", ["x"], ["h"])
    graph = helper.make_graph(
        [first, *nodes], "g", [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(output, dtype, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def read(made, tmp_path: Path, shape):
    path = tmp_path / "model.bin"  # told from its content
    path.write_bytes(made.SerializeToString())
    return open_model(path).traced(shape)


IMAGE = ("N", 2, 7, 6)
SIGNAL = ("N", 2, 9)
ACTIVATIONS = {
    "sigmoid": [node("Sigmoid", "h", out="a"), node("Add", "a", "h")],
    "hard sigmoid": [node("HardSigmoid", "h", alpha=0.9, beta=0.3)],
    "leaky relu": [node("LeakyRelu", "h", alpha=0.1)], "prelu": [node("PRelu", "h", "s")],
    "one slope": [node("PRelu", "h", "one")], "elu": [node("Elu", "h", alpha=0.8)], "selu": [node("Selu", "h")],
    "celu": [node("Celu", "h", alpha=1.5)], "softplus": [node("Softplus", "h")], "softsign": [node("Softsign", "h")],
    "gelu": [node("Gelu", "h")], "gelu tanh": [node("Gelu", "h", approximate="tanh")],
    "hard swish": [node("HardSwish", "h")], "mish": [node("Mish", "h")],
    "hard shrink": [node("Shrink", "h", lambd=0.2)], "soft shrink": [node("Shrink", "h", lambd=0.2, bias=0.2)],
}  # fmt: skip
AXES = np.array([2, 3], np.int64)
CASES = {
    "gemm": ([node("Gemm", "h", "w", "b")], {"w": floats(6, 4), "b": floats(4)}, ("N", 6)),
    "gemm transB": ([node("Gemm", "h", "w", "b", transB=1)], {"w": floats(4, 6), "b": floats(1, 4)}, ("N", 6)),
    "gemm alpha beta": ([node("Gemm", "h", "w", "b", alpha=0.5, beta=3.0)], {"w": floats(6, 4), "b": floats(1)},
                        ("N", 6)),
    "gemm without bias": ([node("Gemm", "h", "w", alpha=2.0)], {"w": floats(6, 4)}, ("N", 6)),
    "matmul add": ([node("MatMul", "h", "w", out="m"), node("Add", "m", "b")], {"w": floats(6, 4), "b": floats(4)},
                   ("N", 6)),
    "matmul on the last axis": ([node("MatMul", "h", "w")], {"w": floats(9, 4)}, SIGNAL),
    "conv2d": ([node("Conv", "h", "w", "b", pads=[1, 2, 1, 2], strides=[2, 1], dilations=[1, 2])],
               {"w": floats(4, 2, 3, 3), "b": floats(4)}, IMAGE),
    "conv2d grouped": ([node("Conv", "h", "w", group=2)], {"w": floats(4, 1, 2, 3)}, IMAGE),
    "conv1d": ([node("Conv", "h", "w", "b", pads=[1, 1], strides=[2], dilations=[2])],
               {"w": floats(3, 2, 2), "b": floats(3)}, SIGNAL),
    "conv same": ([node("Conv", "h", "w", auto_pad="SAME_UPPER")], {"w": floats(3, 2, 3, 5)}, IMAGE),
    "conv same lower, strided": ([node("Conv", "h", "w", auto_pad="SAME_LOWER", strides=[2])], {"w": floats(3, 2, 3)},
                                 SIGNAL),
    "conv valid": ([node("Conv", "h", "w", auto_pad="VALID")], {"w": floats(3, 2, 3, 3)}, IMAGE),
    "batch norm": ([node("BatchNormalization", "h", "s", "b", "m", "v", epsilon=0.1)],
                   {"s": floats(2), "b": floats(2), "m": floats(2), "v": np.abs(floats(2))}, IMAGE),
    "batch norm of features": ([node("BatchNormalization", "h", "s", "b", "m", "v")],
                               {"s": floats(6), "b": floats(6), "m": floats(6), "v": np.abs(floats(6))}, ("N", 6)),
    "relu": ([node("Relu", "h")], {}, IMAGE),
    "clip by inputs": ([node("Clip", "h", "low", "high")], {"low": np.float32(0), "high": np.float32(0.5)}, IMAGE),
    "clip open above": ([node("Clip", "h", "low")], {"low": np.float32(0)}, IMAGE),
    "clip as hard tanh": ([node("Clip", "h", "low", "high")], {"low": np.float32(-0.3), "high": np.float32(0.3)},
                          ("N", 6)),
    "tanh": ([node("Tanh", "h")], {}, IMAGE),
    "average pool": ([node("AveragePool", "h", kernel_shape=[2, 3], strides=[2, 1])], {}, IMAGE),
    "average pool without its padding": ([node("AveragePool", "h", kernel_shape=[3, 3], pads=[1] * 4)], {}, IMAGE),
    "average pool with its padding": ([node("AveragePool", "h", kernel_shape=[3, 3], pads=[1] * 4,
                                            count_include_pad=1)], {}, IMAGE),
    "average pool to the ceiling": ([node("AveragePool", "h", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {},
                                    IMAGE),
    "average pool to the ceiling with its padding": ([node("AveragePool", "h", kernel_shape=[3, 3], strides=[2, 2],
                                                           pads=[1] * 4, ceil_mode=1, count_include_pad=1)], {}, IMAGE),
    "average pool 1d": ([node("AveragePool", "h", kernel_shape=[3], strides=[2])], {}, SIGNAL),
    "max pool": ([node("MaxPool", "h", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {}, IMAGE),
    "max pool padded and dilated": ([node("MaxPool", "h", kernel_shape=[3, 2], pads=[1] * 4, dilations=[2, 1])], {},
                                    IMAGE),
    "max pool 1d": ([node("MaxPool", "h", kernel_shape=[3], strides=[3])], {}, SIGNAL),
    "global average pool": ([node("GlobalAveragePool", "h")], {}, IMAGE),
    "global average pool 1d": ([node("GlobalAveragePool", "h")], {}, SIGNAL),
    "global max pool": ([node("GlobalMaxPool", "h")], {}, IMAGE),
    "add residual": ([node("Relu", "h", out="r"), node("Add", "h", "r")], {}, IMAGE),
    "add twice the same": ([node("Add", "h", "h")], {}, IMAGE),
    "add constant": ([node("Add", "c", "h")], {"c": floats(2, 1, 1)}, IMAGE),
    "sub constant": ([node("Sub", "h", "c")], {"c": floats(1, 2, 1, 1)}, IMAGE),
    "sub from constant": ([node("Sub", "c", "h")], {"c": floats(6)}, ("N", 6)),
    "mul": ([node("Mul", "h", "c")], {"c": np.float32(3)}, IMAGE),
    "div": ([node("Div", "h", "c")], {"c": np.abs(floats(6)) + 1}, ("N", 6)),
    "concat": ([node("Relu", "h", out="r"), node("Concat", "h", "r", axis=1)], {}, IMAGE),
    "concat from behind": ([node("Relu", "h", out="r"), node("Concat", "h", "r", axis=-1)], {}, IMAGE),
    "flatten": ([node("Flatten", "h")], {}, IMAGE),
    "flatten from behind": ([node("Flatten", "h", axis=-3)], {}, IMAGE),
    "reshape": ([node("Reshape", "h", "s")], {"s": np.array([-1, 7, 12])}, IMAGE),
    "reshape copying": ([node("Reshape", "h", "s")], {"s": np.array([0, 0, -1])}, IMAGE),
    "reshape by a computed shape": (
        [node("Shape", "h", out="s"), node("Gather", "s", "zero", out="n", axis=0), node("Concat", "n", "rest", out="t",
         axis=0), node("Reshape", "h", "t")], {"zero": np.array([0]), "rest": np.array([-1])}, IMAGE),
    "squeeze": ([node("Squeeze", "h", "a")], {"a": np.array([2])}, ("N", 6, 1)),
    "squeeze all": ([node("Squeeze", "h")], {}, ("N", 6, 1)),
    "unsqueeze": ([node("Unsqueeze", "h", "a")], {"a": np.array([1, -1])}, ("N", 6)),
    "reduce mean": ([node("ReduceMean", "h", "a", keepdims=0)], {"a": AXES}, IMAGE),
    "reduce mean of channels": ([node("ReduceMean", "h", "a")], {"a": np.array([1])}, IMAGE),
    "reduce mean keeping axes": ([node("ReduceMean", "h", "a")], {"a": AXES}, IMAGE),
    "transpose that moves nothing": ([node("Transpose", "h", perm=[0, 2, 3, 1])], {}, ("N", 1, 7, 6)),
    "transposed weight": ([node("Transpose", "w", out="t", perm=[1, 0]), node("MatMul", "h", "t")],
                          {"w": floats(4, 6)}, ("N", 6)),
    "identity": ([node("Identity", "h")], {}, IMAGE),
    "dropout": ([node("Dropout", "h")], {}, IMAGE),
    "cast": ([node("Cast", "h", to=TensorProto.FLOAT)], {}, IMAGE),
    "constants": ([node("Constant", out="c", value_float=2.0), node("Constant", out="d", value_floats=[1.0] * 6),
                   node("Constant", out="e", value=numpy_helper.from_array(floats(6))), node("Mul", "h", "c", out="m"),
                   node("Add", "m", "d", out="n"), node("Sub", "n", "e")], {}, ("N", 6)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_operator_means_what_the_reference_says(case, tmp_path):
    nodes, weights, declared = CASES[case]
    made, shape = model(nodes, weights, declared), tuple(declared[1:])
    graph = read(made, tmp_path, shape).graph
    x = torch.from_numpy(floats(3, *shape))
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x.numpy()})
    torch.testing.assert_close(run(graph, x), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


def test_attributes_of_older_operator_sets(tmp_path):
    nodes = [
        node("Clip", "h", out="c", min=0.0, max=0.5), node("Unsqueeze", "c", out="u", axes=[1]),
        node("Squeeze", "u", out="s", axes=[1]), node("ReduceMean", "s", out="m", axes=[2, 3], keepdims=0),
        node("Dropout", "m", ratio=0.5),
    ]  # fmt: skip
    made = model(nodes, {}, IMAGE, opset=10)
    graph = read(made, tmp_path, (2, 7, 6)).graph
    x = torch.from_numpy(floats(3, 2, 7, 6))
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x.numpy()})
    torch.testing.assert_close(run(graph, x), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch", ["N", 1, 4, None])
def test_batch_axis_open_or_fixed(batch, tmp_path):
    size = batch if isinstance(batch, int) else -1
    made = model([node("Reshape", "h", "s")], {"s": np.array([size, 12])}, (batch, 3, 4))
    assert read(made, tmp_path, (3, 4)).graph["reshape_2"].shape == (12,)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16])
def test_other_float_types_are_computed_in_float32(kind, tmp_path):
    weight = helper.make_tensor("w", kind, (6, 4), [0.25 * i for i in range(24)])
    made = model([node("Gemm", "c", "w", out="g"), node("Cast", "g", to=TensorProto.FLOAT)], {}, dtype=kind)
    made.graph.initializer.append(weight)
    made.graph.node.insert(1, node("Cast", "h", out="c", to=kind))
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    traced = read(made, tmp_path, (6,))
    gemm = next(n for n in traced.graph if isinstance(n.op, ir.Linear))
    assert gemm.op.weight.dtype == torch.float32
    assert gemm.op.weight[0, 1] == 1.0
    cast = [row.why for row in traced.coverage if row.op == "Cast"]
    assert ("without rounding" in cast[0]) == (kind != TensorProto.DOUBLE)


@pytest.mark.parametrize("case", ACTIVATIONS)
@pytest.mark.parametrize("declared", [("N", 6), IMAGE], ids=["flat", "image"])
def test_every_activation_against_the_reference(case, declared, tmp_path):
    slopes = np.array([0.3, -0.4], np.float32).reshape(2, 1, 1) if len(declared) == 4 else floats(6)
    made = model(ACTIVATIONS[case], {"s": slopes, "one": np.array([0.2], np.float32)}, declared)
    x = 3 * floats(3, *declared[1:])
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x})
    traced = read(made, tmp_path, declared[1:])
    torch.testing.assert_close(run(traced.graph, torch.from_numpy(x)), torch.from_numpy(expected), atol=2e-5, rtol=1e-5)
    assert len(traced.graph.sites()) == 2


def test_a_sigmoid_at_the_end_moves_to_the_read_out(tmp_path):
    made = model([node("Gemm", "h", "w", out="z"), node("Sigmoid", "z")], {"w": floats(6, 4)})
    traced = read(made, tmp_path, (6,))
    assert isinstance(traced.graph[traced.graph.output].op, ir.Linear)
    assert traced.heads[0].readout == "sigmoid"
    assert traced.coverage[-1].fate == "dropped"


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax_at_the_end_moves_to_the_read_out(op, tmp_path):
    made = model([node("Gemm", "h", "w", out="z"), node(op, "z", out="p", axis=-1), node("Identity", "p")],
                 {"w": floats(6, 4)})  # fmt: skip
    traced = read(made, tmp_path, (6,))
    assert isinstance(traced.graph[traced.graph.output].op, ir.Linear)
    row = next(row for row in traced.coverage if row.op == op)
    assert (row.fate, row.why) == ("dropped", "moved to the read-out: the order of classes is unchanged")


REFUSED = {
    "softmax inside": ([node("Softmax", "h", out="s"), node("Relu", "s")], {}, ("N", 6), "Softmax"),
    "softmax over places": ([node("Softmax", "h", axis=1)], {}, IMAGE, "classes alone"),
    "softmax over the batch": ([node("Softmax", "h", axis=0)], {}, ("N", 6), "classes alone"),
    "erf": ([node("Erf", "h")], {}, ("N", 6), "Erf"),
    "thresholded relu": ([node("ThresholdedRelu", "h")], {}, ("N", 6), "use Relu"),
    "shrink of another bias": ([node("Shrink", "h", lambd=0.5, bias=0.2)], {}, ("N", 6), "soft or hard"),
    "prelu along places": ([node("PRelu", "h", "s")], {"s": floats(6)}, IMAGE, "one for each channel"),
    "gemm of the transposed": ([node("Gemm", "h", "w", transA=1)], {"w": floats(6, 4)}, (6, 6), "transA"),
    "gemm with a bias per sample": ([node("Gemm", "h", "w", "b")], {"w": floats(6, 4), "b": floats(3, 4)}, (3, 6),
                                    "bias"),
    "matmul of data": ([node("MatMul", "h", "h")], {}, ("N", 6, 6), "two data paths"),
    "matmul from the left": ([node("MatMul", "w", "h")], {"w": floats(4, 6)}, ("N", 6, 6), "first input"),
    "mul of data": ([node("Mul", "h", "h")], {}, ("N", 6), "two data paths"),
    "sub of data": ([node("Sub", "h", "h")], {}, ("N", 6), "difference"),
    "div of a constant by data": ([node("Div", "c", "h")], {"c": floats(6)}, ("N", 6), "division"),
    "add of different shapes": ([node("GlobalAveragePool", "h", out="g"), node("Add", "h", "g")], {}, IMAGE,
                                "equal shapes"),
    "add of a larger constant": ([node("Add", "h", "c")], {"c": floats(5, 6)}, ("N", 6), "same shape"),
    "add of a constant per sample": ([node("Add", "h", "c")], {"c": floats(3, 6)}, (3, 6), "same shape"),
    "clip elsewhere": ([node("Clip", "h", "a", "b")], {"a": np.float32(-1), "b": np.float32(2)}, ("N", 6), "no neuron"),
    "batch norm in training": ([helper.make_node("BatchNormalization", ["h", "s", "s", "s", "s"], ["y", "m", "v"],
                                                 training_mode=1)], {"s": np.ones(2, np.float32)}, IMAGE, "evaluation"),
    "conv3d": ([node("Conv", "h", "w")], {"w": floats(2, 2, 1, 1, 1)}, ("N", 2, 3, 3, 3), "conv1d, conv2d"),
    "conv by data": ([node("Conv", "h", "h")], {}, IMAGE, "computed from the data"),
    "conv of other channels": ([node("Conv", "h", "w")], {"w": floats(2, 3, 3, 3)}, IMAGE, "does not fit"),
    "conv of stride 0": ([node("Conv", "h", "w", strides=[0, 1])], {"w": floats(2, 2, 3, 3)}, IMAGE, "strides"),
    "conv of negative padding": ([node("Conv", "h", "w", pads=[-1] * 4)], {"w": floats(2, 2, 3, 3)}, IMAGE, "padding"),
    "pooling with uneven padding": ([node("MaxPool", "h", kernel_shape=[3, 3], pads=[0, 0, 1, 1])], {}, IMAGE,
                                    "unevenly"),
    "dilated average pooling": ([node("AveragePool", "h", kernel_shape=[2, 2], dilations=[2, 2])], {}, IMAGE,
                                "dilated"),
    "indices of max pooling": ([helper.make_node("MaxPool", ["h"], ["m", "i"], kernel_shape=[2, 2]),
                                node("Cast", "i", out="f", to=1), node("Add", "m", "f")], {}, IMAGE, "second output"),
    "concat of the batch": ([node("Concat", "h", "h", axis=0)], {}, ("N", 6), "batch"),
    "concat with a constant": ([node("Concat", "h", "c", axis=1)], {"c": floats(1, 2)}, (1, 6), "constant"),
    "flatten of the batch": ([node("Flatten", "h", axis=0)], {}, IMAGE, "Flatten(axis=1)"),
    "reshape of the batch": ([node("Reshape", "h", "s")], {"s": np.array([2, -1])}, IMAGE, "batch axis"),
    "reshape at a captured batch of 1": ([node("Reshape", "h", "s")], {"s": np.array([1, 84])}, IMAGE, "batch axis"),
    "squeeze of everything at batch 1": ([node("Squeeze", "h")], {}, (1, 6, 1), "name the axes"),
    "unsqueeze in front": ([node("Unsqueeze", "h", "a")], {"a": np.array([0])}, ("N", 6), "batch"),
    "mean of the batch": ([node("ReduceMean", "h", "a")], {"a": np.array([0])}, IMAGE, "batch"),
    "transpose of the batch": ([node("Transpose", "h", perm=[1, 0])], {}, ("N", 6), "batch"),
    "cast to integers": ([node("Cast", "h", out="i", to=TensorProto.INT64), node("Cast", "i", to=1)], {}, ("N", 6),
                         "rounds"),
    "dropout in training": ([node("Dropout", "h", "r", "t")], {"r": np.float32(0.5), "t": np.array(True)}, ("N", 6),
                            "evaluation mode"),
    "dividing by the batch": ([node("Shape", "h", out="s"), node("Cast", "s", out="f", to=1),
                               node("Gather", "f", "i", out="n"), node("Div", "h", "n")], {"i": np.array(0)}, ("N", 6),
                              "shape of the input"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case, tmp_path):
    nodes, weights, declared, words = REFUSED[case]
    with pytest.raises(UnsupportedOpError, match="(?s)" + words.replace("(", r"\(").replace(")", r"\)")):
        read(model(nodes, weights, declared), tmp_path, tuple(declared[1:]))


WITHOUT_A_MEANING_YET = {
    "permute": ([node("Transpose", "h", perm=[0, 2, 1])], {}, SIGNAL),
    "pad": ([node("Conv", "h", "w", auto_pad="SAME_UPPER")], {"w": floats(3, 2, 2, 2)}, IMAGE),
    "pad ": ([node("Pad", "h", "p")], {"p": np.array([0, 0, 1, 0, 0, 2])}, SIGNAL),
}


@pytest.mark.parametrize("case", WITHOUT_A_MEANING_YET)
def test_read_as_soon_as_the_table_of_meanings_holds_it(case, tmp_path):
    nodes, weights, declared = WITHOUT_A_MEANING_YET[case]
    made, shape = model(nodes, weights, declared), tuple(declared[1:])
    if case.strip() not in OPERATORS:
        with pytest.raises(UnsupportedOpError, match=nodes[0].op_type):
            read(made, tmp_path, shape)
        return
    x = torch.from_numpy(floats(3, *shape))
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x.numpy()})
    torch.testing.assert_close(run(read(made, tmp_path, shape).graph, x), torch.from_numpy(expected))


def test_all_offenders_are_named_at_once(tmp_path):
    nodes = [node("Sin", "h", out="a"), node("Cos", "a", out="b"), node("Relu", "b", out="c"), node("Erf", "c")]
    with pytest.raises(UnsupportedOpError, match=r"(?s)3 operation.*Sin.*Cos.*Erf"):
        read(model(nodes), tmp_path, (6,))


def test_what_the_output_does_not_need_is_not_refused(tmp_path):
    made = model([node("Gelu", "h", out="unused"), node("Relu", "h")])
    assert [row.op for row in read(made, tmp_path, (6,)).coverage] == ["Tanh", "Relu"]


def test_other_domains_and_functions_are_refused(tmp_path):
    made = model([node("FancyRelu", "h", domain="com.example")])
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedOpError, match=r"com\.example"):
        read(made, tmp_path, (6,))
    made = model([node("Relu", "h")])
    body = [helper.make_node("Neg", ["a"], ["b"])]
    made.functions.append(helper.make_function("", "Relu", ["a"], ["b"], body, [helper.make_opsetid("", 20)]))
    with pytest.raises(LoadError, match="redefines"):
        read(made, tmp_path, (6,))


def test_the_sample_shape_comes_from_the_file(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(model([node("Gemm", "h", "w")], {"w": floats(6, 4)}).SerializeToString())
    opened = open_model(path)
    assert (opened.format, opened.sample_shape, opened.parameters) == ("ONNX", (6,), 24)
    with pytest.raises(InputShapeError, match=r"\(6,\), got \(5,\)"):
        opened.traced((5,))
    path.write_bytes(model([node("GlobalAveragePool", "h")], {}, ("N", 2, "H", "W")).SerializeToString())
    opened = open_model(path)
    assert opened.sample_shape is None
    assert opened.traced((2, 5, 3)).graph.input.shape == (2, 5, 3)


def test_what_is_no_network_of_one_input_and_one_output(tmp_path):
    made = model([node("Add", "h", "z")])
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("N", 6)))
    with pytest.raises(LoadError, match="inputs are x, z"):
        read(made, tmp_path, (6,))
    made = model([node("Relu", "h")])
    made.graph.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, None))
    with pytest.raises(LoadError, match="outputs are y, h"):
        read(made, tmp_path, (6,))
    with pytest.raises(LoadError, match="int64"):
        read(model([node("Relu", "h")], dtype=TensorProto.INT64), tmp_path, (6,))
    with pytest.raises(LoadError, match="operator set 6"):
        read(model([node("Relu", "h")], opset=6), tmp_path, (6,))
    made = model([node("Relu", "h")])
    del made.graph.node[0]
    made.graph.node[0].CopyFrom(node("Identity", "x"))
    with pytest.raises(NoNeuronError):
        read(made, tmp_path, (6,))


def test_large_networks_are_read_unverified_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr("convert.reading.onnx_verify._SECONDS", 0.0)
    traced = read(model([node("Relu", "h")]), tmp_path, (6,))
    assert "not compared with the ONNX reference evaluator" in traced.notes[0]


def test_every_message_names_the_file(tmp_path):
    for nodes, weights, declared, _ in REFUSED.values():
        with pytest.raises(ConvertError) as caught:
            read(model(nodes, weights, declared), tmp_path, tuple(declared[1:]))
        assert str(caught.value).startswith(str(tmp_path / "model.bin"))
