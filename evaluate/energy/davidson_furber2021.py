"""The model `davidson-furber2021`: one unit of energy for both networks, SRAM included, on the same silicon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evaluate.counts import OpCount
from evaluate.energy.charges import billed, broken_down, check_repeats, rows
from evaluate.energy.constants import Constant
from evaluate.energy.model import Bill, Breakdown
from evaluate.traces import total

__all__ = ["DavidsonFurber2021"]


@dataclass(frozen=True)
class DavidsonFurber2021:
    """A MAC of the ANN costs 12 E, a spike at a synapse 7 E, memory included::

        E_ann = M 12 E,   E_ann_sparse = d M 12 E,   E_snn = A 7 E + k M_enc 12 E

    M dense MACs, d M those with an activation that is not zero, A SynOps, M_enc MACs of the analog first layer,
    k how often it is computed; E = 60 fJ in 22 nm. Joules per inference. Break-even of a network without an
    encoder: rho* = 12 / 7 = 1.71 spikes per synapse and inference; the paper prints 1.72. The analog first
    layer, which the paper does not have, is paid like the ANN's.

    Source: S. Davidson, S. B. Furber, Front. Neurosci. 15:651141, 2021.
    """

    name: ClassVar[str] = "davidson-furber2021"
    version: ClassVar[str] = "1"
    citation: ClassVar[str] = (
        "S. Davidson, S. B. Furber, Comparison of artificial and spiking neural networks on digital hardware, "
        "Front. Neurosci. 15:651141, 2021; 12 E and 7 E quoted second-hand"
    )
    scope: ClassVar[str] = "arithmetic and on-chip memory of one product or one spike at a synapse, 22 nm (per-term)"
    formula: ClassVar[str] = "E_ann = MACs 12 E; E_snn = SynOps 7 E + k encoder MACs 12 E; E = 60 fJ"
    low_high_meaning: ClassVar[str] = "E from 58.6 to 60 fJ, both networks at the same E; no error of the model"
    unpriced: ClassVar[tuple[str, ...]] = (
        "updates, leak and thresholds of neurons",
        "routing of spikes and of activations",
        "biases and activation functions of the ANN",
        "the quantised ANN: the products are 32 x 8 bit already",
        "off-chip memory",
        "clock, control, leakage and other static power",
        "input, output and host",
    )
    counts_memory: ClassVar[bool] = True
    unverified: ClassVar[str] = "12 E and 7 E are quoted second-hand; what the 12 consist of was not seen"

    @property
    def constants(self) -> tuple[Constant, ...]:
        """Price of a MAC and of a SynOp."""
        return rows()["davidson-furber2021-22nm-mac"], rows()["davidson-furber2021-22nm-synop"]

    def price(self, counts: Sequence[OpCount], *, encoder_repeats: int = 1) -> Breakdown:
        """Joules per inference of both networks, at E = 60 fJ and at 58.6 fJ."""
        check_repeats(self.name, encoder_repeats)
        mac, synop = self.constants
        pj = [(c.low or c.value_as_printed) / c.value_as_printed * c.joules_per_op for c in (mac, synop)]
        nominal = _bill("E = 60 fJ", counts, encoder_repeats, mac.joules_per_op, synop.joules_per_op)
        return broken_down((nominal, _bill("E = 58.6 fJ", counts, encoder_repeats, pj[0], pj[1])), counts)


def _bill(prices: str, counts: Sequence[OpCount], repeats: int, mac_j: float, synop_j: float) -> Bill:
    """All terms at one E."""
    snn = {
        "accumulates": total(c.synops for c in counts) * synop_j,
        "encoder": total(c.encoder_macs for c in counts) * repeats * mac_j,
    }
    ann = {"MACs": total(c.ann_macs for c in counts) * mac_j}
    sparse = {"MACs": total(c.ann_macs_effective for c in counts) * mac_j}
    return billed(prices, counts, ann, sparse, snn, frozenset({"accumulates"}))
