"""A spiking network in NIR, the exchange format of neuromorphic simulators and chips, in two forms.

NIR (Pedersen et al., Nature Communications 15, 8122, 2024, "Neuromorphic intermediate representation") defines its
neurons by differential equations and resets them to `v_reset`. Ours subtract one quantum instead. So there are:

*native*    one `LIF`, `CubaLIF` or `IF` for each population, as a chip's importer expects. By NIR's definition it
            is an approximation: a reset to a value loses what the potential had above the threshold.
*faithful*  the subtraction spelled out in plain primitives, `LI` (or `I`) -> `Threshold` -> `Scale` -> back. By NIR's
            definitions it gives our spike trains.

What both carry, and how (`dt` is a step, beta = exp(-dt / tau_mem)):

- normalised weights: as they are, with `r` = 1 / (1 - beta), or 1 / dt without a leak, so that they are quanta per
  step. Only a native `LIF` has r = 1, which importers assume, and the factor 1 / (1 - beta) in the weights in front;
- steps: NIR has none. The graph's metadata holds `dt_s`; the equations are solved exactly for inputs that are
  constant during a step;
- initial potentials: NIR has none. They are the metadata `v_init` of the node; a reader that starts at zero
  loses at most one spike per neuron, once;
- primed synapses: NIR has none. The metadata `decays` of the node holds exp(-dt / tau_syn) for each step from the first
  one on, the last for all that follow; a reader that ignores it loses about tau_syn / dt steps of every layer;
- the read-out: the mean of the output over the steps, times the graph's metadata `output_scale`;
- the code of the input: a constant current, rounded to multiples of 2^-16, or spikes; the metadata say which. An
  image that the network flattens at once is a vector here (`sample_shape` tells its shape): importers disagree about
  the batch axis of NIR's `Flatten`.

See `nir_populations.py` for the neurons of each form.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from convert.errors import ConfigError, UnsupportedOpError
from convert.graph import ir
from convert.graph.ir import Node
from convert.lattice import INPUT_BITS
from convert.network import SpikingNetwork
from convert.neurons.adaptive import AdaptiveNeuron
from convert.neurons.burst import BurstNeuron
from convert.neurons.tracking import TrackingNeuron
from convert.writing.nir_populations import Faithful, Native, Population
from convert.writing.nir_wiring import Plan, nir_library, refused_wiring, to_primitive

__all__ = ["FORMS", "to_nir", "write_nir"]

FORMS = ("native", "faithful")
"""The two forms, by the name of their file."""

_DELAY = 1
"""Steps that a feedback edge takes: a cycle has no order within a step."""


def write_nir(network: SpikingNetwork, form: str, path: Path) -> None:
    """Write `network` to the HDF5 file `path` in one of the FORMS.

    Raises
    ------
    ConfigError
        An unknown form, or the library `nir` is not installed.
    UnsupportedOpError
        What NIR has no node for; all of it at once.
    """
    graph = to_nir(network, form)
    nir_library().write(str(path), graph)
    _drop_defaults(path)


def _drop_defaults(path: Path) -> None:
    """Leave out resets to zero: that is what their absence means, and readers before nir 1.0.5 know no `v_reset`."""
    import h5py

    with h5py.File(path, "r+") as file:
        for node in file["node/nodes"].values():
            if "v_reset" in node and not np.any(node["v_reset"][()]):
                del node["v_reset"]


def to_nir(network: SpikingNetwork, form: str) -> Any:
    """`network` as a `nir.NIRGraph`; see the module's docstring for the forms."""
    if form not in FORMS:
        raise ConfigError(f"NIR form: got {form!r}; expected one of {', '.join(FORMS)}")
    if network.code == "exact":
        raise ConfigError(
            "--nir: got an exact network; expected a rate-coded one: NIR has no neuron that keeps a count and fires "
            "with either sign; leave --nir out, or use another recipe"
        )
    if network.code == "radix":
        raise ConfigError(
            "--nir: got a radix-coded network; expected a rate-coded one: NIR has no threshold that halves with every "
            "step, and no synapse that knows the step of a period; leave --nir out, or use another recipe"
        )
    if network.code == "differential":
        raise ConfigError(
            "--nir: got a network of differential code; expected a rate-coded one: NIR has no node that divides by the "
            "number of the step, as its decoders do; leave --nir out, or use --code rate"
        )
    if network.look_ahead:
        raise ConfigError(
            f"--nir: got a network that looks {network.look_ahead} steps ahead; expected one that does not: NIR has "
            "one start for all samples; leave --nir out, or --look-ahead"
        )
    nir = nir_library()
    _refuse(network, form)
    builder = _Builder(network, Native(network, nir) if form == "native" else Faithful(network, nir), nir)
    return builder.graph(form)


def _refuse(network: SpikingNetwork, form: str) -> None:
    offenders = []
    for node in network.graph:
        why = _refused_neuron(network, node.name) if node.name in network.sites else refused_wiring(network.graph, node)
        if why:
            offenders.append(f"{node.place or node.name}: {why}")
    if offenders:
        raise UnsupportedOpError(
            f"NIR, {form} form: {'; '.join(offenders)}; NIR has linear maps, convolutions, sum and average pooling, "
            "flatten and LIF neurons: leave --nir out, or train without these"
        )


