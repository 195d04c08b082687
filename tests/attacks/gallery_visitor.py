"""Run every file of the gallery through the command line, in a process whose memory is limited; a program of its own.

python -m tests.attacks.gallery_visitor FOLDER prints one JSON object per file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import sklearn.datasets  # noqa: F401  what a run imports late is imported before the memory is limited
import torch

from convert.__main__ import app
from tests.attacks.gallery import gallery

ROOM_BYTES = 3 * 2**30
"""1 GiB of values for the original and for our graph each, and as much for what torch needs besides."""
SECONDS = 120


def visit(folder: Path) -> None:
    """One line of JSON for each file."""
    torch.set_num_threads(1)
    jobs = {}
    for i, (name, build) in enumerate(gallery().items()):
        home, canary = folder / f"{i}", folder / f"canary{i}"
        home.mkdir()
        torch.manual_seed(0)  # an honest network in it has the same weights each time, none of them silent
        jobs[name] = (home, canary, build(home, canary))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM_BYTES,) * 2)
    signal.signal(signal.SIGALRM, _too_long)
    for name, (home, canary, arguments) in jobs.items():
        os.chdir(home)
        before = _files(folder)
        message, begin = io.StringIO(), time.perf_counter()
        signal.alarm(SECONDS)
        try:
            with contextlib.redirect_stderr(message), contextlib.redirect_stdout(io.StringIO()):
                app([*arguments, "--steps", "2"], standalone_mode=False)
            status = "0"
        except SystemExit as end:
            status = str(end.code)
        except BaseException as error:  # what must not happen, in words
            status = f"{type(error).__name__}: {error}"
        signal.alarm(0)
        found = {"name": name, "status": status, "message": message.getvalue(), "canary": canary.exists(),
                 "written": sorted(_files(folder) ^ before), "seconds": time.perf_counter() - begin}  # fmt: skip
        sys.stdout.write(json.dumps(found) + "\n")


def _files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def _too_long(*_: object) -> None:
    raise TimeoutError(f"longer than {SECONDS} s")


if __name__ == "__main__":
    visit(Path(sys.argv[1]))
