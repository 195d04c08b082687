"""ONNX files that try to harm: each ends in a loaded, finite network or in one ConvertError."""

import random
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from convert.errors import (  # noqa: E402
    ConvertError,
    CorruptFileError,
    GraphError,
    InputShapeError,
    LoadError,
    NonFiniteWeightError,
    UnsafeFileError,
    UnsupportedOpError,
)
from convert.graph.semantics import run  # noqa: E402
from convert.reading.models import open_model  # noqa: E402
from tests.attacks.onnx_files import external, model, network  # noqa: E402


def outcome(content: bytes, path: Path, shape=(1, 5, 5)) -> str:
    """ "loaded" or the error's class; anything else than a ConvertError fails the test."""
    path.write_bytes(content)
    try:
        graph = open_model(path).traced(shape).graph
    except ConvertError as error:
        assert str(error).startswith(str(path))
        return type(error).__name__
    assert torch.isfinite(run(graph, torch.zeros(1, *shape))).all()
    return "loaded"


def refused(made, path: Path, shape=(1, 5, 5)) -> ConvertError:
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ConvertError) as caught:
        open_model(path).traced(shape)
    return caught.value


def test_truncations(tmp_path):
    content = network().SerializeToString()
    assert outcome(content, tmp_path / "m") == "loaded"
    found = {outcome(content[:n], tmp_path / "m") for n in range(0, len(content), 7)}
    assert found <= {"CorruptFileError", "UnknownFormatError"}


def test_bit_flips(tmp_path):
    content, rng = network().SerializeToString(), random.Random(0)
    found: list[str] = []
    for _ in range(200):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        found.append(outcome(bytes(flipped), tmp_path / "m"))
    assert found.count("loaded") > 20
    assert found.count("CorruptFileError") > 20


@pytest.mark.parametrize("dims", [[2**40, 3], [2**31, 2**31, 2**31], [-1, 3], [3] * 9, [0, 2**62]])
@pytest.mark.parametrize("raw", [True, False])
def test_declared_sizes_are_not_believed(dims, raw, tmp_path):
    made = network()
    made.graph.initializer[1].dims[:] = dims
    if not raw:
        made.graph.initializer[1].ClearField("raw_data")
        made.graph.initializer[1].float_data.extend([1.0] * 54)
    tracemalloc.start()
    assert isinstance(refused(made, tmp_path / "m"), CorruptFileError)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.INT4, TensorProto.UNDEFINED,
                                  TensorProto.FLOAT8E4M3FN, 999])  # fmt: skip
def test_wrong_element_types(kind, tmp_path):
    made = network()
    made.graph.initializer[0].data_type = kind
    assert isinstance(refused(made, tmp_path / "m"), CorruptFileError)


def test_integers_where_weights_should_be(tmp_path):
    made = network()
    made.graph.initializer[0].data_type = TensorProto.INT32
    assert outcome(made.SerializeToString(), tmp_path / "m") in ("loaded", "GraphError")


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_weights_that_are_not_finite_or_not_usable(value, tmp_path):
    made = network()
    made.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full((18, 3), value, np.float32), "v"))
    assert isinstance(refused(made, tmp_path / "m"), NonFiniteWeightError if not np.isfinite(value) else GraphError)


def test_double_weights_beyond_float32(tmp_path):
    made = network()
    made.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.full(3, 1e300), "b"))
    assert isinstance(refused(made, tmp_path / "m"), NonFiniteWeightError)


@pytest.mark.parametrize("shape", [("N", 1, 2**20, 2**20), ("N", 2**62), (2**40, 1, 5, 5)])
def test_huge_inputs(shape, tmp_path):
    made = model([helper.make_node("Relu", ["x"], ["y"])], [], shape)
    path = tmp_path / "m"
    path.write_bytes(made.SerializeToString())
    opened = open_model(path)
    if shape[0] != "N":  # a huge fixed batch is only not verified
        assert opened.traced((1, 5, 5)).notes
        return
    with pytest.raises(InputShapeError, match="expected at most"):
        opened.traced(opened.sample_shape)


def test_shapes_that_grow_inside(tmp_path):
    nodes, name = [helper.make_node("Relu", ["x"], ["n0"])], "n0"
    for i in range(60):
        nodes.append(helper.make_node("Concat", [name, name], [f"n{i + 1}"], axis=1))
        name = f"n{i + 1}"
    nodes.append(helper.make_node("Identity", [name], ["y"]))
    assert isinstance(refused(model(nodes, [], ("N", 4)), tmp_path / "m", (4,)), InputShapeError)
    padded = [helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2**20] * 2, pads=[2**19] * 4),
              helper.make_node("Relu", ["p"], ["y"])]  # fmt: skip
    assert isinstance(refused(model(padded, [], ("N", 1, 5, 5)), tmp_path / "m"), InputShapeError)
    padded[0].attribute[0].ints[0] = 2**62
    assert isinstance(refused(model(padded, [], ("N", 1, 5, 5)), tmp_path / "m"), UnsupportedOpError)


def test_constants_that_grow(tmp_path):
    stored, name = [numpy_helper.from_array(np.ones((1, 256), np.float32), "c0")], "c0"
    nodes = []
    for i in range(60):
        nodes.append(helper.make_node("Concat", [name, name], [f"c{i + 1}"], axis=0))
        name = f"c{i + 1}"
    nodes += [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("MatMul", ["r", name], ["y"])]
    tracemalloc.start()
    error = refused(model(nodes, stored, ("N", 4)), tmp_path / "m", (4,))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert isinstance(error, UnsupportedOpError)
    assert "more constants than the file holds" in str(error)


