"""Options: what may be asked of one conversion, in the words of the command line, and the request that they mean.

The only place where options become a request: ``python -m convert`` and the cases of a suite both go through it, so the
same words mean the same thing in both.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, fields
from typing import Any

from convert.errors import ConfigError
from convert.reading.hints import Hints
from convert.recipes import OWN_STEPS, RECIPES, recipe
from evaluate.comparison import Aim
from evaluate.exit_rules import read_exit
from evaluate.request import Request

__all__ = ["Options"]

_OF_RATES = (
    "neuron", "tau_mem_ms", "tau_syn_ms", "signed", "spike_values", "burst", "readout_delay", "potentials", "primed",
    "code", "look_ahead", "engine",
)  # fmt: skip
"""What those recipes would ignore."""

_FIELDS = {"input": "input_code", "levels": "exact_levels", "bits": "radix_bits"}
"""Options that the configuration calls otherwise."""


@dataclass(frozen=True)
class Options:
    """The options of ``python -m convert MODEL``, each named as there, with ``_`` for ``-``.

    Parameters
    ----------
    recipe : str
        One of `convert.recipes.RECIPES`, or ``all``.
    for_steps : str
        A whole number, or ``each``.
    steps, input_shape, input_range : str
        Numbers separated by commas.
    """

    model: str
    data: str | None = None
    calibration: str | None = None
    data_dir: str | None = None
    arch: str | None = None
    activation: str | None = None
    trust: bool = False
    recipe: str = "seed"
    for_steps: str = "16"
    neuron: str | None = None
    tau_mem_ms: float | None = None
    tau_syn_ms: float | None = None
    dt_ms: float | None = None
    rule: str | None = None
    percentile: float | None = None
    granularity: str | None = None
    potentials: bool = True
    primed: bool | None = None
    signed: bool | None = None
    spike_values: int | None = None
    burst: int | None = None
    readout_delay: int | None = None
    look_ahead: int | None = None
    hybrid: bool = False
    levels: int | None = None
    bits: int | None = None
    code: str | None = None
    input: str | None = None
    steps: str = "1,2,4,8,16,32,64"
    limit: int | None = None
    calibration_samples: int = 1000
    input_shape: str | None = None
    input_range: str = "0,1"
    seed: int = 0
    device: str = "cpu"
    engine: str = "auto"
    memory_mb: int = 32
    task: str = "auto"
    diagnose: bool = False
    early_exit: str | None = None

    @property
    def changes(self) -> dict[str, object]:
        """What is changed of the recipe, by the names of `ConvertConfig`.

        Raises
        ------
        ConfigError
        """
        low, high = _floats("--input-range", self.input_range)
        said = {
            _FIELDS.get(name, name): getattr(self, name)
            for name in ("neuron", "tau_mem_ms", "tau_syn_ms", "dt_ms", "rule", "percentile", "granularity", "primed",
                         "signed", "spike_values", "burst", "readout_delay", "input", "code", "levels", "bits",
                         "look_ahead")
        }  # fmt: skip
        said |= {"potential_steps": None if self.potentials else 0, "hybrid": self.hybrid or None}
        said |= {"input_low": low, "input_high": high}
        return {name: value for name, value in said.items() if value is not None}

    def aims(self) -> dict[str, list[Aim]]:
        """Recipe -> how to convert by it, once or for each number of steps.

        Raises
        ------
        ConfigError
            An option outside its range, or one that the recipe would ignore.
        """
        self._refuse_idle()
        changes, steps = self.changes, self._steps()
        names = list(RECIPES) if self.recipe == "all" else [self.recipe]
        found = {name: _aims(name, self.for_steps, steps, changes) for name in names}
        if self.primed and not any(config.taus_s[1] for several in found.values() for config, _ in several):
            raise ConfigError(
                "--primed: has no effect on neurons without a synaptic filter, as --neuron if and lif are, or "
                "--tau-syn-ms 0; leave it out, or choose --neuron seed"
            )
        return found

    def request(self, command: str | None = None) -> Request:
        """The request of the first aim; `command` is what repeats it.

        Raises
        ------
        ConfigError
            An option outside its range, or one that the recipe would ignore.
        """
        config = next(iter(self.aims().values()))[0][0]
        return Request(
            self.model, config, self.data, self.calibration, self._steps(), self.limit, self.calibration_samples,
            self.seed, self.device, self.memory_mb,
            None if self.input_shape is None else _integers("--input-shape", self.input_shape),
            self.command if command is None else command, self.task,
            Hints(self.arch, self.activation, self.trust), self.diagnose, self.engine, self.data_dir,
            None if self.early_exit is None else read_exit(self.early_exit),
        )  # fmt: skip

    @property
    def given(self) -> dict[str, Any]:
        """What differs from the defaults, but for the model."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "model"}
        return {name: value for name, value in found.items() if value != getattr(Options, name)}

    @property
    def command(self) -> str:
        """The command line that means the same.

        >>> Options("model.pt", recipe="radix", bits=4, potentials=False).command
        'python -m convert model.pt --recipe radix --no-potentials --bits 4'
        """
        words = ["python", "-m", "convert", self.model]
        negative = {"potentials": "--no-potentials", "primed": "--unprimed", "signed": "--unsigned"}
        for name, value in self.given.items():
            flag = f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [negative[name]] if value is False else [flag, str(value)]
        return shlex.join(words)

    @property
    def each(self) -> bool:
        """Whether a network is wanted for each number of steps."""
        return self.for_steps == "each"

    def single(self) -> Options:
        """These options, refused where they ask for more than one run.

        Raises
        ------
        ConfigError
        """
        if self.recipe == "all" or self.each:
            got = "recipe = all" if self.recipe == "all" else "for-steps = each"
            raise ConfigError(f"{got}: asks for several runs; expected one for each case: list the values in [matrix]")
        self.request().config.check_code()
        return self

    def _steps(self) -> tuple[int, ...]:
        return tuple(sorted(set(_integers("--steps", self.steps))))

    def _refuse_idle(self) -> None:
        """An option that the recipe would ignore is refused rather than ignored."""
        own = self.recipe in OWN_STEPS
        idle = [name for name in _OF_RATES if name in self.given] if own else []
        idle += [name for name, of in (("levels", "exact"), ("bits", "radix"))
                 if name in self.given and self.recipe not in (of, "all")]  # fmt: skip
        if idle:
            names = {"potentials": "no-potentials"}
            flags = ", ".join(f"--{names.get(name, name).replace('_', '-')}" for name in idle)
            raise ConfigError(
                f"{flags}: has no effect with --recipe {self.recipe}; leave it out, or choose another recipe"
            )
        if self.each and own:
            why = "depend on the sample" if self.recipe == "exact" else "are one period for each layer"
            raise ConfigError(f"--for-steps: got each with --recipe {self.recipe}, whose steps {why}; leave it out")
        if self.diagnose and (self.recipe == "all" or self.each):
            several = "--for-steps each; expected one number" if self.each else "--recipe all; expected one recipe"
            raise ConfigError(f"--diagnose: got {several}: name the one to diagnose")


def _aims(name: str, for_steps: str, steps: tuple[int, ...], changes: dict[str, object]) -> list[Aim]:
    """How to convert by the recipe `name`: for one number of steps, or anew for each; some recipes need none."""
    config = recipe(name).config
    if for_steps == "each" and name not in OWN_STEPS:
        return [(config(t, **changes), (t,)) for t in steps]
    meant = "16" if for_steps == "each" else for_steps
    if not meant.lstrip("-").isdecimal():
        raise ConfigError(f"--for-steps: got {for_steps!r}; expected one whole number, or each")
    return [(config(int(meant), **changes), steps)]


def _integers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: got {text!r}; expected whole numbers separated by commas") from None


def _floats(option: str, text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{option}: got {text!r}; expected two numbers separated by a comma, such as 0,1")
    return low, high
