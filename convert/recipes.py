"""Recipes: frozen, named configurations, each after the publication that it follows, and ours.

A recipe is a function of the number of steps that a network is meant for: where a paper fits thresholds or corrections
to T, so does its recipe. What is not stated by a paper, or cannot be had without training, is said in `differs`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from convert.config import MOST_STEPS, ConvertConfig
from convert.errors import ConfigError

__all__ = ["OWN_STEPS", "RECIPES", "Recipe", "recipe"]

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """One named way to convert.

    Parameters
    ----------
    name : str
    source : str
        The publication it follows.
    summary : str
        One sentence for people.
    options : callable
        Number of steps the network is meant for -> options of `ConvertConfig`.
    differs : str
        Where it departs from its source.
    """

    name: str
    source: str
    summary: str
    options: Callable[[int], Options]
    differs: str = ""

    def config(self, steps: int = 16, **changes: object) -> ConvertConfig:
        """The configuration for a network that is meant for `steps` steps, with `changes` of the user's.

        Raises
        ------
        ConfigError
            An option outside its range.
        """
        if not 1 <= steps <= MOST_STEPS:
            raise ConfigError(f"--for-steps: got {steps}; expected 1 to {MOST_STEPS}")
        given = {"later_readout": 0} if "readout_delay" in changes else {}  # who names a delay gets it
        return ConvertConfig(**{**self.options(steps), **given, **changes, "recipe": self.name})


_IF = {"neuron": "if", "potential_steps": 0}
_PLAIN = {**_IF, "v_threshold": 1.0, "granularity": "layer"}
_DIFFERENTIAL = {**_IF, "code": "differential", "spike_values": 4}


def _started(steps: int, spread: float = 1.0) -> dict[str, Any]:
    """Every neuron's start fitted, and all of them staggered where that helps."""
    return {
        "potential_steps": steps, "potential_per_neuron": True, "start_spread": spread, "spread_on_trial": True,
    }  # fmt: skip


