"""The process that identifies and runs cases: `python -m evaluate.suites.worker`, asked by `evaluate.suites.pools`.

The hashes in the finished run must be those that the case was identified by: a file that changed in between, or that is
another one on another machine, is a refusal and never a result.
"""

from __future__ import annotations

import json
from typing import Any

from evaluate.errors import SuiteError
from evaluate.isolation import Progress, serve
from evaluate.job import perform
from evaluate.options import Options
from evaluate.suites.identity import differences, identify

__all__ = ["answer"]


def answer(question: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """What the case is, or its run where the question holds an identity."""
    options = Options(**question["options"])
    expected = question.get("identity")
    if expected is None:
        return identify(options)
    found = identify(options)
    wrong = [f"{part}: got {found[part]}, expected {expected[part]}" for part in found if found[part] != expected[part]]
    if not wrong:
        stages: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            stages[stage] = stages.get(stage, 0) + done
            progress(stage, stages[stage], total)

        run, _ = perform(options.request(), report)
        wrong = differences(expected, run)
    if wrong:
        raise SuiteError(
            f"{'; '.join(wrong)}; expected the files, the code and the packages with which the suite was planned, on "
            "every machine"
        )
    record: dict[str, Any] = json.loads(run.to_json())
    return record


if __name__ == "__main__":
    serve(answer)
