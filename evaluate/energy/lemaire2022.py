"""The model `lemaire2022`: arithmetic, memory and addressing of every layer, without reuse of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from evaluate.counts import OpCount
from evaluate.energy.charges import billed, broken_down, check_bits, check_repeats, rows
from evaluate.energy.constants import Constant
from evaluate.energy.model import Bill, Breakdown
from evaluate.traces import named, total

__all__ = ["Lemaire2022", "access_j"]

_WORD_BYTES, _WORD_BITS = 4, 32
_MEMORIES = {
    "horowitz2014-45nm-sram-8kB": 8 * 1024, "horowitz2014-45nm-sram-32kB": 32 * 1024,
    "horowitz2014-45nm-sram-1MB": 1024 * 1024,
}  # fmt: skip
"""Row of the price list -> bytes of the memory that it is the price of, smallest first."""
_LARGEST = 1024 * 1024 // _WORD_BYTES
_ARITHMETIC = tuple(f"horowitz2014-45nm-int32-{op}" for op in ("add", "multiply", "mac"))
_SPIKES = frozenset({"accumulates", "memory per spike", "addressing"})


def access_j(words: float) -> float:
    """Joules of one access to a memory of `words` words of 32 bits, traced.

    Piecewise linear in the size: 0 at nothing, the printed prices at 8 kB, 32 kB and 1 MB, the last one beyond.

    >>> access_j(2048), access_j(5120), access_j(10**9)
    (1e-11, 1.5e-11, 1e-10)
    """
    points = [(0.0, 0.0), *((float(size), rows()[name].value_as_printed) for name, size in _MEMORIES.items())]
    size = min(float(words * _WORD_BYTES), points[-1][0])
    for (x0, y0), (x1, y1) in pairwise(points):
        if size <= x1:
            joules = round(y0 + (y1 - y0) * (size - x0) / (x1 - x0), 12) * 1e-12
            return named(joules, f"access to a memory of {int(words):,} words", "J")
    raise AssertionError("sizes are clamped to the last point")


@dataclass(frozen=True)
class Lemaire2022:
    """Energy of arithmetic, memory and addressing::

        E     = E_ops + E_mem + E_addr
        ANN   ops  M E_mac + O E_add            mem  M (R_in + R_w) + B R_w + O R_out
              addr (I + O + K) E_add
        SNN   ops  A E_add + U (a E_add + m E_mult) + S E_add
              mem  S_in R_in + A R_w + 2 (A + U) R_v + S R_v
              addr A E_add, and 2 S_in E_mac before convolutions

    For each layer: M MACs, A SynOps, I inputs, O outputs, B biases, K output channels times positions of the
    kernel, S_in spikes that arrive, S spikes that leave, U updates; R an access to the memory of the inputs, the
    weights, the outputs or the potentials, each of its own size, 32 bits wide. The analog first layer is an ANN
    layer that is computed k times. An ANN that skips zeros does d M MACs with their accesses. Activations of b
    bits are packed into words, and a product with them is b shifted additions, or a MAC where that is cheaper.

    Source: E. Lemaire et al., ICONIP 2022, in the form of public tools; the rows of memory are *unverified*
    against the paper. Borders and neurons are those of our counts.

    Parameters
    ----------
    bits : int
        b, bits of an activation of the quantised ANN.
    """

    bits: int = 8

    name: ClassVar[str] = "lemaire2022"
    version: ClassVar[str] = "1"
    citation: ClassVar[str] = (
        "E. Lemaire, L. Cordone, A. Castagnetti, P.-E. Novac, J. Courtois, B. Miramond, An analytical estimation of "
        "spiking neural networks energy efficiency, ICONIP 2022; the memory accesses are unverified against the paper"
    )
    scope: ClassVar[str] = "arithmetic, on-chip memory and addressing, int32, 45 nm, nothing kept for reuse (per-term)"
    formula: ClassVar[str] = (
        "ANN: MACs (E_mac + R_in + R_w) + outputs (E_add + R_out) + biases R_w + addressing; SNN: SynOps (2 E_add + R_w"
        " + 2 R_v) + spikes in (R_in + 2 E_mac) + updates (E_update + 2 R_v) + spikes out (E_add + R_v) + k encoder"
    )
    low_high_meaning: ClassVar[str] = (
        "a printed access of 64 bits serving two words, and one shared memory of 1 MB in place of one for each "
        "tensor; both networks under the same assumption"
    )
    unpriced: ClassVar[tuple[str, ...]] = (
        "off-chip memory: what does not fit into 1 MB is paid as if it did",
        "reuse of weights and activations, which would help the ANN most",
        "comparison with the threshold, activation functions, pooling by maximum",
        "routing between cores",
        "clock, control, leakage and other static power",
        "input, output and host",
    )
    counts_memory: ClassVar[bool] = True
    unverified: ClassVar[str] = "the number of memory accesses, taken from public tools and not from the paper"

    def __post_init__(self) -> None:
        """Refuse activations without bits."""
        check_bits(self.name, self.bits)

    @property
    def constants(self) -> tuple[Constant, ...]:
        """Arithmetic of int32 and the three memories."""
        return tuple(rows()[name] for name in (*_ARITHMETIC, *_MEMORIES))

    def price(self, counts: Sequence[OpCount], *, encoder_repeats: int = 1) -> Breakdown:
        """Joules per inference of all networks, with own memories, halved accesses and one shared memory."""
        check_repeats(self.name, encoder_repeats)
        costs = (
            _Costs("a memory for each tensor"), _Costs("64 bits per access", share=0.5),
            _Costs("one memory of 1 MB", shared=True),
        )  # fmt: skip
        return broken_down([_bill(c, counts, encoder_repeats, self.bits) for c in costs], counts)


@dataclass(frozen=True)
class _Costs:
    """One reading of the memory prices."""

    prices: str
    share: float = 1.0
    shared: bool = False

    def access(self, words: float) -> float:
        """One access to a tensor of `words` words."""
        return self.share * access_j(_LARGEST if self.shared else words)

    def layer(self, count: OpCount, products: float, product_j: float, packing: float = 1.0) -> float:
        """An ANN layer that does `products` products, its activations packed by `packing`."""
        add_j, t = rows()[_ARITHMETIC[0]].joules_per_op, count.tensors
        inputs, outputs = self.access(round(t.inputs * packing)), self.access(round(t.outputs * packing))
        weights = self.access(t.weights)
        moved = products * (packing * inputs + weights) + t.biases * weights + t.outputs * packing * outputs
        return products * product_j + moved + (2 * t.outputs + t.inputs + t.kernel) * add_j


def _bill(costs: _Costs, counts: Sequence[OpCount], repeats: int, bits: int) -> Bill:
    """All terms at one reading."""
    add_j, _, mac_j = (rows()[name].joules_per_op for name in _ARITHMETIC)
    weighted = [c for c in counts if c.ann_macs or (c.role == "hybrid" and c.encoder_macs)]
    packing, product_j = min(1.0, bits / _WORD_BITS), min(bits * add_j, mac_j)
    ann = {"layers": total(costs.layer(c, c.ann_macs, mac_j) for c in weighted)}
    sparse = {"layers": total(costs.layer(c, c.ann_macs_effective, mac_j) for c in weighted)}
    quantised = {"layers": total(costs.layer(c, c.ann_macs, product_j, packing) for c in weighted)}
    snn = _spiking_terms(costs, counts, repeats)
    return billed(costs.prices, counts, ann, sparse, snn, _SPIKES, quantised)


def _spiking_terms(costs: _Costs, counts: Sequence[OpCount], repeats: int) -> dict[str, float]:
    """The terms of the spiking network."""
    add_j, multiply_j, mac_j = (rows()[name].joules_per_op for name in _ARITHMETIC)
    spiking = [c for c in counts if c.synops]
    read = total(
        c.arrivals * costs.access(c.tensors.inputs)
        + c.synops * (costs.access(c.tensors.weights) + 2 * costs.access(c.tensors.outputs))
        for c in spiking
    )
    sent = total(c.spikes * costs.access(c.tensors.outputs) for c in counts if c.role == "neuron")
    spikes = total(c.spikes for c in counts if c.role == "neuron")
    return {
        "accumulates": (total(c.synops for c in counts) + spikes) * add_j,
        "memory per spike": read + sent,
        "addressing": total(c.synops * add_j + 2 * c.arrivals * mac_j * bool(c.tensors.kernel) for c in spiking),
        "neuron updates": total(
            c.neuron_updates * (c.adds_per_update * add_j + c.multiplies_per_update * multiply_j) for c in counts
        ),
        "memory per update": total(2 * c.neuron_updates * costs.access(c.tensors.outputs) for c in counts),
        "encoder": repeats * total(costs.layer(c, c.encoder_macs, mac_j) for c in counts if c.encoder_macs),
    }
