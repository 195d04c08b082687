"""Early exit: the same samples once more, each for as long as its rule wants, against the answers after all steps.

Samples that stop leave the batch, so what is counted - steps, spikes, operations, time of the simulation - is that of
samples that really stopped. The rules see one sample at a time, so nothing depends on the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convert import Conversion, simulate
from convert.errors import ConfigError
from convert.network import SpikingNetwork
from convert.simulation.engine import batch_within, simulate_until
from evaluate.exit_calibration import critical_margins, fit_margin, wanted_samples
from evaluate.exit_rules import ExitOrder, ExitRule, MarginRule, refuse_exit, sound_rule
from evaluate.tasks import Plan, Task
from zoo import Samples

__all__ = ["Exited", "Simulated", "calibrated_margin", "exit_rule", "run_to_exits"]

Array = npt.NDArray[Any]

Draw = Callable[[int], Samples | None]
"""So many samples that set no threshold, or as many as there are; None without data."""


@dataclass(frozen=True)
class Simulated:
    """How the samples are simulated; as the parameters of `evaluate.runner.measure`."""

    steps: int
    seed: int = 0
    memory_bytes: int = 32 << 20
    device: str = "cpu"
    engine: str = "auto"


@dataclass(frozen=True, eq=False)
class Exited:
    """What a network did on samples that stopped early.

    Parameters
    ----------
    rule : ExitRule
    answers : array (samples, ...)
        The answer of each sample at the step at which it stopped.
    steps : array (samples,)
        That step.
    spikes : dict
        Node -> (*shape): mean spikes per sample of each element until then.
    seconds : dict
        Wall clock of this simulation, on this machine: not the latency of any chip.
    """

    rule: ExitRule
    answers: Array
    steps: Array
    spikes: dict[str, Tensor]
    seconds: dict[str, float]


def exit_rule(
    order: ExitOrder, conversion: Conversion, asked: Plan, how: Simulated, draw: Draw,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> ExitRule:  # fmt: skip
    """The rule that was asked for, made for the network of `conversion`.

    Parameters
    ----------
    draw : callable
        Gives calibration samples, for a margin.
    report : callable, optional
        Called with the calibration samples done since the last call, and how many there are.

    Raises
    ------
    ConfigError
        The rule does not fit the network or the task, or there are too few samples for its rate.
    """
    network, task = conversion.snn, asked.tasks[0]
    refuse_exit(network, asked.tasks)
    if order.kind == "sound":
        return sound_rule(network, task, how.steps)
    if conversion.ann is None:
        raise ConfigError(
            f"--early-exit {order.text}: got the file of a spiking network, which does not say which samples set its "
            "thresholds; expected its original: convert that, or use --early-exit sound"
        )
    samples = draw(wanted_samples(order.rate))
    if samples is None:
        raise ConfigError(
            f"--early-exit {order.text}: got no data to calibrate on; expected samples: name them with --data or "
            "--calibration, or use --early-exit sound"
        )
    described = f"{len(samples)} samples of the {samples.split} split that set no threshold"
    return calibrated_margin(
        network, samples.x, order.rate, task, how, described, lambda n: report(n, len(samples))
    )  # fmt: skip


def calibrated_margin(
    network: SpikingNetwork, x: Tensor, rate: float, task: Task, how: Simulated, described: str = "",
    progress: Callable[[int], None] = lambda n: None,
) -> MarginRule:  # fmt: skip
    """The margin rule of `network`, from samples `x` that nothing was fitted to; see `evaluate.exit_calibration`.

    Raises
    ------
    ConfigError
        Too few samples for that rate; before any is simulated.
    """
    fit_margin(torch.zeros(len(x), dtype=torch.float64), rate, task, network.readout_delay)
    size, found = batch_within(network, how.memory_bytes, how.engine, how.device), []
    for start in range(0, len(x), size):
        part = x[start : start + size]
        numbers = range(start, start + len(part))
        result = simulate(network, part, how.steps, None, how.seed, numbers, how.device, how.engine)
        found.append(critical_margins(result.output, task, network.readout_delay))
        progress(len(part))
    return fit_margin(torch.cat(found), rate, task, network.readout_delay, (described,))


def run_to_exits(
    network: SpikingNetwork, x: Tensor, rule: ExitRule, task: Task, how: Simulated,
    progress: Callable[[int], None] = lambda n: None,
) -> Exited:  # fmt: skip
    """Run every sample of `x` until `rule` stops it, or for all steps."""
    begin = time.perf_counter()
    size = batch_within(network, how.memory_bytes, how.engine, how.device)
    answers, steps, spikes = [], [], dict[str, Tensor]()
    for start in range(0, len(x), size):
        part = x[start : start + size]
        numbers = range(start, start + len(part))
        found = simulate_until(
            network, part, how.steps, rule.finished, 1, how.seed, numbers, how.device, how.engine, counted=False
        )  # fmt: skip
        answers.append(task.answers(found.output.flatten(1)))
        steps.append(found.steps.numpy())
        for name, fired in found.spikes.items():
            spikes[name] = spikes[name] + fired.double() if name in spikes else fired.double()
        progress(len(part))
    means = {name: total / len(x) for name, total in spikes.items()}
    return Exited(rule, np.concatenate(answers), np.concatenate(steps), means,
                  {"simulate until exit": time.perf_counter() - begin})  # fmt: skip
