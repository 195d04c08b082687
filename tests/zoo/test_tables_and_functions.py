"""CSV tables, and samples from the user's own code."""

import os
import sys

import pytest
import torch

from zoo.datasets import open_dataset
from zoo.errors import DatasetError, MissingDatasetError


@pytest.fixture
def table(tmp_path):
    def write(text, options=""):
        (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"csv:{tmp_path / 't.csv'}{options}"

    return write


@pytest.mark.parametrize(
    ("text", "options", "x", "y"),
    [
        ("1,2,0\n3,4,1\n", "", [[1, 2], [3, 4]], [0, 1]),
        ("a,b,label\n1,2,0\n3,4,1\n", "", [[1, 2], [3, 4]], [0, 1]),
        ("label;a;b\n1;2.5;0\n0;4;1\n", ",label=label", [[2.5, 0], [4, 1]], [1, 0]),
        ("1\t2\tfish\n3\t4\tbird\n5\t6\tfish\n", "", [[1, 2], [3, 4], [5, 6]], [1, 0, 1]),
        ("h,w,kind\n1,2,b\n3,4,a\n", "", [[1, 2], [3, 4]], [1, 0]),
        ("a,b\n1,0.5\n3,-1.5\n", "", [[1], [3]], [0.5, -1.5]),
        ("a,b\n1,0.5\n3,-1.5\n", ",label=none", [[1, 0.5], [3, -1.5]], None),
        ('"a","b"\n"1","0"\n"3","1"\n', "", [[1], [3]], [0, 1]),
        (",0,1,label\n0,5,6,1\n1,7,8,0\n", "", [[0, 5, 6], [1, 7, 8]], [1, 0]),
        ("\ufeffa,b\r\n1,0\r\n3,1\r\n", "", [[1], [3]], [0, 1]),
    ],
)
def test_tables(table, text, options, x, y):
    opened = open_dataset(table(text, options))
    whole = opened.whole()
    assert whole.x.tolist() == x
    assert (None if whole.y is None else whole.y.tolist()) == y
    assert len(opened.scored()) + opened.splits["calibration"] == len(x)


def test_text_labels_are_told_in_the_note(table):
    opened = open_dataset(table("1,fish\n2,bird\n"))
    assert opened.class_names == ("bird", "fish")
    assert "alphabetical order: bird, fish" in opened.split_note


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", "", "not a readable table"),
        ("a,b,c\n", "", "no rows"),
        ("1\n2\n", "", "one column"),
        ("a,b\n1,2\n", ",label=c", "no column 'c'"),
        ("1,x,0\n3,4,1\n", "", "column 1, row 1: 'x' is no number"),
        ("a,b,c\n1,2,0\n3,,1\n", "", "x has 1 values that are NaN"),
        ("a,b\n1,\n3,0\n", "", "labels that are not class indices, first nan"),
        ("1,a\n2,\n", "", "row 2 has no label"),
        ("1,2,0\n3,4,1,5,6\n", "", "not a readable table"),
        (b"\x1f\x8b\x08\x00" + bytes(range(256)), "", "not a readable table"),
        (b"\xff\xfe1\x00,\x002\x00", "", "not a readable table"),
        ("1,1e999\n2,0\n", "", "labels that are not class indices"),
        ("1e999,1\n2,0\n", "", "x has 1 values"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(table, text, options, words):
    with pytest.raises(DatasetError, match=words):
        open_dataset(table(text, options)).scored()


def test_a_missing_table_is_named():
    with pytest.raises(MissingDatasetError, match="no such file"):
        open_dataset("csv:none.csv")


@pytest.fixture
def code(tmp_path):
    def write(body, name="load"):
        file = tmp_path / f"d{abs(hash(body))}.py"
        file.write_text("import numpy as np, torch\n" + body)
        return f"python:{file}:{name}"

    return write


def test_a_function_is_called_once_so_that_its_splits_are_of_the_same_samples(code, tmp_path):
    spec = code("def load():\n    print('hi')\n    return np.random.rand(20, 3), np.arange(20) % 2\n")
    before = torch.get_rng_state()
    scored, fitted = open_dataset(spec).scored(), open_dataset(spec).calibration()
    whole = {row.numpy().tobytes() for row in open_dataset(spec).whole().x}
    parts = [{row.numpy().tobytes() for row in part.x} for part in (scored, fitted)]
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]
    assert torch.equal(before, torch.get_rng_state())


PAIRS = """
class Squares:
    def __len__(self):
        return 10
    def __getitem__(self, i):
        if i >= 10: raise IndexError(i)
        return torch.full((2, 2), float(i)), i % 3
def load():
    return Squares()
data = Squares()
parts = lambda: {"train": Squares(), "test": (np.ones((3, 2, 2)), np.zeros(3, int))}
tensors = lambda: (torch.ones(4, 5), torch.zeros(4))
alone = lambda: np.ones((4, 5))
"""


@pytest.mark.parametrize(
    ("name", "splits", "shape", "labels"),
    [
        ("load", [2, 8], (2, 2), True), ("data", [2, 8], (2, 2), True), ("Squares", [2, 8], (2, 2), True),
        ("parts", [10, 3], (2, 2), True), ("tensors", [1, 3], (5,), True), ("alone", [1, 3], (5,), False),
    ],
)  # fmt: skip
def test_what_a_function_may_give(code, name, splits, shape, labels):
    opened = open_dataset(code(PAIRS, name))
    assert (list(opened.splits.values()), opened.sample_shape, opened.has_labels) == (splits, shape, labels)
    assert opened.scored(2).x.shape == (2, *shape)
    assert (opened.calibration().y is not None) == labels


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("x = 3\n", "has no load"),
        ("def load(:\n", "SyntaxError"),
        ("def load():\n    return 1 / 0\n", r"line 3: ZeroDivisionError"),
        ("def load():\n    raise SystemExit(7)\n", "SystemExit"),
        ("def load():\n    return 'abc'\n", "no pair|a sample of type|expected a sample"),
        ("def load():\n    return 3\n", "got a int"),
        ("def load():\n    return {'a': 1}\n", "dict with a"),
        ("def load():\n    return np.ones((2, 2)), np.ones(3)\n", r"y has shape \(3,\)"),
        ("def load():\n    return np.array(['a', 'b']), None\n", "expected numbers"),
        ("def load():\n    return np.full((2, 2), np.nan), None\n", "NaN"),
        ("def load():\n    return []\n", "no samples"),
        ("def load():\n    return [(np.ones(2), 0), (np.ones(3), 1)]\n", "all must have one shape"),
        ("def load():\n    return [(np.ones(2), 'cat')]\n", "labels of type"),
        ("def load():\n    return [(np.ones(2), [0]), (np.ones(2), [0, 1])]\n", "labels of several shapes"),
    ],
)
def test_what_a_function_may_not_give(code, body, words):
    with pytest.raises(DatasetError, match=words):
        open_dataset(code(body)).whole()


