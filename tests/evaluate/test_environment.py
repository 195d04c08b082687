"""What is recorded, and what must not be."""

from __future__ import annotations

import getpass
import json
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import evaluate.environment as module
from evaluate.environment import environment


def test_it_says_what_is_needed_to_run_again() -> None:
    found = environment()
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] and found["packages"]["scikit-learn"]
    assert set(found["packages"]) == {"ann2spike", "torch", "numpy", "scikit-learn", "safetensors"}
    assert found["cpu_count"] >= 1 and found["processor"]
    age = datetime.now(UTC) - datetime.fromisoformat(found["time_utc"])
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert json.loads(json.dumps(found)) == found


def test_it_names_no_host_no_user_no_path() -> None:
    text = json.dumps({key: value for key, value in environment().items() if key != "processor"})
    for private in (str(Path.home()), str(Path.cwd()), str(Path(module.__file__).parent), sys.prefix):
        assert private == "/" or private not in text
    for name in (platform.node(), getpass.getuser()):
        assert not name or not re.search(rf"\b{re.escape(name)}\b", text)
    assert not re.search(r'"/|[A-Z]:\\', text)


def test_an_absent_package_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGES", ("numpy", "no-such-distribution-zz"))
    assert environment()["packages"]["no-such-distribution-zz"] is None


def test_torch_is_asked_only_when_it_is_there() -> None:
    code = (
        "import sys; from evaluate.environment import environment as ask\n"
        "print(ask()['torch_threads'], 'torch' in sys.modules)"
    )
    root = Path(module.__file__).parent.parent
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["None", "False"]


def test_threads_of_torch_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torch:
        @staticmethod
        def get_num_threads() -> int:
            return 7

    monkeypatch.setitem(sys.modules, "torch", Torch)  # type: ignore[arg-type]
    assert environment()["torch_threads"] == 7


def git(tree: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(tree), *settings, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_commit_and_dirt_of_a_checkout(tmp_path: Path) -> None:
    tree = tmp_path.resolve()
    git(tree, "init")
    (tree / "a.py").write_text("1\n")
    git(tree, "add", "a.py")
    git(tree, "commit", "-m", "one")
    commit = git(tree, "rev-parse", "HEAD")
    (tree / "output").write_text("untracked\n")
    assert module._git(tree) == {"commit": commit, "dirty": False}
    (tree / "a.py").write_text("2\n")
    assert module._git(tree) == {"commit": commit, "dirty": True}
    (tree / "installed").mkdir()
    assert module._git(tree / "installed") is None, "the commit of somebody else's checkout"


def test_the_commit_of_the_project_that_a_command_runs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path / "models")
    assert environment()["project"] is None
    git(tmp_path, "init")
    assert environment()["project"] is None, "no commit yet"
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    assert environment()["project"] == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    monkeypatch.setattr(module, "_SOURCE_TREE", tmp_path.resolve())
    found = environment()
    assert found["project"] is None and found["git"]["commit"] == git(tmp_path, "rev-parse", "HEAD"), "the code's own"


def test_no_git_is_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert module._git(tmp_path.resolve()) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment()["git"] is None
    assert capfd.readouterr() == ("", "")
