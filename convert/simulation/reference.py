"""The oracle: every neuron, every step, in float64, as the equations stand in `neurons/leaky.py`.

    I[t] = alpha I[t-1] + (1 - alpha) S[t]
    V[t] = beta V[t-1] + (W I[t] + b)
    fire if V[t] >= V_th, then V[t] -= 1

Synapses filter spikes before the weights, no time is folded, nothing is cached. It is slow and stays slow: the
engines are tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convert.graph import ir
from convert.graph.semantics import apply
from convert.network import SpikingNetwork
from convert.neurons.leaky import decay
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.results import Simulation, check_request

__all__ = ["simulate_reference"]


@torch.no_grad()
def simulate_reference(
    network: SpikingNetwork,
    x: Tensor,
    steps: int,
    record: Sequence[int] | None = None,
    seed: int = 0,
    samples: Sequence[int] | None = None,
) -> Simulation:
    """Run `network` on a batch `x` for `steps` steps; see `Simulation` for what comes back.

    Parameters
    ----------
    seed, samples
        For Poisson input: the seed, and the number of each sample in its data set.
    """
    steps_kept = check_request(network, x, steps, None if record is None else tuple(record))
    graph, dt_s = network.graph, network.dt_s
    numbers = range(len(x)) if samples is None else samples
    poisson = network.input_code == "poisson"
    scale = float(network.scales[graph.input.name].flatten()[0])
    trains = poisson_spikes(x, scale, steps, seed, numbers).double() if poisson else None

    currents: dict[str, Tensor] = {}
    states: dict[str, object] = {}
    pooled: dict[str, tuple[Tensor, Tensor]] = {}
    counts: dict[str, Tensor] = {}
    emitted: dict[str, Tensor] = {}
    kept: dict[str, list[Tensor]] = {}
    total: Tensor | float = 0.0
    outputs = []
    tau_syn_s = {site.neuron.tau_syn_s for site in network.sites.values()}
    alpha = decay(dt_s, max(tau_syn_s, default=0.0))

    for t in range(steps):
        direct: dict[str, Tensor] = {}  # what is read out: unfiltered spikes
        filtered: dict[str, Tensor] = {}  # what neurons receive: synaptic currents
        for node in graph:
            name = node.name
            if isinstance(node.op, ir.Input) and trains is None:
                direct[name] = filtered[name] = constant_current(x)
            elif isinstance(node.op, ir.Input) or name in network.sites:
                if isinstance(node.op, ir.Input):
                    assert trains is not None  # narrowed by the branch above
                    spikes, quantum = trains[t], torch.ones(())
                else:
                    site, drive = network.sites[name], filtered[node.inputs[0]]
                    state = states.get(name) or site.neuron.start(torch.zeros_like(drive) + site.initial)
                    states[name], spikes = site.neuron.step(state, drive, site.quantum, dt_s)  # type: ignore[arg-type]
                    quantum = site.quantum
                counts[name] = counts.get(name, torch.zeros_like(spikes)) + spikes
                emitted[name] = emitted.get(name, torch.zeros_like(spikes)) + spikes.abs()
                direct[name] = spikes * quantum
                before = currents.get(name, torch.zeros_like(spikes))
                currents[name] = filtered[name] = alpha * before + (1 - alpha) * direct[name]
            else:
                for lane, values in (("direct", direct), ("filtered", filtered)):
                    if isinstance(node.op, ir.MaxPool):
                        values[name] = _accumulated_maximum(pooled, name + lane, node.op, values[node.inputs[0]])
                    else:
                        values[name] = apply(node.op, *(values[i] for i in node.inputs))
        total = total + direct[graph.output]
        outputs.append(total / (t + 1) * network.scales[graph.output])
        if t + 1 in steps_kept:
            for name, spikes in emitted.items():
                kept.setdefault(name, []).append(spikes.sum(0))
    spikes_kept = {name: torch.stack(values) for name, values in kept.items()}
    return Simulation(torch.stack(outputs), spikes_kept, counts, steps_kept, dt_s)


def _accumulated_maximum(pooled: dict[str, tuple[Tensor, Tensor]], key: str, op: ir.MaxPool, drive: Tensor) -> Tensor:
    """The growth of the maximum of the accumulated drive: its sum over time is the maximum of the sums."""
    zeros = torch.zeros_like(drive)
    sums, best = pooled.get(key, (zeros, apply(op, zeros)))
    pooled[key] = (sums + drive, apply(op, sums + drive))
    return pooled[key][1] - best
