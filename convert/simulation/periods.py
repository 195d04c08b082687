"""The radix code, one layer of neurons after another: each in a period of K steps of its own.

A population whose longest path from the input passes d - 1 others fires in period d, steps (d - 1) K + 1 .. d K, the
digits of its count, the highest first (`convert.neurons.radix`). A spike in step t of a period adds 2^(K - t) times its
weight to the charge of whoever receives it; input and biases are injected once. All that reaches a population comes
from earlier periods, so its charge is complete when its own begins, and after L periods, L being the number of
populations on the longest path, the network has the counts of its quantised network, bit for bit: the same induction
over layers as in `convert.simulation.quiescence`, without corrections.

Latency is sequential: K steps for every layer, L K in all. The read-out is a sum of what has arrived, so nothing of the
sample reaches it before the last layers fire; from then on each step adds a digit. Charges are whole numbers times
2^-bits (`convert.simulation.capacity`), so no sum depends on its order.

Because the counts are those of one dense pass, that is how they are computed here; spikes and read-outs of every step
follow from their digits. A max pool keeps the charge of its inputs and passes on the growth of the maximum, which adds
up to the maximum of the charges, so it needs nothing else. A test holds all this to neurons and synapses that are
stepped one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.semantics import apply
from convert.network import SpikingNetwork
from convert.neurons.radix import RadixNeuron
from convert.simulation.inputs import constant_current
from convert.simulation.quiescence import quantised
from convert.simulation.results import Simulation

__all__ = ["period_length", "period_steps", "periods", "simulate_radix"]


def period_length(network: SpikingNetwork) -> int:
    """K, the steps of a period."""
    return max(_neuron(network, name).bits for name in network.sites)


def periods(network: SpikingNetwork) -> dict[str, int]:
    """Population -> the period in which it fires, counted from 1."""
    reached: dict[str, int] = {}
    for node in network.graph:
        before = max((reached[name] for name in node.inputs), default=0)
        reached[node.name] = before + (node.name in network.sites)
    return {name: reached[name] for name in network.sites}


def period_steps(network: SpikingNetwork) -> int:
    """L K: the steps of a whole run, the same for every sample."""
    return period_length(network) * max(periods(network).values())


@torch.no_grad()
def simulate_radix(network: SpikingNetwork, x: Tensor, record: Sequence[int] | None = None) -> Simulation:
    """Run the radix-coded network on a batch `x` for all its periods.

    Parameters
    ----------
    record : sequence of int, optional
        Steps at which spike counts are kept; the last one by default.

    Returns
    -------
    Simulation
        `output` is what has arrived at the read-out up to each step, in the units of the original network; `spikes` are
        single spikes of whatever place, `counts` the numbers that they say.

    Raises
    ------
    ConfigError
        Another code, or steps that a run does not have.
    InputShapeError
        Samples of another shape, that are not finite, or too large for exact sums.
    """
    last = period_steps(network) if network.code == "radix" else 0
    found = quantised(network, x, code="radix")
    kept = (last,) if record is None else tuple(sorted(set(record)))
    if not kept or kept[0] < 1 or kept[-1] > last:
        raise ConfigError(f"record: got {kept}; expected steps between 1 and {last}, the end of the last period")
    counts = {name: found[name] for name in network.sites}
    fired = {name: _fired(network, name, count) for name, count in counts.items()}
    spikes = {
        name: torch.stack([sums[_digits_by(network, name, step)] for step in kept]) for name, sums in fired.items()
    }
    output = _read(network, x, counts, last) * network.scales[network.graph.output]
    return Simulation(output, spikes, counts, kept, network.dt_s)


def _neuron(network: SpikingNetwork, name: str) -> RadixNeuron:
    neuron = network.sites[name].neuron
    assert isinstance(neuron, RadixNeuron)  # SpikingNetwork has checked it
    return neuron


def _digits_by(network: SpikingNetwork, name: str, step: int) -> int:
    """How many of its digits the population `name` has sent up to `step`."""
    length = period_length(network)
    return min(max(step - length * (periods(network)[name] - 1), 0), length)


def _fired(network: SpikingNetwork, name: str, count: Tensor) -> Tensor:
    """Spikes after no digit, one digit, ... of a population, summed over the batch: (K + 1, *shape)."""
    sent = _neuron(network, name).digits(count).sum(1)
    return torch.cat([torch.zeros_like(sent[:1]), sent.cumsum(0)])


def _read(network: SpikingNetwork, x: Tensor, counts: Mapping[str, Tensor], last: int) -> Tensor:
    """What has arrived at the output up to each step, (steps, batch, *output shape)."""
    wanted = {network.graph.output}
    for node in reversed(network.graph.nodes):
        if node.name in wanted and node.name not in network.sites:
            wanted |= set(node.inputs)
    heard = [name for name in network.sites if name in wanted]
    outputs: list[Tensor] = []
    before: tuple[int, ...] | None = None
    for step in range(1, last + 1):
        digits = tuple(_digits_by(network, name, step) for name in heard)
        if digits != before:
            places = dict(zip(heard, digits, strict=True))
            said = {name: _neuron(network, name).leading(counts[name], n) for name, n in places.items()}
            outputs.append(_output(network, x, said, wanted))
        else:
            outputs.append(outputs[-1])
        before = digits
    return torch.stack(outputs)


def _output(network: SpikingNetwork, x: Tensor, said: Mapping[str, Tensor], wanted: set[str]) -> Tensor:
    """The output's charge where populations have said so much."""
    known: dict[str, Tensor] = {}
    for node in network.graph:
        if node.name in said:
            known[node.name] = said[node.name]
        elif node.name in wanted:
            of_input = isinstance(node.op, ir.Input)
            known[node.name] = constant_current(x) if of_input else apply(node.op, *(known[n] for n in node.inputs))
    return known[network.graph.output]
