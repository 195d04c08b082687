"""The model `chip-affine`: a chip as a line, static power plus so much for each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from evaluate.counts import OpCount
from evaluate.energy.charges import billed, broken_down, check_repeats, rows
from evaluate.energy.constants import Constant
from evaluate.energy.model import Bill, Breakdown
from evaluate.errors import EvaluateError
from evaluate.traces import total

__all__ = ["CHIPS", "ChipAffine"]

CHIPS: dict[str, tuple[str, ...]] = {
    "TrueNorth": ("TrueNorth, marginal", "TrueNorth, static power", "TrueNorth", "TrueNorth, peak"),
    "Loihi": ("Loihi", "Loihi, update of an active neuron", "Loihi, update of an inactive neuron",
              "Loihi, spike within a tile"),
}  # fmt: skip
"""Chip -> the rows of the tables that it is priced with."""

_SPIKES = frozenset({"accumulates", "spikes"})


@dataclass(frozen=True)
class ChipAffine:
    """A chip that runs the network in real time::

        E_snn = P_static t + e_syn A + e_act U_act + e_inact (U - U_act) + e_spk S

    t seconds per inference, A SynOps, U updates of neurons, U_act those in which the neuron fires, S spikes.
    TrueNorth: P_static and e_syn; its range are the published all-in figures, with nothing added on top.
    Loihi: e_syn, e_act, e_inact, e_spk; its range takes all updates for inactive or all for active. No ANN
    runs there, so there is no break-even: joules of different machines are not divided.

    Parameters
    ----------
    chip : str
        A key of `CHIPS`.
    inference_s : float
        t, model time of an inference: steps times dt.

    Raises
    ------
    EvaluateError
        Another chip, or a time that is not positive.
    """

    chip: str = "TrueNorth"
    inference_s: float = 1e-3

    version: ClassVar[str] = "1"
    formula: ClassVar[str] = "E_snn = P_static steps dt + e_syn SynOps + e_update updates + e_spike spikes"
    counts_memory: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a chip without rows and an inference without duration."""
        if self.chip not in CHIPS:
            raise EvaluateError(f"chip-affine: chip is {self.chip!r}; expected one of {', '.join(CHIPS)}")
        if not (isfinite(self.inference_s) and self.inference_s > 0):
            raise EvaluateError(f"chip-affine: inference_s is {self.inference_s}; expected seconds above 0")

    @property
    def name(self) -> str:
        """The model and its chip."""
        return f"chip-affine {self.chip}"

    @property
    def citation(self) -> str:
        """The sources of the rows, each once."""
        return "; ".join(dict.fromkeys(row.source for row in self.constants))

    @property
    def scope(self) -> str:
        """What the line of the chip contains."""
        if self.chip == "TrueNorth":
            return "the whole chip in real time: static power and what each SynOp adds (marginal), memory included"
        return "synaptic operations, neuron updates and spikes within a tile (per-term), memory included"

    @property
    def unverified(self) -> str:
        """What was not read in its source."""
        if self.chip == "TrueNorth":
            return "slope and intercept are derived from two operating points collected second-hand"
        return "figures of the paper's table quoted second-hand, simulated before there was silicon"

    @property
    def low_high_meaning(self) -> str:
        """What the two ends are."""
        if self.chip == "TrueNorth":
            return "the all-in figures of 2.5 pJ (peak) and 26 pJ (at 20 Hz) per SynOp in place of the line"
        return "all updates at the price of inactive neurons, and all at that of active ones"

    @property
    def unpriced(self) -> tuple[str, ...]:
        """What the line leaves out."""
        always = ("the analog first layer: it needs another machine", "any ANN", "input, output and host")
        return always if self.chip == "TrueNorth" else ("static power", "hops between tiles", *always)

    @property
    def constants(self) -> tuple[Constant, ...]:
        """The rows of the chip."""
        return tuple(rows()[name] for name in CHIPS[self.chip])

    def price(self, counts: Sequence[OpCount], *, encoder_repeats: int = 1) -> Breakdown:
        """Joules per inference of the spiking network; `encoder_repeats` changes nothing, see `unpriced`."""
        check_repeats(self.name, encoder_repeats)
        bills = self._truenorth(counts) if self.chip == "TrueNorth" else self._loihi(counts)
        return broken_down(bills, counts)

    def _truenorth(self, counts: Sequence[OpCount]) -> tuple[Bill, ...]:
        """The line, and the two all-in figures."""
        slope, static, usual, peak = self.constants
        synops = total(c.synops for c in counts)
        line = {"static power": static.si_value * self.inference_s, "accumulates": synops * slope.joules_per_op}
        points = [_bill(row.name, {"accumulates": synops * row.joules_per_op}, counts) for row in (usual, peak)]
        return _bill("static power and slope", line, counts), *points

    def _loihi(self, counts: Sequence[OpCount]) -> tuple[Bill, ...]:
        """With active updates where neurons fire, nowhere, and everywhere."""
        synop, active, inactive, spike = (row.joules_per_op for row in self.constants)
        synops, spikes = total(c.synops for c in counts), total(c.spikes for c in counts if c.role == "neuron")
        updates = total(c.neuron_updates for c in counts)
        cases = {"updates as they fire": min(spikes, updates), "all inactive": 0.0, "all active": updates}
        return tuple(
            _bill(
                prices,
                {
                    "accumulates": synops * synop,
                    "neuron updates": busy * active + (updates - busy) * inactive,
                    "spikes": spikes * spike,
                },
                counts,
            )
            for prices, busy in cases.items()
        )


def _bill(prices: str, snn: dict[str, float], counts: Sequence[OpCount]) -> Bill:
    """A bill without an ANN."""
    return billed(prices, counts, {}, {}, snn, _SPIKES & frozenset(snn))
