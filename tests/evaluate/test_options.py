"""The same words mean the same request, whoever says them."""

from __future__ import annotations

import inspect
import shlex
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert import __main__ as door
from convert.errors import ConfigError
from convert.recipes import RECIPES
from evaluate.options import Options

NAMES = {"recipe_name": "recipe", "input_code": "input"}
OF_THE_DOOR = {
    "auto",
    "minimise",
    "trials",
    "auto_storage",
    "check",
    "predict_only",
    "out",
    "nir",
    "json_output",
    "seeds",
}

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "data": st.sampled_from(["digits", "npz:a b.npz"]), "arch": st.just("net.py:Net(28, 'x')"), "trust": st.booleans(),
    "recipe": st.sampled_from(list(RECIPES)), "for_steps": st.integers(1, 64).map(str),
    "neuron": st.sampled_from(["seed", "lif", "if"]), "tau_mem_ms": st.sampled_from([5.0, 20.5, float("inf")]),
    "rule": st.sampled_from(["max", "mse"]), "percentile": st.floats(1, 100), "potentials": st.booleans(),
    "signed": st.booleans(), "spike_values": st.integers(1, 8), "readout_delay": st.integers(0, 4),
    "hybrid": st.booleans(), "levels": st.integers(1, 63), "bits": st.integers(1, 8),
    "code": st.sampled_from(["rate", "differential"]), "input": st.sampled_from(["constant", "poisson"]),
    "steps": st.lists(st.integers(1, 64), min_size=1).map(lambda n: ",".join(map(str, n))),
    "limit": st.integers(1, 100), "calibration_samples": st.integers(1, 100), "input_shape": st.just("1,28,28"),
    "input_range": st.just("-1,1.5"), "seed": st.integers(0, 2**62), "engine": st.sampled_from(["auto", "dense"]),
    "memory_mb": st.integers(1, 64), "task": st.sampled_from(["auto", "classes"]), "diagnose": st.booleans(),
}  # fmt: skip


def test_the_command_line_has_these_options_with_these_defaults() -> None:
    said = inspect.signature(door.main).parameters
    mine = {NAMES.get(name, name): value.default for name, value in said.items() if name not in OF_THE_DOOR}
    assert mine.pop("model") is inspect.Parameter.empty
    assert mine == {field.name: field.default for field in fields(Options) if field.name != "model"}


@given(st.fixed_dictionaries({}, optional=VALUES))
@settings(max_examples=30)
def test_the_command_of_options_means_the_same_on_the_command_line(said: dict[str, Any]) -> None:
    options = Options("model.pt", **said)
    assert options_on_the_line(shlex.split(options.command)[3:]) == options


def options_on_the_line(words: list[str]) -> Options:
    """What the command line makes of `words`."""
    found: list[Options] = []

    def keep(self: Options) -> object:
        found.append(self)
        raise RuntimeError("seen")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Options, "aims", keep)
        with pytest.raises(RuntimeError, match="seen"):
            door.app(words, standalone_mode=False)
    return found[0]


def test_what_the_recipe_would_ignore_is_refused() -> None:
    with pytest.raises(ConfigError, match="--neuron, --no-potentials: has no effect with --recipe exact"):
        Options("model.pt", recipe="exact", neuron="if", potentials=False).request()
    with pytest.raises(ConfigError, match="--primed: has no effect on neurons without a synaptic filter"):
        Options(model="m.pt", neuron="if", primed=True).aims()
    with pytest.raises(ConfigError, match="--bits: has no effect with --recipe seed"):
        Options("model.pt", bits=4).request()


def test_a_case_is_one_run() -> None:
    for options in (Options("model.pt", recipe="all"), Options("model.pt", for_steps="each")):
        with pytest.raises(ConfigError, match="several runs"):
            options.single()
    with pytest.raises(ConfigError, match="--burst: got 5 with --signed"):
        replace(Options("model.pt"), burst=5, signed=True, neuron="if").single()
