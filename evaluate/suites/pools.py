"""Where cases run: in processes here, or on a Dask cluster; each case is answered exactly once, whatever dies.

A case always runs in a process of its own kind (`evaluate.isolation`), on the cluster too: what kills that process is
the outcome of one case. joblib hands the cases out here. Its Dask backend does not serve on a cluster: of a task that
was given up because its workers died, it never tells, and waits for ever (joblib 1.6). So there the futures of Dask are
used, each with its own outcome. A worker that dies has its cases run again by another; only this process writes files.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed

from evaluate.environment import code_version
from evaluate.errors import EvaluateError, ProcessError, SuiteError
from evaluate.isolation import Isolated, Progress, environment_with

__all__ = ["Asked", "Begin", "Cluster", "Here", "Outcome", "Pool", "Question", "ask_alone"]

_WORKER = "evaluate.suites.worker"
_PATIENCE_S = 30.0


class Asked(Protocol):
    """What a worker is asked, and where it works."""

    @property
    def folder(self) -> str | None:
        """The worker's folder; None: this one."""

    def as_record(self) -> dict[str, Any]:
        """Plain JSON."""


@dataclass(frozen=True)
class Question:
    """A case for a worker: its options, what it was identified by (None asks for that), and where it works."""

    options: dict[str, Any]
    identity: dict[str, Any] | None = None
    folder: str | None = None

    def as_record(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"options": self.options, "identity": self.identity}


@dataclass(frozen=True)
class Outcome:
    """An answer, or why there is none: ``refused`` by the program, ``died`` with its process, or ``late``."""

    answer: dict[str, Any] | None
    failure: str = ""
    message: str = ""


Begin = Callable[[int], Progress]
"""Called when the question of this number begins; what it returns is told of its progress."""


class Pool(Protocol):
    """Answers questions."""

    def outcomes(self, questions: Sequence[Question], begin: Begin) -> Iterator[tuple[int, Outcome]]:
        """Every question once, by its number, in the order in which they end."""


def _ask(
    process: Isolated,
    question: Asked,
    progress: Progress = lambda what, done, total: None,
    limit_s: float | None = None,
) -> Outcome:
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    timer = None if limit_s is None else threading.Timer(limit_s, give_up)
    try:
        if timer is not None:
            timer.start()
        return Outcome(process.ask(question.as_record(), progress))
    except ProcessError as error:
        if late.is_set():
            return Outcome(None, "late", f"not finished in {limit_s:g} s")
        return Outcome(None, "died", str(error))
    except EvaluateError as error:
        return Outcome(None, "refused", str(error))
    finally:
        if timer is not None:
            timer.cancel()


@dataclass
class Here:
    """Processes on this machine, `jobs` at a time, with so many threads each. They serve on; a dead one is replaced.

    Leaving the context ends them, in the middle of a case too. `worker` is the module that they run; where there is a
    `limit_s`, a question that takes longer has no answer.
    """

    jobs: int = 1
    threads: int = 1
    worker: str = _WORKER
    limit_s: float | None = None
    _all: set[Isolated] = field(default_factory=set)
    _idle: dict[str | None, list[Isolated]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: bool = False

    def __enter__(self) -> Here:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        with self._lock:
            self._closing = True
            for process in self._all:
                process.kill()  # whoever waits for its answer closes it
            for process in (process for idle in self._idle.values() for process in idle):
                process.close()

    def outcomes(self, questions: Sequence[Asked], begin: Begin) -> Iterator[tuple[int, Outcome]]:
        """As `Pool`."""

        def answered(number: int, question: Asked) -> tuple[int, Outcome]:
            return number, self._answered(question, lambda: begin(number))

        calls = (delayed(answered)(number, question) for number, question in enumerate(questions))
        # Threads, because each only waits for its process.
        pool = Parallel(self.jobs, backend="threading", return_as="generator_unordered", batch_size=1,
                        pre_dispatch="n_jobs")  # fmt: skip
        yield from pool(calls)

    def _answered(self, question: Asked, begin: Callable[[], Progress]) -> Outcome:
        process = self._taken(question.folder)
        if process is None:
            return Outcome(None, "died", "the suite was interrupted")
        serves_on = False
        try:
            outcome = _ask(process, question, begin(), self.limit_s)
            serves_on = outcome.failure not in ("died", "late")
        finally:
            with self._lock:
                if serves_on and not self._closing:
                    self._idle.setdefault(question.folder, []).append(process)
                else:
                    self._all.discard(process)
                    process.close()
        return outcome

    def _taken(self, folder: str | None) -> Isolated | None:
        """A process that works in `folder`, a new one where all are busy; None while the others are ended."""
        with self._lock:
            if self._closing:
                return None
            if self._idle.get(folder):
                return self._idle[folder].pop()
            process = Isolated(
                self.worker, environment_with(self.threads, os.environ), Path(folder) if folder else None
            )
            self._all.add(process)
            return process


def ask_alone(question: Question, threads: int) -> str:
    """The outcome of `question` from a process made for it, as JSON; this is what a worker of the cluster runs."""
    folder = question.folder if question.folder and Path(question.folder).is_dir() else None
    with Isolated(_WORKER, environment_with(threads, os.environ), Path(folder) if folder else None) as process:
        outcome = _ask(process, question)
    return json.dumps([outcome.answer, outcome.failure, outcome.message])


class Cluster:
    """The workers of the Dask scheduler at `address`.

    Raises
    ------
    SuiteError
        No Dask, no scheduler or no worker there, or workers with other code.
    """

    def __init__(self, address: str, threads: int = 1) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise SuiteError("--cluster: needs Dask; pip install '.[dask]', here and on every worker") from error
        self.address, self.threads = address, threads
        try:
            self._client = Client(address, timeout=_PATIENCE_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SuiteError(
                f"--cluster: no scheduler answers at {address} ({error}); expected an address such as "
                "tcp://scheduler:8786, of the dask scheduler that was started there"
            ) from error
        try:
            self._refuse_strangers()
        except BaseException:
            self._client.close()
            raise

    def _refuse_strangers(self) -> None:
        """Every worker must have the code and the packages of this process."""
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError as error:
            raise SuiteError(f"--cluster: {self.address} has no worker; start some with dask worker") from error
        mine = code_version()
        try:
            theirs = self._client.run(code_version)
        except Exception as error:
            raise SuiteError(f"--cluster: a worker has no ann2spike ({error}); install it on every worker") from error
        others = [worker for worker, version in theirs.items() if version != mine]
        if others:
            raise SuiteError(
                f"--cluster: other code or packages on {', '.join(others)}; expected those of this machine everywhere: "
                "install the same versions"
            )

    def __enter__(self) -> Cluster:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; what runs there for us is cancelled."""
        self._client.close()

    def outcomes(self, questions: Sequence[Question], begin: Begin) -> Iterator[tuple[int, Outcome]]:
        """As `Pool`; nothing is told of what runs in between."""
        from distributed import as_completed

        futures = {
            self._client.submit(ask_alone, question, self.threads, pure=False): number
            for number, question in enumerate(questions)
        }
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                if self._client.status != "running":
                    raise SuiteError(f"--cluster: {self.address} is gone; finished cases are kept: run it again")
                number = futures.pop(future)
                yield number, _outcome_of(future)
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(futures))


def _outcome_of(future: Any) -> Outcome:
    """What a future of Dask holds; it has ended."""
    try:
        answer, failure, message = json.loads(future.result())
        return Outcome(answer, failure, message)
    except Exception as error:  # whatever a worker raises, this case is over and the others are not
        return Outcome(None, "died", f"{type(error).__name__}: {error}")
