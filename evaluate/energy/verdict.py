"""What the joules say, in sentences, and what they do not say.

A model without memory flatters a spiking network. Its verdict therefore also names the thresholds that
published studies with memory found, and says plainly when a network does not meet them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from evaluate.energy.break_even import BASELINES, break_even, flip_in_words
from evaluate.energy.constants import Constant, read_constants
from evaluate.energy.model import Breakdown, EnergyModel, joules_in_words, rounded

__all__ = ["judged", "thresholds", "verdict"]

_THRESHOLDS = Path(__file__).with_name("thresholds.toml")


@cache
def thresholds() -> tuple[Constant, ...]:
    """Published values of rho below which an SNN can win when memory is counted, the most generous first."""
    return tuple(sorted(read_constants(_THRESHOLDS), key=lambda row: -row.si_value))


def verdict(model: EnergyModel, breakdown: Breakdown, no_break_even: str = "") -> tuple[str, ...]:
    """Sentences: against the dense and the sparse ANN, over price lists, rho, the published thresholds.

    Parameters
    ----------
    no_break_even : str
        Why rho has no break-even for this network, if it has none.
    """
    sentences = [f"{model.name} prices {model.scope}.", *_compared(model, breakdown, ("ann", "ann_sparse"))]
    if breakdown.rho is None:
        return (
            *sentences,
            "No weighted layer receives spikes: rho, spikes per synapse and inference, is undefined.",
        )
    sentences += [
        f"No break-even: {no_break_even}." if no_break_even else _break_even(breakdown, breakdown.rho),
        *(_threshold(row, breakdown.rho) for row in thresholds()),
    ]
    return (*sentences, _summary(breakdown.rho, no_break_even))


def judged(model: EnergyModel, breakdown: Breakdown, steps: int, no_break_even: str = "") -> tuple[str, ...]:
    """Sentences on one model among several: against each form of the ANN, and where that flips; no thresholds.

    Parameters
    ----------
    steps : int
        T of the run.
    no_break_even : str
        Why there is no break-even for this network, if there is none.
    """
    unsure = (f"*unverified*: {model.unverified}.",) if model.unverified else ()
    priced = [name for name in BASELINES if breakdown.energy(name).value > 0 or name != "quantised"]
    sentences = (*unsure, *_compared(model, breakdown, priced))
    if not breakdown.nominal.ann:
        return sentences
    if no_break_even:
        return (*sentences, f"No break-even: {no_break_even}.")
    flips = (break_even(breakdown, name, steps) for name in priced)
    return (*sentences, *(flip_in_words(model, flip) for flip in flips if flip is not None))


def _compared(model: EnergyModel, breakdown: Breakdown, baselines: Iterable[str]) -> tuple[str, ...]:
    """Against each of the `baselines`, and whether prices turn the order."""
    if not breakdown.nominal.ann:
        return (
            f"{model.name} prices no ANN, since none runs on that chip: joules of different machines are not divided. "
            f"The SNN takes {joules_in_words(breakdown.nominal.snn_j)} per inference.",
        )
    return (*(_against(model, breakdown, name, BASELINES[name]) for name in baselines), _order(breakdown))


def _against(model: EnergyModel, breakdown: Breakdown, baseline: str, words: str) -> str:
    """The SNN wins, loses or ties against one form of the ANN."""
    ratio = breakdown.ratio(baseline)
    if ratio is None:
        return f"Under {model.name} {words} costs nothing: no ratio."
    outcome = "wins" if ratio.value < 1 else "loses" if ratio.value > 1 else "ties"
    bill = breakdown.nominal
    costs = f"{joules_in_words(bill.snn_j)} against {joules_in_words(breakdown.energy(baseline).value)}"
    return (
        f"Under {model.name} ({bill.prices}) the SNN {outcome} against {words}: {costs} per inference, "
        f"{rounded(ratio.value):g} times."
    )


def _order(breakdown: Breakdown) -> str:
    """Whether the winner against the dense ANN is the same at every price list."""
    cheaper = [bill.prices for bill in breakdown.bills if bill.snn_j < bill.ann_j]
    dearer = [bill.prices for bill in breakdown.bills if bill.snn_j >= bill.ann_j]
    if cheaper and dearer:
        return (
            f"The order depends on the prices: the SNN is cheaper than the dense ANN at {', '.join(cheaper)} "
            f"and not cheaper at {', '.join(dearer)}."
        )
    return f"The order is the same at all price lists: {', '.join(cheaper or dearer)}."


def _break_even(breakdown: Breakdown, rho: float) -> str:
    """Where rho stands to the break-even of the model itself."""
    bill = breakdown.nominal
    if bill.rho_break_even is None:
        return f"rho = {rho:.3g} spikes per synapse and inference; there is nothing to break even with."
    whole = bill.rho_break_even_all_terms or 0.0
    rest = f"{whole:.3g} with them" if whole > 0 else "with them there is none, they alone cost more than the ANN"
    return (
        f"rho = {rho:.3g} spikes per synapse and inference; this model breaks even at "
        f"{bill.rho_break_even:.3g} without the other terms, {rest}."
    )


def _threshold(row: Constant, rho: float) -> str:
    """Where rho stands to one published threshold or range of thresholds."""
    low, high = row.low or row.value_as_printed, row.high or row.value_as_printed
    asked = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    if rho >= high:
        outcome = "does not meet"
    elif rho < low:
        outcome = "meets"
    else:
        outcome = "meets only the generous end of"
    mark = {"seen": "", "second-hand": "; figure quoted second-hand, *unverified*", "derived": "; derived here"}[
        row.mark
    ]
    return f"rho = {rho:.3g} {outcome} the threshold {asked} of {row.name} ({row.note}{mark})."


def _summary(rho: float, no_break_even: str) -> str:
    """The sentence to quote."""
    highs = [row.high or row.value_as_printed for row in thresholds()]
    lows = [row.low or row.value_as_printed for row in thresholds()]
    if rho >= max(highs):
        return (
            "With memory counted this network loses by every published threshold listed: no saving of energy "
            "is to be claimed; fewer steps or fewer spikes are needed."
        )
    if no_break_even:
        return f"With memory counted a saving of energy is not established: {no_break_even}."
    if rho < min(lows):
        return "With memory counted this network can win by every published threshold listed."
    return "With memory counted the published thresholds disagree: a saving of energy is not established."
