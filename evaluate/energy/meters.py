"""Joules measured on this machine while it simulates: RAPL for processors, NVML for graphics cards.

They tell what the simulation costs here. The chip that a model prices is another machine: measured and modelled
joules are never added, divided or compared.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evaluate.records import Metric
from evaluate.traces import named, total

__all__ = ["ABSENT", "METRIC", "Counter", "Meter", "Nvml", "Rapl", "counters", "simulation_metric"]

METRIC = "simulation.energy_per_inference_j"
ABSENT = "not measured: no RAPL or NVML here"
_POWERCAP = Path("/sys/class/powercap")


class Counter(Protocol):
    """Something that counts joules from an arbitrary start."""

    @property
    def name(self) -> str:
        """What is measured."""

    @property
    def wraps_at_j(self) -> float:
        """Where it begins again at 0; infinity if it does not."""

    def read_j(self) -> float:
        """Joules so far."""


@dataclass(frozen=True)
class Rapl:
    """A package domain of the powercap interface of Linux, in ``/sys/class/powercap/intel-rapl:N``.

    Source: Linux kernel documentation, power/powercap/powercap.rst: ``energy_uj`` counts up to
    ``max_energy_range_uj``, then begins again.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The domain, e.g. ``RAPL package-0``."""
        return f"RAPL {(self.folder / 'name').read_text().strip()}"

    @property
    def wraps_at_j(self) -> float:
        """The range of the counter."""
        return int((self.folder / "max_energy_range_uj").read_text()) * 1e-6

    def read_j(self) -> float:
        """The counter."""
        return int((self.folder / "energy_uj").read_text()) * 1e-6


@dataclass(frozen=True)
class Nvml:
    """A graphics card; ``nvmlDeviceGetTotalEnergyConsumption`` counts mJ since its driver was loaded, from Volta on."""

    library: Any
    handle: Any
    index: int
    wraps_at_j: float = float("inf")

    @property
    def name(self) -> str:
        """The card's number."""
        return f"NVML GPU {self.index}"

    def read_j(self) -> float:
        """The counter."""
        return float(self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle)) * 1e-3


def counters(device: str = "cpu", powercap: Path = _POWERCAP) -> tuple[Counter, ...]:
    """Every counter that can be read here; of graphics cards only where `device` is ``cuda``.

    Files that only the superuser may read, as is usual for RAPL, count as absent.
    """
    packages: list[Counter] = [
        Rapl(folder) for folder in sorted(powercap.glob("intel-rapl:*")) if folder.name.count(":") == 1
    ]
    cards: list[Counter] = [*_cards()] if device == "cuda" else []
    return tuple(counter for counter in [*packages, *cards] if _is_readable(counter))


def _cards() -> list[Nvml]:
    """The graphics card that torch calls ``cuda``, through the optional package nvidia-ml-py."""
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        return [Nvml(library, library.nvmlDeviceGetHandleByIndex(0), 0)]
    except Exception:  # no package, no driver, no card: the library has errors of its own for each
        return []


def _is_readable(counter: Counter) -> bool:
    """Whether `counter` gives numbers."""
    try:
        return bool(counter.name) and counter.read_j() >= 0 and counter.wraps_at_j > 0
    except Exception:  # not permitted, not supported by this card, not a number
        return False


@dataclass
class Meter:
    """Adds up what `sources` count while it runs.

    A stretch may pass the end of a counter once; a longer one must be cut into several (the counters of RAPL last for
    minutes, a batch for seconds).
    """

    sources: tuple[Counter, ...]
    joules: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what passes inside."""
        before = [source.read_j() for source in self.sources]
        yield
        for source, start in zip(self.sources, before, strict=True):
            passed = source.read_j() - start
            passed += source.wraps_at_j if passed < 0 else 0.0
            self.joules[source.name] = self.joules.get(source.name, 0.0) + passed


def simulation_metric(measured_j: Mapping[str, float], samples: int) -> Metric:
    """Measured joules of the simulation per inference, or that there was nothing to measure with.

    Parameters
    ----------
    measured_j : mapping
        `Meter.joules`.
    """
    if not measured_j:
        return Metric(METRIC, None, "J", "lower", note=ABSENT, timing=True)
    parts = ", ".join(f"{name} {joules:.3g} J" for name, joules in measured_j.items())
    note = (
        f"measured: {parts} while simulating {samples} samples, idle power and other processes included; what the "
        "simulation costs on this machine, not what any modelled chip costs"
    )
    value = total(named(joules, name, "J") for name, joules in measured_j.items()) / named(samples, "samples")
    return Metric(METRIC, value, "J", "lower", samples, note=note, timing=True)
