"""ConvertConfig: everything that decides how a network is converted. Frozen, versioned, plain JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from convert.errors import ConfigError
from convert.network import INPUT_CODES, MOST_AHEAD, SpikingNetwork
from convert.neurons.burst import MOST_IN_A_BURST
from convert.neurons.counting import MOST_LEVELS
from convert.neurons.differential import CORRECTION
from convert.neurons.families import NEURONS, RESETS, Law, time_constants
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.radix import MOST_DIGITS, RadixNeuron
from convert.normalisation.granularity import GRANULARITIES
from convert.normalisation.rules import RULES

__all__ = ["CODES", "MOST_STEPS", "SPIKE_NORM", "ConvertConfig"]

CODES = ("rate", "differential")
"""Names on the command line; the code of the recipes "exact" and "radix" comes with them."""

MOST_STEPS = 100_000
"""That a network is made for or runs: what takes more is a slip of the finger."""

SPIKE_NORM = "spike-norm"
"""The rule that needs the spiking network itself, so it is no entry of `RULES`."""


@dataclass(frozen=True)
class ConvertConfig:
    """How to convert.

    Parameters
    ----------
    neuron : {"seed", "lif", "if"}
        LIF with exponential synapse, LIF with delta synapse, or IF.
    tau_mem_ms, tau_syn_ms, dt_ms : float
        Time constants and step, in milliseconds.
    rule : {"max", "percentile", "mse", "iteration", "ltb", "spike-norm"}
        Threshold rule.
    percentile : float
        In percent, for the rule of this name.
    mse_steps : int
        The number of steps whose staircase the rules `mse` and `iteration` fit; with a leak, at most the number of
        rates that it leaves, 1 / (1 - beta).
    granularity : {"layer", "channel", "neuron"}
        What one threshold is for; where weights are shared over places, "neuron" means each channel.
    potential_steps : int
        Steps after which rates are compared to choose the initial potentials; 0 leaves them at zero. Where a membrane
        remembers fewer, potentials are fitted to as many as it does, and biases to all.
    potential_per_neuron : bool
        One initial potential for each neuron instead of each channel.
    start_spread : float
        Quanta over which the starts of a population are staggered where they are calibrated; see
        `convert.normalisation.calibration`.
    spread_on_trial : bool
        Whether they start evenly after all if that brings the output on calibration samples clearly nearer to the
        ANN's; see `convert.correction`.
    bias_steps : int
        Steps for which biases are corrected, after the potentials; 0 leaves them as they are.
    calibrated_on : int
        Calibration samples that are simulated, once for every population, to choose potentials and biases.
    primed : bool
        Whether synapses that filter begin as the mean of what has arrived; see `convert.neurons.synapse`.
    readout_delay : int or None
        Steps that the read-out leaves out, at most half of those simulated; None estimates how long activity takes
        to reach the output.
    later_readout : int
        A longer delay, taken if it brings the output on calibration samples clearly nearer to the ANN's; 0: not tried.
    reset, v_threshold, signed, spike_values
        How neurons in the place of rectifiers spike; see `convert.neurons.families.Law`.
    burst : int
        The most spikes that such a neuron fires in one step; see `convert.neurons.burst`.
    code : {"rate", "differential"}
        What the spikes of a train mean: its rate, or corrections of what it has said; see
        `convert.neurons.differential`. The recipes "exact" and "radix" have their own.
    correction : float
        In the differential code: the part of the least spike value that is owed before it is sent.
    input_code : {"constant", "poisson"}
    input_low, input_high : float
        Range of the inputs, used only where there are no calibration samples.
    look_ahead : int
        Steps for which each sample is tried before it runs, so that neurons which fired too often or too seldom start
        anew; see `convert.simulation.look_ahead`. They count as latency, for every population.
    recipe : str
        Name of the recipe that these options follow; see `convert.recipes`. The networks of "exact" and "radix" have
        neurons of their own; steps of the first depend on the sample, those of the second are a period for each layer.
    exact_levels : int
        Levels above zero of the quantised network that the recipe "exact" reproduces.
    radix_bits : int
        Binary digits of a number, and steps of a layer's period, in the recipe "radix". Six are the fewest that lost
        less than half a point on held-out training images of fashion-cnn-relu.
    hybrid : bool
        Whether a network may keep floating-point functions at run time: softmax, layer norm, products of two inputs.

    Raises
    ------
    ConfigError
        An option outside its range; all of them at once.
    """

    neuron: str = "seed"
    tau_mem_ms: float = 20.0
    tau_syn_ms: float = 2.0
    dt_ms: float = 1.0
    rule: str = "mse"
    percentile: float = 99.9
    mse_steps: int = 16
    granularity: str = "channel"
    potential_steps: int = 16
    potential_per_neuron: bool = False
    start_spread: float = 0.0
    spread_on_trial: bool = False
    bias_steps: int = 0
    calibrated_on: int = 128
    primed: bool = False
    readout_delay: int | None = 0
    later_readout: int = 0
    reset: str = "subtract"
    v_threshold: float = 0.5
    signed: bool = False
    spike_values: int = 1
    burst: int = 1
    code: str = "rate"
    correction: float = CORRECTION
    input_code: str = "constant"
    input_low: float = 0.0
    input_high: float = 1.0
    look_ahead: int = 0
    recipe: str = "none"
    exact_levels: int = 15
    radix_bits: int = 6
    hybrid: bool = False

    def __post_init__(self) -> None:
        """Check every option once, at the door."""
        wrong = [
            message
            for fine, message in (
                (self.neuron in NEURONS, f"--neuron: got {self.neuron!r}; expected one of {', '.join(NEURONS)}"),
                (self.rule in (*RULES, SPIKE_NORM),
                 f"--rule: got {self.rule!r}; expected one of {', '.join((*RULES, SPIKE_NORM))}"),
                (self.input_code in INPUT_CODES,
                 f"--input: got {self.input_code!r}; expected one of {', '.join(INPUT_CODES)}"),
                (_positive(self.tau_mem_ms), f"--tau-mem-ms: got {self.tau_mem_ms}; expected more than 0 (or inf)"),
                (0 <= self.tau_syn_ms < math.inf, f"--tau-syn-ms: got {self.tau_syn_ms}; expected 0 or more"),
                (_positive(self.dt_ms) and self.dt_ms < math.inf, f"--dt-ms: got {self.dt_ms}; expected more than 0"),
                (0 < self.percentile <= 100, f"--percentile: got {self.percentile}; expected more than 0, up to 100"),
                (self.granularity in GRANULARITIES,
                 f"--granularity: got {self.granularity!r}; expected one of {', '.join(GRANULARITIES)}"),
                (self.mse_steps >= 1, f"mse_steps: got {self.mse_steps}; expected at least 1"),
                (self.reset in RESETS, f"--reset: got {self.reset!r}; expected one of {', '.join(RESETS)}"),
                (0 < self.v_threshold <= 1, f"v_threshold: got {self.v_threshold}; expected more than 0, up to 1"),
                (1 <= self.spike_values <= 8, f"--spike-values: got {self.spike_values}; expected 1 to 8"),
                (1 <= self.burst <= MOST_IN_A_BURST,
                 f"--burst: got {self.burst}; expected 1 to {MOST_IN_A_BURST}"),
                (self.code in CODES, f"--code: got {self.code!r}; expected one of {', '.join(CODES)}"),
                (0.5 < self.correction <= 1, f"correction: got {self.correction}; expected more than 0.5, up to 1"),
                (self.bias_steps >= 0, f"bias_steps: got {self.bias_steps}; expected 0 or more"),
                (self.calibrated_on >= 1, f"calibrated_on: got {self.calibrated_on}; expected at least 1"),
                ((self.readout_delay or 0) >= 0, f"--readout-delay: got {self.readout_delay}; expected 0 or more"),
                (self.later_readout >= 0, f"later_readout: got {self.later_readout}; expected 0 or more"),
                (0 <= self.look_ahead <= MOST_AHEAD,
                 f"--look-ahead: got {self.look_ahead}; expected 0 to {MOST_AHEAD}"),
                (self.potential_steps >= 0, f"potential_steps: got {self.potential_steps}; expected 0 or more"),
                (0 <= self.start_spread <= 1, f"start_spread: got {self.start_spread}; expected 0 to 1 quanta"),
                (-math.inf < self.input_low < self.input_high < math.inf,
                 f"input range: got {self.input_low} to {self.input_high}; expected two numbers, the lower one first"),
                (1 <= self.exact_levels <= MOST_LEVELS,
                 f"--levels: got {self.exact_levels}; expected 1 to {MOST_LEVELS}"),
                (1 <= self.radix_bits <= MOST_DIGITS, f"--bits: got {self.radix_bits}; expected 1 to {MOST_DIGITS}"),
                (not self.quantised or self.input_code == "constant",
                 f"--input: got {self.input_code!r} with --recipe {self.recipe}; expected constant: it is injected "
                 "once"),
            )
            if not fine
        ]  # fmt: skip
        if wrong:
            raise ConfigError("\n".join(wrong))

    def _against_bursts(self) -> list[str]:
        """Options that exclude several spikes in one step."""
        return [flag for flag, excludes in (
            ("--signed", self.signed), (f"--spike-values {self.spike_values}", self.spike_values > 1),
            ("--reset zero", self.reset == "zero"), (f"--code {self.code}", self.code != "rate"),
            (f"--rule {SPIKE_NORM}", self.rule == SPIKE_NORM),
        ) if excludes]  # fmt: skip

    def _against_a_look_ahead(self) -> list[str]:
        """Options of neurons that are not repaired, and of inputs that are not the same twice."""
        return [flag for flag, excludes in (
            (f"--neuron {self.neuron}", self.neuron != "if"), ("--signed", self.signed),
            (f"--spike-values {self.spike_values}", self.spike_values > 1), (f"--burst {self.burst}", self.burst > 1),
            (f"--reset {self.reset}", self.reset == "zero"), (f"--code {self.code}", self.code != "rate"),
            (f"--input {self.input_code}", self.input_code != "constant"),
            (f"--recipe {self.recipe}", self.quantised), ("--hybrid", self.hybrid),
        ) if excludes]  # fmt: skip

    @property
    def dt_s(self) -> float:
        """Length of a step in seconds."""
        return self.dt_ms / 1000

    @property
    def taus_s(self) -> tuple[float, float]:
        """(tau_mem, tau_syn) in seconds of the chosen neuron."""
        return time_constants(self.neuron, self.tau_mem_ms / 1000, self.tau_syn_ms / 1000)

    @property
    def input_range(self) -> tuple[float, float]:
        """Lowest and highest input."""
        return self.input_low, self.input_high

    @property
    def exact(self) -> bool:
        """Whether the network runs until it is quiescent, instead of for a number of steps."""
        return self.recipe == "exact"

    @property
    def quantised(self) -> bool:
        """Whether the network has the counts of a quantised network, in the end: in the exact mode, and in digits."""
        return self.exact or self.recipe == "radix"

    @property
    def levels(self) -> int:
        """Levels above zero of that network."""
        return self.exact_levels if self.exact else 2**self.radix_bits - 1

    @property
    def law(self) -> Law:
        """How neurons in the place of rectifiers spike."""
        return Law(self.reset, self.v_threshold, self.signed, self.spike_values, self.code, self.correction, self.burst)

    def check_code(self) -> None:
        """Refuse what bursts, a look-ahead or the code exclude; a comparison of recipes names it instead of stopping.

        Raises
        ------
        ConfigError
            All of it at once.
        """
        if self.burst > 1 and (others := self._against_bursts()):
            raise ConfigError(
                f"--burst: got {self.burst} with {', '.join(others)}; expected neither: a burst is of plain spikes, "
                "each of which takes one quantum: leave --burst out, or change these"
            )
        if self.look_ahead and (others := self._against_a_look_ahead()):
            raise ConfigError(
                f"--look-ahead: got {self.look_ahead} with {', '.join(others)}; expected IF neurons with plain spikes "
                "and a constant input: leave --look-ahead out, or change these"
            )
        if self.code == "rate" or self.quantised:
            return
        found = {"--neuron": (self.neuron, "if"), "reset": (self.reset, "subtract"),
                 "--input": (self.input_code, "constant")}  # fmt: skip
        wrong = [f"{name}: got {got!r}, expected {want}" for name, (got, want) in found.items() if got != want]
        wrong += [f"--rule: got {SPIKE_NORM!r}, expected another"] if self.rule == SPIKE_NORM else []
        if wrong:
            raise ConfigError(
                f"--code {self.code}: {'; '.join(wrong)}; what a spike says once must last, so nothing may leak from "
                "it: change these, or use --code rate"
            )

    @classmethod
    def of_network(cls, network: SpikingNetwork) -> ConvertConfig:
        """The options that made `network`, from its provenance; its own neurons and step have the last word."""
        known = {field.name for field in fields(cls)}
        try:
            stored = _renamed(json.loads(network.provenance.get("config", "{}")))
            given: dict[str, Any] = {k: math.inf if v == "inf" else v for k, v in stored.items() if k in known}
            remembered = cls(**given)
        except (ValueError, TypeError, AttributeError):
            remembered = cls()
        neuron = next((site.neuron for site in network.sites.values()), LeakyNeuron())
        name = "seed" if neuron.tau_syn_s else "if" if neuron.tau_mem_s == math.inf else "lif"
        if network.code in ("exact", "radix"):
            bits = neuron.bits if isinstance(neuron, RadixNeuron) else remembered.radix_bits
            return replace(remembered, recipe=network.code, dt_ms=network.dt_s * 1000, input_code=network.input_code,
                           radix_bits=bits)  # fmt: skip
        own: dict[str, Any] = {"neuron": name, "dt_ms": network.dt_s * 1000, "input_code": network.input_code}
        own |= {"code": network.code, "look_ahead": network.look_ahead, "primed": network.primed}
        if remembered.quantised:
            own["recipe"] = cls.recipe
        if neuron.tau_mem_s < math.inf:
            own["tau_mem_ms"] = neuron.tau_mem_s * 1000
        if neuron.tau_syn_s:
            own["tau_syn_ms"] = neuron.tau_syn_s * 1000
        return replace(remembered, **own)

    def as_record(self) -> dict[str, Any]:
        """Plain JSON; an infinite time constant is written as text."""
        return {"version": 2} | {k: str(v) if v in (math.inf,) else v for k, v in asdict(self).items()}


def _renamed(stored: dict[str, Any]) -> dict[str, Any]:
    """A record of version 1 in the words of version 2: ``per_channel`` has become one value of ``granularity``."""
    if "per_channel" not in stored:
        return stored
    return {"granularity": "channel" if stored["per_channel"] else "layer"} | stored


def _positive(value: float) -> bool:
    return value > 0