def _best(steps: int) -> dict[str, Any]:
    """Thresholds for some steps less, so that rates reach their goal early."""
    return {"neuron": "if", "mse_steps": max(1, 3 * steps // 4), **_started(steps), "calibrated_on": 1000}


RECIPES: dict[str, Recipe] = {
    entry.name: entry
    for entry in (
        Recipe("seed", "this project",
               "seed LIF neurons with primed synapses, per-channel mse thresholds, every neuron's start calibrated "
               "and, where that helps, staggered, late read-out",
               lambda steps: {"mse_steps": steps, **_started(steps, 0.75), "calibrated_on": 256, "primed": True,
                              "readout_delay": steps // 4, "later_readout": steps // 2}),
        Recipe("best-onebit", "this project",
               "IF neurons, unsigned one-bit spikes, thresholds and staggered starts for the steps asked for, late "
               "read-out",
               lambda steps: {**_best(steps), "readout_delay": steps // 4, "later_readout": steps // 2}),
        Recipe("best-signed", "this project; Wang et al., IJCAI 2022",
               "IF neurons that take spikes back, thresholds and staggered starts for the steps asked for",
               lambda steps: {**_best(steps), "signed": True}),
        Recipe("diehl2015", "Diehl et al., IJCNN 2015",
               "largest activation of each layer, reset to zero, Poisson input",
               lambda steps: {**_PLAIN, "rule": "max", "reset": "zero", "input_code": "poisson"}),
        Recipe("rueckauer2017", "Rueckauer et al., Front. Neurosci. 2017",
               "99.9th percentile of each layer, reset by subtraction, analog input",
               lambda steps: {**_PLAIN, "rule": "percentile"}),
        Recipe("sengupta2019", "Sengupta et al., Front. Neurosci. 2019",
               "largest charge that arrives in one step of the spiking network, layer by layer, Poisson input",
               lambda steps: {**_PLAIN, "rule": "spike-norm", "input_code": "poisson"}),
        Recipe("kim2020-channelwise", "Kim et al., AAAI 2020",
               "99.9th percentile of each channel, reset by subtraction",
               lambda steps: {**_PLAIN, "rule": "percentile", "granularity": "channel"},
               differs="its signed neuron for leaky ReLU is not used on ReLU networks"),
        Recipe("deng2021", "Deng & Gu, ICLR 2021",
               "largest activation of each layer, rounding centred",
               lambda steps: {**_PLAIN, "rule": "max", "v_threshold": 0.5},
               differs="the shift of theta / 2T per step is given at the start, all at once; no training with a "
                       "clipped ReLU"),
        Recipe("li2021-light", "Li et al., ICML 2021",
               "per-channel mse thresholds for T, biases corrected layer by layer",
               lambda steps: {**_IF, "mse_steps": steps, "bias_steps": steps}),
        Recipe("bu2022-half", "Bu et al., ICLR 2022",
               "start at half a quantum, 99.9th percentile of each layer",
               lambda steps: {**_PLAIN, "rule": "percentile", "v_threshold": 0.5},
               differs="no training with the quantised activation, so thresholds are percentiles"),
        Recipe("bu2025-ltb", "Bu et al., CVPR 2025",
               "local threshold balancing per channel, delayed read-out",
               lambda steps: {**_IF, "rule": "ltb", "readout_delay": None},
               differs="balanced on the histogram of the activations, not along a clipped forward pass"),
        Recipe("multi-threshold", "Huang et al., ICML 2025",
               "four spike values 1, 1/2, 1/4, 1/8, signed, per-channel mse thresholds: several bits per spike",
               lambda steps: {**_IF, "spike_values": 4, "mse_steps": 2 * steps},
               differs="thresholds by mse instead of threshold iteration; rate code instead of differential coding"),
        Recipe("burst", "this project; Li & Zeng, IJCAI 2022",
               "up to five plain spikes in a step, thresholds and starts for the staircase of 5 T levels",
               lambda steps: {"neuron": "if", "mse_steps": steps, "potential_steps": steps, "burst": 5,
                              "potential_per_neuron": True, "calibrated_on": 1000},
               differs="thresholds by mse on what five spikes per step can say, every neuron's start calibrated; max "
                       "pools take the maximum of the accumulated drive instead of lateral inhibition"),
        Recipe("huang2025-differential", "Huang et al., ICML 2025",
               "differential coding: four spike values, signed, that correct what was said before; threshold iteration",
               lambda steps: {**_DIFFERENTIAL, "rule": "iteration", "mse_steps": 8},
               differs="1 / t from a table of 16 bits; max pools take the maximum of the decoded estimates; only "
                       "rectifiers, none of the units for other activations"),
        Recipe("sparse-differential", "this project; Huang et al., ICML 2025",
               "differential coding with the fewest spikes: coarser values, and the least one sent at 0.9 of itself",
               lambda steps: {**_DIFFERENTIAL, "rule": "iteration", "mse_steps": 32, "correction": 0.9}),
        Recipe("radix", "Wang et al., IEEE TNNLS 2024",
               "binary digits, the highest first: a layer has a period of --bits steps, and layers follow each other",
               lambda steps: _IF,
               differs="converted without training for it; counts are those of the quantised network, whose mse "
                       "thresholds are per channel"),
        Recipe("exact", "Xie et al. (ST-BIF), SpikeZIP; You et al., ICML 2024",
               "signed spikes until no neuron can fire: bit for bit the quantised network (--levels)",
               lambda steps: _IF,
               differs="the number of steps depends on the sample; charges are whole numbers, so there are no ties"),
    )
}  # fmt: skip
"""In the order of the table that --recipe all prints."""

OWN_STEPS = {"exact": "exact_levels", "radix": "radix_bits"}
"""Recipes whose networks decide how many steps they need, and the option that says how finely they count."""


def recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises
    ------
    ConfigError
        No such recipe; the message lists those there are.

    >>> recipe("li2021-light").config(8).bias_steps
    8
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"--recipe: got {name!r}; expected one of {', '.join(RECIPES)}, or all{hint}")
