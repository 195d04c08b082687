"""The energy models side by side: what each makes of the same counts, and where they disagree.

Joules of different models are never divided by each other: a ratio is of two networks under one model.
"""

from __future__ import annotations

from typing import Any

from evaluate.records import Run
from reports.fields import branch, entries, metric, number, sentences, text
from reports.markup import table
from reports.quantities import joules, significant

__all__ = ["breaks", "disagreement", "measured", "models", "notes", "side_by_side"]

_NETWORKS = (
    ("snn", "SNN"),
    ("ann", "ANN, dense"),
    ("ann_sparse", "ANN, sparsity-aware"),
    ("quantised", "ANN, quantised"),
)
_RIVALS = (("ann", "dense"), ("ann_sparse", "sparse"), ("quantised", "quantised"))


def models(run: Run) -> list[dict[str, Any]]:
    """The records of the models, as the run file has them."""
    return entries(run.assumptions, "energy_models")


def side_by_side(run: Run) -> str:
    """One row a model: joules of every network with their range, the ratio to the dense ANN, the verdict."""
    rows = [
        [_name(record), *(_joules(record, key) for key, _ in _NETWORKS), _ratio(record), _verdict(record)]
        for record in models(run)
    ]
    return table(["model", *(title for _, title in _NETWORKS), "SNN / dense ANN", "verdict: the SNN"], rows)


def breaks(run: Run) -> str:
    """One row a model and rival: the rho, the rate and the steps at which the verdict flips."""
    rows = []
    for record in models(run):
        for key, rival in _RIVALS:
            found = branch(record, "break_even", key)
            rho, steps = (number(branch(found, name), "value") for name in ("rho_even", "steps_even"))
            if rho is None or steps is None:
                continue
            rate = number(found, "rate_even") or 0.0
            below = (significant(rho), significant(rate)) if rho > 0 else ("none is low enough", "none")
            longest = f"{steps:,.0f}" if steps == int(steps) else f"{int(steps):,}"
            rows.append([_name(record), rival, *below, longest if steps >= 1 else "not even 1"])
    return table(["model", "against the ANN", "wins below rho", "wins below rate per step", "wins up to steps"], rows)


def notes(run: Run) -> list[str]:
    """What each model prices and does not, what of it is unverified, and why there is no break-even."""
    lines = []
    for record in models(run):
        unsure = text(record, "unverified")
        parts = [
            f"**{text(record, 'name')} {text(record, 'version')}**",
            f" (*unverified*: {unsure})" if unsure else "",
            f": {text(record, 'scope', 'scope not stated')}. Not priced: "
            f"{'; '.join(sentences(record, 'unpriced')) or 'not stated'}. Range: "
            f"{text(record, 'low_high_meaning', 'not stated')}. Source: {text(record, 'source', 'not stated')}.",
        ]
        lines.append("".join(parts))
    return lines


def disagreement(run: Run) -> str:
    """Whether the models agree on who wins, in one line; empty where fewer than two price an ANN."""
    ratios = [(text(r, "name"), number(branch(r, "ratio", "ann"), "value"), text(r, "unverified")) for r in models(run)]
    known = [(name, ratio, unsure) for name, ratio, unsure in ratios if ratio is not None]
    if len(known) < 2:
        return ""
    wins = [_short(*each) for each in known if each[1] < 1]
    others = [_short(*each) for each in known if each[1] >= 1]
    if wins and others:
        return (
            "they disagree on whether the SNN beats the dense ANN: it does by "
            f"{', '.join(wins)}; it does not by {', '.join(others)} times its energy"
        )
    verdict = "beats" if wins else "does not beat"
    return f"all models that price an ANN say that the SNN {verdict} the dense one: {', '.join(wins or others)} times"


def measured(run: Run) -> str:
    """What the simulation itself cost here, apart from all that is modelled."""
    found = metric(run, "simulation.energy_per_inference_j")
    if found.value is None:
        return found.note if found.note.startswith("not measured") else f"*unmeasured* ({found.note})"
    return f"The simulation took {joules(found.value)} per inference. {found.note[:1].upper()}{found.note[1:]}"


def _short(name: str, ratio: float, unverified: str) -> str:
    """Name and ratio of a model, marked where it is unverified."""
    return f"{name} {significant(ratio)}{' (unverified)' if unverified else ''}"


def _name(record: dict[str, Any]) -> str:
    """The model's name, marked where something of it is unverified."""
    return text(record, "name", "unnamed") + (" (*unverified*)" if text(record, "unverified") else "")


def _joules(record: dict[str, Any], network: str) -> str:
    """Joules with their range over price lists."""
    span = branch(record, "totals", network)
    value, low, high = (number(span, key) for key in ("value", "low", "high"))
    if value is None:
        return "not priced"
    bits = number(record, "quantised_bits")
    width = f", {bits:.0f} bits" if network == "quantised" and bits else ""
    if low is None or high is None or joules(low) == joules(high):
        return f"{joules(value)}{width}"
    return f"{joules(value)} ({joules(low)} to {joules(high)}){width}"


def _ratio(record: dict[str, Any]) -> str:
    """SNN over dense ANN, with the range."""
    span = branch(record, "ratio", "ann")
    value, low, high = (number(span, key) for key in ("value", "low", "high"))
    if value is None:
        return "none"
    if low is None or high is None or significant(low) == significant(high):
        return significant(value)
    return f"{significant(value)} ({significant(low)} to {significant(high)})"


def _verdict(record: dict[str, Any]) -> str:
    """Against which form of the ANN the spiking network wins, and against which it does not."""
    known = [(rival, value) for key, rival in _RIVALS
             if (value := number(branch(record, "ratio", key), "value")) is not None]  # fmt: skip
    if not known:
        return "no ANN is priced: no comparison"
    sides = (("wins", [rival for rival, value in known if value < 1]),
             ("loses", [rival for rival, value in known if value > 1]),
             ("ties", [rival for rival, value in known if value == 1]))  # fmt: skip
    told = [f"{word} against {', '.join(rivals)}" for word, rivals in sides if rivals]
    return "; ".join(told)
