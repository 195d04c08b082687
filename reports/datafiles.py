"""What the pages of the dashboard read: the overview, one file for each metric, one for each case.

A browser may not `fetch` from a file system, so data are scripts that hand one JSON value to the page. Names that
others chose are values and never keys, and the text is ASCII, so nothing in it can be anything but a string. A metric
and a case are found by a hash of their name, which a later build keeps; files are named by its first two digits, so
that their number is bounded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from evaluate.records import Metric, content_hash
from reports.casefiles import CODE, STATUSES, case_record, moved
from reports.fields import plain
from reports.series import WINDOW, Case

__all__ = ["data_files", "key_of"]

_COMMITS = 100
"""Commits with changes that the overview lists."""

Row = list[Any]


def key_of(name: str) -> str:
    """The address of a case or a metric.

    >>> key_of("snn.accuracy")
    '90ea0bd6d8'
    """
    return content_hash(name)[:10]


def data_files(cases: Sequence[Case], title: str = "") -> dict[str, str]:
    """The scripts by name."""
    metrics = list(dict.fromkeys(series.metric.name for case in cases for series in case.series))
    place = {name: i for i, name in enumerate(metrics)}
    files: dict[str, dict[str, Any]] = {}
    keys = [key_of(name) for name in metrics]
    for key in keys:
        files.setdefault(f"metrics-{key[:2]}", {})[key] = []
    changed: dict[str, dict[str, Any]] = {}
    for i, case in enumerate(cases):
        record = case_record(case, place)
        files.setdefault(f"cases-{key_of(case.name)[:2]}", {})[key_of(case.name)] = record
        for column in record["metrics"]:
            key = keys[column["metric"]]
            files[f"metrics-{key[:2]}"][key].append([i, *column["row"]])
        _gather(changed, i, case, place)
    index = {"title": plain(title), "window": WINDOW, "runs": sum(len(case.entries) for case in cases),
             "until": max((e.made for case in cases for e in case.entries), default=""), "statuses": STATUSES,
             "metrics": _metrics(cases, metrics), "cases": [_listed(case, place) for case in cases],
             "changes": _newest(changed)}  # fmt: skip
    return {f"{name}.js": _script(name, value) for name, value in {"index": index, **files}.items()}


def _script(name: str, value: Any) -> str:
    return f'take("{name}",{json.dumps(value, separators=(",", ":"), allow_nan=False)});\n'


def _metrics(cases: Sequence[Case], names: Sequence[str]) -> list[Row]:
    """Name, address, energy model, whether from a clock, direction of improvement."""
    kind: dict[str, Metric] = {}
    for case in cases:
        for series in case.series:
            kind.setdefault(series.metric.name, series.metric)
    return [[plain(n), key_of(n), _model(n), int(kind[n].timing), kind[n].better] for n in names]


def _model(name: str) -> str:
    """The energy model that a metric is priced by; empty where it has none.

    >>> _model("energy.chip-affine-loihi.snn_j"), _model("energy.snn_j")
    ('chip-affine-loihi', '')
    """
    parts = plain(name).split(".")
    return parts[1] if len(parts) == 3 and parts[0] == "energy" else ""


def _listed(case: Case, place: dict[str, int]) -> dict[str, Any]:
    """A case in the overview: what it is filtered by, and how many metrics stand how."""
    last = case.entries[-1]
    count = Counter(series.status for series in case.series)
    return {
        "key": key_of(case.name), "name": plain(case.name), "network": plain(last.network),
        "recipe": plain(last.recipe), "neuron": plain(last.neuron), "data": plain(last.data), "runs": len(case.entries),
        "commits": len({e.commit or e.content for e in case.entries}), "commit": plain(last.commit),
        "made": plain(last.made), "counts": [count[status] for status in STATUSES],
        "has": sorted(place[series.metric.name] for series in case.series),
    }  # fmt: skip


def _gather(changed: dict[str, dict[str, Any]], i: int, case: Case, place: dict[str, int]) -> None:
    """Add the change points of `case` to those of their commits."""
    for series in case.series:
        for change in series.changes:
            entry = case.entries[change.start]
            group = changed.setdefault(entry.commit or entry.content, {"made": entry.made, "cases": {}})
            group["made"] = min(group["made"], entry.made)
            row = group["cases"].setdefault(i, [entry, case.entries[change.before], []])
            row[2].append([place[series.metric.name], CODE[change.status]])


def _newest(changed: dict[str, dict[str, Any]]) -> list[Row]:
    """The last commits at which something changed: commit, time, and for each case the metrics and the layer."""
    order = sorted(changed, key=lambda commit: (changed[commit]["made"], commit), reverse=True)[:_COMMITS]
    return [
        [plain(next(iter(group["cases"].values()))[0].commit), plain(group["made"]),
         [[i, rows, plain(after.content)[:16], plain(before.content)[:16], moved(before, after)]
          for i, (after, before, rows) in group["cases"].items()]]
        for group in (changed[commit] for commit in order)
    ]  # fmt: skip
