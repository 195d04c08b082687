"""What the models with memory share: rows by name, sums over roles, and a bill with its break-even."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from evaluate.counts import OpCount
from evaluate.energy.constants import Constant, read_constants
from evaluate.energy.model import Bill, Breakdown
from evaluate.errors import EvaluateError
from evaluate.traces import total

__all__ = ["billed", "broken_down", "check_bits", "check_repeats", "rows", "table_of"]

_TABLES = ("processes.toml", "hardware.toml", "chips.toml")


@cache
def rows() -> Mapping[str, Constant]:
    """Every row that a model may price with, by its name."""
    return {row.name: row for table in _TABLES for row in read_constants(Path(__file__).with_name(table))}


@cache
def table_of(name: str) -> str:
    """The file that holds the row called `name`.

    Raises
    ------
    EvaluateError
        No table of prices has it.
    """
    for table in _TABLES:
        if any(row.name == name for row in read_constants(Path(__file__).with_name(table))):
            return table
    raise EvaluateError(f"{name}: no row of {', '.join(_TABLES)} is called so; add the row with its source")


def check_repeats(name: str, encoder_repeats: int) -> None:
    """Refuse an analog first layer that is computed less than once."""
    if encoder_repeats < 1:
        raise EvaluateError(f"{name}: encoder_repeats is {encoder_repeats}; expected 1 or the number of steps")


def check_bits(name: str, bits: int) -> None:
    """Refuse activations without bits."""
    if bits < 1:
        raise EvaluateError(f"{name}: bits is {bits}; expected 1 or more, ceil(log2(steps + 1))")


def broken_down(bills: Sequence[Bill], counts: Sequence[OpCount]) -> Breakdown:
    """The breakdown of `bills`, the nominal first, with SynOps and rho of `counts`."""
    synops, macs = _spiking(counts)
    return Breakdown(bills[0], tuple(bills[1:]), total(c.synops for c in counts), synops / macs if macs else None)


def billed(
    prices: str, counts: Sequence[OpCount], ann: dict[str, float], ann_sparse: dict[str, float],
    snn: dict[str, float], spike_terms: frozenset[str], quantised: dict[str, float] | None = None,
) -> Bill:  # fmt: skip
    """A bill whose break-even is that of its spike terms: they grow in proportion to rho.

    ::

        rho*           = E_ann rho / E_spikes,          rho*_all = (E_ann - E_rest) rho / E_spikes

    E_spikes the joules of the terms in `spike_terms`, E_rest those of the others of the SNN.
    """
    ann_j, spikes_j = total(ann.values()), total(snn[term] for term in spike_terms)
    synops, macs = _spiking(counts)
    known = bool(ann) and macs > 0 and spikes_j > 0
    per_rho_j = spikes_j * macs / synops if known and synops else 0.0
    rest_j = total(snn.values()) - spikes_j
    return Bill(
        prices, ann, ann_sparse, snn,
        ann_j / per_rho_j if per_rho_j else None, (ann_j - rest_j) / per_rho_j if per_rho_j else None,
        quantised, spike_terms, frozenset({"encoder"}) & frozenset(snn),
    )  # fmt: skip


def _spiking(counts: Sequence[OpCount]) -> tuple[float, float]:
    """SynOps and dense MACs of the layers that receive spikes."""
    spiking = [count for count in counts if count.role == "spiking"]
    return total(count.synops for count in spiking), total(count.ann_macs for count in spiking)