def _refused_neuron(network: SpikingNetwork, name: str) -> str:
    site = network.sites[name]
    if isinstance(site.neuron, AdaptiveNeuron):
        return "a signed neuron whose quantum adapts (tanh), which no NIR node is"
    if isinstance(site.neuron, BurstNeuron):
        return "a neuron that fires several spikes in one step, which no NIR node is"
    if isinstance(site.neuron, TrackingNeuron):
        op = network.graph[name].op
        title = op.name.replace("_", " ") if isinstance(op, ir.Curve) else "leaky ReLU"
        return f"a signed neuron that keeps its count on a curve ({title}), which no NIR node is"
    if not bool((site.quantum == 1).all()):
        return "quantum other than 1; expected the weight-normalised network"
    return ""


class _Builder:
    """The NIR nodes and edges so far."""

    def __init__(self, network: SpikingNetwork, form: Population, nir: ModuleType) -> None:
        self.network, self.form, self.nir = network, form, nir
        self.plan = Plan({}, [])
        self.sources: dict[tuple[str, str], tuple[str, ...]] = {}
        """(node, lane) -> the NIR nodes whose sum is its value."""

    def graph(self, name: str) -> Any:
        """Everything the output depends on, in topological order."""
        output = self.network.graph[self.network.graph.output]
        lanes = self._lanes()
        for node in self.network.graph:
            if node.name in self.network.sites or isinstance(node.op, ir.Input):
                self._emitter(node, lanes[node.name])
            else:
                for lane in lanes[node.name]:
                    self.sources[node.name, lane] = self._wiring(node, lane)
        shape = np.array(output.shape)
        self.plan.add("output", self.nir.Output({"output": shape}), self.sources[output.name, "raw"])
        return self.nir.NIRGraph(self.plan.nodes, self.plan.edges, metadata=self._metadata(name))

    def _lanes(self) -> dict[str, list[str]]:
        """For each node, in which lanes somebody reads it: `raw` for the read-out, `filtered` for neurons."""
        network = self.network
        moving = network.moving()
        wanted: dict[str, set[str]] = {node.name: set() for node in network.graph}
        wanted[network.graph.output].add("raw")
        for node in reversed(network.graph.nodes):
            for source in node.inputs:
                asked = {self.form.lane} if node.name in network.sites else wanted[node.name]
                wanted[source] |= asked if source in moving or not asked else {"raw"}
        return {name: sorted(lanes, reverse=True) for name, lanes in wanted.items()}

    def _emitter(self, node: Node, lanes: list[str]) -> None:
        """The input, or a population of neurons."""
        if isinstance(node.op, ir.Input):
            shape = self._flat_input() or node.shape
            self.plan.add(node.name, self.nir.Input({"input": np.array(shape)}), ())
        else:
            drive = node.inputs[0]
            lane = self.form.lane if (drive, self.form.lane) in self.sources else "raw"
            self.form.add(self.plan, node, self.sources[drive, lane])
        for lane in lanes:
            self.sources[node.name, lane] = self.form.emitted(self.plan, node, lane)

    def _flat_input(self) -> tuple[int, ...]:
        """The shape of a flatten that is all that reads the input; empty where there is none."""
        graph = self.network.graph
        readers = graph.consumers(graph.input.name)
        only = len(readers) == 1 and graph.output != graph.input.name and isinstance(readers[0].op, ir.Reshape)
        return readers[0].shape if only and len(readers[0].shape) == 1 else ()

    def _wiring(self, node: Node, lane: str) -> tuple[str, ...]:
        """A node without neurons: the NIR nodes whose sum is its value."""
        inputs = [self.sources.get((name, lane)) or self.sources[name, "raw"] for name in node.inputs]
        if isinstance(node.op, ir.Add):
            return tuple(name for part in inputs for name in part)
        before = self.network.graph[node.inputs[0]]
        given = self._flat_input() if isinstance(before.op, ir.Input) else ()
        if isinstance(node.op, ir.Reshape) and node.shape in (before.shape, given):
            return inputs[0]
        name = node.name if node.name not in self.plan.nodes else f"{node.name}_{lane}"
        primitive = to_primitive(self.network.graph, node, self.form.drive(node), self.form.dtype, self.nir)
        self.plan.add(name, primitive, inputs[0])
        return (name,)

    def _metadata(self, form: str) -> dict[str, Any]:
        network = self.network
        reset = "to v_reset; the original subtracts one quantum, v_threshold" if form == "native" else "by subtraction"
        return {
            "made_by": "ann2spike", "form": form, "dt_s": network.dt_s, "reset": reset,
            "sample_shape": np.array(network.graph.input.shape),
            "feedback_delay_steps": _DELAY, "input_code": network.input_code, "input_lattice": 2.0**-INPUT_BITS,
            "input_scale": network.scales[network.graph.input.name].double().numpy(),
            "output_scale": network.scales[network.graph.output].double().numpy(),
            "readout": "mean of the output over the steps, times output_scale",
        }  # fmt: skip
