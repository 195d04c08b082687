"""The plan of the house, held by reading imports: who may import whom, and that each room is this tree's."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("convert", "zoo", "evaluate", "reports")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

MAY_IMPORT = {"zoo": set(), "convert": set(), "evaluate": {"convert", "zoo"}, "reports": {"evaluate"}}
DOOR = ROOT / "convert" / "__main__.py"
SEAM = {"evaluate.records", "evaluate.errors"}

# Inside convert/: a module may import modules of its own floor and of the floors below.
FLOORS = (
    ("convert.errors",),
    ("convert.graph", "convert.neurons"),
    ("convert.lattice", "convert.reading", "convert.network"),
    ("convert.simulation",),
    ("convert.normalisation", "convert.writing"),
    ("convert.config",),
    ("convert.pipeline", "convert.correction", "convert.recipes"),
    ("convert", "convert.__main__"),
)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            yield node.module


def floor(name):
    while name:
        for level, modules in enumerate(FLOORS):
            if name in modules:
                return level
        name = name.rpartition(".")[0]
    raise AssertionError(name)


def test_top_level_is_the_one_the_user_fixed():
    names = {p.name for p in ROOT.iterdir() if not p.name.startswith(".")} - {"build", "LICENSE"}
    extra = {n for n in names if not n.endswith((".egg-info", ".snn")) and n != "__pycache__" and "runs.db" not in n}
    assert extra == {"pyproject.toml", "README.md", "convert", "zoo", "evaluate", "reports", "tests"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_only_what_the_table_allows(path):
    if path == DOOR:
        return
    room = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        other = name.partition(".")[0]
        if other in ROOMS and other != room:
            assert other in MAY_IMPORT[room], f"{path}: {room} must not import {name}"
            if room == "reports":
                assert name in SEAM, f"{path}: reports may import {SEAM} only, not {name}"


@pytest.mark.parametrize("path", [p for p in FILES if "reports" in p.parts], ids=lambda p: p.name)
def test_reports_never_import_torch(path):
    assert not {name for name in imports(path) if name.partition(".")[0] == "torch"}


@pytest.mark.parametrize("path", sorted((ROOT / "convert").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_convert_is_built_in_floors(path):
    here = module_name(path)
    if path.name == "__init__.py" and here != "convert":
        return
    for name in imports(path):
        if name.partition(".")[0] == "convert":
            assert floor(name) <= floor(here), f"{here} must not import {name}: it stands on a higher floor"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_those_of_this_tree(room):
    module = importlib.import_module(room)
    assert Path(module.__file__).parent == ROOT / room, f"{room} is imported from {module.__file__}"


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "__main__.py"], ids=module_name)
def test_all_names_exactly_what_is_public(path):
    module = importlib.import_module(module_name(path))
    tree = ast.parse(path.read_text())
    if path.name == "__init__.py" and not hasattr(module, "__all__"):
        assert not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)
        return
    declared = set(module.__all__)
    assert len(module.__all__) == len(declared)
    defined = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    public = {name for name in defined if not name.startswith("_")}
    assert public <= declared, f"{path}: {sorted(public - declared)} public but not in __all__"
    assert all(hasattr(module, name) for name in declared)


def test_forbidden_names():
    for path in FILES:
        for part in path.relative_to(ROOT).with_suffix("").parts:
            assert part not in {"utils", "helpers", "common", "core", "base"}, path


def test_only_doors_print():
    for path in FILES:
        if path.name == "__main__.py":
            continue
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        names = {c.func.id for c in calls if isinstance(c.func, ast.Name)}
        assert not names & {"print", "exit", "quit"}, path


def test_every_package_is_listed_for_installation():
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert listed == {module_name(path) for path in FILES if path.name == "__init__.py"}
