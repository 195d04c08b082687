"""Counts of a node as the rows of a run file, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from evaluate.counts import OpCount, Tensors
from evaluate.errors import RunFileError
from evaluate.traces import named

__all__ = ["COUNTED", "GROWING", "counts_of", "layer_record", "rate_and_rho"]

COUNTED = {
    "neurons": "neurons", "ann_macs": "MACs", "ann_macs_effective": "MACs", "macs_zero_weight": "MACs",
    "encoder_macs": "MACs", "functions": "values", "synops": "SynOps", "synops_zero_weight": "SynOps",
    "spikes": "spikes", "neuron_updates": "updates", "neuron_updates_event": "updates",
    "encoder_macs_recomputed": "MACs",
    "adds_per_update": "additions", "multiplies_per_update": "multiplications", "arrivals": "spikes",
}  # fmt: skip
"""Every count of a node, with its unit."""

GROWING = (
    "encoder_macs", "encoder_macs_recomputed", "functions", "synops", "synops_zero_weight", "spikes", "neuron_updates",
    "arrivals",
)  # fmt: skip
"""Those that differ from step to step."""

_ALWAYS = ("adds_per_update", "multiplies_per_update")


def layer_record(rows: Sequence[OpCount], steps: Sequence[float]) -> dict[str, Any]:
    """The counts of one node after the last step, None for what it does not do, and those of earlier recorded steps.

    Parameters
    ----------
    rows : sequence of OpCount
        Of the same node, at each recorded step.
    steps : sequence of float
        A mean where samples stopped at steps of their own.
    """
    row = rows[-1]
    counts = {key: getattr(row, key) or None for key in COUNTED}
    counts |= {key: getattr(row, key) for key in _ALWAYS if row.neuron_updates}
    if row.role == "spiking":
        counts |= {"synops": row.synops, "synops_zero_weight": row.synops_zero_weight}
    if row.ann_macs:
        counts["macs_zero_weight"] = row.macs_zero_weight
    if row.role == "neuron":
        counts["spikes"] = row.spikes
    earlier = [
        {"steps": t, **{key: getattr(r, key) for key in GROWING if getattr(r, key)}}
        for t, r in zip(steps[:-1], rows[:-1], strict=True)
    ]
    return {"role": row.role, **counts, **rate_and_rho(row, steps[-1]), "tensors": asdict(row.tensors),
            "earlier": earlier}  # fmt: skip


def rate_and_rho(row: OpCount, steps: float) -> dict[str, float | None]:
    """Spikes per neuron and step of a population, and spikes per synapse and inference of synapses."""
    return {
        "rate": row.spikes / row.neurons / steps if row.neurons else None,
        "rho": row.synops / row.ann_macs if row.role == "spiking" and row.ann_macs else None,
    }


def counts_of(layers: Sequence[Mapping[str, Any]], steps: Sequence[float]) -> list[list[OpCount]]:
    """The counts at each recorded step, read from the rows of a run file; every number named after its place there.

    Raises
    ------
    RunFileError
        The rows are those of an earlier version.
    """
    if any("tensors" not in row or "earlier" not in row for row in layers):
        raise RunFileError("layers: written by an earlier version, without all counts; convert the model again")
    return [[_count(row, t, t == steps[-1]) for row in layers] for t in steps]


def _count(row: Mapping[str, Any], steps: float, last: bool) -> OpCount:
    """One node at one recorded step."""
    at: Mapping[str, Any] = {} if last else next((each for each in row["earlier"] if each["steps"] == steps), {})
    stored = {key: row.get(key) if last or key not in GROWING else at.get(key) for key in COUNTED}
    when = "" if last else f" after {steps} steps"
    values = {
        key: named(value, f"{key} of {row['name']}{when}", COUNTED[key]) if value else 0
        for key, value in stored.items()
    }
    known = {field.name for field in fields(Tensors)}
    sizes: dict[str, Any] = {
        key: named(value, f"{key} of {row['name']}", "elements")
        for key, value in row["tensors"].items()
        if key in known and value
    }
    counts: dict[str, Any] = values
    return OpCount(node=row["name"], place=row["place"], role=row["role"], tensors=Tensors(**sizes), **counts)
