"""Hostile and broken files of torch: each is a finite network or one ConvertError, and none executes anything."""

import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import zoo
from convert.errors import ConvertError, CorruptFileError, UnsafeFileError
from convert.graph import ir
from convert.graph.semantics import run
from convert.reading.hints import Hints
from convert.reading.models import open_model

FLIPS = 200


@pytest.fixture(scope="module")
def net():
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


def save_export(net, path):
    torch.export.save(torch.export.export(net, (torch.zeros(1, 6),)), str(path))


WRITERS = {
    "pt2": save_export,
    "state_dict": lambda net, path: torch.save(net.state_dict(), path),
    "old state_dict": lambda net, path: torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False),
    "module": lambda net, path: torch.save(net, path),
    "safetensors": lambda net, path: safetensors.torch.save_file(net.state_dict(), path),
}
WEIGHTS = ("state_dict", "old state_dict", "safetensors")


def written(kind, net, path):
    WRITERS[kind](net, path)
    return path.read_bytes()


def outcome(path, kind, hints=None):
    """The error, or None for a network that is finite."""
    hints = hints or (Hints(activation="relu") if kind in WEIGHTS else Hints())
    try:
        graph = open_model(path, hints=hints).traced((6,)).graph
    except ConvertError as error:
        message = str(error)
        assert "Traceback" not in message
        assert len(message) < 3000
        return error
    assert torch.isfinite(run(graph, torch.zeros(2, 6))).all()
    assert all(torch.isfinite(t).all() for node in graph for t in ir.tensors(node.op).values())
    return None


