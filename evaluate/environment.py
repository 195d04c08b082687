"""What a result was computed with and on; no host names, no user names, no paths."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["code_version", "environment"]

_PACKAGES = ("ann2spike", "torch", "numpy", "scikit-learn", "safetensors")
_SOURCE_TREE = Path(__file__).resolve().parent.parent
_MEASURING = ("convert", "zoo", "evaluate")
_ZOO = ("recipes", "weights")
"""Folders of the zoo's networks, each of which is told by the hash of its weights."""


def environment() -> dict[str, Any]:
    """The machine and the software as a JSON-ready dict.

    Returns
    -------
    dict
        ``python``, ``platform``, ``processor``, ``cpu_count``; ``torch_threads`` (None unless torch is
        already imported: asking must not import it); ``packages`` (name -> version, None when absent);
        ``git`` (``commit``, ``dirty``: a tracked file differs; None when the source is no checkout of its
        own); ``project``, the same of the checkout that the command runs in (None where there is none, or where it is
        that of the source); ``time_utc`` (ISO 8601).
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "torch_threads": _torch_threads(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": _git(_SOURCE_TREE),
        "project": _project(Path()),
        "time_utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def code_version() -> dict[str, Any]:
    """What numbers depend on besides the case: ``source``, a hash of the code that measures, and ``packages``.

    A commit would not do: it says nothing of a tree with changes, and there is none once the code is installed.
    """
    digest = hashlib.sha256()
    for room in _MEASURING:
        for path in sorted((_SOURCE_TREE / room).rglob("*")):
            if path.suffix in (".py", ".cpp", ".toml") and path.parent.name not in _ZOO:
                digest.update(f"{path.relative_to(_SOURCE_TREE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return {"source": digest.hexdigest(), "packages": {name: _version(name) for name in _PACKAGES}}


def _processor() -> str:
    """The name of the processor where the system tells it, else the architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _torch_threads() -> int | None:
    """Threads that torch computes with, if torch is there already."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else None


def _version(name: str) -> str | None:
    """The installed version of a distribution, None when absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(tree: Path) -> dict[str, Any] | None:
    """Commit and cleanness of `tree` if it is the root of a checkout, else None."""
    root = _ask_git(tree, "rev-parse", "--show-toplevel")
    commit = _ask_git(tree, "rev-parse", "HEAD")
    # Installed into an environment inside somebody's checkout, the commit found would be of another project.
    if not root or not commit or Path(root).resolve() != tree:
        return None
    changes = _ask_git(tree, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _project(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanness of the checkout that `folder` lies in, unless it is the source's own."""
    root = _ask_git(folder, "rev-parse", "--show-toplevel")
    tree = Path(root).resolve() if root else _SOURCE_TREE
    return None if tree == _SOURCE_TREE else _git(tree)


def _ask_git(tree: Path, *arguments: str) -> str | None:
    """The answer of git, stripped; None when there is no git, no repository or no answer in time."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(tree), *arguments], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
