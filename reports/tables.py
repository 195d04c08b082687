"""The rows of a run as Markdown tables, none wider than a page bears."""

from __future__ import annotations

from typing import Any

from evaluate.records import Run
from reports import fits
from reports.fields import branch, entries, metric, number, text
from reports.markup import table
from reports.quantities import UNMEASURED, count, interval, joules, percent, quantity, reading

__all__ = [
    "coverage",
    "diagnosis",
    "exports",
    "facts",
    "metrics",
    "neurons",
    "steps",
    "synapses",
    "terms",
]

_ENERGIES = (
    ("ann", "ANN, dense", "energy.ann_j"),
    ("ann_sparse", "ANN, sparsity-aware", "energy.ann_sparse_j"),
    ("snn", "SNN", "energy.snn_j"),
)


_ANSWERS = (("accuracy", "accuracy", "fraction"), ("agreement", "agreement", "fraction"))
_FITS = (("r2", "R2", "R2"), ("relative_error", "relative error to the ANN", "fraction"))
"""What is kept, over steps: field, title and unit."""


def metrics(run: Run) -> str:
    """Every metric with its interval, samples and note."""
    return table(
        ["metric", "value", "interval", "better", "samples", "note"],
        (
            [f"`{m.name}`", reading(m), interval(m), m.better, count(m.samples) if m.samples else "", m.note]
            for m in run.metrics
        ),
    )


def steps(run: Run) -> str:
    """The steps that were asked for, one a row."""
    samples = metric(run, "agreement").samples
    kept = _FITS if fits.is_regression(run) else _ANSWERS
    rows = []
    for row in entries(run.curves, "steps"):
        kept_here = [
            UNMEASURED if value is None else quantity(value, unit, samples)
            for value, unit in ((number(row, key), unit) for key, _, unit in kept)
        ]
        work = [_count(row, key) for key in ("spikes_per_neuron", "synops")]
        rows.append(
            [
                _count(row, "steps"),
                _count(row, "ms"),
                *kept_here,
                *work,
                _joules(row, "energy_snn_j"),
            ]
        )
    headers = ["steps", "ms", *(title for _, title, _ in kept), "spikes per neuron", "SynOps", "modelled energy"]
    return table(headers, rows)


def neurons(run: Run) -> str:
    """The layers that fire."""
    rows = []
    for row in run.layers:
        if number(row, "neurons") is None:
            continue
        low, median, high = (_count(row, f"threshold_{part}") for part in ("low", "median", "high"))
        threshold = f"{median} ({low} to {high})" if low != high else median
        counts = [_count(row, key) for key in ("rate", "spikes", "neuron_updates")]
        rows.append([text(row, "name"), text(row, "neuron"), _count(row, "neurons"), threshold, *counts])
    headers = ["layer", "neuron", "neurons", "threshold", "spikes per neuron and step", "spikes", "updates"]
    return table(headers, rows)


def synapses(run: Run) -> str:
    """The layers that have weights."""
    rows = [row for row in run.layers if any(number(row, key) for key in ("ann_macs", "encoder_macs", "synops"))]
    total = sum(number(row, "synops") or 0.0 for row in rows)
    cells = []
    for row in rows:
        synops = number(row, "synops")
        share = percent(synops / total) if synops is not None and total > 0 else ""
        macs = [_count(row, key) for key in ("ann_macs", "encoder_macs", "synops")]
        cells.append([text(row, "name"), text(row, "place"), text(row, "kind"), *macs, share, _count(row, "rho")])
    headers = [
        "layer",
        "place",
        "kind",
        "MACs of the ANN",
        "encoder MACs",
        "SynOps",
        "share of SynOps",
        "rho",
    ]
    return table(headers, cells)


def terms(run: Run) -> str:
    """Modelled joules by term, a column for each network."""
    parts = {key: branch(run.assumptions, "energy", "terms", key) for key, _, _ in _ENERGIES}
    names = list(dict.fromkeys(name for part in parts.values() for name in part))
    rows = [[name.replace("_", " "), *(_joules(parts[key], name) for key, _, _ in _ENERGIES)] for name in names]
    totals = (metric(run, name) for _, _, name in _ENERGIES)
    total = ["**total**", *(reading(m) if m.value is None else f"**{reading(m)}**" for m in totals)]
    return table(["term", *(title for _, title, _ in _ENERGIES)], [*rows, total])


def coverage(run: Run) -> str:
    """What became of every operation of the model."""
    keys = ("place", "op", "fate", "becomes", "why")
    rows = entries(run.case, "coverage")
    return table(["place", "operation", "fate", "becomes", "why"], ([text(row, k) for k in keys] for row in rows))


def diagnosis(run: Run) -> str:
    """The error budget and the blame of every population, the most blamed first."""
    parts = ("inherited", "clipping", "rounding", "leak", "unevenness")
    rows = []
    for row in entries(run.diagnosis, "layers"):
        shares = branch(row, "shares")
        blame = [number(row, "given_back"), number(row, "alone"), *(number(shares, part) for part in parts)]
        correlation, error = number(row, "correlation"), number(row, "relative_rms_error")
        cells = ["" if value is None else f"{100 * value:.1f} %" for value in (error, *blame)]
        fit = "" if correlation is None else f"{correlation:.4f}"
        rows.append([text(row, "name"), fit, *cells, _count(row, "dead"), _count(row, "saturated")])
    headers = ["layer", "correlation", "rms error", "given back", "alone", *parts, "dead", "saturated"]
    return table(headers, rows)


def exports(run: Run) -> str:
    """How each reader understands the exported files."""
    rows = []
    for row in (row for row in run.exports if isinstance(row, dict)):
        error, spikes, classes = (number(row, key) for key in ("rate_error", "same_spikes", "same_class"))
        reader = " ".join(filter(None, (text(row, "target"), text(row, "version"))))
        figures = [
            "" if error is None else f"{error:.4f}",
            *("" if share is None else percent(share) for share in (spikes, classes)),
        ]
        rows.append([text(row, "form"), reader, text(row, "reading"), text(row, "verdict"), *figures, text(row, "why")])
    headers = ["form", "reader", "reading", "verdict", "rate error", "same spikes", "same decisions", "why"]
    return table(headers, rows)


def facts(record: dict[str, Any]) -> str:
    """Names and values, one a row, paths into objects included; empty values are left out."""
    return table(["what", "value"], [row for row in _flat(record) if row[1]])


def _flat(record: dict[str, Any], prefix: str = "") -> list[list[str]]:
    """The leaves of a tree of objects, with their paths."""
    rows = []
    for key in record:
        inner = branch(record, key)
        rows += _flat(inner, f"{prefix}{key}, ") if inner else [[f"{prefix}{key}", text(record, key)]]
    return rows


def _count(row: dict[str, Any], key: str) -> str:
    """The number under `key`, empty where there is none."""
    value = number(row, key)
    return "" if value is None else count(value)


def _joules(row: dict[str, Any], key: str) -> str:
    """The joules under `key`, empty where there are none."""
    value = number(row, key)
    return "" if value is None else joules(value)
