"""Converters that are timed against ours, by the name of their distribution; each optional."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

from torch import Tensor, nn

from evaluate.contenders import sinabs_rates, spikingjelly_rates
from evaluate.contenders.prepared import Prepared

__all__ = ["PEERS", "Prepare", "peer_version"]

Prepare = Callable[[nn.Module, Tensor, Tensor, int], Prepared]
"""(trained module, calibration samples, samples, steps) -> the network that will be timed."""

PEERS: dict[str, Prepare] = {"spikingjelly": spikingjelly_rates.prepare, "sinabs": sinabs_rates.prepare}


def peer_version(name: str) -> str | None:
    """The installed version of the distribution `name`, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
