"""What a history needs of a run: one light entry each, as a run store keeps them and a dashboard reads them."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from typing import Any

from evaluate.records import Metric, Run, content_hash
from reports.fields import branch, checkout, text
from reports.pairing import case_name, machine_of

__all__ = ["Entry", "content_id", "entry_of"]


@dataclass(frozen=True)
class Entry:
    """One run without its curves, samples and assumptions.

    Parameters
    ----------
    content : str
        sha256 of the whole run, its key in a store: the same file twice is one entry.
    run : str
        `Run.id`: hash of the case and the code; repeats of a case share it.
    case : str
        What was asked, in a name that survives a change of code and weights; see `reports.pairing.case_name`.
    commit : str
        Of the code that measured; empty where it was no checkout.
    made : str
        ISO 8601, UTC; empty where the run does not say.
    network, recipe, neuron, data : str
        What people filter by.
    metrics : tuple of Metric
    layers : tuple of dict
        Rows of the layer table: ``name``, ``rate``, ``spikes``, ``synops``, ...
    machine : str
        What times depend on: processor, platform, threads, Python. Times of two machines are never compared.
    """

    content: str
    run: str
    case: str
    commit: str
    made: str
    network: str
    recipe: str
    neuron: str
    data: str
    metrics: tuple[Metric, ...]
    layers: tuple[dict[str, Any], ...]
    machine: str = ""


def content_id(run: Run) -> str:
    """sha256 of everything that `run` says.

    What has its default value is left out, so that a member that a later version adds changes no key of an older run.
    """
    metrics = [{name: value for name, value in vars(m).items() if value != _METRIC.get(name, ...)} for m in run.metrics]
    told = {name: value for name, value in vars(run).items() if value != _RUN.get(name, ...)}
    return content_hash(json.loads(json.dumps({**told, "metrics": metrics, "schema": run.schema}, allow_nan=False)))


def _defaults(kind: type) -> dict[str, Any]:
    """Field -> what it is where nothing was said."""
    return {
        f.name: f.default if f.default_factory is MISSING else f.default_factory()
        for f in fields(kind)
        if f.default is not MISSING or f.default_factory is not MISSING
    }


_RUN, _METRIC = _defaults(Run), _defaults(Metric)


def entry_of(run: Run) -> Entry:
    """The entry of `run`."""
    config, environment = branch(run.case, "config"), run.environment
    return Entry(
        content_id(run), run.id, case_name(run),
        text(checkout(run), "commit"), text(environment, "time_utc"),
        text(branch(run.case, "model"), "name"), text(config, "recipe"), text(config, "neuron"),
        text(branch(run.case, "data"), "spec"), run.metrics, run.layers, machine_of(run),
    )  # fmt: skip
