"""What to measure: the options of a benchmark, and the cases that they stand for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from convert.config import MOST_STEPS
from convert.neurons.families import NEURONS
from convert.simulation.engine import ENGINES
from evaluate.benchmarks.subjects import default_batch, width_of, with_width
from evaluate.contenders.peers import PEERS, peer_version
from evaluate.errors import BenchmarkError

__all__ = ["DEFAULT_NETWORKS", "SCALINGS", "BenchmarkRequest", "Case", "cases", "cores"]

DEFAULT_NETWORKS = ("mlp-784-1200-1200-10", "fashion-cnn-relu", "vgg16-32x32")

SCALINGS: dict[str, tuple[float, ...]] = {
    "steps": (1, 4, 8, 16, 32, 64, 128),
    "batch": (1, 4, 16, 64, 256),
    "width": (300, 600, 1200, 2400),
    "rate": (0.5, 1, 2, 4, 8),
}
"""What can be varied alone, and the values: T, samples, neurons of a hidden layer, factor on the thresholds."""

_ENGINES = tuple(name for name in ENGINES if name != "auto")
_MOST = {"--steps": MOST_STEPS, "--batch": 100_000, "--threads": 4096, "--repeats": 10_000}


@dataclass(frozen=True)
class Case:
    """One combination, measured in a process of its own.

    Parameters
    ----------
    network : str
        Of the zoo, or synthetic; see `evaluate.benchmarks.subjects`.
    threshold_scale : float
        Factor on the thresholds: twice as high, and a neuron fires half as often.
    """

    network: str
    steps: int
    batch: int
    threads: int
    threshold_scale: float = 1.0

    @property
    def label(self) -> str:
        """In brackets behind the name of a metric.

        >>> Case("digits-relu", 8, 16, 1).label
        'digits-relu; T=8; batch=16; threads=1'
        """
        scaled = "" if self.threshold_scale == 1 else f"; thresholds x{self.threshold_scale:g}"
        return f"{self.network}; T={self.steps}; batch={self.batch}; threads={self.threads}{scaled}"


@dataclass(frozen=True)
class BenchmarkRequest:
    """The options.

    Parameters
    ----------
    batch : tuple of int
        Empty: what suits each network.
    peers : tuple of str or None
        None: those that are installed.
    scaling : tuple of str
        Keys of `SCALINGS`: each is varied alone, at the last of `steps` and of `batch`, in place of the grid.

    Raises
    ------
    BenchmarkError
        An option outside its range; all of them at once.
    """

    networks: tuple[str, ...] = DEFAULT_NETWORKS
    steps: tuple[int, ...] = (8, 32)
    batch: tuple[int, ...] = ()
    threads: tuple[int, ...] = (1, 2)
    repeats: int = 11
    engines: tuple[str, ...] = _ENGINES
    peers: tuple[str, ...] | None = None
    neuron: str = "if"
    scaling: tuple[str, ...] = ()
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse what can be refused before anything is measured."""
        wrong = [*self._numbers(), *self._names()]
        if "width" in self.scaling and not any(map(width_of, self.networks)):
            wrong.append("--scaling: got width, but no network is a perceptron; add mlp-784-1200-1200-10 to --networks")
        if wrong:
            raise BenchmarkError("\n".join(wrong))

    def _numbers(self) -> Iterator[str]:
        given = {"--steps": self.steps, "--batch": self.batch, "--threads": self.threads, "--repeats": (self.repeats,)}
        for option, values in given.items():
            if not values and option != "--batch":
                yield f"{option}: got nothing; expected at least one number"
            if bad := [value for value in values if not 1 <= value <= _MOST[option]]:
                yield f"{option}: got {_listed(bad)}; expected numbers from 1 to {_MOST[option]}"
        if max(self.threads, default=1) > cores():
            yield f"--threads: got {max(self.threads)}; expected at most {cores()}, the processors that may be used"
        if not 0 <= self.seed < 2**63:
            yield f"--seed: got {self.seed}; expected 0 or more"

    def _names(self) -> Iterator[str]:
        known = {
            "--engines": (self.engines, _ENGINES), "--peers": (self.peers or (), tuple(PEERS)),
            "--scaling": (self.scaling, tuple(SCALINGS)), "--neuron": ((self.neuron,), NEURONS),
        }  # fmt: skip
        for option, (given, allowed) in known.items():
            if bad := [name for name in given if name not in allowed]:
                yield (
                    f"{option}: got {_listed(bad)}; expected {'one' if option == '--neuron' else 'some'} of "
                    + _listed(allowed)
                )
        if not self.networks:
            yield "--networks: got nothing; expected at least one network, such as digits-relu"
        if not self.engines:
            yield f"--engines: got nothing; expected some of {_listed(_ENGINES)}"
        for name in self.networks:
            try:
                default_batch(name)
            except BenchmarkError as error:
                yield str(error)
        if absent := [name for name in self.peers or () if name in PEERS and peer_version(name) is None]:
            yield f"--peers: got {_listed(absent)}, not installed; pip install '.[peers]', or leave it out"

    @property
    def contenders(self) -> tuple[str, ...]:
        """The peers that will be asked."""
        installed = tuple(name for name in PEERS if peer_version(name) is not None)
        return installed if self.peers is None else self.peers

    def as_record(self) -> dict[str, Any]:
        """Plain JSON, without the command."""
        record = asdict(self) | {"peers": self.contenders}
        del record["command"]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in record.items()}


def cases(request: BenchmarkRequest) -> tuple[Case, ...]:
    """Every case once, one thread count after the other within a network, so that neighbours are measured together."""
    found: dict[Case, None] = {}
    for name in request.networks:
        batches = request.batch or (default_batch(name),)
        if request.scaling:
            base = Case(name, request.steps[-1], batches[-1], 1)
            varied = [case for axis in request.scaling for case in _varied(base, axis)]
        else:
            varied = [Case(name, steps, batch, 1) for steps, batch in product(request.steps, batches)]
        found |= {replace(case, threads=threads): None for case in varied for threads in request.threads}
    return tuple(found)


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _varied(base: Case, axis: str) -> Iterator[Case]:
    """`base` with one of its quantities varied; no case for a width where the network has none."""
    for value in SCALINGS[axis]:
        if axis == "steps":
            yield replace(base, steps=int(value))
        elif axis == "batch":
            yield replace(base, batch=int(value))
        elif axis == "rate":
            yield replace(base, threshold_scale=float(value))
        elif width_of(base.network):
            yield replace(base, network=with_width(base.network, int(value)))


def _listed(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, (list, tuple)) else str(values)
