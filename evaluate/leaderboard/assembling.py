"""assemble_leaderboard(): all cells as a run file.

The rows of ``curves["cells"]`` are what the page shows; ``curves["published"]`` are figures from the literature, which
nobody measured here. Each measured number is also a metric, named after what it is and, in brackets, after its cell.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convert.recipes import RECIPES
from evaluate.contenders.methods import METHODS
from evaluate.contenders.peers import peer_version
from evaluate.environment import environment
from evaluate.leaderboard.cells import Cell
from evaluate.leaderboard.published import published_record
from evaluate.leaderboard.request import LeaderboardRequest
from evaluate.records import LEADERBOARD, Metric, Run, content_hash, unpack_bits
from evaluate.statistics import paired_difference

__all__ = ["assemble_leaderboard"]

_METHOD = (
    "All methods got the same trained networks, test samples (the first ones), calibration samples (of the training "
    "split, drawn with the seed) and numbers of steps. What a recipe of ours fits to a number of steps was fitted for "
    "each T; the other converters do not fit anything to T, so one network of theirs serves all.",
    "A cell is the accuracy after T steps, with Wilson's interval at 95 %. The best of a column is marked; so is "
    "whatever a paired test on the same samples (McNemar, exact, 5 %) does not tell from it, without correction for "
    "the number of comparisons.",
    "Energy is modelled, never measured: counts of operations times cited prices, ops-horowitz in the figures. A spike "
    "of several bits is one event, with its bits stated; of several spikes in one step each is counted and priced.",
    "Latency: T steps, plus one for each further layer of neurons, where layers run one after the other, plus the "
    "steps of a look-ahead; in a radix code a period for each layer. radix: T is the number of binary digits, and "
    "steps of a period, up to 8. exact: T is the number of levels, read when every sample is at rest.",
    "The spikes of other converters stand in our counts in the place of those of a plain IF network of ours. Where "
    "their neurons stand elsewhere in the network, energy is unmeasured. Their neurons ran step by step; python -m "
    "evaluate bench times each in its fastest mode.",
    "Time is the simulation's over that of the original's forward pass, both in batches, on one thread, once and not "
    "repeated, with other measurements beside it: an order of magnitude. Memory is the most that was resident beyond "
    "what was there before.",
    "What died, or was not finished within the time allowed, has no figures and says so.",
)


def assemble_leaderboard(request: LeaderboardRequest, cells: Sequence[Cell], asked: int) -> Run:
    """The run of the cells measured so far, out of `asked`."""
    environ, options = environment(), request.as_record()
    identity = {"kind": LEADERBOARD, "config": options, "code": environ.get("git") or environ["packages"]}
    notes = [] if len(cells) == asked else [f"Unfinished: {len(cells)} of {asked} cells were measured."]
    peers = {METHODS[m].distribution for m in request.methods if m in METHODS}
    return Run(
        id=content_hash(identity),
        case={"kind": LEADERBOARD, "config": options, "command": request.command},
        metrics=tuple(metric for cell in cells for metric in _metrics(cell)),
        curves={"cells": _compared(cells), "published": published_record()},
        layers=(),
        assumptions={"method": list(_METHOD), "methods": _methods(request.methods)},
        environment=environ | {"peers": {name: peer_version(name) for name in sorted(peers)}, "cpu_s": _cpu_s(cells)},
        notes=tuple(notes),
    )


def _cpu_s(cells: Sequence[Cell]) -> float:
    """Processor seconds of all measurements; what did not finish is not among them."""
    return round(math.fsum(cell.get("cpu_s", 0.0) for cell in cells), 1)


def _methods(names: Sequence[str]) -> list[dict[str, str]]:
    """What each method is."""
    rows = []
    for name in names:
        ours, peer = RECIPES.get(name), METHODS.get(name)
        source = ours.source if ours else f"{peer.distribution} {peer_version(peer.distribution)}" if peer else ""
        what = ours.summary if ours else peer.source if peer else ""
        rows.append({"name": name, "source": source, "what": what, "differs": ours.differs if ours else ""})
    return rows


def _compared(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The cells with ``best`` and ``as_good``, without the bits of single samples."""
    columns: dict[tuple[str, int], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.get("snn_right"):
            columns[cell["network"], cell["steps"]].append(cell)
    marks: dict[int, dict[str, bool]] = {}
    for column in columns.values():
        best = max(column, key=lambda cell: (cell["accuracy"][0], -(cell["spikes_per_neuron"] or 0)))
        for cell in column:
            top = cell["accuracy"][0] == best["accuracy"][0]
            marks[id(cell)] = {"best": top, "as_good": not top and _alike(cell, best)}
    left_out = ("snn_right", "ann_right", "schema")
    return [{**{k: v for k, v in cell.items() if k not in left_out}, **marks.get(id(cell), {})} for cell in cells]


def _alike(cell: Cell, best: Cell) -> bool:
    """Whether a paired test does not tell them apart."""
    n = cell["samples"]
    a, b = (np.array(unpack_bits(one["snn_right"], n), dtype=bool) for one in (cell, best))
    return paired_difference(a, b).p_value > 0.05


def _metrics(cell: Cell) -> Iterator[Metric]:
    """The numbers of one cell that a gate may compare."""
    if "refused" in cell:
        return
    label, n = f"[{cell['network']}; {cell['method']}; T={cell['steps']}]", cell["samples"]
    for name in ("accuracy", "agreement"):
        value, low, high = cell[name]
        if value is not None:
            yield Metric(name + label, value, "fraction", "higher", n, low, high)
    yield Metric("spikes.per_neuron" + label, cell["spikes_per_neuron"], "spikes", "lower", n)
    if cell["energy_j"]:
        value, low, high = cell["energy_j"]
        yield Metric("energy.snn_j" + label, value, "J", "lower", n, low, high, f"modelled by {cell['energy_model']}")
    ratio = cell["time_ratio"]
    yield Metric("time.ratio" + label, ratio, "ANN passes", "lower", n, note="once, not repeated", timing=True,
                 observations=(ratio,))  # fmt: skip