@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_nested_graphs_are_refused_by_name(op, tmp_path):
    def body(depth):
        inside = helper.make_graph([], "leaf", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])])
        for _ in range(depth):
            node = helper.make_node("If", ["c"], ["o"], then_branch=inside, else_branch=inside)
            inside = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, [1])])
        return inside

    names = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}[op]
    for depth in (1, 12):  # each level doubles the size
        node = helper.make_node(op, ["x"], ["y"], **{name: body(depth) for name in names})
        node.attribute.extend([helper.make_attribute("num_scan_inputs", 1)] if op == "Scan" else [])
        error = refused(model([helper.make_node("Relu", ["x"], ["r"]), node], [], ("N", 4)), tmp_path / "m", (4,))
        assert isinstance(error, (UnsupportedOpError, CorruptFileError))


def test_messages_nested_beyond_any_stack(tmp_path):
    """A graph attribute inside a graph attribute, ten thousand times, written by hand."""

    def field(number, payload):
        size, length = len(payload), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + payload

    graph = b""
    for _ in range(10_000):
        graph = field(1, field(5, field(6, graph)))  # node { attribute { g
    content = b"\x08\x09" + bytes([7 << 3 | 2])
    assert outcome(content + field(7, graph)[1:], tmp_path / "m") == "CorruptFileError"


def test_functions_that_call_themselves(tmp_path):
    made = model([helper.make_node("F", ["x"], ["y"], domain="own")], [], ("N", 4))
    made.opset_import.append(helper.make_opsetid("own", 1))
    body = [helper.make_node("F", ["a"], ["b"], domain="own")]
    made.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    assert isinstance(refused(made, tmp_path / "m", (4,)), (UnsupportedOpError, CorruptFileError))


def test_graphs_that_are_no_graphs(tmp_path):
    cycle = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Relu", ["b"], ["y"])]  # fmt: skip
    twice = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Tanh", ["x"], ["y"])]
    nothing = [helper.make_node("Relu", ["missing"], ["y"])]
    for nodes in (cycle, twice, nothing, []):
        assert isinstance(refused(model(nodes, [], ("N", 4)), tmp_path / "m", (4,)), (CorruptFileError, GraphError))


def test_very_many_operations(tmp_path):
    nodes = [helper.make_node("Identity", [f"n{i}" if i else "x"], [f"n{i + 1}"]) for i in range(5000)]
    begin = time.perf_counter()
    assert isinstance(refused(model(nodes, [], ("N", 4)), tmp_path / "m", (4,)), LoadError)
    assert time.perf_counter() - begin < 60  # it does not hang


def test_names_cannot_write_to_the_terminal(tmp_path):
    made = model([helper.make_node("Erf", ["x"], ["y"], name="\x1b[2J" + "A" * 10_000)], [], ("N", 4))
    text = str(refused(made, tmp_path / "m", (4,)))
    assert "\x1b" not in text
    assert len(text) < 1000


# Values in other files


def test_external_values_beside_the_model_are_read(tmp_path):
    made, path = external(tmp_path, "data.bin", offset=8, length=216)
    assert outcome(made.SerializeToString(), path) == "loaded"
    first = open_model(path)
    assert first.parameters == 18 + 54 + 3
    graph = first.traced((1, 5, 5)).graph
    inline = tmp_path / "inline"
    inline.write_bytes(network().SerializeToString())
    x = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(run(graph, x), run(open_model(inline).traced((1, 5, 5)).graph, x))
    (path.parent / "data.bin").write_bytes(b"\1" * 224)
    assert open_model(path).sha256 != first.sha256


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin", "..\\secret.bin", "",
                                      "C:\\secret.bin", "link.bin", "a/link/secret.bin", "data.bin\0"])  # fmt: skip
def test_external_values_elsewhere_are_refused(location, tmp_path):
    made, path = external(tmp_path, location, offset=8, length=216)
    (path.parent / "link.bin").symlink_to(tmp_path / "secret.bin")
    (path.parent / "a").mkdir()
    (path.parent / "a" / "link").symlink_to(tmp_path)
    assert isinstance(refused(made, path), UnsafeFileError)


@pytest.mark.parametrize("entries", [{"offset": 9, "length": 216}, {"offset": -8, "length": 216}, {"length": 2**60},
                                     {"offset": 2**63, "length": 216}, {"length": 8}, {"offset": "x"}, {"offset": 100},
                                     {"length": "9" * 5000}])  # fmt: skip
def test_external_values_that_are_not_there(entries, tmp_path):
    made, path = external(tmp_path, "data.bin", **entries)
    assert isinstance(refused(made, path), CorruptFileError)


@pytest.mark.parametrize("location", ["missing.bin", ".", "x" * 5000, "loop"])
def test_external_files_that_are_not_there(location, tmp_path):
    made, path = external(tmp_path, location)
    (path.parent / "loop").symlink_to("loop")
    assert isinstance(refused(made, path), (CorruptFileError, UnsafeFileError))


def test_one_external_file_read_many_times(tmp_path):
    made, path = external(tmp_path, "data.bin", offset=8, length=216)
    for i in range(100):
        made.graph.initializer.append(made.graph.initializer[1])
        made.graph.initializer[-1].name = f"again{i}"
    assert isinstance(refused(made, path), CorruptFileError)


# What stands around


def test_told_from_content(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(network().SerializeToString())
    assert open_model(path).format == "ONNX"
    for content in (b"\x08\x09", b"\x08\x09garbage", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b":\x05abc"):
        assert outcome(content, path) in ("CorruptFileError", "UnknownFormatError")


def test_without_the_onnx_package(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(network().SerializeToString())
    monkeypatch.setitem(sys.modules, "convert.reading.onnx_tensors", None)
    with pytest.raises(LoadError, match=r"pip install 'ann2spike\[onnx\]'"):
        open_model(path)
