"""The fast path: a batch, shared among threads, through blocks of steps; densely, or from spike to spike.

Sums of spikes are exact in float32 (see `lattice.py`), and all that follows them is per neuron, so the result does not
depend on the batch, the block, the engine or the number of threads. Hybrid networks are the exception: their
floating-point functions (`differences.py`) are not exact, so there the result is the same up to the rounding of
float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from convert.errors import ConfigError, GraphError
from convert.graph import ir
from convert.network import SpikingNetwork
from convert.simulation.blocks import Run, needed
from convert.simulation.events.library import kernel
from convert.simulation.events.plan import Plan, plan_of
from convert.simulation.results import Exits, Simulation, check_request, read_out
from convert.simulation.typed import prepared

__all__ = [
    "ENGINES", "batch_within", "engines_of", "kernel_is_missing", "ready", "shared", "shares", "simulate",
    "simulate_until", "stop_of",
]  # fmt: skip

ENGINES = ("auto", "dense", "events")
"""By events wherever the kernel was built and can; by dense layers; by events, or not at all."""

T = TypeVar("T")

_BLOCK = 16
"""Steps that are folded into the batch at a time: spikes of a block should stay in the cache."""

_EVENTS_BLOCK = 32
"""The same where spikes are bits."""

_EXIT_BLOCK = 8
"""The first of them where samples leave at the end of a block: fewer steps in vain, and more blocks."""


def simulate(
    network: SpikingNetwork,
    x: Tensor,
    steps: int,
    record: Sequence[int] | None = None,
    seed: int = 0,
    samples: Sequence[int] | None = None,
    device: str = "cpu",
    engine: str = "auto",
) -> Simulation:
    """Run `network` on a batch `x` for `steps` steps.

    Parameters
    ----------
    record : sequence of int, optional
        Steps at which spike counts are kept; the last one by default.
    seed, samples
        For Poisson input: the seed, and the number of each sample in its data set.
    engine : {"auto", "dense", "events"}
        How: with "auto" and "events", layers that have the form of `convert.simulation.events.wiring` are computed from
        their spikes, the others densely. The spikes are the same.

    Returns
    -------
    Simulation
        The same spikes as `simulate_reference`.

    Raises
    ------
    ConfigError, InputShapeError
        See `check_request`.
    GraphError
        A quantum other than 1: the types in which sums are exact are chosen for weight-normalised networks.
    """
    kept = check_request(network, x, steps, None if record is None else tuple(record))
    plan = ready(network, engine, device)
    numbers = range(len(x)) if samples is None else samples

    def part(begin: int, end: int) -> Simulation:
        return _simulate(Run(network, x[begin:end], steps, seed, numbers[begin:end], device, plan), kept)

    return _joined(shared(part, shares(network, plan, len(x), device)))


def _simulate(run: Run, kept: tuple[int, ...]) -> Simulation:
    """From the first step to the last."""
    totals: list[Tensor] = []
    spikes: dict[str, list[Tensor]] = {}
    while run.done < run.steps:
        totals.append(run.advance(stop_of(run, *kept)))
        if run.done in kept:
            for name, fired in run.fired().items():
                spikes.setdefault(name, []).append(fired)
    output = read_out(torch.cat(totals), run.network)
    stacked = {name: torch.stack(values) for name, values in spikes.items()}
    return Simulation(output, stacked, run.counted(), kept, run.network.dt_s)


def stop_of(run: Run, *asked: int) -> int:
    """The end of the next block: none goes past one of the steps asked for."""
    return min(
        run.steps, run.done + (_BLOCK if run.plan is None else _EVENTS_BLOCK), *(s for s in asked if s > run.done)
    )


def simulate_until(
    network: SpikingNetwork,
    x: Tensor,
    steps: int,
    finished: Callable[[Tensor, int], Tensor],
    every: int = 4,
    seed: int = 0,
    samples: Sequence[int] | None = None,
    device: str = "cpu",
    engine: str = "auto",
    counted: bool = True,
) -> Exits:
    """Run each sample of a batch until it is finished, and no longer: finished samples leave the batch.

    Parameters
    ----------
    finished : callable
        What the network has said so far, (samples, *output shape), and the number of steps -> whether each sample is
        finished, (samples,) of bool. It is asked after every `every` steps about those that are not, perhaps by
        several threads.
    steps : int
        After which every sample is finished.
    counted : bool
        Whether the counts of every sample are wanted.

    Returns
    -------
    Exits
        What each sample's network said when it left: the same as in `simulate` at that step.

    Raises
    ------
    ConfigError, InputShapeError, GraphError
        As `simulate`.
    """
    check_request(network, x, steps, None)
    if every < 1:
        raise ConfigError(f"every: got {every}; expected at least 1 step between questions")
    plan = ready(network, engine, device)
    numbers = range(len(x)) if samples is None else samples

    def part(begin: int, end: int) -> Exits:
        return _until(
            Run(network, x[begin:end], steps, seed, numbers[begin:end], device, plan), finished, every, counted
        )

    parts = shared(part, shares(network, plan, len(x), device))
    return Exits(
        torch.cat([p.output for p in parts]),
        torch.cat([p.steps for p in parts]),
        {name: torch.cat([p.counts[name] for p in parts]) for name in parts[0].counts},
        {name: torch.stack([p.spikes[name] for p in parts]).sum(0) for name in parts[0].spikes},
        network.dt_s,
    )


def _until(run: Run, finished: Callable[[Tensor, int], Tensor], every: int, counted: bool) -> Exits:
    """The same for one thread's samples, block by block: who is finished in the midst of one leaves at its end."""
    present, left_at = torch.arange(len(run.x)), torch.full((len(run.x),), run.steps)
    past: list[Tensor] = []
    found: dict[str, Tensor] = {}
    while len(present):
        length = min(max(_EXIT_BLOCK, run.done), _EVENTS_BLOCK)  # who has not left in t steps stays for some t more
        begin, block = run.done, run.fire(min(run.steps, run.done + length))
        past.append(run.read(block))
        said = read_out(torch.cat(past), run.network)
        last = _last_steps(said, range(begin + 1, run.done + 1), finished, every, run.steps)
        gone = (last > 0).nonzero().flatten()
        if not len(gone):
            continue
        here, at = present[gone], last[gone]
        left_at[here] = at
        for name, value in ({"": said[at - 1, gone]} | run.leave(block, gone, at, counted)).items():
            found.setdefault(name, torch.empty((len(left_at), *value.shape[1:]), dtype=value.dtype))[here] = value
        staying = (last == 0).nonzero().flatten()
        present, past = present[staying], [total[:, staying] for total in past]
        run.keep(staying)
    return Exits(found.pop(""), left_at, found, run.fired(), run.network.dt_s)


