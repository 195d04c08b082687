"""`python -m ROOM ...` in a process of its own, without each one importing torch again.

The processes are forked from one that has imported what the commands import and has done nothing else. All else is as
from a shell: arguments, folder, variables, exit status, and what reaches the two outputs by their descriptors. What
depends on the start of Python itself (an interruption, variables that torch reads when it is imported, what a command
leaves unimported) is tested with processes that are started afresh.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMPORTED = [
    "torch", "torch._dynamo", "torch.export._trace", "sklearn.datasets", "sklearn.model_selection", "scipy.stats",
    "matplotlib.figure", "pydantic", "rich.progress", "typer", "convert", "zoo", "evaluate.job", "evaluate.leaderboard",
    "reports", "reports.html", "reports.store",
]  # fmt: skip

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(IMPORTED)


def python(room, *arguments, cwd=ROOT, variables=None, timeout=600):
    """What `python -m ROOM ARGUMENTS` leaves behind.

    Parameters
    ----------
    cwd : path
        Comes first on the path of Python, too.
    variables : mapping, optional
        Environment variables beside those of this process.

    Returns
    -------
    subprocess.CompletedProcess
        Exit status and both outputs as text.

    Raises
    ------
    subprocess.TimeoutExpired
        After `timeout` seconds.
    """
    words = [room, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("out", "err")]
        environment = {**os.environ, **(variables or {})}
        process = _FORKED.Process(target=_run, args=(words, str(cwd), environment, list(map(str, outputs))))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        out, err = (path.read_text(encoding="utf-8") for path in outputs)
        return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _run(words, cwd, environment, outputs):
    """In the new process."""
    for descriptor, path in enumerate(outputs, start=1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, cwd)
    sys.argv = list(words)
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