def repacked(data, path, change):
    """The archive with every member passed through `change(name, content) -> content or None`."""
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bits(kind, net, tmp_path):
    data, path, draw = written(kind, net, tmp_path / "file"), tmp_path / "flipped", random.Random(7)
    for _ in range(FLIPS):
        broken = bytearray(data)
        for _ in range(draw.choice((1, 1, 4))):
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        outcome(path, kind)


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bits_in_front_where_the_structure_is(kind, net, tmp_path):
    data, path, draw = written(kind, net, tmp_path / "file"), tmp_path / "flipped", random.Random(8)
    for _ in range(FLIPS // 4):
        broken = bytearray(data)
        broken[draw.randrange(min(600, len(broken)))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        outcome(path, kind)


@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_flipped_bits_inside_members_with_valid_checksums(kind, net, tmp_path):
    data, draw = written(kind, net, tmp_path / "file"), random.Random(9)
    names = [name for name in members(data) if "sample_inputs" not in name and ".data/" not in name]

    for _ in range(FLIPS // 2):
        chosen = draw.choice(names)

        def flip(name, content, chosen=chosen):
            if name != chosen or not content:
                return content
            changed = bytearray(content)
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
            return bytes(changed)

        outcome(repacked(data, tmp_path / "flipped", flip), kind)


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_files(kind, net, tmp_path):
    data, path = written(kind, net, tmp_path / "file"), tmp_path / "short"
    for share in range(25):
        path.write_bytes(data[: len(data) * share // 25])
        assert outcome(path, kind) is not None


@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_every_member_truncated_emptied_or_gone(kind, net, tmp_path):
    data = written(kind, net, tmp_path / "file")
    for chosen in members(data):
        for cut in (lambda content: content[: len(content) // 2], lambda content: b"", lambda content: None):
            path = repacked(data, tmp_path / "cut", lambda n, c, chosen=chosen, cut=cut: cut(c) if n == chosen else c)
            error = outcome(path, kind)
            if any(
                part in chosen for part in ("weights/weight", "model.json", "weights_config", "data.pkl", "/data/0")
            ):
                assert error is not None, chosen


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:/evil", "..\\evil", "file/../../evil"])
@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_members_that_escape(kind, name, net, tmp_path):
    data = written(kind, net, tmp_path / "file")
    path = tmp_path / "escape"
    repacked(data, path, lambda n, c: c)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    assert isinstance(outcome(path, kind), UnsafeFileError)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["escape", "file"]


@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_members_that_explode(kind, net, tmp_path):
    data = written(kind, net, tmp_path / "file")
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(tmp_path / "bomb", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        root = old.namelist()[0].partition("/")[0]
        new.writestr(f"{root}/data/weights/bomb", bytes(2**24), zipfile.ZIP_DEFLATED)
    error = outcome(tmp_path / "bomb", kind)
    assert isinstance(error, UnsafeFileError)
    assert "compressed" in str(error)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_members_of_one_name(kind, net, tmp_path):
    path = tmp_path / "file"
    name = members(written(kind, net, path))[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"another")
    error = outcome(path, kind)
    assert isinstance(error, UnsafeFileError)
    assert "twice" in str(error)


class Runs:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, sentinel):
        self.sentinel = str(sentinel)

    def __reduce__(self):
        return (open, (self.sentinel, "w"))


@pytest.fixture
def sentinel(tmp_path):
    path = tmp_path / "executed"
    pickle.loads(pickle.dumps(Runs(path))).close()
    assert path.exists()  # the weapon is loaded
    path.unlink()
    return path


def pickles(sentinel):
    whole = io.BytesIO()
    torch.save(Runs(sentinel), whole)
    return {"bare": pickle.dumps(Runs(sentinel)), "archive": whole.getvalue(), "old": pickle.dumps(Runs(sentinel), 2)}


@pytest.mark.parametrize("form", ["bare", "archive", "old"])
def test_pickles_inside_an_export_do_not_run(form, net, tmp_path, sentinel):
    data, payload = written("pt2", net, tmp_path / "file"), pickles(sentinel)[form]

    def as_pickle(name, content):
        if name.endswith("weights_config.json"):
            config = json.loads(content)
            for entry in config["config"].values():
                entry["use_pickle"] = True
            return json.dumps(config).encode()
        return payload if "/weights/weight_" in name else content

    assert isinstance(outcome(repacked(data, tmp_path / "armed", as_pickle), "pt2"), ConvertError)
    for victim in members(data):
        outcome(repacked(data, tmp_path / "armed", lambda n, c, v=victim: payload if n == v else c), "pt2")
    assert not sentinel.exists()


@pytest.mark.parametrize("form", ["bare", "archive", "old"])
def test_pickles_in_the_layouts_before_do_not_run(form, net, tmp_path, sentinel):
    data, payload = written("pt2", net, tmp_path / "file"), pickles(sentinel)[form]
    program = zipfile.ZipFile(io.BytesIO(data)).read(next(n for n in members(data) if n.endswith("models/model.json")))
    for content in (
        {"serialized_exported_program.json": program, "serialized_state_dict.pt": payload},
        {"m/archive_format": b"pt2", "m/models/model.json": program, "m/data/weights/model.pt": payload},
    ):
        with zipfile.ZipFile(tmp_path / "armed", "w") as archive:
            for name, value in content.items():
                archive.writestr(name, value)
        assert isinstance(outcome(tmp_path / "armed", "pt2"), UnsafeFileError)
    assert not sentinel.exists()


@pytest.mark.parametrize("arch", [True, False])
@pytest.mark.parametrize("form", ["archive", "old", "bare"])
def test_pickles_do_not_run_whatever_the_user_says(form, arch, tmp_path, sentinel):
    path = tmp_path / "armed.pt"
    path.write_bytes(pickles(sentinel)[form])
    (tmp_path / "net.py").write_text("from torch import nn\ndef net():\n return nn.Linear(6, 3)\n")
    hints = Hints(arch=f"{tmp_path}/net.py:net") if arch else Hints(activation="relu")
    assert isinstance(outcome(path, "state_dict", hints), ConvertError)
    assert not sentinel.exists()


class Foreign(nn.Module):
    def __init__(self, sentinel):
        super().__init__()
        self.layer, self.extra = nn.Linear(6, 3), Runs(sentinel)


def test_a_module_of_unknown_classes_gives_weights_and_nothing_else(tmp_path, sentinel):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n def __init__(self):\n  super().__init__()\n"
        "  self.layer = nn.Linear(6, 3)\n def forward(self, x):\n  return self.layer(x).relu()\n"
    )
    hints = Hints(arch=f"{tmp_path}/net.py:Net")
    torch.save(Foreign(sentinel), tmp_path / "armed.pt")
    assert isinstance(outcome(tmp_path / "armed.pt", "module", hints), UnsafeFileError)
    assert not sentinel.exists()
    harmless = Foreign(sentinel)
    harmless.extra = {"a": [1, "b"]}
    torch.save(harmless, tmp_path / "fine.pt")
    assert outcome(tmp_path / "fine.pt", "module", hints) is None


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


@pytest.mark.parametrize("header", [
    {"0.weight": {"dtype": "F32", "shape": [2**40, 6], "data_offsets": [0, 120]}},
    {"0.weight": {"dtype": "F32", "shape": [2**70, 6], "data_offsets": [0, 120]}},
    {"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [0, 2**50]}},
    {"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [120, 0]}},
    {"0.weight": {"dtype": "NOPE", "shape": [5, 6], "data_offsets": [0, 120]}},
    {"0.weight": {"dtype": "F32", "shape": [0, 6], "data_offsets": [0, 0]}},
    {"0.weight": []},
    {},
])  # fmt: skip
def test_edited_safetensors(header, tmp_path):
    text = json.dumps(header).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(text)) + text + bytes(120))
    assert isinstance(outcome(tmp_path / "w", "safetensors"), ConvertError)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**40, 2**64 - 1])
def test_safetensors_of_another_header_length(length, net, tmp_path):
    data = written("safetensors", net, tmp_path / "file")
    (tmp_path / "w").write_bytes(struct.pack("<Q", length) + data[8:])
    assert isinstance(outcome(tmp_path / "w", "safetensors"), ConvertError)


def test_a_tensor_that_is_larger_than_its_storage(tmp_path):
    torch.save({"0.weight": torch.ones(1).expand(2**20, 6)}, tmp_path / "w.pt")
    assert isinstance(outcome(tmp_path / "w.pt", "state_dict"), CorruptFileError)


def test_weights_that_are_not_finite(net, tmp_path):
    for kind in ("state_dict", "safetensors", "pt2"):
        broken = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
        with torch.no_grad():
            broken[0].weight[0, 0] = torch.nan
        written(kind, broken, tmp_path / "nan")
        assert "NaN" in str(outcome(tmp_path / "nan", kind))


SCRIPT = """
import random, sys
from pathlib import Path
import torch
from convert.errors import ConvertError
from convert.reading.hints import Hints
from convert.reading.models import open_model

torch.set_num_threads(1)
source, folder, trust = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "trust"
data, draw, path = source.read_bytes(), random.Random(3), folder / "flipped"
refused = 0
for i in range(int(sys.argv[4])):
    broken = bytearray(data)
    broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    path.write_bytes(broken)
    try:
        open_model(path, hints=Hints(trust=trust)).traced((6,))
    except ConvertError:
        refused += 1
print(refused)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("trust", "flips"), [("no", FLIPS), ("trust", 60)])
def test_flipped_bits_in_torchscript(net, tmp_path, trust, flips):
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    done = subprocess.run(  # a process of its own: libtorch reads this one, and the user had to ask for it
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "script.pt"), str(tmp_path), trust, str(flips)],
        env={**os.environ, "PYTHONPATH": str(Path(zoo.__file__).parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == flips or trust == "trust"


@pytest.mark.filterwarnings("ignore")
def test_truncated_torchscript(net, tmp_path):
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    data = (tmp_path / "script.pt").read_bytes()
    for share in range(10):
        (tmp_path / "short").write_bytes(data[: len(data) * share // 10])
        assert isinstance(outcome(tmp_path / "short", "script", Hints(trust=True)), ConvertError)