def _last_steps(
    said: Tensor, block: range, finished: Callable[[Tensor, int], Tensor], every: int, steps: int
) -> Tensor:
    """The first step of `block` after which each sample is finished, 0 if it goes on: (samples,)."""
    found = torch.zeros(said.shape[1], dtype=torch.int64)
    for step in block:
        going = (found == 0).nonzero().flatten()
        if step == steps:
            found[going] = step
        elif step % every == 0 and len(going):
            found[going[finished(said[step - 1, going], step)]] = step
    return found


def ready(network: SpikingNetwork, engine: str, device: str, given: Collection[str] = ()) -> Plan | None:
    """What the events engine takes over, None where all is dense; with all that is made once for a network.

    `given` are populations that will not be run.
    """
    if other := [name for name, site in network.sites.items() if not bool((site.quantum == 1).all())]:
        raise GraphError(
            f"{', '.join(other)}: quantum other than 1; the engine runs weight-normalised networks: "
            "run the network as normalise() made it, or use simulate_reference"
        )
    plan = _plan(network, engine, device)
    prepared(network, device)
    for name in needed(network.graph, given) & set(network.sites):
        if plan is not None:
            plan.population(name)
    return plan


def _plan(network: SpikingNetwork, engine: str, device: str) -> Plan | None:
    if engine not in ENGINES:
        raise ConfigError(f"--engine: got {engine!r}; expected one of {', '.join(ENGINES)}")
    if network.look_ahead:  # starts of its own for each sample, which the kernel does not have
        return None
    plan = plan_of(network) if engine != "dense" and device == "cpu" else None
    if engine == "events" and plan is None:
        why = "it runs on the processor" if device != "cpu" else "its kernel was not built: no compiler when installing"
        raise ConfigError(f"--engine: got events, but {why}; use auto or dense, or install again with a C++ compiler")
    return plan


