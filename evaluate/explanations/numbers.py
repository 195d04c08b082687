"""The numbers of a run file, each with a name that one can ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluate.layers import COUNTED
from evaluate.records import Metric, Run

__all__ = ["Number", "leaves", "numbers_of", "parts_of"]


@dataclass(frozen=True)
class Number:
    """One number as the run file has it.

    Parameters
    ----------
    name : str
        A metric's name; or the part of the run file and the path in it, such as ``layer:relu.spikes``.
    value : float or None
    unit : str
        Empty where the path says it.
    metric : Metric or None
        The metric that it is.
    """

    name: str
    value: float | None
    unit: str = ""
    metric: Metric | None = None


def numbers_of(run: Run) -> dict[str, Number]:
    """All numbers, by name: metrics first, then layers, curves, energy models and what else was recorded."""
    found = {m.name: Number(m.name, m.value, m.unit, m) for m in run.metrics}
    for part, content in parts_of(run).items():
        for path, value in leaves(content):
            name = f"{part}:{path}"
            found[name] = Number(name, value, _unit(name))
    return found


def parts_of(run: Run) -> dict[str, Any]:
    """What else holds numbers; the names of the parts are how their numbers' names begin."""
    return {
        "layer": run.layers,
        "curve": run.curves,
        "energy": {
            "headline": run.assumptions.get("energy", {}),
            **{row["name"]: row for row in run.assumptions.get("energy_models", [])},
        },
        "setting": run.assumptions.get("setting", {}),
        "constant": run.assumptions.get("energy_constants", []),
        "baseline": run.assumptions.get("baselines", {}),
        "case": run.case,
        "diagnosis": run.diagnosis,
        "export": run.exports,
        "samples": run.samples,
        "environment": run.environment,
    }


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number inside `content` with its path; rows are called by their name, steps or label, or else counted.

    >>> list(leaves({"a": [{"steps": 4, "x": 0.5}], "b": {"c": True, "d": 2}}))
    [('a@4.x', 0.5), ('b.d', 2)]
    """
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, Sequence) and not isinstance(content, str):
        for i, row in enumerate(content):
            key, rest = _row_key(row, i)
            yield from leaves(rest, f"{path}{key}" if path or not key.startswith(".") else key[1:])
    elif isinstance(content, int | float) and not isinstance(content, bool) and math.isfinite(content):
        yield path, content


def _row_key(row: Any, i: int) -> tuple[str, Any]:
    """What the row is called after, and the rest of it."""
    if isinstance(row, Mapping):
        for key, mark in (("steps", "@"), ("name", "."), ("label", ".")):
            if row.get(key) not in (None, ""):
                return f"{mark}{row[key]}", {k: v for k, v in row.items() if k != key}
    return f".{i}", row


def _unit(name: str) -> str:
    """The unit of a number that is no metric, where its path says it."""
    last = name.split(":")[-1].split(".")[-1]
    parent = name.split(".")[-2] if "." in name else ""
    if last in COUNTED:
        return COUNTED[last]
    if last.startswith("energy") or "energy_by_model_j" in name or ".totals" in name or ".terms" in name:
        return "J"
    if "efficiency" in parent or "efficiency" in name:
        return "SynOps/s/W"
    known = {"ms": "ms", "synops": "SynOps", "spikes_per_neuron": "spikes", "rate": "spikes per neuron and step",
             "rho": "spikes per synapse and inference", "accuracy": "fraction", "agreement": "fraction",
             "accuracy_low": "fraction", "accuracy_high": "fraction", "inference_s": "s"}  # fmt: skip
    return known.get(last, "s" if ":seconds." in name else "")
