"""convert(): the whole story of a conversion; reopened(): a conversion whose original is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from convert.config import ConvertConfig
from convert.graph.folding import fold, rebuild
from convert.graph.ir import Graph
from convert.graph.readout import Head, heads_of
from convert.network import SpikingNetwork
from convert.normalisation.bounds import bounded_thresholds
from convert.normalisation.calibration import calibrate_potentials
from convert.normalisation.quantisation import evened, quantise
from convert.normalisation.rules import Threshold, thresholds
from convert.normalisation.scaling import GAIN, normalise
from convert.normalisation.statistics import LayerStats, observe
from convert.reading.coverage import Coverage
from convert.reading.tracing import Traced

__all__ = ["POTENTIAL_SAMPLES", "Conversion", "convert", "effort", "reopened", "with_provenance"]

POTENTIAL_SAMPLES = 128
"""Calibration samples on which initial potentials are chosen: each is simulated once for every population."""


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


def convert(
    traced: Traced,
    calibration: Tensor | None,
    config: ConvertConfig | None = None,
    progress: Callable[[int], None] | None = None,
) -> Conversion:
    """The spiking network of `traced`.

    Parameters
    ----------
    traced : Traced
        From `trace(module, sample_shape)`.
    calibration : Tensor (samples, *sample shape) or None
        Without samples the thresholds are bounded from the weights alone.
    progress : callable, optional
        Called with the number of samples observed or simulated; `effort` says how many there will be.
    """
    config = ConvertConfig() if config is None else config
    exact = config.recipe == "exact"
    folded = evened(fold(traced.graph)) if exact else fold(traced.graph)
    stats = None if calibration is None else observe(folded, calibration, progress=progress)
    fitted_steps = config.exact_levels if exact else config.mse_steps
    if stats is None:
        lams = bounded_thresholds(folded, config.input_low, config.input_high, config.per_channel)
        largest = max(abs(config.input_low), abs(config.input_high))
    else:
        lams = thresholds(folded, stats, config.rule, config.per_channel,
                          percentile=config.percentile, steps=fitted_steps)  # fmt: skip
        seen = stats[folded.input.name]
        largest = max(float(seen.high.max()), -float(seen.low.min())) or 1.0
    if exact:
        snn = quantise(folded, lams, config.exact_levels, config.dt_s, largest)
    else:
        snn = normalise(folded, lams, *config.taus_s, config.dt_s, config.input_code, largest)
    if calibration is not None and config.potential_steps and not exact:
        few = calibration[:POTENTIAL_SAMPLES]
        snn = calibrate_potentials(snn, folded, few, config.potential_steps, progress)
    notes = (*traced.notes, *_notes(folded, lams, stats is None, config))
    return Conversion(traced.graph, folded, snn, stats, lams, traced.coverage, config, notes,
                      heads_of(traced.graph, traced.heads))  # fmt: skip


def effort(traced: Traced, samples: int, config: ConvertConfig) -> int:
    """How many sample passes `convert` will report to its progress callback."""
    calibrates = config.potential_steps and config.recipe != "exact"
    populations = len(fold(traced.graph).sites()) if calibrates else 0
    return samples + populations * min(samples, POTENTIAL_SAMPLES)


def _notes(graph: Graph, lams: dict[str, Threshold], weights_only: bool, config: ConvertConfig) -> tuple[str, ...]:
    notes = []
    if weights_only:
        notes.append(
            "No calibration samples: thresholds are upper bounds computed from the weights for inputs in "
            f"[{config.input_low:g}, {config.input_high:g}]. Nothing clips, but rates are low and the resolution is "
            "coarse. Name samples with --data or --calibration for thresholds that fit."
        )
    for name, threshold in lams.items():
        if threshold.silent:
            place = f"{graph[name].place or name} ({graph[name].kind})"
            notes.append(
                f"{place}: {threshold.silent} channel(s) were never active during calibration; "
                "they use the threshold of the whole layer."
            )
    return tuple(notes)


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
