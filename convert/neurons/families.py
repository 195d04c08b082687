"""Which activation becomes which neuron, and the closed set of neuron families."""

from __future__ import annotations

import math
from collections.abc import Callable

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.ir import Op
from convert.neurons.adaptive import AdaptiveNeuron, constant_quantum
from convert.neurons.leaky import LeakyNeuron

__all__ = ["FAMILIES", "NEURONS", "fixed_threshold", "make_neuron", "time_constants"]

NEURONS = ("seed", "lif", "if")
"""Names on the command line: the seed neuron and its limits."""

FAMILIES: dict[str, type[LeakyNeuron]] = {"leaky": LeakyNeuron, "adaptive": AdaptiveNeuron}
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


_MAKERS: dict[type, Callable[[float, float], LeakyNeuron]] = {
    ir.Relu: lambda mem, syn: LeakyNeuron(mem, syn),
    ir.Clamp: lambda mem, syn: LeakyNeuron(mem, syn),
    ir.Tanh: lambda mem, syn: AdaptiveNeuron(mem, syn),
}


def make_neuron(op: Op, tau_mem_s: float, tau_syn_s: float) -> LeakyNeuron:
    """The neuron whose rate is the activation `op`."""
    if isinstance(op, ir.Clamp) and op.low < 0:
        return AdaptiveNeuron(tau_mem_s, tau_syn_s, quanta=constant_quantum())
    return _MAKERS[type(op)](tau_mem_s, tau_syn_s)


def fixed_threshold(op: Op) -> float | None:
    """The threshold that the activation itself fixes (tanh: 1, clamp: its upper end), or None for ReLU.

    >>> fixed_threshold(ir.Clamp(0.0, 6.0))
    6.0
    """
    if isinstance(op, ir.Tanh):
        return 1.0
    return op.high if isinstance(op, ir.Clamp) else None
