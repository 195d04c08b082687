"""What an energy model is, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluate.counts import OpCount
from evaluate.energy.constants import Constant
from evaluate.traces import titled, total

__all__ = ["Bill", "Breakdown", "EnergyModel", "Span", "joules_in_words", "joules_of", "rounded"]


@dataclass(frozen=True)
class Span:
    """A modelled value with its range over the price lists of the model: no statistical error."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bill:
    """Joules per inference, term by term, at one price list.

    Parameters
    ----------
    prices : str
        Name of the price list.
    ann : dict of str to float
        The ANN, dense: every multiply-accumulate is done.
    ann_sparse : dict of str to float
        The ANN on a machine that skips products of zero activations.
    snn : dict of str to float
        The spiking network; the term of its SynOps is called ``accumulates``.
    rho_break_even : float or None
        Spikes per synapse and inference at which accumulates cost what the dense MACs they replace cost; None
        where the model prices no ANN.
    rho_break_even_all_terms : float or None
        The same when the other terms of both networks are counted; not above 0 when they alone cost more
        than the ANN; None without spiking layers.
    quantised : dict of str to float, optional
        The ANN with activations of as few bits as tell the counts of a neuron apart; None where it is not priced.
    spike_terms : frozenset of str
        The terms of `snn` that grow with the spikes. The others of `snn` but `once_terms` grow with the steps.
    once_terms : frozenset of str
        The terms of `snn` that are paid once in an inference, however long it is.
    """

    prices: str
    ann: dict[str, float]
    ann_sparse: dict[str, float]
    snn: dict[str, float]
    rho_break_even: float | None
    rho_break_even_all_terms: float | None
    quantised: dict[str, float] | None = None
    spike_terms: frozenset[str] = frozenset({"accumulates"})
    once_terms: frozenset[str] = frozenset({"encoder MACs"})

    @property
    def ann_j(self) -> float:
        """Joules per inference of the dense ANN."""
        return _sum(self.ann)

    @property
    def ann_sparse_j(self) -> float:
        """Joules per inference of the ANN that skips zero activations."""
        return _sum(self.ann_sparse)

    @property
    def quantised_j(self) -> float:
        """Joules per inference of the quantised ANN; 0 where it is not priced."""
        return _sum(self.quantised or {})

    @property
    def snn_j(self) -> float:
        """Joules per inference of the spiking network, all terms."""
        return _sum(self.snn)


@dataclass(frozen=True)
class Breakdown:
    """What a model makes of the counts of one conversion.

    Parameters
    ----------
    nominal : Bill
        At the price list that was asked for.
    alternatives : tuple of Bill
        At every other price list of the model.
    synops : float
        SynOps per inference, all layers.
    rho : float or None
        SynOps over dense MACs of the spiking layers: spikes per synapse and inference; None without them.
    """

    nominal: Bill
    alternatives: tuple[Bill, ...]
    synops: float
    rho: float | None

    @property
    def bills(self) -> tuple[Bill, ...]:
        """All bills, the nominal first."""
        return (self.nominal, *self.alternatives)

    def energy(self, network: str) -> Span:
        """Joules per inference of ``ann``, ``ann_sparse``, ``quantised`` or ``snn``."""
        return self._span(lambda bill: joules_of(bill, network))

    def ratio(self, baseline: str = "ann") -> Span | None:
        """SNN joules over those of `baseline` (``ann``, ``ann_sparse`` or ``quantised``), price list by price list.

        Both sides of a ratio are paid at the same prices. None if the baseline costs nothing.
        """
        if any(joules_of(bill, baseline) <= 0 for bill in self.bills):
            return None
        return self._span(lambda bill: bill.snn_j / joules_of(bill, baseline))

    def efficiency(self) -> Span | None:
        """SynOps/s/W = SynOps per inference / joules of all terms of the SNN; None without SynOps.

        It rewards waste (more spikes spread the fixed terms): read it beside joules and accuracy.
        """
        return self._span(lambda bill: self.synops / bill.snn_j) if self.synops > 0 else None

    def marginal_efficiency(self) -> Span | None:
        """SynOps/s/W of the terms that grow with the spikes: what one SynOp more costs; None without SynOps.

        Where these are the accumulates alone it is a property of the price list, the same for every network.
        """
        if self.synops <= 0:
            return None
        return self._span(lambda bill: self.synops / total(bill.snn[term] for term in bill.spike_terms))

    def _span(self, measure: Callable[[Bill], float]) -> Span:
        """`measure` of the nominal bill, smallest and largest of all bills."""
        values = [measure(bill) for bill in self.bills]
        return Span(values[0], min(values), max(values))


def joules_of(bill: Bill, network: str) -> float:
    """Joules per inference of ``ann``, ``ann_sparse``, ``quantised`` or ``snn``, under that name."""
    joules: float = getattr(bill, f"{network}_j")
    return titled(joules, f"energy of {network.replace('_', ' ')}") if joules else joules


def _sum(terms: dict[str, float]) -> float:
    """Joules of all terms, each under its name."""
    return total(titled(joules, term) for term, joules in terms.items())


class EnergyModel(Protocol):
    """Counts in, joules by term out. Pass your own: there is nothing to register."""

    @property
    def name(self) -> str:
        """Short name; every joule is printed beside it."""

    @property
    def version(self) -> str:
        """Changes whenever the same counts give other joules."""

    @property
    def citation(self) -> str:
        """Where prices and formula come from."""

    @property
    def scope(self) -> str:
        """What is paid for, in words."""

    @property
    def formula(self) -> str:
        """The formula as text."""

    @property
    def unpriced(self) -> tuple[str, ...]:
        """What happens and is not paid for."""

    @property
    def unverified(self) -> str:
        """What of it was not checked against its source; shown wherever its joules are. Empty if all was."""

    @property
    def low_high_meaning(self) -> str:
        """What the range of a `Span` of this model is."""

    @property
    def counts_memory(self) -> bool:
        """Whether fetching and storing is among what is paid for."""

    @property
    def constants(self) -> tuple[Constant, ...]:
        """Every constant that enters a price."""

    def price(self, counts: Sequence[OpCount], *, encoder_repeats: int = 1) -> Breakdown:
        """Joules per inference; `encoder_repeats` is how often the analog first layer is computed."""


def rounded(value: float) -> float:
    """`value` at two significant digits, all that a modelled joule supports.

    >>> rounded(1.2345e-06)
    1.2e-06
    """
    return float(f"{value:.1e}")


def joules_in_words(joules: float) -> str:
    """Joules at two significant digits with an SI prefix, in ASCII.

    >>> joules_in_words(1.2345e-06), joules_in_words(9.96e-10)
    ('1.2 uJ', '1 nJ')
    """
    value = rounded(joules)
    for factor, unit in ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ"), (1e-12, "pJ")):
        if value >= factor:
            return f"{rounded(value / factor):g} {unit}"
    return f"{rounded(value / 1e-15):g} fJ"
