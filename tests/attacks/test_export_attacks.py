"""torch.export archives whose graph or weights were edited: each is a finite network or one named error."""

import json
import resource
import time

import pytest

from convert.errors import ConvertError, CorruptFileError
from tests.attacks.formats import outcome, repacked, written


def edited(net, tmp_path, change):
    """An export whose JSON graph went through `change(program)`."""

    def apply(name, content):
        if not name.endswith("models/model.json"):
            return content
        program = json.loads(content)
        change(program["graph_module"])
        return json.dumps(program).encode()

    return repacked(written("pt2", net, tmp_path / "file"), tmp_path / "edited", apply)


def huge(name, size=2**40):
    def change(module):
        for entry in module["graph"]["tensor_values"][name]["sizes"]:
            entry["as_int"] = size

    return change


def target(name):
    def change(module):
        module["graph"]["nodes"][0]["target"] = name

    return change


def argument(index, value):
    def change(module):
        module["graph"]["nodes"][0]["inputs"][index]["arg"] = value

    return change


EDITS = {
    "huge input": huge("input"),
    "huge weight": huge("p_0_weight"),
    "huge activation": huge("linear"),
    "negative sizes": huge("linear", -1),
    "sizes of text": huge("linear", "many"),
    "sizes beyond 64 bits": huge("linear", 2**70),
    "os.system": target("os.system"),
    "builtins": target("builtins.eval"),
    "torch.load": target("torch.load"),
    "private attribute": target("torch.ops.aten.__class__.__init__"),
    "another namespace": target("torch.ops.fileio.read.default"),
    "from_file": target("torch.ops.aten.from_file.default"),
    "code in a name": target("torch.ops.aten.linear.default\nimport os"),
    "no such overload": target("torch.ops.aten.linear.nope"),
    "a number for a tensor": argument(0, {"as_int": 3}),
    "text for a tensor": argument(1, {"as_string": "__import__('os')"}),
    "an unknown value": argument(0, {"as_tensor": {"name": "nobody"}}),
    "an unknown kind": argument(1, {"as_graph": {"name": "g", "graph": {}}}),
    "no kind": argument(1, {}),
    "no nodes": lambda module: module["graph"].update(nodes=[]),
    "no inputs": lambda module: module["signature"].update(input_specs=[]),
    "no outputs": lambda module: module["signature"].update(output_specs=[]),
    "code in the name of a value": lambda module: module["graph"]["nodes"][0]["outputs"][0]["as_tensor"].update(
        name="x):\n import os #"
    ),
    "nodes twice": lambda module: module["graph"]["nodes"].extend(module["graph"]["nodes"]),
    "a list for the graph": lambda module: module.update(graph=[]),
    "nothing": lambda module: module.clear(),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_edited_graphs(name, net, tmp_path):
    path = edited(net, tmp_path, EDITS[name])
    begin = time.perf_counter()
    error = outcome(path, "pt2")
    assert isinstance(error, ConvertError) or name == "nodes twice"
    assert time.perf_counter() - begin < 60  # it does not hang


@pytest.mark.parametrize("field", ["sizes", "strides", "storage_offset", "dtype"])
@pytest.mark.parametrize("value", [-1, 2, 2**20, 2**40, 2**70, "many", None, [], True])
def test_edited_weights(field, value, net, tmp_path):
    def change(name, content):
        if not name.endswith("weights_config.json"):
            return content
        config = json.loads(content)
        meta = config["config"]["0.weight"]["tensor_meta"]
        if field in ("sizes", "strides"):
            meta[field][0] = {"as_int": value}
        else:
            meta[field] = {"as_int": value} if field == "storage_offset" else value
        return json.dumps(config).encode()

    path = repacked(written("pt2", net, tmp_path / "file"), tmp_path / "edited", change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = outcome(path, "pt2")
    assert error is not None or (field, value) in {("strides", 2), ("strides", True), ("storage_offset", True)}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize(
    "nested", [b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000, b"\xff\xfe", b"null", b"[]", b""]
)
def test_json_that_is_not_a_program(nested, net, tmp_path):
    data = written("pt2", net, tmp_path / "file")
    path = repacked(data, tmp_path / "json", lambda n, c: nested if n.endswith("models/model.json") else c)
    assert isinstance(outcome(path, "pt2"), CorruptFileError)
