"""The model `yan2024`: against a quantised ANN of as many bits as the spike counts need, data movement included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import ClassVar

from evaluate.counts import OpCount
from evaluate.energy.charges import billed, broken_down, check_bits, check_repeats, rows
from evaluate.energy.constants import Constant
from evaluate.energy.model import Bill, Breakdown
from evaluate.traces import total

__all__ = ["Yan2024", "matched_bits"]

_ADD, _MULTIPLY, _MAC = (f"horowitz2014-45nm-int8-{op}" for op in ("add", "multiply", "mac"))
_MEMORIES = tuple(f"horowitz2014-45nm-sram-{size}" for size in ("32kB", "8kB", "1MB"))
_ACCESS_BITS, _WEIGHT_BITS, _POTENTIAL_BITS = 64, 8, 32
_SPIKES = frozenset({"accumulates", "weights", "spikes"})


def matched_bits(steps: int) -> int:
    """Bits of an activation that tells as many values apart as a count of spikes: ``ceil(log2(T + 1))``.

    >>> [matched_bits(steps) for steps in (1, 3, 4, 7, 8, 64)]
    [1, 2, 3, 3, 4, 7]
    """
    return max(1, int(steps).bit_length())


@dataclass(frozen=True)
class Yan2024:
    """Computation and movement of weights, activations and potentials, weights of 8 bits::

        E_quantised = M (min(b E_add, E_mac) + 8 e) + (I + O) b e
        E_ann       = M (E_mac + 8 e) + (I + O) 8 e,   with d M products where zeros are skipped
        E_snn       = A (E_add + 8 e) + S_in ceil(log2 I) e + U (a E_add + m E_mult + 2 * 32 e) + k encoder

    M MACs, A SynOps, I inputs and O outputs of a layer, S_in spikes that arrive, each as an address, U updates of
    potentials of 32 bits, b = ceil(log2(T + 1)), e the price of one bit from SRAM. The analog first layer is a
    layer of the ANN, computed k times. A weight is fetched for each product, and for each spike at a synapse.

    The rule of b bits and the kinds of terms are those of Yan et al.; their prices and their network on chip
    were not seen, so that the prices are those of Horowitz, and the figures are not theirs.

    Parameters
    ----------
    bits : int
        b, see `matched_bits`.
    """

    bits: int = 8

    name: ClassVar[str] = "yan2024"
    version: ClassVar[str] = "1"
    citation: ClassVar[str] = (
        "rule and terms after Z. Yan, Z. Bai, K. Tang, W.-F. Wong, Reconsidering the energy efficiency of spiking "
        "neural networks inference from analytical perspectives, arXiv 2409.08290v4, abstract; prices of "
        "M. Horowitz, ISSCC 2014, in place of its own"
    )
    scope: ClassVar[str] = (
        "arithmetic with weights of 8 bits and movement of weights, activations and potentials, 45 nm (per-term)"
    )
    formula: ClassVar[str] = (
        "E_quantised = MACs (min(b E_add, E_mac) + 8 e) + activations b e; E_snn = SynOps (E_add + 8 e) + spikes in "
        "ceil(log2 inputs) e + updates (E_update + 64 e) + k encoder; b = ceil(log2(T + 1)), e per bit of SRAM"
    )
    low_high_meaning: ClassVar[str] = "a bit from an SRAM of 8 kB and of 1 MB in place of 32 kB, for all networks"
    unpriced: ClassVar[tuple[str, ...]] = (
        "the network on chip",
        "off-chip memory",
        "reuse of weights and activations",
        "comparison with the threshold, activation functions, pooling by maximum",
        "the place of a non-zero activation, where the ANN skips zeros",
        "clock, control, leakage and other static power",
        "input, output and host",
    )
    counts_memory: ClassVar[bool] = True
    unverified: ClassVar[str] = (
        "of the paper the abstract alone was seen: its prices and its network on chip are not those used here"
    )

    def __post_init__(self) -> None:
        """Refuse activations without bits."""
        check_bits(self.name, self.bits)

    @property
    def constants(self) -> tuple[Constant, ...]:
        """Arithmetic of int8 and the three memories."""
        return tuple(rows()[name] for name in (_ADD, _MULTIPLY, _MAC, *_MEMORIES))

    def price(self, counts: Sequence[OpCount], *, encoder_repeats: int = 1) -> Breakdown:
        """Joules per inference of all networks, with each memory."""
        check_repeats(self.name, encoder_repeats)
        return broken_down([_bill(name, counts, encoder_repeats, self.bits) for name in _MEMORIES], counts)


def _layer(count: OpCount, products: float, product_j: float, bits: int, bit_j: float) -> float:
    """A layer on activations of so many bits."""
    moved = products * _WEIGHT_BITS + (count.tensors.inputs + count.tensors.outputs) * bits
    return products * product_j + moved * bit_j


def _bill(memory: str, counts: Sequence[OpCount], repeats: int, bits: int) -> Bill:
    """All terms with one memory."""
    add_j, multiply_j, mac_j = (rows()[name].joules_per_op for name in (_ADD, _MULTIPLY, _MAC))
    bit_j = rows()[memory].joules_per_op / _ACCESS_BITS
    weighted = [c for c in counts if c.ann_macs]
    synops, updates = total(c.synops for c in counts), total(c.neuron_updates for c in counts)
    addresses = total(c.arrivals * ceil(log2(max(2, c.tensors.inputs))) for c in counts)
    snn = {
        "accumulates": synops * add_j,
        "weights": synops * _WEIGHT_BITS * bit_j,
        "spikes": addresses * bit_j,
        "neuron updates": total(
            c.neuron_updates * (c.adds_per_update * add_j + c.multiplies_per_update * multiply_j) for c in counts
        ),
        "potentials": updates * 2 * _POTENTIAL_BITS * bit_j,
        "encoder": repeats
        * total(_layer(c, c.encoder_macs, mac_j, _WEIGHT_BITS, bit_j) for c in counts if c.encoder_macs),
    }
    product_j = min(bits * add_j, mac_j)
    ann = {"layers": total(_layer(c, c.ann_macs, mac_j, _WEIGHT_BITS, bit_j) for c in weighted)}
    sparse = {"layers": total(_layer(c, c.ann_macs_effective, mac_j, _WEIGHT_BITS, bit_j) for c in weighted)}
    quantised = {"layers": total(_layer(c, c.ann_macs, product_j, bits, bit_j) for c in weighted)}
    return billed(memory.removeprefix("horowitz2014-45nm-"), counts, ann, sparse, snn, _SPIKES, quantised)