@pytest.mark.parametrize("spec", ["python:x", "python:none.py:load", "python:no.such.module:load", "python:a b:load"])
def test_code_that_is_not_there(spec):
    with pytest.raises(DatasetError, match=r"python:MODULE:NAME|No module"):
        open_dataset(spec)


def library(folder, monkeypatch, name, text):
    """A tiny module in place of a library."""
    path = folder / f"{name.replace('.', '/')}.py"
    path.parent.mkdir(parents=True)
    (path.parent / "__init__.py").write_text("")
    path.write_text(text)
    monkeypatch.syspath_prepend(folder)
    for module in [m for m in sys.modules if m.partition(".")[0] == name.partition(".")[0]]:
        monkeypatch.delitem(sys.modules, module)


VISION = """
import os
class Shapes:
    def __init__(self, root, train=True, download=False):
        if download: open(os.path.join(root, "shapes"), "w").close()
        if not os.path.exists(os.path.join(root, "shapes")): raise RuntimeError("Dataset not found")
        self.n = 12 if train else 6
    def __len__(self): return self.n
    def __getitem__(self, i):
        from PIL import Image
        return Image.new("RGB", (10, 8), (i * 10, 0, 255)), i % 2
class Split(Shapes):
    def __init__(self, root, split="train"):
        if split not in ("train", "val"): raise ValueError(split)
        super().__init__(root, split == "train")
class Odd:
    def __init__(self, root): pass
"""


