"""Which activation becomes which neuron, and the closed set of neuron families."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.curves import LIMITS
from convert.graph.ir import Op
from convert.neurons.adaptive import AdaptiveNeuron, constant_quantum
from convert.neurons.burst import BurstNeuron
from convert.neurons.differential import CORRECTION, DifferentialNeuron
from convert.neurons.graded import GradedNeuron, halving
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.pieces import pieces
from convert.neurons.tracking import CurveNeuron, TwoSlopeNeuron

__all__ = [
    "FAMILIES", "NEURONS", "RESETS", "Law", "can_burst", "fixed_threshold", "make_neuron", "takes_both_signs",
    "time_constants",
]  # fmt: skip

NEURONS = ("seed", "lif", "if")
"""Names on the command line: the seed neuron and its limits."""

RESETS = ("subtract", "zero")
"""What a spike does to the membrane: takes one quantum, or everything."""

FAMILIES: dict[str, type[LeakyNeuron]] = {
    "leaky": LeakyNeuron,
    "adaptive": AdaptiveNeuron,
    "graded": GradedNeuron,
    "burst": BurstNeuron,
    "hard-reset": HardResetNeuron,
    "two-slope": TwoSlopeNeuron,
    "curve": CurveNeuron,
    "differential": DifferentialNeuron,
}
"""Families by the name under which they are saved."""


def time_constants(neuron: str, tau_mem_s: float, tau_syn_s: float) -> tuple[float, float]:
    """(tau_mem, tau_syn) in seconds of the named neuron: LIF has no synaptic filter, IF no leak either.

    >>> time_constants("lif", 0.02, 0.002)
    (0.02, 0.0)
    """
    if neuron not in NEURONS:
        raise ConfigError(f"--neuron: got {neuron!r}; expected one of {', '.join(NEURONS)}")
    if neuron == "seed":
        return tau_mem_s, tau_syn_s
    return (tau_mem_s if neuron == "lif" else math.inf), 0.0


@dataclass(frozen=True)
class Law:
    """How neurons in the place of rectifiers spike.

    Parameters
    ----------
    reset : {"subtract", "zero"}
        What a spike does to the membrane: takes one quantum, or everything.
    v_threshold : float
        In quanta; 1/2 is leak-neutral and centres the rounding.
    signed : bool
        Whether a neuron takes spikes back; see `GradedNeuron`.
    levels : int
        Values 1, 1/2, 1/4, ... that a spike can have; with more than one it is always signed.
    code : {"rate", "differential"}
        What the spikes mean; in the differential code they are always signed, and neither `reset` nor `v_threshold`
        applies.
    correction : float
        In the differential code: the part of the least value that is owed before it is sent.
    burst : int
        The most spikes of one step; more than one exclude a reset to zero, signs and several values.
    """

    reset: str = "subtract"
    v_threshold: float = 0.5
    signed: bool = False
    levels: int = 1
    code: str = "rate"
    correction: float = CORRECTION
    burst: int = 1


def make_neuron(op: Op, tau_mem_s: float, tau_syn_s: float, law: Law | None = None) -> LeakyNeuron:
    """The neuron whose rate is the activation `op`; `law` decides for those in the place of rectifiers."""
    law = Law() if law is None else law
    if law.code == "differential":
        return _differential(op, tau_mem_s, tau_syn_s, law)
    return _MAKERS[type(op)](op, tau_mem_s, tau_syn_s, law)


def _differential(op: Op, tau_mem_s: float, tau_syn_s: float, law: Law) -> DifferentialNeuron:
    if takes_both_signs(op):
        raise ConfigError(
            f"--code differential: got a network with {type(op).__name__}, whose neuron sends values of both signs; "
            "expected ReLU or a clamp from zero upwards: use --code rate"
        )
    ceiling = 1.0 if isinstance(op, ir.Clamp) else math.inf
    return DifferentialNeuron(tau_mem_s, tau_syn_s, law.correction, halving(law.levels), ceiling=ceiling)


def _rectifier(op: Op, tau_mem_s: float, tau_syn_s: float, law: Law) -> LeakyNeuron:
    if law.reset == "zero":
        return HardResetNeuron(tau_mem_s, tau_syn_s, law.v_threshold)
    if law.signed or law.levels > 1:
        return GradedNeuron(tau_mem_s, tau_syn_s, law.v_threshold, halving(law.levels))
    if law.burst > 1:
        return BurstNeuron(tau_mem_s, tau_syn_s, law.v_threshold, law.burst)
    return LeakyNeuron(tau_mem_s, tau_syn_s, law.v_threshold)


def _staircase(op: Op, tau_mem_s: float, tau_syn_s: float, law: Law) -> LeakyNeuron:
    """The rounding of the staircase is to the nearest level, so the threshold is half a quantum, whatever the law.

    It saturates at one spike per step: no bursts.
    """
    return _rectifier(op, tau_mem_s, tau_syn_s, replace(law, v_threshold=0.5, burst=1))


def _clamp(op: Op, tau_mem_s: float, tau_syn_s: float, law: Law) -> LeakyNeuron:
    if isinstance(op, ir.Clamp) and op.low < 0:
        return AdaptiveNeuron(tau_mem_s, tau_syn_s, quanta=constant_quantum())
    return _rectifier(op, tau_mem_s, tau_syn_s, law)


def _two_slope(op: Op, tau_mem_s: float, tau_syn_s: float, law: Law) -> LeakyNeuron:
    assert isinstance(op, ir.LeakyRelu)
    return TwoSlopeNeuron(tau_mem_s, tau_syn_s, slopes=tuple(op.slope.double().tolist()))


def _curve(op: Op, tau_mem_s: float, tau_syn_s: float, law: Law) -> LeakyNeuron:
    assert isinstance(op, ir.Curve)
    table = pieces(op.name, op.parameters)
    return CurveNeuron(tau_mem_s, tau_syn_s, breaks=table.breaks, rises=table.rises, offsets=table.offsets)


_MAKERS: dict[type, Callable[[Op, float, float, Law], LeakyNeuron]] = {
    ir.Relu: _rectifier,
    ir.Clamp: _clamp,
    ir.Tanh: lambda op, mem, syn, law: AdaptiveNeuron(mem, syn),
    ir.LeakyRelu: _two_slope,
    ir.Curve: _curve,
    ir.Staircase: _staircase,
}


def can_burst(op: Op) -> bool:
    """Whether the neuron of the activation `op` fires in bursts where the law of rectifiers has them.

    >>> can_burst(ir.Clamp(0.0, 6.0)), can_burst(ir.Tanh())
    (True, False)
    """
    return isinstance(op, ir.Relu) or (isinstance(op, ir.Clamp) and op.low >= 0)


def takes_both_signs(op: Op) -> bool:
    """Whether the neuron of the activation `op` sends spikes of both signs, whatever the law of rectifiers.

    >>> takes_both_signs(ir.Relu()), takes_both_signs(ir.Tanh())
    (False, True)
    """
    return isinstance(op, (ir.Tanh, ir.LeakyRelu, ir.Curve)) or (isinstance(op, ir.Clamp) and op.low < 0)


def fixed_threshold(op: Op) -> float | None:
    """The threshold that the activation itself fixes: tanh 1, clamp its upper end, a staircase its lam; or None.

    >>> fixed_threshold(ir.Clamp(0.0, 6.0))
    6.0
    """
    if isinstance(op, ir.Tanh):
        return 1.0
    if isinstance(op, ir.Curve):
        return LIMITS.get(op.name)
    if isinstance(op, ir.Staircase):
        return float(op.threshold)
    return op.high if isinstance(op, ir.Clamp) else None
