"""convert(): the whole story of a conversion; reopened(): a conversion whose original is gone."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from convert.config import SPIKE_NORM, ConvertConfig
from convert.correction import calibrated, sample_passes
from convert.graph import ir
from convert.graph.folding import fold, rebuild
from convert.graph.ir import Graph, Node
from convert.graph.readout import Head, heads_of
from convert.network import SpikingNetwork
from convert.neurons.families import can_burst, make_neuron
from convert.normalisation.bounds import bounded_thresholds
from convert.normalisation.calibration import Progress
from convert.normalisation.granularity import neuron_wise
from convert.normalisation.moments import remembered
from convert.normalisation.quantisation import evened, quantise, quantise_in_digits
from convert.normalisation.resolution import levels, resolution, unresolved
from convert.normalisation.rules import Threshold, thresholds
from convert.normalisation.scaling import GAIN, normalise
from convert.normalisation.spike_norm import spike_norm
from convert.normalisation.statistics import LayerStats, observe
from convert.reading.coverage import Coverage, refuse_hybrid
from convert.reading.tracing import Traced

__all__ = ["Conversion", "Observed", "convert", "effort", "reopened", "with_provenance"]

Observed = dict[tuple[bool, bool], tuple[dict[str, LayerStats], float]]
"""Statistics of one network on one set of samples, and the seconds that they took, by what else they depend on in a
configuration: whether its counts are quantised, and whether thresholds are per neuron."""


@dataclass(frozen=True, eq=False)
class Conversion:
    """A network before and after, and how one became the other.

    Parameters
    ----------
    ann : Graph or None
        The network as read; None where only the spiking network is left (`reopened`).
    folded : Graph
        The same function in the form that was normalised; its node names are the spiking network's.
    snn : SpikingNetwork
    stats : dict or None
        Statistics of the activations, None without calibration samples.
    thresholds : dict
    coverage : tuple of Coverage
    config : ConvertConfig
    notes : tuple of str
        What the user must know: silent channels, approximations, limits.
    heads : tuple of Head
        The outputs of the original network and what it applies to them, one at least.
    observe_s : float
        Seconds that the statistics took, in this conversion or in an earlier one that left them.
    tried : tuple of str
        What was decided on calibration samples, and by which figures.
    """

    ann: Graph | None
    folded: Graph
    snn: SpikingNetwork
    stats: dict[str, LayerStats] | None
    thresholds: dict[str, Threshold]
    coverage: tuple[Coverage, ...]
    config: ConvertConfig
    notes: tuple[str, ...] = field(default=())
    heads: tuple[Head, ...] = field(default=())
    observe_s: float = 0.0
    tried: tuple[str, ...] = ()


def convert(
    traced: Traced,
    calibration: Tensor | None,
    config: ConvertConfig | None = None,
    progress: Progress | None = None,
    observed: Observed | None = None,
) -> Conversion:
    """The spiking network of `traced`.

    Parameters
    ----------
    traced : Traced
        From `trace(module, sample_shape)`.
    calibration : Tensor (samples, *sample shape) or None
        Without samples thresholds follow from batch norms, or are bounded from the weights alone.
    progress : callable, optional
        Called with the number of samples observed or simulated; `effort` says how many there will be.
    observed : Observed, optional
        What earlier conversions of the same network on the same samples found: taken over, and added to.

    Raises
    ------
    UnsupportedOpError
        The network keeps floating-point functions at run time, and `config.hybrid` does not allow that.
    """
    config = ConvertConfig() if config is None else config
    if not config.hybrid:
        refuse_hybrid(traced.coverage, "the network")
    config.check_code()
    folded = evened(fold(traced.graph)) if config.quantised else fold(traced.graph)
    each = neuron_wise(folded)[0] if config.granularity == "neuron" else frozenset[str]()
    observed, key = {} if observed is None else observed, (config.quantised, config.granularity == "neuron")
    if calibration is not None and key not in observed:
        begin = time.perf_counter()
        found = observe(folded, calibration, progress=progress, neuron_wise=each)
        observed[key] = found, time.perf_counter() - begin
    stats, observe_s = observed.get(key, (None, 0.0))
    lams = _fitted(folded, stats, config) if stats is not None else _without_data(traced.graph, folded, config, each)
    normalised = partial(_normalised, folded, stats, config)
    if calibration is not None and config.rule == SPIKE_NORM:
        lams = spike_norm(folded, calibration[: config.calibrated_on], lams, normalised)
    snn = normalised(lams)
    tried: tuple[str, ...] = ()
    if calibration is not None and not config.quantised:
        snn, tried = calibrated(snn, folded, calibration[: config.calibrated_on], config, progress)
    snn = replace(snn, look_ahead=config.look_ahead)
    notes = (*traced.notes, *_notes(folded, lams, stats, config))
    return Conversion(traced.graph, folded, snn, stats, lams, traced.coverage, config, notes,
                      heads_of(traced.graph, traced.heads), observe_s, tried)  # fmt: skip


def _without_data(graph: Graph, folded: Graph, config: ConvertConfig, each: frozenset[str]) -> dict[str, Threshold]:
    """Lam of every activation from what batch norm remembers of the training samples, or else from the weights."""
    per_channel = config.granularity != "layer"
    bounded = bounded_thresholds(folded, config.input_low, config.input_high, per_channel, each)
    bounded |= _per_spike([node for node in folded.sites() if can_burst(node.op)], bounded, config.burst)
    known = _fitted(folded, remembered(graph, folded), config)
    return bounded | {
        name: replace(found, rule=f"{found.rule} from batch norm")
        for name, found in known.items()
        if not found.rule.startswith("fixed")
    }


def _fitted(folded: Graph, stats: dict[str, LayerStats], config: ConvertConfig) -> dict[str, Threshold]:
    """Lam of every activation that `stats` tells of; for `spike-norm`, where the search begins."""
    rule = "max" if config.rule == SPIKE_NORM else config.rule
    steps = config.levels if config.quantised else min(config.mse_steps, levels(config.dt_s, config.taus_s[0]))
    fit = partial(
        thresholds, folded, rule=rule, per_channel=config.granularity != "layer", percentile=config.percentile
    )
    known = fit(stats=stats, steps=steps)
    if config.burst == 1:
        return known
    # A staircase of n T levels ends at n spikes per step. Other rules look at the largest activations, and keep what
    # one spike is worth: a burst only carries what is left over, except where n spikes are all that a clamp lets pass.
    bursting = [node for node in folded.sites() if node.name in known and can_burst(node.op)]
    shared = [node for node in bursting if rule in ("mse", "iteration") or isinstance(node.op, ir.Clamp)]
    others = {node.name for node in folded.sites()} - {node.name for node in shared}
    heard = {name: found for name, found in stats.items() if name not in others}
    return known | _per_spike(shared, fit(stats=heard, steps=steps * config.burst), config.burst)


def _per_spike(nodes: Sequence[Node], lams: Mapping[str, Threshold], most: int) -> dict[str, Threshold]:
    """Of `nodes` what one spike is worth where `most` of them in a step mean the lam in `lams`."""
    return {node.name: replace(lams[node.name], value=lams[node.name].value / most) for node in nodes}


def _normalised(
    folded: Graph, stats: dict[str, LayerStats] | None, config: ConvertConfig, lams: Mapping[str, Threshold]
) -> SpikingNetwork:
    """The spiking network with thresholds `lams`, before calibration."""
    tau_mem_s, tau_syn_s = config.taus_s
    if stats is None:
        largest = max(abs(config.input_low), abs(config.input_high))
    else:
        seen = stats[folded.input.name]
        largest = max(float(seen.high.max()), -float(seen.low.min())) or 1.0
    if config.exact:
        return quantise(folded, lams, config.levels, config.dt_s, largest)
    if config.quantised:
        return quantise_in_digits(folded, lams, config.radix_bits, config.dt_s, largest)
    neuron_of = partial(make_neuron, tau_mem_s=tau_mem_s, tau_syn_s=tau_syn_s, law=config.law)
    snn = normalise(folded, lams, neuron_of, config.dt_s, config.input_code, largest)
    delay = config.readout_delay
    delay = _travel_time(folded, stats, lams, config) if delay is None else delay
    return replace(snn, readout_delay=delay, primed=config.primed and tau_syn_s > 0)


def _travel_time(
    folded: Graph, stats: dict[str, LayerStats] | None, lams: Mapping[str, Threshold], config: ConvertConfig
) -> int:
    """Steps until activity reaches the output.

    Synapses that filter delay it by tau_syn in each layer. Local threshold balancing has an estimate of its own: the
    sum over layers of (1 - 1/2) / largest mean rate of a channel (Bu et al., CVPR 2025, "delayed evaluation").
    """
    if config.rule != "ltb" or stats is None:
        return round(len(lams) * config.taus_s[1] / config.dt_s)
    rates = [float(stats[name].mean.clamp(min=0).max() / threshold.value.max()) for name, threshold in lams.items()]
    return math.ceil(sum(0.5 / max(rate, 0.01) for rate in rates))


def effort(traced: Traced, samples: int, config: ConvertConfig) -> int:
    """How many sample passes `convert` will report to its progress callback."""
    passes = 0 if config.quantised else sample_passes(samples, config)
    return samples + passes * len(fold(traced.graph).sites())


def _notes(
    graph: Graph, lams: dict[str, Threshold], stats: dict[str, LayerStats] | None, config: ConvertConfig
) -> tuple[str, ...]:
    notes = []
    if stats is None:
        notes.append(_source_of_thresholds(graph, lams, config))
    if floating := [f"{node.place or node.name} ({node.kind})" for node in graph if isinstance(node.op, ir.RUNNING)]:
        notes.append(
            f"Hybrid network: {len(floating)} floating-point functions remain at run time and act on running means "
            f"(difference operators): {', '.join(floating)}. They, and the layers that read their values, cost "
            "analog operations at every step and no SynOps; equality of engines holds up to rounding."
        )
    trained = [f"{node.place or node.name} (threshold {float(node.op.threshold):.4g}, {node.op.levels} levels)"
               for node in graph if isinstance(node.op, ir.Staircase)]  # fmt: skip
    if trained:
        notes.append(
            f"Activations trained in levels (QCFS) keep their own thresholds, whatever the rule: {', '.join(trained)}. "
            "A constant drive gives their value exactly after as many steps as levels, and after multiples of that."
        )
    for name, threshold in lams.items():
        if threshold.silent:
            place = f"{graph[name].place or name} ({graph[name].kind})"
            notes.append(
                f"{place}: {threshold.silent} channel(s) were never active during calibration; "
                "their thresholds are the size of what drives them."
            )
    shared = neuron_wise(graph)[1] if config.granularity == "neuron" else ()
    if shared:
        notes.append(
            f"{', '.join(node.place or node.name for node in shared)}: one threshold for each channel instead of each "
            "neuron, because what reads the spikes has the same weights at every place."
        )
    below = {} if stats is None or config.quantised else unresolved(graph, stats, lams, config.dt_s, config.taus_s[0])
    if below:
        layers = ", ".join(f"{graph[name].place or name} ({100 * share:.0f} %)" for name, share in below.items())
        notes.append(
            f"Leak: activations too small for a neuron with tau_mem = {config.tau_mem_ms:g} ms ever to fire, below "
            f"(1 - beta) / 2 = {resolution(config.dt_s, config.taus_s[0]) / 2:.3f} of the threshold, make up a notable "
            f"share of {layers}. A larger --tau-mem-ms, a smaller --dt-ms or --neuron if resolves them."
        )
    return tuple(notes)


def _source_of_thresholds(graph: Graph, lams: Mapping[str, Threshold], config: ConvertConfig) -> str:
    """What took the place of calibration samples."""
    told = [name for name, threshold in lams.items() if threshold.rule.endswith("batch norm")]
    bounded = [graph[name].place or name for name, threshold in lams.items() if threshold.rule.startswith("bound")]
    found = f"No calibration samples: inputs are taken to lie in [{config.input_low:g}, {config.input_high:g}]"
    if told:
        found += (
            f"; thresholds of {len(told)} of {len(lams)} populations follow from the means and variances that batch "
            "norm keeps of the training samples, taken as normal"
        )
    if bounded:
        found += (
            f"; thresholds of {', '.join(bounded)} are upper bounds computed from the weights: nothing clips there, "
            "but rates are low and the resolution is coarse"
        )
    return found + ". Name samples with --data or --calibration for thresholds that fit."


def with_provenance(conversion: Conversion, **provenance: str) -> Conversion:
    """The same conversion whose network says where it comes from."""
    merged = {**conversion.snn.provenance, **provenance}
    return replace(conversion, snn=replace(conversion.snn, provenance=merged))


def reopened(network: SpikingNetwork) -> Conversion:
    """The view of a spiking network read from its file: what it is, without the network that it was made from.

    `folded` has the structure of the original, layer for layer, but the spiking network's weights.
    """
    gains = {node.name: node.inputs[0] for node in network.graph if node.place.endswith(GAIN)}
    layers = [
        replace(node, inputs=tuple(gains.get(name, name) for name in node.inputs))
        for node in network.graph
        if node.name not in gains
    ]
    folded = rebuild(layers, gains.get(network.graph.output, network.graph.output))
    return Conversion(None, folded, network, None, {}, (), ConvertConfig.of_network(network))
