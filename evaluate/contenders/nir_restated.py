"""The same NIR graph in the conventions that an importer assumes: its clock, its integrator, its resistance.

NIR states time constants in seconds and leaves the step to the reader. Importers each chose: an explicit Euler step
of a fixed length, time constants counted in steps, a resistance of one. Read as written, a file then means another
network. `restated` keeps the discrete update, V[t] = beta V[t-1] + drive, and writes it in their terms.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Clock", "restated"]

_QUICK = 2.0**10
"""By how much a synapse that stands for none decays in a step."""

_ENDLESS_STEPS = 1e7
"""Stands for no leak where an importer only knows leaky neurons."""


@dataclass(frozen=True)
class Clock:
    """How an importer integrates.

    Parameters
    ----------
    dt : float
        Length of a step in the unit of its time constants.
    euler : bool
        Decay 1 - dt / tau instead of exp(-dt / tau).
    resistance : {"one", "tau"}
        A LIF's `r` is taken as one, and the gain goes into the weights; or r = tau / dt, where the gain is one.
    knows : tuple of str
        Neuron types that its importer reads.
    synapse_first : bool
        Its synapse decays before it is read, I = alpha (I + x): a gain of alpha / (1 - alpha) at rest.
    """

    dt: float
    euler: bool
    resistance: str
    knows: tuple[str, ...] = ("IF", "LIF", "CubaLIF")
    synapse_first: bool = False

    def tau(self, tau_s: Any, dt_s: float) -> Any:
        """The time constant with which the importer gets the decay exp(-dt_s / tau_s)."""
        return self.dt / (1 - np.exp(-dt_s / tau_s)) if self.euler else tau_s * (self.dt / dt_s)


def restated(graph: Any, clock: Clock, dt_s: float) -> Any:
    """`graph` in the terms of `clock`; populations keep their names."""
    import nir

    nodes = dict(graph.nodes)
    for name, node in graph.nodes.items():
        kind = type(node).__name__
        if kind in _NEURONS:
            nodes[name], gain = _NEURONS[kind](node, clock, dt_s)
            for source in [a for a, b in graph.edges if b == name] if gain is not None else []:
                nodes[source] = _scaled(nodes[source], gain)
    unchecked = {"type_check": False} if "type_check" in inspect.signature(nir.NIRGraph.__init__).parameters else {}
    return nir.NIRGraph(nodes, list(graph.edges), **unchecked)


def _levels(node: Any) -> dict[str, Any]:
    """What every neuron keeps; older versions of nir know less of it."""
    names = ("v_threshold", "v_reset", "metadata")
    return {name: getattr(node, name) for name in names if hasattr(node, name)}


def _if(node: Any, clock: Clock, dt_s: float) -> tuple[Any, Any]:
    import nir

    if "IF" in clock.knows:
        return nir.IF(np.ones_like(node.r), **_levels(node)), node.r * dt_s
    tau = np.full_like(node.r, dt_s * _ENDLESS_STEPS, dtype=np.float64)
    return _lif(nir.LIF(tau, node.r * tau, tau * 0, **_levels(node)), clock, dt_s)


def _lif(node: Any, clock: Clock, dt_s: float) -> tuple[Any, Any]:
    import nir

    tau, drive = clock.tau(node.tau.astype(np.float64), dt_s), 1 - np.exp(-dt_s / node.tau)
    if "LIF" not in clock.knows:
        quick = np.full_like(node.tau, dt_s / np.log(_QUICK), dtype=np.float64)
        r, one = 1 / drive, np.ones_like(tau)
        synaptic = nir.CubaLIF(tau_mem=node.tau, tau_syn=quick, r=r, v_leak=node.v_leak, w_in=one, **_levels(node))
        again, gain = _cuba_lif(synaptic, clock, dt_s)
        return again, node.r * drive * (1.0 if gain is None else gain)
    if clock.resistance == "one":
        importers_gain = drive if clock.euler else 1.0
        return nir.LIF(tau, np.ones_like(tau), node.v_leak, **_levels(node)), node.r * drive / importers_gain
    return nir.LIF(tau, tau / clock.dt, node.v_leak, **_levels(node)), node.r * drive


def _cuba_lif(node: Any, clock: Clock, dt_s: float) -> tuple[Any, Any]:
    import nir

    mem, syn = (clock.tau(tau.astype(np.float64), dt_s) for tau in (node.tau_mem, node.tau_syn))
    r = mem / clock.dt if clock.resistance == "tau" else node.r
    gain = None if clock.resistance == "one" else node.r * (1 - np.exp(-dt_s / node.tau_mem))
    if clock.synapse_first:
        alpha = np.exp(-dt_s / node.tau_syn)
        r, gain = mem / clock.dt - 1, gain * (1 - alpha) / alpha
    return nir.CubaLIF(tau_mem=mem, tau_syn=syn, r=r, v_leak=node.v_leak, w_in=node.w_in, **_levels(node)), gain


_NEURONS: dict[str, Callable[[Any, Clock, float], tuple[Any, Any]]] = {"IF": _if, "LIF": _lif, "CubaLIF": _cuba_lif}
"""Neuron type -> the restated node, and what its input must be multiplied by (None: nothing)."""


def _scaled(node: Any, gain: Any) -> Any:
    """A weighted node with its output multiplied by `gain`, one number for each output channel or for all."""
    import nir

    factor = np.unique(np.round(np.asarray(gain, dtype=np.float64), 9))
    if len(factor) != 1 or type(node).__name__ not in ("Affine", "Conv2d"):
        raise ValueError(f"a gain of {gain} in front of a neuron cannot be moved into a {type(node).__name__}")
    weight, bias = node.weight * factor[0], node.bias * factor[0]
    if isinstance(node, nir.Affine):
        return nir.Affine(weight.astype(np.float32), bias.astype(np.float32))
    return nir.Conv2d(node.input_shape, weight.astype(np.float32), node.stride, node.padding, node.dilation,
                      node.groups, bias.astype(np.float32))  # fmt: skip
