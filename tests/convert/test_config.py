import json
import math
from dataclasses import FrozenInstanceError, fields

import pytest

from convert.config import ConvertConfig
from convert.errors import ConfigError

NAN = math.nan

WRONG = {
    "neuron": (["izhikevich", "", "IF"], "--neuron"),
    "tau_mem_ms": ([0.0, -1.0, NAN], "--tau-mem-ms"),
    "tau_syn_ms": ([-1.0, math.inf, NAN], "--tau-syn-ms"),
    "dt_ms": ([0.0, -1.0, math.inf, NAN], "--dt-ms"),
    "rule": (["mean", ""], "--rule"),
    "granularity": (["pixel", ""], "--granularity"),
    "percentile": ([0.0, -5.0, 100.5, NAN], "--percentile"),
    "mse_steps": ([0, -1], "mse_steps"),
    "potential_steps": ([-1], "potential_steps"),
    "bias_steps": ([-1], "bias_steps"),
    "calibrated_on": ([0, -1], "calibrated_on"),
    "readout_delay": ([-1], "--readout-delay"),
    "reset": (["", "hard"], "--reset"),
    "v_threshold": ([0.0, -0.5, 1.5, NAN], "v_threshold"),
    "spike_values": ([0, 9], "--spike-values"),
    "burst": ([0, -1, 65], "--burst"),
    "later_readout": ([-1], "later_readout"),
    "start_spread": ([-0.1, 1.5, NAN], "start_spread"),
    "code": (["morse", "exact"], "--code"),
    "correction": ([0.5, 1.1, NAN], "correction"),
    "input_code": (["morse"], "--input"),
    "exact_levels": ([0, -3, 5000], "--levels"),
    "radix_bits": ([0, -2, 11], "--bits"),
    "look_ahead": ([-1, 65], "--look-ahead"),
    "input_low": ([1.0, 2.0, NAN, -math.inf], "input range"),
    "input_high": ([0.0, -1.0, NAN, math.inf], "input range"),
}
FREE = {"potential_per_neuron", "spread_on_trial", "primed", "signed", "recipe", "hybrid"}
"""Options of which every value of their type will do."""


def test_every_option_is_checked():
    assert set(WRONG) | FREE == {f.name for f in fields(ConvertConfig)}, "add the new option to this test"


@pytest.mark.parametrize(("option", "value"), [(o, v) for o, (values, _) in WRONG.items() for v in values])
def test_an_option_outside_its_range_is_refused_by_name(option, value):
    with pytest.raises(ConfigError) as caught:
        ConvertConfig(**{option: value})
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{WRONG[option][1]}: got ")
    assert str(value) in line
    assert "; expected " in line


def test_all_wrong_options_are_named_at_once():
    everything = {option: values[0] for option, (values, _) in WRONG.items() if option != "input_high"}
    with pytest.raises(ConfigError) as caught:
        ConvertConfig(**everything)
    named = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert sorted(named) == sorted({flag for _, flag in WRONG.values()})


@pytest.mark.parametrize(
    "options",
    [{}, {"tau_mem_ms": math.inf}, {"tau_syn_ms": 0.0}, {"percentile": 100.0}, {"percentile": 1e-3}, {"mse_steps": 1},
     {"potential_steps": 0}, {"input_low": -1.0}, {"neuron": "if"}, {"neuron": "lif"}, {"rule": "max"},
     {"rule": "percentile"}, {"input_code": "poisson"}, {"granularity": "layer"}, {"dt_ms": 0.1}],
    ids=str,
)  # fmt: skip
def test_what_lies_inside_its_range_is_taken_and_written_as_json(options):
    config = ConvertConfig(**options)
    record = json.loads(json.dumps(config.as_record(), allow_nan=False))
    assert record.pop("version") == 2
    assert record.keys() == {f.name for f in fields(config)}
    for name, value in record.items():
        kept = getattr(config, name)
        assert (float(value) if kept == math.inf else value) == kept
    assert all(record[name] == ("inf" if value == math.inf else value) for name, value in options.items())


@pytest.mark.parametrize(("neuron", "taus_s"), [("seed", (0.02, 0.002)), ("lif", (0.02, 0.0)), ("if", (math.inf, 0.0))])
def test_times_are_in_seconds_inside(neuron, taus_s):
    config = ConvertConfig(neuron=neuron, dt_ms=0.5)
    assert config.dt_s == 0.0005
    assert config.taus_s == pytest.approx(taus_s)


def test_a_config_is_frozen_and_a_value():
    assert ConvertConfig(rule="max") == ConvertConfig(rule="max") != ConvertConfig()
    with pytest.raises(FrozenInstanceError):
        ConvertConfig().rule = "max"


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "--neuron: got 'seed', expected if"), ({"neuron": "if", "input_code": "poisson"}, "--input: got 'poisson'"),
     ({"neuron": "if", "reset": "zero"}, "reset: got 'zero'"), ({"neuron": "if", "rule": "spike-norm"}, "--rule: got")],
)  # fmt: skip
def test_what_would_leak_from_the_differential_code_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        ConvertConfig(code="differential", **options).check_code()
    ConvertConfig(code="differential", neuron="if").check_code()
    ConvertConfig(**{**options, "code": "rate"}).check_code()
