"""Whether an exact network's arithmetic is that of integers: the lattice and the bound of every charge.

Weights, biases, inputs and counts are whole numbers times 2^-bits. A float64 holds every whole number below 2^53, so a
sum whose terms stay below 2^(53 - bits) in total is exact in whatever order it is made.
"""

from __future__ import annotations

from convert.errors import InputShapeError
from convert.lattice import INPUT_BITS, Carried, spread
from convert.network import SpikingNetwork
from convert.neurons.counting import CountingNeuron

__all__ = ["capacity"]

_MANTISSA = 53
"""Significant bits of float64."""


def capacity(network: SpikingNetwork, largest: float) -> dict[str, Carried]:
    """For each node of an exact network the lattice and the bound of its charge.

    Parameters
    ----------
    largest : float
        The largest input in magnitude.

    Raises
    ------
    InputShapeError
        A sum that float64 does not hold exactly; all such nodes are named.
    """
    sources = {name: Carried(0, float(site.neuron.highest)) for name, site in network.sites.items()
               if isinstance(site.neuron, CountingNeuron)}  # fmt: skip
    known = spread(network.graph, {**sources, network.graph.input.name: Carried(INPUT_BITS, largest)})
    too_much = [
        f"{network.graph[name].place or name} ({'no lattice' if c.bits is None else f'{c.bits} fraction bits'}, "
        f"up to {c.bound:.3g})"
        for name, c in known.items()
        if c.bits is None or not c.bound * 2.0**c.bits < 2.0 ** (_MANTISSA - 1)
    ]
    if too_much:
        raise InputShapeError(
            f"{', '.join(too_much)}: sums need more than the {_MANTISSA} bits of float64, so they would not be exact; "
            "expected smaller inputs or weights between two activations: scale the data, or use another recipe"
        )
    return known