def test_a_data_set_of_torchvision(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    library(tmp_path / "lib", monkeypatch, "torchvision.datasets", VISION)
    with pytest.raises(MissingDatasetError, match=r"(?s)Dataset not found.*download=yes"):
        open_dataset(f"torchvision:Shapes:{tmp_path}")
    assert not (tmp_path / "shapes").exists()
    downloaded = open_dataset(f"torchvision:Shapes:{tmp_path},download=yes")
    opened = open_dataset("torchvision:Shapes,resize=4", tmp_path)
    assert dict(opened.splits) == {"train": 12, "test": 6} == dict(downloaded.splits)
    assert opened.sample_shape == (3, 4, 5)
    assert opened.scored().x[:, 0].amax((1, 2)).mul(255).round().tolist() == [0, 10, 20, 30, 40, 50]
    assert opened.calibration(4).y.shape == (4,)
    assert dict(open_dataset(f"torchvision:Split:{tmp_path}").splits) == {"train": 12, "test": 6}
    with pytest.raises(DatasetError, match="no Odd with a training"):
        open_dataset(f"torchvision:Odd:{tmp_path}")


HUB = """
import os
__version__ = "VERSION"
class ClassLabel: pass
class Image: pass
class List: pass
class Rows(list):
    features = {"id": List(), "label": ClassLabel(), "picture": List()}
def rows(n): return Rows({"id": [0], "label": i % 2, "picture": [[i, 1.5]]} for i in range(n))
def load_from_disk(path): return {"train": rows(9), "test": rows(4)}
def load_dataset(name, config=None):
    if os.environ["HF_HUB_OFFLINE"] == "1": raise ConnectionError("offline")
    return rows(10)
"""


def test_a_data_set_of_hugging_face(tmp_path, monkeypatch):
    library(tmp_path / "lib", monkeypatch, "datasets", HUB.replace("VERSION", "4.1.0"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/dataset_dict.json").write_text("{}")
    opened = open_dataset(f"hf:{tmp_path / 'saved'},x=picture")
    assert dict(opened.splits) == {"train": 9, "test": 4}
    assert opened.scored().x.tolist() == [[[i, 1.5]] for i in range(4)]
    assert opened.scored().y.tolist() == [0, 1, 0, 1]
    assert open_dataset("hf:saved,x=picture,label=none", tmp_path).scored().y is None
    with pytest.raises(MissingDatasetError, match="offline"):
        open_dataset("hf:someone/something")
    assert "HF_HUB_OFFLINE" not in os.environ
    assert len(open_dataset("hf:someone/something,download=yes,x=picture").whole()) == 10
    with pytest.raises(DatasetError, match="x: got nothing"):
        open_dataset(f"hf:{tmp_path / 'saved'},x=nothing")


def test_a_version_that_can_run_code_of_a_data_set_is_refused(tmp_path, monkeypatch):
    library(tmp_path / "lib", monkeypatch, "datasets", HUB.replace("VERSION", "3.9.0"))
    with pytest.raises(DatasetError, match="can run code"):
        open_dataset("hf:x")


@pytest.mark.parametrize(("spec", "name"), [("hf:x", "datasets"), ("torchvision:X", "torchvision")])
def test_a_library_that_is_not_installed(monkeypatch, spec, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DatasetError, match="pip install"):
        open_dataset(spec)
