"""The README is true: its Python runs, its commands parse, its options exist."""

import doctest
import functools
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import python

OPTIONAL = {"distributed", "h5py", "nir", "onnx", "optuna", "sinabs", "skops", "spikingjelly"}
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"python -m (convert|zoo|evaluate|reports) ([^\n`|]*)", README)))


def test_the_two_command_lines_of_the_promise_stand_there():
    assert "    pip install . && python -m convert zoo:digits-relu\n" in README
    assert "    pip install '.[test]' && pytest\n" in README


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.S))
def test_python_blocks_run_and_print_what_they_say(block, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", block]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"print\(.*\)  # ([^:\n]*)", block)
    assert [line for line in done.stdout.splitlines() if line] == promised


@functools.cache
def help_of(room):
    """The help of every command of `room` that the README names."""
    commands = [[]] if room == "convert" else [[c] for c in {shlex.split(line)[0] for r, line in COMMANDS if r == room}]
    return "".join(python(room, *c, "--help").stdout for c in commands)


@pytest.mark.parametrize("room", ["convert", "zoo", "evaluate", "reports"])
def test_options_named_in_the_readme_exist(room):
    named = {o for r, line in COMMANDS if r == room for o in re.findall(r"(--[a-z-]+)", line)}
    assert not {option for option in named if option not in help_of(room)}


def test_options_named_by_themselves_exist_somewhere():
    named = set(re.findall(r"`(--[a-z-]+)", README)) - {"--slow"}
    text = "".join(help_of(room) for room in ("convert", "evaluate", "reports"))
    assert not {option for option in named if option not in text}


def modules():
    for room in ("convert", "zoo", "evaluate", "reports"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if ">>>" in path.read_text():
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules()))
def test_examples_in_docstrings_give_what_they_say(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name not in OPTIONAL:
            raise
        pytest.skip(f"{missing.name} is not installed")
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed
