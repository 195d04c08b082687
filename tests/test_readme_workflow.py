"""The workflow in the README gates a repository's own model: its very lines, on a repository with a base and a head."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(language, begin=""):
    """The fenced block of `language` that starts with `begin`."""
    return next(found for found in re.findall(rf"```{language}\n(.*?)```", README, re.S) if found.startswith(begin))


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """Makes what the first step of the workflow leaves: a shallow clone of the head of a pull request."""
    origin = tmp_path / "origin"
    origin.mkdir()
    model = torch.nn.Sequential(torch.nn.Linear(16, 12), torch.nn.ReLU(), torch.nn.Linear(12, 3))
    x = torch.rand(120, 16)
    with torch.no_grad():
        np.savez(origin / "test.npz", x=x.numpy(), y=model(x).argmax(1).numpy())
    torch.save(model, origin / "model.pt")
    for name in ("suite.toml", "budgets.toml"):
        (origin / name).write_text(block("toml", f"# {name}"))
    git(origin, "init", "-q", "-b", "main")
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "base")

    def head(change):
        git(origin, "checkout", "-q", "-b", "change")
        change(model, origin)
        git(origin, "add", ".")
        git(origin, "commit", "-qm", "head", "--allow-empty")
        git(tmp_path, "clone", "-q", "--depth", "1", "--branch", "change", origin.as_uri(), "work")
        return tmp_path / "work"

    return head


def executed(folder, tmp_path):
    """The status of the first line that fails, and the comment. What `pip` would install is there already."""
    (tmp_path / "bin").mkdir()
    for name, does in (("pip", "test $1 = install"), ("python", f'exec "{sys.executable}" "$@"')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    comment = tmp_path / "comment.md"
    environment = {
        **os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "GITHUB_BASE_REF": "main", "GITHUB_STEP_SUMMARY": str(comment), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    lines = re.findall(r"^ +- run: (.*)$", block("yaml"), re.M)
    assert len(lines) == 3
    for line in lines:
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", line], cwd=folder, env=environment, capture_output=True,
                              text=True, timeout=600)  # fmt: skip
        if done.returncode:
            break
    return done, comment


def test_the_workflow_has_ten_lines():
    assert block("yaml").count("\n") == 10


def test_an_unchanged_model_passes(checkout, tmp_path):
    folder = checkout(lambda model, origin: (origin / "NOTES").write_text("nothing of the model"))
    done, comment = executed(folder, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Gate: pass" in done.stdout and comment.exists()


def test_a_damaged_model_fails_and_the_comment_says_what(checkout, tmp_path):
    def damage(model, origin):
        with torch.no_grad():
            model[2].weight.copy_(model[2].weight.roll(1, dims=0))
        torch.save(model, origin / "model.pt")

    done, comment = executed(checkout(damage), tmp_path)
    assert done.returncode == 3, done.stderr
    assert "snn.accuracy" in comment.read_text()