def shares(network: SpikingNetwork, plan: Plan | None, batch: int, device: str) -> list[tuple[int, int]]:
    """The samples of each thread: as many threads as torch is told to use, where samples do not depend on each other.

    In a hybrid network they do, by rounding: a matrix product may add in another order in another batch. Where the
    kernel runs every population, it shares its loops among torch's threads itself.
    """
    hybrid = any(isinstance(node.op, ir.RUNNING) for node in network.graph)
    kernel_runs_all = plan is not None and all(plan.population(name) is not None for name in network.sites)
    alone = device != "cpu" or hybrid or kernel_runs_all
    count = 1 if alone else max(1, min(torch.get_num_threads(), batch))
    return list(pairwise([batch * i // count for i in range(count + 1)]))


def shared(part: Callable[[int, int], T], shares: Sequence[tuple[int, int]]) -> list[T]:
    """`part` of every share, each in a thread of its own in which torch uses one."""

    def alone(begin: int, end: int) -> T:
        torch.set_num_threads(1)  # of this thread; workers of a parallel region would wait in a busy loop
        return _quietly(part, begin, end)

    if len(shares) == 1:
        return [_quietly(part, *shares[0])]
    with _threads_kept():
        waiting = [_pool().submit(partial(alone, *share)) for share in shares]
        return [done.result() for done in waiting]


@torch.no_grad()
def _quietly(part: Callable[[int, int], T], begin: int, end: int) -> T:
    return part(begin, end)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """What torch was told about threads holds afterwards."""
    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="samples")


def _joined(parts: Sequence[Simulation]) -> Simulation:
    """The simulation of a batch from those of its parts."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Simulation(
        torch.cat([p.output for p in parts], 1),
        {name: torch.stack([p.spikes[name] for p in parts]).sum(0) for name in first.spikes},
        {name: torch.cat([p.counts[name] for p in parts]) for name in first.counts},
        first.record,
        first.dt_s,
    )


def kernel_is_missing(engine: str, device: str) -> bool:
    """Whether all is dense only because the events kernel was not built."""
    return engine == "auto" and device == "cpu" and kernel() is None


def engines_of(network: SpikingNetwork, engine: str = "auto", device: str = "cpu") -> dict[str, str]:
    """Which engine runs each population: "events" or "dense"."""
    plan = _plan(network, engine, device)
    return {name: "dense" if plan is None or plan.population(name) is None else "events" for name in network.sites}


def batch_within(network: SpikingNetwork, bytes_allowed: int, engine: str = "auto", device: str = "cpu") -> int:
    """Samples that can be simulated at a time within a memory budget."""
    plan = _plan(network, engine, device)
    found = [None if plan is None else plan.population(name) for name in network.sites]
    if found and all(found):
        return max(1, bytes_allowed // sum(n.bytes_per_sample(_EVENTS_BLOCK) for n in found if n is not None))
    sizes = [math.prod(node.shape) for node in network.graph]
    alive = max(4 * max(sizes), sum(sizes))  # numbers per step: all values of a block are kept until its end
    return max(1, bytes_allowed // (alive * max(_BLOCK, network.look_ahead) * 8))
