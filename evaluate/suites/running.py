"""run_suite(): identify every case, run those whose outcome is not there, write each outcome as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from evaluate.errors import SuiteError
from evaluate.isolation import Progress
from evaluate.records import SCHEMA, Run, content_hash, run_of
from evaluate.suites.folders import Failure, Key, claim, folder_name, keep, kept, prune
from evaluate.suites.pools import Outcome, Pool, Question
from evaluate.suites.suite import Suite, SuiteCase

__all__ = ["Ended", "Planned", "Side", "Watch", "planned", "run_suite"]


@dataclass(frozen=True)
class Side:
    """A checkout in which every case runs: its name among two, empty where there is one, and its folder."""

    name: str
    place: Path


@dataclass(frozen=True)
class Planned:
    """One run that is to be there in the end. Without an identity it has failed already: `failed` says why."""

    case: SuiteCase
    side: Side
    key: Key
    folder: Path
    identity: dict[str, Any] | None
    failed: Outcome | None = None

    @property
    def label(self) -> str:
        """For people."""
        again = f" ({self.key.repeat + 1})" if self.key.repeat else ""
        return f"{self.side.name}{': ' if self.side.name else ''}{self.case.label}{again}"


@dataclass(frozen=True)
class Ended:
    """A run and its outcome; `kept` where that was there before."""

    planned: Planned
    outcome: Run | Failure
    kept: bool = False


class Watch(Protocol):
    """Is told how it goes on."""

    def begin(self, number: int, label: str) -> Progress:
        """A run begins."""

    def end(self, number: int, ended: Ended) -> None:
        """It ended, or was there."""


def planned(suite: Suite, sides: Sequence[Side], out: Path, pool: Pool) -> list[Planned]:
    """Every run of the suite in the order of taking them: in turn over the cases, base and head together.

    Combinations that come to the same case are run once.
    """
    known = {side: _identified(suite.cases, side, pool) for side in sides}
    found: dict[Path, Planned] = {}
    for repeat in range(suite.repeat):
        for number, case in enumerate(suite.cases):
            for side in sides if repeat % 2 == 0 else sides[::-1]:  # so that a drift of the machine hits both alike
                identity, failed = known[side][number]
                key = Key(content_hash(identity or asdict(case.options)), repeat)
                folder = out / side.name / folder_name(case.options, key)
                found.setdefault(folder, Planned(case, side, key, folder, identity, failed))
    return list(found.values())


def _identified(cases: Sequence[SuiteCase], side: Side, pool: Pool) -> list[tuple[dict[str, Any] | None, Outcome]]:
    """Identity of each case, with the outcome that says why there is none."""
    questions = [Question(asdict(case.options), folder=str(side.place)) for case in cases]
    answers = dict(pool.outcomes(questions, lambda number: lambda what, done, total: None))
    return [(answers[number].answer, answers[number]) for number in range(len(cases))]


def run_suite(
    plan: Sequence[Planned], pool: Pool, watch: Watch, retry: bool = False, remove: bool = False
) -> list[Ended]:
    """The outcome of everything in `plan`, in its order.

    Parameters
    ----------
    retry : bool
        Whether what has failed before is run again.
    remove : bool
        Whether runs of other suites in the same folder are removed.

    Raises
    ------
    SuiteError
        The folder cannot be used.
    """
    for place in {planned.folder.parent for planned in plan}:
        claim(place)
        prune(place, {planned.folder.name for planned in plan}, remove)
    repeated = any(planned.key.repeat for planned in plan)
    ended: dict[int, Ended] = {}
    for number, old in enumerate(plan):
        there = kept(old.folder, old.key)
        if there is not None and not (retry and isinstance(there, Failure)):
            ended[number] = Ended(old, there, kept=True)
            watch.end(number, ended[number])
    for number, outcome in _outcomes(plan, [n for n in range(len(plan)) if n not in ended], pool, watch):
        new = plan[number]
        ended[number] = Ended(new, keep(new.folder, _judged(new, outcome), new.key, repeated))
        watch.end(number, ended[number])
    return [ended[number] for number in range(len(plan))]


def _outcomes(
    plan: Sequence[Planned], waiting: Sequence[int], pool: Pool, watch: Watch
) -> Iterator[tuple[int, Outcome]]:
    """The outcome of each run in `waiting`, those that are refused already first."""
    yield from ((n, failed) for n in waiting if (failed := plan[n].failed) is not None and failed.answer is None)
    open_ones = [n for n in waiting if plan[n].identity is not None]
    questions = [Question(asdict(plan[n].case.options), plan[n].identity, str(plan[n].side.place)) for n in open_ones]
    for i, outcome in pool.outcomes(questions, lambda i: watch.begin(open_ones[i], plan[open_ones[i]].label)):
        yield open_ones[i], outcome


def _judged(planned: Planned, outcome: Outcome) -> Run | Failure:
    """The run in `outcome`, or its failure as a record."""
    if outcome.answer is not None:
        if outcome.answer.get("schema") != SCHEMA:
            raise SuiteError(f"{planned.label}: got another kind of run file; expected {SCHEMA} from every checkout")
        return run_of(outcome.answer)
    return Failure(planned.key.case, planned.key.repeat, planned.case.label, planned.case.options.command,
                   outcome.failure, outcome.message)  # fmt: skip
