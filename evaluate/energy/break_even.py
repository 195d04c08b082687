"""Where the verdict flips: the rho, the rate and the number of steps at which both networks cost the same."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from evaluate.energy.model import Bill, Breakdown, EnergyModel, Span, joules_of, rounded
from evaluate.traces import titled, total

__all__ = ["BASELINES", "BreakEven", "break_even", "flip_in_words"]

BASELINES = {
    "ann": "the ANN computed densely",
    "ann_sparse": "the ANN that skips zero activations",
    "quantised": "the quantised ANN",
}
"""What the spiking network is held against, in words."""


@dataclass(frozen=True)
class BreakEven:
    """Where the spiking network costs what a baseline costs.

    Parameters
    ----------
    baseline : str
        A key of `BASELINES`.
    steps : int
        T of the run.
    rho : float
        Spikes per synapse and inference of the run.
    rho_even : Span
        The rho at which both cost the same in T steps; 0 where no rho is low enough.
    steps_even : Span
        The steps at which both cost the same at the rate of the run; below 1 where not even one step pays.
    """

    baseline: str
    steps: int
    rho: float
    rho_even: Span
    steps_even: Span

    @property
    def rate(self) -> float:
        """Spikes per synapse and step of the run."""
        return self.rho / self.steps

    @property
    def rate_even(self) -> float:
        """The rate at which both cost the same in T steps."""
        return self.rho_even.value / self.steps


def break_even(breakdown: Breakdown, baseline: str, steps: int) -> BreakEven | None:
    """Where the verdict of `breakdown` against `baseline` flips.

    ::

        rho* = rho (E - U - O) / S,        T* = T (E - O) / (S + U)

    E joules of the baseline; of the spiking network, S the terms that grow with the spikes, U those that grow with
    the steps and O those that are paid once. It takes spikes to grow in proportion to the steps, as they do in a rate
    code and in no other.

    Returns
    -------
    BreakEven or None
        None where the model does not price the baseline, or no spike was delivered to a weighted layer.
    """
    if not breakdown.rho or any(joules_of(bill, baseline) <= 0 for bill in breakdown.bills):
        return None
    flips = [_flip(bill, joules_of(bill, baseline), breakdown.rho, steps) for bill in breakdown.bills]
    rhos, times = ([flip[i] for flip in flips] for i in (0, 1))
    spans = (Span(values[0], min(values), max(values)) for values in (rhos, times))
    return BreakEven(baseline, steps, breakdown.rho, *spans)


def _flip(bill: Bill, baseline_j: float, rho: float, steps: int) -> tuple[float, float]:
    """rho* and T* at one price list, 0 where there is none."""
    spikes_j = _part(bill, bill.spike_terms, "terms that grow with the spikes")
    once_j = _part(bill, bill.once_terms, "terms that are paid once")
    stepped_j = titled(joules_of(bill, "snn") - spikes_j - once_j, "terms that grow with the steps")
    left_j = baseline_j - once_j
    rho = titled(rho, "rho")
    return max(0.0, rho * (left_j - stepped_j) / spikes_j), max(0.0, steps * left_j / (spikes_j + stepped_j))


def _part(bill: Bill, terms: frozenset[str], name: str) -> float:
    """Joules of some terms of the spiking network."""
    return titled(total(titled(joules, term) for term, joules in bill.snn.items() if term in terms), name)


def flip_in_words(model: EnergyModel, found: BreakEven) -> str:
    """One sentence: won or lost, and what would turn it."""
    even = found.rho_even.value
    wins = found.rho < even
    if even > 0:
        bound = (
            f"in {found.steps} steps it wins below rho = {rounded(even):g}{_range(found.rho_even)}, "
            f"{rounded(found.rate_even):g} spikes per synapse and step"
        )
    else:
        bound = f"in {found.steps} steps no rho is low enough: what does not depend on spikes costs more alone"
    whole = floor(found.steps_even.value)
    longest = f"{whole} step{'s' * (whole != 1)}"
    until = f"at this rate it wins up to {longest}" if whole >= 1 else "at this rate not even one step pays"
    return (
        f"Break-even against {BASELINES[found.baseline]} ({model.name}): rho is {rounded(found.rho):g}, "
        f"{rounded(found.rate):g} per step, and the SNN {'wins' if wins else 'does not win'}; {bound}; {until}."
    )


def _range(span: Span) -> str:
    """The range over price lists, where there is one."""
    low, high = rounded(span.low), rounded(span.high)
    return f" ({low:g} to {high:g})" if low != high else ""
