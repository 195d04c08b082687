"""Who runs: the original network, our engines, and other converters, all on the same samples for the same steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convert.config import ConvertConfig
from convert.network import SpikingNetwork
from convert.neurons.families import make_neuron
from convert.normalisation.scaling import normalise
from convert.pipeline import convert
from convert.reading.tracing import trace
from convert.simulation.engine import engines_of, simulate
from evaluate.benchmarks.subjects import Subject
from evaluate.contenders.peers import PEERS, peer_version
from evaluate.contenders.prepared import Prepared
from evaluate.errors import PeerError

__all__ = ["ANN", "Contestant", "config_of", "forward", "ours", "peer", "spiking"]

ANN = "ann"

_TRIALS = 2
"""Timings of each of a peer's modes, before the rounds; the fastest one is measured."""


@dataclass(frozen=True, eq=False)
class Contestant:
    """Something that is timed.

    Parameters
    ----------
    run : callable
        One pass over the batch.
    facts : mapping
        Plain JSON for the table: firing rate, mode, version.
    """

    name: str
    run: Callable[[], object]
    facts: Mapping[str, Any]


def config_of(neuron: str) -> ConvertConfig:
    """One threshold per layer from the 99.9th percentile and no calibration of potentials: what the peers do, too."""
    return ConvertConfig(
        neuron=neuron, rule="percentile", granularity="layer", potential_steps=0, readout_delay=0, hybrid=True
    )


def spiking(subject: Subject, config: ConvertConfig, threshold_scale: float = 1.0) -> SpikingNetwork:
    """The spiking network of `subject`, its thresholds times `threshold_scale`.

    Raises
    ------
    ConvertError
        It cannot be converted.
    """
    traced = trace(subject.module, tuple(subject.x.shape[1:]), subject.name)
    found = convert(traced, subject.calibration, config)
    if threshold_scale == 1:
        return found.snn
    scaled = {name: replace(old, value=old.value * threshold_scale) for name, old in found.thresholds.items()}
    tau_mem_s, tau_syn_s = config.taus_s
    neuron_of = partial(make_neuron, tau_mem_s=tau_mem_s, tau_syn_s=tau_syn_s, law=config.law)
    return normalise(found.folded, scaled, neuron_of, config.dt_s)


def forward(subject: Subject) -> Contestant:
    """The original network's forward pass, as its file has it: batch norms are not folded."""

    @torch.no_grad()
    def run() -> Tensor:
        return _tensor(subject.module, subject.x)

    return Contestant(ANN, run, {})


def ours(network: SpikingNetwork, x: Tensor, steps: int, engine: str) -> Contestant:
    """One of our engines; the run before the rounds tells the firing rate.

    Raises
    ------
    ConfigError
        The engine was not built.
    """
    found = simulate(network, x, steps, engine=engine)
    spikes = sum(float(found.spikes[name][-1].sum()) for name in network.sites)
    ran = list(engines_of(network, engine).values())
    populations = {name: ran.count(name) for name in ("events", "dense")}
    facts = {"rate": spikes / (network.neuron_count() * len(x) * steps), "populations_by_engine": populations}
    return Contestant(engine, lambda: simulate(network, x, steps, engine=engine), facts)


def peer(name: str, subject: Subject, steps: int) -> Contestant:
    """The peer `name` in its fastest mode.

    Raises
    ------
    PeerError
        It does not run the network; the message is its own.
    """
    try:
        prepared = PEERS[name](subject.module, subject.calibration, subject.x, steps)
        rate = prepared.rate()
        taken = {mode: _trial(run) for mode, run in prepared.modes.items()}
    except PeerError:
        raise
    except Exception as error:  # whatever their software raises is their answer
        raise PeerError(f"{type(error).__name__}: {error}") from error
    mode = min(taken, key=lambda known: taken[known])
    facts = {"rate": rate, "mode": mode, "note": prepared.note, "version": peer_version(name),
             "trials_s": taken}  # fmt: skip
    return Contestant(name, _quietly(prepared, mode), facts)


def _tensor(module: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = module(x)
    return found


def _quietly(prepared: Prepared, mode: str) -> Callable[[], Tensor]:
    """The mode without gradients."""

    @torch.no_grad()
    def run() -> Tensor:
        return prepared.modes[mode]()

    return run


@torch.no_grad()
def _trial(run: Callable[[], Tensor]) -> float:
    """Least seconds of a few passes after the first."""
    run()
    taken = []
    for _ in range(_TRIALS):
        begin = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begin)
    return min(taken)
