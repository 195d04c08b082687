"""The worked example of the README: every command runs, every line of output is what comes out.

A network that is trained on another processor is another network, so numbers are compared with a tolerance.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.M)
TUTORIAL = next(part for part in PARTS if "a worked example" in part.partition("\n")[0])
BLOCKS = re.findall(r"```(python|bash|text)\n(.*?)```", TUTORIAL, re.S)
NUMBER = re.compile(r"\d+(?:\.\d+)?(?![\w.-])")


def words(line):
    """The line without its numbers and its columns' width."""
    return NUMBER.sub("#", " ".join(line.split()))


def close(promised, found):
    """A score within two points, anything else within a third."""
    for a, b in zip(map(float, NUMBER.findall(promised)), map(float, NUMBER.findall(found)), strict=False):
        assert abs(a - b) <= (2.0 if a > 90 else 0.34 * a + 0.2), (promised, found)


def check(promised, output):
    lines = [line.strip() for line in output.splitlines()]
    found = [line for line in lines if words(line).startswith(words(promised))]
    assert found, f"nothing like {promised!r} in:\n{output}"
    close(promised, found[0])


def run(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    line, _, comment = command.partition("  # exit status ")
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == int(comment or 0), f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_worked_example_works(tmp_path):
    assert [kind for kind, _ in BLOCKS].count("bash") >= 5
    output = ""
    for kind, block in BLOCKS:
        if kind == "python":
            (tmp_path / "train.py").write_text(block)
        elif kind == "bash":
            output = "".join(run(command, tmp_path) for command in block.splitlines())
        else:
            for promised in block.splitlines():
                check(promised, output)


def test_a_wrong_promise_is_found():
    check("Accuracy: ANN 97.4 %", "Accuracy: ANN 96.0 %, SNN 1 %")
    for wrong in ("Accuracy: ANN 91.0 %", "Accuracy: SNN 97.4 %", "Energy 3 times"):
        with pytest.raises(AssertionError):
            check(wrong, "Accuracy: ANN 97.4 %, SNN 97.0 %\nEnergy 9 times")
