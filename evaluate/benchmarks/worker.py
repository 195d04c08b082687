"""The process of one case: reads it from standard input, writes a line of JSON for every report and for the result.

A process of its own, because threads are chosen when torch starts: its idle workers spin, and whoever has once
computed with two threads is slowed down by the second one when he computes with one. What other software prints goes
to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from convert.errors import ConvertError
from evaluate.benchmarks.measuring import measure_case
from evaluate.benchmarks.request import BenchmarkRequest, Case
from evaluate.errors import EvaluateError
from zoo.errors import ZooError

__all__ = ["main"]


def main() -> None:
    """Measure the case on standard input."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(**message: Any) -> None:
        channel.write(json.dumps(message, allow_nan=False) + "\n")
        channel.flush()

    asked = json.load(sys.stdin)
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in asked["request"].items()
    }
    try:
        record = measure_case(
            Case(**asked["case"]),
            BenchmarkRequest(**options),
            lambda what, done, total: send(what=what, done=done, total=total),
        )
        send(result=record)
    except (ConvertError, ZooError, EvaluateError) as error:
        send(refused=str(error))
    except BrokenPipeError:  # nobody waits for the answer any more
        os._exit(1)


if __name__ == "__main__":
    main()
