"""Which activation becomes which neuron, and the closed set of neuron families."""

from __future__ import annotations

import math
from collections.abc import Callable

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.curves import LIMITS
from convert.graph.ir import Op
from convert.neurons.adaptive import AdaptiveNeuron, constant_quantum
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.pieces import pieces
from convert.neurons.tracking import CurveNeuron, TwoSlopeNeuron

__all__ = ["FAMILIES", "NEURONS", "fixed_threshold", "make_neuron", "takes_both_signs", "time_constants"]

NEURONS = ("seed", "lif", "if")
"""Names on the command line: the seed neuron and its limits."""

FAMILIES: dict[str, type[LeakyNeuron]] = {
    "leaky": LeakyNeuron,
    "adaptive": AdaptiveNeuron,
    "two-slope": TwoSlopeNeuron,
    "curve": CurveNeuron,
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


def _curve(op: ir.Curve, mem: float, syn: float) -> CurveNeuron:
    table = pieces(op.name, op.parameters)
    return CurveNeuron(mem, syn, breaks=table.breaks, rises=table.rises, offsets=table.offsets)


_MAKERS: dict[type, Callable[..., LeakyNeuron]] = {
    ir.Relu: lambda op, mem, syn: LeakyNeuron(mem, syn),
    ir.Clamp: lambda op, mem, syn: LeakyNeuron(mem, syn),
    ir.Tanh: lambda op, mem, syn: AdaptiveNeuron(mem, syn),
    ir.LeakyRelu: lambda op, mem, syn: TwoSlopeNeuron(mem, syn, slopes=tuple(op.slope.double().tolist())),
    ir.Curve: _curve,
}


def make_neuron(op: Op, tau_mem_s: float, tau_syn_s: float) -> LeakyNeuron:
    """The neuron whose rate is the activation `op`."""
    if isinstance(op, ir.Clamp) and op.low < 0:
        return AdaptiveNeuron(tau_mem_s, tau_syn_s, quanta=constant_quantum())
    return _MAKERS[type(op)](op, tau_mem_s, tau_syn_s)


def takes_both_signs(op: Op) -> bool:
    """Whether the neuron of the activation `op` sends spikes of both signs.

    >>> takes_both_signs(ir.Relu()), takes_both_signs(ir.Tanh())
    (False, True)
    """
    return isinstance(op, (ir.Tanh, ir.LeakyRelu, ir.Curve)) or (isinstance(op, ir.Clamp) and op.low < 0)


def fixed_threshold(op: Op) -> float | None:
    """The threshold that the activation itself fixes (tanh: 1, clamp: its upper end), or None where it has no bound.

    >>> fixed_threshold(ir.Clamp(0.0, 6.0))
    6.0
    """
    if isinstance(op, ir.Tanh):
        return 1.0
    if isinstance(op, ir.Curve):
        return LIMITS.get(op.name)
    return op.high if isinstance(op, ir.Clamp) else None
