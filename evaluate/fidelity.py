"""Does a NIR file mean the same network elsewhere? Read back, run by independent readers, and compared.

Spike trains are compared neuron by neuron and step by step with our own simulation on the same samples. Verdicts:

faithful      every spike train is identical
approximate   it runs; the error of the firing rates and the agreement of the decisions are stated
unsupported   it does not run, and why
unmeasured    the reader is not installed here
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convert.errors import UnsupportedOpError
from convert.network import SpikingNetwork
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.module import SpikingModule
from convert.writing.nir import FORMS, write_nir
from convert.writing.nir_executor import NirExecutor
from convert.writing.nir_wiring import nir_library
from evaluate.contenders.nir_targets import TARGETS, Target, run_target

__all__ = ["DEFINITION", "READINGS", "SAMPLES", "Fidelity", "check_nir", "compare", "export_nir"]

SAMPLES = 100
"""Samples on which spike trains are compared."""

READINGS = ("as written", "restated")
"""How a simulator gets a file: as it is, or in the conventions of its importer (see `evaluate.contenders`)."""

DEFINITION = "NIR's definitions"
"""The name of our own executor among the targets."""

Trains = dict[str, Tensor]


@dataclass(frozen=True)
class Fidelity:
    """The verdict on one file read by one target.

    Parameters
    ----------
    form : str
        Of the file: native or faithful.
    reading : str
        ``as written``, or ``restated`` in the importer's conventions.
    rate_error : float or None
        Mean absolute difference of the firing rates, in spikes per neuron and step.
    same_spikes : float or None
        Fraction of (sample, neuron, step) in which both are silent or both fire.
    same_class : float or None
        Fraction of samples with the same decision after the last step.
    """

    form: str
    target: str
    version: str
    reading: str
    verdict: str
    rate_error: float | None = None
    same_spikes: float | None = None
    same_class: float | None = None
    samples: int = 0
    steps: int = 0
    why: str = ""

    def as_record(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def export_nir(folder: Path, steps: int, seed: int, network: SpikingNetwork, x: Tensor) -> list[dict[str, Any]]:
    """Write both forms into `folder`, read them back, and tell how each is understood; an `evaluate.job.Export`.

    A form that cannot be written has the verdict `unsupported`, and no file.

    Raises
    ------
    ConfigError
        The library nir is not installed.
    """
    verdicts: list[Fidelity] = []
    for form in FORMS:
        try:
            write_nir(network, form, folder / f"{form}.nir")
        except UnsupportedOpError as error:
            verdicts.append(Fidelity(form, "NIR", "", "writing", "unsupported", why=str(error)))
        else:
            verdicts += check_nir(network, form, folder / f"{form}.nir", x, steps, seed)
    return [verdict.as_record() for verdict in verdicts]


def check_nir(network: SpikingNetwork, form: str, path: Path, x: Tensor, steps: int, seed: int = 0) -> list[Fidelity]:
    """The verdicts on the file at `path`: by NIR's definitions, and by every simulator.

    Parameters
    ----------
    x : Tensor (samples, *sample shape)
        The first `SAMPLES` are used.
    """
    frames = _frames(network, x[:SAMPLES], steps, seed)
    expected = _trains(network, frames)
    graph = nir_library().read(str(path))
    shape = [int(size) for size in graph.nodes[network.graph.input.name].output_type["output"]]
    fed = frames.reshape(*frames.shape[:2], *shape)
    executor = NirExecutor(graph, network.dt_s)
    got = executor.run(fed, tuple(network.sites))
    verdicts = [compare(expected, (got[executor.output], got), Fidelity(form, DEFINITION, "", "as written", ""))]
    for target in TARGETS:
        version = target.version()
        for reading in READINGS if version and form == "native" else READINGS[:1]:
            blank = Fidelity(form, target.name, version or "", reading, "unmeasured")
            absent = replace(blank, why="not installed here")
            verdicts.append(_judged(target, path, fed, expected, network, blank) if version else absent)
    return verdicts


def _judged(
    target: Target, path: Path, fed: Tensor, expected: tuple[Tensor, Trains], network: SpikingNetwork, blank: Fidelity
) -> Fidelity:
    graph = nir_library().read(str(path))
    try:
        got = run_target(target, graph, fed, tuple(network.sites), network.dt_s, blank.reading == "restated")
    except Exception as error:  # whatever an importer raises is its verdict
        reason = (str(error).splitlines() or [""])[0][:160]
        return Fidelity(**{**blank.as_record(), "verdict": "unsupported", "why": f"{type(error).__name__}: {reason}"})
    return compare(expected, got, blank)


def _frames(network: SpikingNetwork, x: Tensor, steps: int, seed: int) -> Tensor:
    """What arrives at the input in each step: (steps, samples, *sample shape)."""
    if network.input_code == "constant":
        return constant_current(x).expand(steps, *x.shape)
    scale = float(network.scales[network.graph.input.name].flatten()[0])
    return poisson_spikes(x, scale, steps, seed, range(len(x))).double()


def _trains(network: SpikingNetwork, frames: Tensor) -> tuple[Tensor, Trains]:
    """Our own output and spike trains, for the very same frames."""
    module, state = SpikingModule(network), None
    outputs: list[Tensor] = []
    trains: dict[str, list[Tensor]] = {name: [] for name in network.sites}
    for frame in frames:
        out, state = module(frame, state)
        outputs.append(out)
        for name in trains:
            trains[name].append(state.spikes[name])
    return torch.stack(outputs), {name: torch.stack(values) for name, values in trains.items()}


def compare(expected: tuple[Tensor, Trains], got: tuple[Tensor, Trains], blank: Fidelity) -> Fidelity:
    """`blank` with its verdict and figures."""
    steps, samples = expected[0].shape[:2]
    pairs = [(train.flatten(2), got[1][name].double().flatten(2)) for name, train in expected[1].items()]
    ours, theirs = (torch.cat(part, dim=2) for part in zip(*pairs, strict=True))
    decisions = [out.double().sum(0).flatten(1).argmax(1) for out in (expected[0], got[0])]
    identical = torch.equal(ours, theirs)
    figures = {
        "verdict": "faithful" if identical else "approximate",
        "rate_error": float((ours.mean(0) - theirs.mean(0)).abs().mean()),
        "same_spikes": float((ours == theirs).double().mean()),
        "same_class": float((decisions[0] == decisions[1]).double().mean()),
        "samples": samples, "steps": steps,
    }  # fmt: skip
    return Fidelity(**{**blank.as_record(), **figures})
