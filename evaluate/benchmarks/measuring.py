"""measure_case(): one case in this process, from the network's name to the times of every contestant."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import torch

from convert.errors import ConvertError
from evaluate.benchmarks.contestants import Contestant, config_of, forward, ours, peer, spiking
from evaluate.benchmarks.request import BenchmarkRequest, Case
from evaluate.benchmarks.rounds import Clocks, interleave
from evaluate.benchmarks.subjects import open_subject, width_of
from evaluate.errors import PeerError
from evaluate.isolation import Progress

__all__ = ["measure_case"]

_LONGEST_MESSAGE = 300


def measure_case(
    case: Case,
    request: BenchmarkRequest,
    progress: Progress = lambda what, done, total: None,
    clocks: Clocks | None = None,
) -> dict[str, Any]:
    """The record of one case, plain JSON.

    Returns
    -------
    dict
        The case; ``weights``, ``data``, ``neurons``, ``parameters``, ``width``; ``contestants``: name -> ``wall_s``,
        ``cpu_s`` (a value for each round), ``calls``, ``cores`` and what is known of it, ``refusals``: name -> message.

    Raises
    ------
    ConvertError, zoo.ZooError, BenchmarkError
        The network cannot be opened or converted.
    """
    torch.set_num_threads(case.threads)
    progress("opening the network", 0, 0)
    subject = open_subject(case.network, case.batch, request.seed)
    progress("converting", 0, 0)
    network = spiking(subject, config_of(request.neuron), case.threshold_scale)
    contestants: dict[str, Contestant] = {"ann": forward(subject)}
    refusals: dict[str, str] = {}
    peers = request.contenders if case.threshold_scale == 1 else ()  # they set thresholds of their own
    for name in (*request.engines, *peers):
        progress(f"warming up {name}", 0, 0)
        try:
            made = (
                ours(network, subject.x, case.steps, name)
                if name in request.engines
                else peer(name, subject, case.steps)
            )
        except (PeerError, ConvertError) as error:
            refusals[name] = " ".join(str(error).split())[:_LONGEST_MESSAGE]
        else:
            contestants[name] = made
    done, total = 0, request.repeats * len(contestants)

    def tell(name: str) -> None:
        nonlocal done
        progress(f"timing {name}", done, total)
        done += 1

    timings = interleave({name: each.run for name, each in contestants.items()}, request.repeats, clocks, tell)
    return asdict(case) | {
        "weights": subject.weights, "data": subject.data, "width": width_of(case.network),
        "parameters": sum(p.numel() for p in subject.module.parameters()), "neurons": network.neuron_count(),
        "torch_threads": torch.get_num_threads(), "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "contestants": {
            name: dict(contestants[name].facts) | asdict(timing) | {"cores": timing.cores}
            for name, timing in timings.items()
        },
        "refusals": refusals,
    }  # fmt: skip
