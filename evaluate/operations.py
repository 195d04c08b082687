"""Exact operation counts of a network and of its spiking twin, per node and inference."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OpCount"]


@dataclass(frozen=True)
class OpCount:
    """What one node of the graph does in one inference (mean over the samples).

    Conventions (facts behind them: Lemaire et al. 2022; Davidson & Furber 2021): padding is never counted,
    neither in the ANN nor in the SNN; one MAC is one multiplication and one addition; one SynOp is one spike
    delivered through one existing synapse.
    """

    node: str
    place: str
    role: str
    """"encoder" (weighted, analog input), "spiking" (weighted, spikes in), "neuron", or "linear" (no weights)."""
    neurons: int = 0
    ann_macs: int = 0
    """Dense multiply-accumulates of the ANN."""
    ann_macs_effective: float = 0.0
    """The same without products whose activation is zero, measured on the samples."""
    encoder_macs: int = 0
    """Multiply-accumulates of the SNN on analog input; a constant current is computed once and cached."""
    synops: float = 0.0
    """Accumulates of the SNN: delivered spikes (of either sign) times exact fan-out."""
    spikes: float = 0.0
    """Spikes emitted, of either sign."""
    neuron_updates: int = 0
    """Membrane updates, clock-driven: neurons times steps."""
    adds_per_update: int = 0
    multiplies_per_update: int = 0
