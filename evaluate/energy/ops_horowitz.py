"""The model `ops-horowitz`: arithmetic only, at the 45 nm prices of Horowitz 2014.

The literature's default and the model most favourable to spikes, because fetching a weight or a membrane
potential costs more than adding it and is left out here. Its verdicts say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from evaluate.counts import OpCount
from evaluate.energy.constants import Constant, read_constants
from evaluate.energy.model import Bill, Breakdown
from evaluate.errors import EvaluateError
from evaluate.traces import total

__all__ = ["FORMATS", "OpsHorowitz"]

FORMATS = ("fp32", "fp16", "int32", "int8")
"""Number formats with prices in the source; the first is the nominal one of the literature."""

_PRICES = Path(__file__).with_name("processes.toml")


@dataclass(frozen=True)
class OpsHorowitz:
    """Energy of the arithmetic::

        E_ann        = sum(M) E_mac
        E_ann_sparse = sum(d M) E_mac
        E_snn        = sum(A) E_add + k sum(M_enc) E_mac + sum(U (a E_add + m E_mult))
        E_quantised  = sum(M) min(b E_add, E_mac)

    M dense MACs, d M those with an activation that is not zero, A accumulates (SynOps), M_enc MACs of the
    analog first layer, k how often it is computed (1: a constant current is cached), U updates of membranes
    with a additions and m multiplications each, biases included. Joules per inference. A product with an
    activation of b bits is b shifted additions, or a MAC where that is cheaper.

    Break-even of a network without other terms: ``rho* = E_mac / E_add`` spikes per synapse and inference.
    With them: ``rho* = (E_ann - (E_snn - rho M_s E_add)) / (M_s E_add)``, M_s the MACs of the spiking layers.

    Parameters
    ----------
    number_format : str
        The nominal price list, one of `FORMATS`; the others make the range.
    bits : int or None
        b, bits of an activation of the quantised ANN; without it that ANN is not priced.

    Raises
    ------
    EvaluateError
        Another number format.
    """

    number_format: str = "fp32"
    bits: int | None = None

    name: ClassVar[str] = "ops-horowitz"
    version: ClassVar[str] = "1"
    citation: ClassVar[str] = (
        "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, p. 10: 45 nm, 0.9 V"
    )
    scope: ClassVar[str] = "arithmetic only (per-term): the model most favourable to the spiking network"
    formula: ClassVar[str] = (
        "E_ann = MACs E_mac; E_snn = SynOps E_add + k encoder MACs E_mac + updates (adds E_add + multiplies E_mult)"
    )
    low_high_meaning: ClassVar[str] = (
        "smallest and largest value over the number formats fp32, fp16, int32 and int8 at the same 45 nm "
        "process, both networks in the same format; neither a statistical interval nor an error of the model"
    )
    unpriced: ClassVar[tuple[str, ...]] = (
        "fetching and storing weights, activations and membrane potentials",
        "addressing and routing of spikes",
        "comparison with the threshold",
        "biases and activation functions of the ANN",
        "pooling by maximum",
        "clock, control, leakage and other static power",
        "input, output and host",
    )
    counts_memory: ClassVar[bool] = False
    unverified: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Refuse a format without prices."""
        if self.number_format not in FORMATS:
            raise EvaluateError(
                f"ops-horowitz: number format is {self.number_format!r}; expected one of {', '.join(FORMATS)}"
            )

    @property
    def constants(self) -> tuple[Constant, ...]:
        """Addition, multiplication and MAC of every format, the nominal format first."""
        return tuple(c for f in self._formats() for c in _rows(f))

    def price(self, counts: Sequence[OpCount], *, encoder_repeats: int = 1) -> Breakdown:
        """Joules per inference of both networks at every price list.

        Parameters
        ----------
        counts : sequence of OpCount
            One per node. SynOps of every role are paid as additions; rho is taken over the role "spiking".
        encoder_repeats : int
            k: 1 if the constant input current is cached, the number of steps if it is computed at each.
        """
        if encoder_repeats < 1:
            raise EvaluateError(
                f"ops-horowitz: encoder_repeats is {encoder_repeats}; expected 1 or the number of steps"
            )
        nominal, *others = (_bill(f, counts, encoder_repeats, self.bits) for f in self._formats())
        synops, macs = _spiking(counts)
        rho = synops / macs if macs else None
        return Breakdown(nominal, tuple(others), total(c.synops for c in counts), rho)

    def _formats(self) -> tuple[str, ...]:
        """All formats, the nominal one first."""
        return (self.number_format, *(f for f in FORMATS if f != self.number_format))


@cache
def _rows(number_format: str) -> tuple[Constant, Constant, Constant]:
    """Price of an addition, a multiplication and a MAC."""
    rows = {constant.name: constant for constant in read_constants(_PRICES)}
    add, multiply, mac = (rows[f"horowitz2014-45nm-{number_format}-{op}"] for op in ("add", "multiply", "mac"))
    return add, multiply, mac


def _spiking(counts: Sequence[OpCount]) -> tuple[float, float]:
    """SynOps and dense MACs of the layers that receive spikes."""
    spiking = [count for count in counts if count.role == "spiking"]
    return total(count.synops for count in spiking), total(count.ann_macs for count in spiking)


def _bill(number_format: str, counts: Sequence[OpCount], encoder_repeats: int, bits: int | None) -> Bill:
    """All terms at the prices of one format."""
    add_j, multiply_j, mac_j = (constant.joules_per_op for constant in _rows(number_format))
    snn = {
        "accumulates": total(c.synops for c in counts) * add_j,
        "encoder MACs": total(c.encoder_macs for c in counts) * encoder_repeats * mac_j,
        "neuron updates": total(
            c.neuron_updates * (c.adds_per_update * add_j + c.multiplies_per_update * multiply_j) for c in counts
        ),
    }
    ann_j = total(c.ann_macs for c in counts) * mac_j
    synops, macs = _spiking(counts)
    rest_j = total(snn.values()) - synops * add_j
    product_j = None if bits is None else min(bits * add_j, mac_j)
    return Bill(
        prices=number_format,
        ann={"MACs": ann_j},
        ann_sparse={"MACs": total(c.ann_macs_effective for c in counts) * mac_j},
        snn=snn,
        rho_break_even=mac_j / add_j,
        rho_break_even_all_terms=(ann_j - rest_j) / (macs * add_j) if macs else None,
        quantised=None if product_j is None else {"MACs": total(c.ann_macs for c in counts) * product_j},
    )
