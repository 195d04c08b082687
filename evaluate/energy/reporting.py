"""Energy as JSON-ready records for the run file: results with their assumptions, and published baselines."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluate.energy.break_even import BASELINES, BreakEven, break_even
from evaluate.energy.charges import table_of
from evaluate.energy.constants import Constant, read_constants
from evaluate.energy.model import Bill, Breakdown, EnergyModel, Span
from evaluate.energy.verdict import judged, thresholds, verdict

__all__ = ["as_record", "baselines_record", "constants_record", "model_record"]

_NETWORKS = ("ann", "ann_sparse", "quantised", "snn")

_HERE = Path(__file__).parent


def as_record(model: EnergyModel, breakdown: Breakdown, no_break_even: str = "") -> dict[str, Any]:
    """Everything a reader needs to judge the joules of one run.

    Parameters
    ----------
    no_break_even : str
        Why rho has no break-even for this network, if it has none.

    Returns
    -------
    dict
        ``terms`` in J per inference at the nominal prices (network -> term -> J, not rounded: display with
        `rounded`); ``totals``, ``ratio``, ``efficiency`` as ``{value, low, high}``; the model's identity,
        ``constants`` as printed with their sources, ``unpriced`` terms, ``rho`` and its break-even,
        published ``thresholds`` and the ``verdict`` in sentences.
    """
    bill = breakdown.nominal
    efficiency = breakdown.efficiency()
    return {
        "name": model.name,
        "version": model.version,
        "formula": model.formula,
        "citation": model.citation,
        "scope": model.scope,
        "prices": bill.prices,
        "terms": {"ann": bill.ann, "ann_sparse": bill.ann_sparse, "snn": bill.snn},
        "terms_unit": "J",
        "totals": {network: _record(breakdown.energy(network)) for network in ("ann", "ann_sparse", "snn")},
        "ratio": {base: _record(breakdown.ratio(base)) for base in ("ann", "ann_sparse")},
        "efficiency": {
            "unit": "SynOps/s/W",
            "all_terms": _record(efficiency),
            "marginal": _record(breakdown.marginal_efficiency()),
            "joule_per_synop": 1 / efficiency.value if efficiency else None,
        },
        "constants": [_printed(constant) for constant in model.constants],
        "unpriced": list(model.unpriced),
        "rho": breakdown.rho,
        "rho_unit": "spikes per synapse and inference",
        "rho_break_even": None if no_break_even else bill.rho_break_even,
        "rho_break_even_all_terms": None if no_break_even else bill.rho_break_even_all_terms,
        "no_break_even": no_break_even,
        "thresholds": [_printed(row) for row in thresholds()],
        "verdict": list(verdict(model, breakdown, no_break_even)),
        "low_high_meaning": model.low_high_meaning,
    }


def model_record(model: EnergyModel, breakdown: Breakdown, steps: int, no_break_even: str = "") -> dict[str, Any]:
    """One model among several, for the same counts.

    Parameters
    ----------
    steps : int
        T of the run.
    no_break_even : str
        Why there is no break-even for this network, if there is none.

    Returns
    -------
    dict
        ``totals`` and ``ratio`` as ``{value, low, high}``, in J per inference, of the networks that are priced;
        ``terms`` of every price list by name; ``efficiency`` in SynOps/s/W; ``constants`` as names of rows, see
        `constants_record`; ``break_even`` against each baseline; ``verdict`` in sentences.
    """
    priced = [name for name in _NETWORKS if breakdown.energy(name).value > 0]
    flips = {} if no_break_even else {name: break_even(breakdown, name, steps) for name in BASELINES}
    return {
        "name": model.name,
        "version": model.version,
        "formula": model.formula,
        "source": model.citation,
        "evidence": sorted({row.evidence for row in model.constants}),
        "scope": model.scope,
        "counts_memory": model.counts_memory,
        "unverified": model.unverified,
        "terms": {bill.prices: _terms(bill, priced) for bill in breakdown.bills},
        "terms_unit": "J",
        "totals": {name: _record(breakdown.energy(name)) for name in priced},
        "ratio": {name: _record(breakdown.ratio(name)) for name in priced if name != "snn"},
        "efficiency": {
            "unit": "SynOps/s/W",
            "all_terms": _record(breakdown.efficiency()),
            "marginal": _record(breakdown.marginal_efficiency()),
        },
        "constants": [row.name for row in model.constants],
        "unpriced": list(model.unpriced),
        "low_high_meaning": model.low_high_meaning,
        "break_even": {name: _flip(flip) for name, flip in flips.items() if flip is not None},
        "no_break_even": no_break_even,
        "verdict": list(judged(model, breakdown, steps, no_break_even)),
    }


def constants_record(models: Iterable[EnergyModel]) -> list[dict[str, Any]]:
    """Every constant that any of the `models` prices with, once, as printed, with the ``table`` that holds its row."""
    constants = {row.name: row for model in models for row in model.constants}
    return [{**_printed(row), "table": table_of(name)} for name, row in constants.items()]


def _terms(bill: Bill, networks: Sequence[str]) -> dict[str, dict[str, float]]:
    """Joules of every network by term."""
    return {name: dict(getattr(bill, name) or {}) for name in networks}


def _flip(found: BreakEven) -> dict[str, Any]:
    """A break-even as plain JSON."""
    return {"rho": found.rho, "rho_even": _record(found.rho_even), "rate": found.rate, "rate_even": found.rate_even,
            "steps": found.steps, "steps_even": _record(found.steps_even)}  # fmt: skip


def baselines_record() -> dict[str, Any]:
    """Published figures to stand beside a result.

    Returns
    -------
    dict
        ``biology``: ``line`` (the row of the seed value), ``band`` and ``whiskers`` (low, high) in ``unit``,
        ``rows`` (with their ``assumption``) and the ``footnote`` to print with them. ``hardware``: rows.
        Each row is a `Constant` as printed with ``ops_per_joule``, ``joule_per_op``, their ``_low`` and
        ``_high`` and ``ops_unit``, which keeps SynOps/s/W apart from MAC/J.
    """
    table = tomllib.loads((_HERE / "biology.toml").read_text(encoding="utf-8"))
    constants = read_constants(_HERE / "biology.toml")
    rows = [{**_row(constant), "assumption": constant.note} for constant in constants]
    line = next(row for row in rows if row["evidence"] == "seed")
    biology = {"line": line, **table["plot"], "rows": rows, "footnote": " ".join(table["footnote"].split())}
    return {"biology": biology, "hardware": [_row(c) for c in read_constants(_HERE / "hardware.toml")]}


def _row(constant: Constant) -> dict[str, Any]:
    """A baseline as printed and as operations per joule."""
    ends = [end for end in (constant.low, constant.high) if end is not None]
    scale = constant.si_value / constant.value_as_printed
    per_joule = [1 / (end * scale) if constant.si_unit == "J" else end * scale for end in ends]
    return {
        **_printed(constant),
        "ops_unit": "SynOps/s/W" if constant.quantity == "SynOp" else f"{constant.quantity}/J",
        "ops_per_joule": constant.ops_per_joule,
        "ops_per_joule_low": min(per_joule, default=None),
        "ops_per_joule_high": max(per_joule, default=None),
        "joule_per_op": constant.joules_per_op,
        "joule_per_op_low": 1 / max(per_joule) if per_joule else None,
        "joule_per_op_high": 1 / min(per_joule) if per_joule else None,
    }


def _printed(constant: Constant) -> dict[str, Any]:
    """A constant as its source prints it: `value`, `low` and `high` in `unit`."""
    renamed = {"value_as_printed": "value", "unit_as_printed": "unit"}
    return {renamed.get(key, key): value for key, value in asdict(constant).items()}


def _record(span: Span | None) -> dict[str, float] | None:
    """A span as a dict, None as None."""
    return None if span is None else {"value": span.value, "low": span.low, "high": span.high}
