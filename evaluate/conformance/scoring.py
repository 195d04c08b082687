"""conform(): every check on one converter; adapters by name, or by the place of one's own function."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from io import StringIO
from typing import Any

from evaluate.conformance.contract import Adapter, Check, judge
from evaluate.conformance.honesty_checks import HONESTY_CHECKS
from evaluate.conformance.layer_checks import LAYER_CHECKS
from evaluate.conformance.neuron_checks import NEURON_CHECKS
from evaluate.contenders.adapters import ADAPTERS
from evaluate.contenders.peers import peer_version
from evaluate.environment import environment
from evaluate.errors import ConformanceError

__all__ = ["CHECKS", "SCHEMA", "conform", "find_adapter"]

SCHEMA = "ann2spike.conformance/1"

CHECKS: tuple[Check, ...] = (*NEURON_CHECKS, *LAYER_CHECKS, *HONESTY_CHECKS)


def conform(name: str, adapter: Adapter, begin: Callable[[str], None] = lambda check: None) -> dict[str, Any]:
    """The verdict on every check, plain JSON.

    Parameters
    ----------
    begin : callable
        Called with the name of the check that begins.

    Returns
    -------
    dict
        ``contender``, ``version``, ``score`` (verdict -> number of checks), ``checks`` (a row for each), and where and
        with what it was measured.
    """
    rows = []
    for check in CHECKS:
        begin(check.name)
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")  # theirs, not ours
            rows.append(asdict(judge(check, adapter)))
    verdicts = [row["verdict"] for row in rows]
    score = {verdict: verdicts.count(verdict) for verdict in ("pass", "fail", "refused", "not offered")}
    known = ADAPTERS.get(name)
    version = None if known is None else peer_version(known.distribution)
    return {"schema": SCHEMA, "contender": name, "version": version, "score": score, "checks": rows,
            "environment": environment()}  # fmt: skip


def find_adapter(name: str) -> Adapter:
    """The adapter of a contender, or the function at ``module:function``.

    Raises
    ------
    ConformanceError
        There is none, or what it needs is not installed.
    """
    if name in ADAPTERS:
        known = ADAPTERS[name]
        if peer_version(known.distribution) is None:
            raise ConformanceError(
                f"--contender {name}: {known.distribution} is not installed; pip install '.[peers]', in an "
                "environment without the extra nir"
            )
        return known.adapter
    place, colon, function = name.partition(":")
    if not colon or not function:
        raise ConformanceError(
            f"--contender: got {name!r}; expected one of {', '.join(ADAPTERS)}, or module:function of your own adapter"
        )
    try:
        found = getattr(importlib.import_module(place), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConformanceError(
            f"--contender {name}: {type(error).__name__}: {error}; expected a module on the path and a function in it"
        ) from error
    if not callable(found):
        raise ConformanceError(f"--contender {name}: got a {type(found).__name__}; expected a function")
    adapter: Adapter = found
    return adapter
