"""Isolated: a process of its own that answers questions, so that what kills it costs one answer and nothing else.

Questions and answers are lines of JSON; the other side is a module that calls `serve`. Threads are chosen when torch
starts, so each number of threads needs processes of its own. What other software prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from evaluate.errors import EvaluateError, ProcessError

__all__ = ["Answer", "Isolated", "Progress", "environment_with", "serve"]

Progress = Callable[[str, int, int], None]
"""Called with what is about to run, how much of it is done and how much there will be."""

Answer = Callable[[dict[str, Any], Progress], Any]
"""Question, progress -> answer, plain JSON."""

_ROOT = Path(__file__).resolve().parent.parent
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LAST_LINES = 3


def environment_with(threads: int, around: Mapping[str, str]) -> dict[str, str]:
    """The environment `around` with so many threads, and with this tree on the path."""
    path = os.pathsep.join(filter(None, (str(_ROOT), around.get("PYTHONPATH"))))
    return {**around, **dict.fromkeys(_THREADS, str(threads)), "PYTHONPATH": path}


class Isolated:
    """The process that runs `module`.

    Parameters
    ----------
    environment : mapping
        Its variables; see `environment_with`.
    folder : Path or None
        Where it works. A source tree of ours there is the one that it imports.
    """

    def __init__(self, module: str, environment: Mapping[str, str], folder: Path | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        # A session of its own: Ctrl-C reaches this process, which ends the other one and keeps what is finished.
        self._child = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            text=True, encoding="utf-8", env=dict(environment), cwd=folder, start_new_session=True,
        )  # fmt: skip

    def ask(self, question: Mapping[str, Any], progress: Progress = lambda what, done, total: None) -> Any:
        """The answer.

        Raises
        ------
        EvaluateError
            The question was refused, with the reason.
        ProcessError
            The process died, with its last words.
        """
        assert self._child.stdin is not None and self._child.stdout is not None  # they are pipes
        with suppress(OSError):  # if it is dead already, its last words say more
            self._child.stdin.write(json.dumps(question) + "\n")  # a time constant may be inf
            self._child.stdin.flush()
        for line in self._child.stdout:
            message: dict[str, Any] = json.loads(line)
            if "what" in message:
                progress(message["what"], message["done"], message["total"])
            elif "refused" in message:
                raise EvaluateError(message["refused"])
            else:
                return message["answer"]
        raise ProcessError(f"the process {_ended(self._child.wait())}: {_end_of(self._errors)}")

    def kill(self) -> None:
        """End it, from any thread."""
        self._child.kill()

    def close(self) -> None:
        """End it, and let go of its pipes."""
        self._child.kill()
        with suppress(OSError):
            self._child.__exit__(None, None, None)
        self._errors.close()

    def __enter__(self) -> Isolated:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()


def _ended(status: int) -> str:
    """How, in words.

    >>> _ended(-9)
    'was killed by SIGKILL (as happens where memory runs out)'
    """
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"was killed by {name}{' (as happens where memory runs out)' if name == 'SIGKILL' else ''}"


def _end_of(errors: IO[bytes]) -> str:
    """The last lines of standard error, as one."""
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return " ".join(" ".join(lines[-_LAST_LINES:]).split()) or "it said nothing"


def serve(answer: Answer) -> None:
    """Answer the questions on standard input until it ends; whoever asks may be killed without leaving this behind."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with suppress(OSError):  # where memory runs out, the case is to be killed and not the suite
        Path("/proc/self/oom_score_adj").write_text("500")
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            questions.put(line)
        os._exit(0)  # nobody waits for an answer any more

    def send(**message: Any) -> None:
        channel.write(json.dumps(message, allow_nan=False) + "\n")
        channel.flush()

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                question = json.loads(questions.get())
                send(answer=answer(question, lambda what, done, total: send(what=what, done=done, total=total)))
            except _refusals() as error:
                send(refused=str(error))
    except BrokenPipeError:
        os._exit(1)


def _refusals() -> tuple[type[Exception], ...]:
    """What is the user's to mend: imported only where it is needed, for it takes torch."""
    from convert.errors import ConvertError
    from zoo.errors import ZooError

    return ConvertError, ZooError, EvaluateError
