"""Tables of constants row by row, units, and derived figures that follow from what they name."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import evaluate.energy
from evaluate.energy import (
    Constant,
    baselines_record,
    read_constants,
    thresholds,
)
from evaluate.energy.constants import EVIDENCE, MARKS, QUANTITIES, SCOPES, UNITS
from evaluate.energy.ops_horowitz import FORMATS
from evaluate.errors import ConstantsError

HERE = Path(evaluate.energy.__file__).parent
TABLES = ("processes.toml", "hardware.toml", "chips.toml", "biology.toml", "thresholds.toml")
ROWS = [(table, row) for table in TABLES for row in read_constants(HERE / table)]
PRICES = {"fp32": (0.9, 3.7), "fp16": (0.4, 1.1), "int32": (0.1, 3.1), "int8": (0.03, 0.2)}


def row(name: str, table: str = "hardware.toml") -> Constant:
    return next(constant for constant in read_constants(HERE / table) if constant.name == name)


# Tables


def test_no_table_is_forgotten() -> None:
    assert {path.name for path in HERE.glob("*.toml")} == set(TABLES)


@pytest.mark.parametrize(("table", "constant"), ROWS, ids=[f"{table}:{row.name}" for table, row in ROWS])
def test_every_row_can_be_judged(table: str, constant: Constant) -> None:
    assert len(constant.source) > 20, "a source that can be looked up"
    assert constant.unit_as_printed in UNITS and constant.quantity in QUANTITIES
    assert constant.scope in SCOPES and constant.evidence in EVIDENCE
    assert constant.mark in MARKS and constant.mark.upper() != "M"
    assert math.isfinite(constant.si_value) and constant.si_value > 0
    value = constant.value_as_printed
    assert (constant.low or value) <= value <= (constant.high or value)
    assert (constant.low is None) == (constant.high is None)
    assert constant.evidence != "derived" or constant.note, "how it was derived"


def test_no_figure_from_memory_is_a_possible_row() -> None:
    assert "memory" not in MARKS and "M" not in MARKS


GOOD = """
[[constant]]
name = "a"
quantity = "SynOp"
value_as_printed = 2.0
unit_as_printed = "pJ"
low = 1.0
high = 3.0
scope = "all-in"
evidence = "measured"
mark = "seen"
source = "somebody, somewhere, 2020"
"""


def test_a_good_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(GOOD)
    (constant,) = read_constants(tmp_path / "t.toml")
    assert constant.joules_per_op == pytest.approx(2e-12) and constant.low == 1.0


@pytest.mark.parametrize(
    "key", ["name", "quantity", "value_as_printed", "unit_as_printed", "scope", "evidence", "mark", "source"]
)
def test_a_missing_field_names_file_and_row(tmp_path: Path, key: str) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{key} =")]
    (tmp_path / "t.toml").write_text(GOOD.replace('"a"', '"first"') + "\n".join(lines))
    with pytest.raises(ConstantsError, match=rf"t\.toml: row 2 \((a|no name)\): {key} is missing"):
        read_constants(tmp_path / "t.toml")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('source = "somebody, somewhere, 2020"', 'source = ""', "source is missing"),
        ('"pJ"', '"pJ/op"', "unit_as_printed is 'pJ/op'"),
        ('"seen"', '"M"', "mark is 'M'"),
        ('"all-in"', '"total"', "scope is 'total'"),
        ('"measured"', '"rumour"', "evidence is 'rumour'"),
        ('"SynOp"', '"SOP"', "quantity is 'SOP'"),
        ("= 2.0", "= -2.0", "expected a positive number"),
        ("= 2.0", "= true", "expected a positive number"),
        ("= 2.0", "= nan", "expected a positive number"),
        ("= 2.0", '= "2.0"', "expected a positive number"),
        ("= 2.0", "= 4.0", "value 4.0 lies outside low 1.0 .. high 3.0"),
        ('name = "a"', "name = 3", "name is 3; expected text"),
        ("low = 1.0", "lowest = 1.0", "lowest is unknown"),
        ("[[constant]]", "[[other]]", r"no \[\[constant\]\]"),
        ("[[constant]]", "[[constant", "cannot be read"),
    ],
)
def test_a_bad_row_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    (tmp_path / "t.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(ConstantsError, match=rf"t\.toml: .*{complaint}"):
        read_constants(tmp_path / "t.toml")


def test_a_name_twice_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(GOOD + GOOD)
    with pytest.raises(ConstantsError, match="name 'a' is used twice"):
        read_constants(tmp_path / "t.toml")
    with pytest.raises(ConstantsError, match=r"none\.toml: cannot be read"):
        read_constants(tmp_path / "none.toml")


def test_all_offenders_are_collected(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(GOOD.replace('"pJ"', '"x"') + GOOD.replace('"seen"', '"y"'))
    with pytest.raises(ConstantsError, match=r"row 1 .*row 2"):
        read_constants(tmp_path / "t.toml")


@pytest.mark.parametrize(
    ("value", "unit", "joules"),
    [
        (26, "pJ", 26e-12),
        (23.6, "fJ", 23.6e-15),
        (13.3, "nJ", 13.3e-9),
        (0.6, "uJ", 0.6e-6),
        (3, "mJ", 3e-3),
        (1, "J", 1.0),
        (400, "GSOPS/W", 2.5e-12),
        (4e11, "SynOps/s/W", 2.5e-12),
        (3.9e11, "MAC/J", 2.564e-12),
    ],
)
def test_units_are_converted_in_code(value: float, unit: str, joules: float) -> None:
    constant = replace(ROWS[0][1], value_as_printed=value, unit_as_printed=unit)
    assert constant.joules_per_op == pytest.approx(joules, rel=1e-3)
    assert constant.ops_per_joule * constant.joules_per_op == pytest.approx(1)


@pytest.mark.parametrize(
    ("value", "unit", "si"), [(72, "mW", 0.072), (2600, "W", 2600.0), (1.7, "spikes/synapse", 1.7)]
)
def test_a_power_or_a_number_is_no_energy_per_operation(value: float, unit: str, si: float) -> None:
    constant = replace(ROWS[0][1], value_as_printed=value, unit_as_printed=unit)
    assert constant.si_value == pytest.approx(si)
    with pytest.raises(ConstantsError, match="expected joules per operation"):
        _ = constant.joules_per_op


# Published figures tie up


def test_a_mac_is_a_multiplication_and_an_addition() -> None:
    assert set(PRICES) == set(FORMATS)
    for name, (add, multiply) in PRICES.items():
        mac = row(f"horowitz2014-45nm-{name}-mac", "processes.toml")
        assert mac.value_as_printed == pytest.approx(add + multiply)
        assert row(f"horowitz2014-45nm-{name}-add", "processes.toml").value_as_printed == add
        assert row(f"horowitz2014-45nm-{name}-multiply", "processes.toml").value_as_printed == multiply


def test_derived_hardware_figures_follow_from_what_they_name() -> None:
    assert row("TrueNorth").ops_per_joule == pytest.approx(3.85e10, rel=1e-3)
    assert row("TrueNorth, peak").joules_per_op == pytest.approx(2.5e-12)
    assert row("Hala Point (1152 Loihi 2), bound").joules_per_op == pytest.approx(2600 / 380e12, rel=0.01)
    for name, watts, flop in (("A100 SXM, FP16", 400, 312e12), ("A100 SXM, INT8", 400, 624e12),
                              ("H100 SXM, FP16", 700, 989e12), ("H100 SXM, INT8", 700, 1979e12),
                              ("H100 SXM, FP32 vector", 700, 66.9e12)):  # fmt: skip
        assert row(name).joules_per_op == pytest.approx(watts / (flop / 2), rel=0.01)
        assert row(name).quantity == "MAC"


def test_derived_estimates_of_biology_follow_from_what_they_name() -> None:
    def bounds(name: str) -> tuple[float, float, float]:
        constant = row(name, "biology.toml")
        value = constant.value_as_printed
        return constant.low or value, value, constant.high or value

    arrivals = [3.36e9 * synapses for synapses in (7e3, 1e4)]
    cortex_w = 3.4e21 * 8.3e-20 / 60
    chains = {
        "lennie-release-20W": [0.25 * a / 20 for a in arrivals],
        "lennie-arrival-20W": [a / 20 for a in arrivals],
        "lennie-arrival-cortexATP": [a / cortex_w for a in arrivals],
        "vesicle-only": [1 / (1.64e5 * 8.3e-20), 1 / (1.64e5 * 5.1e-20)],
        "naive-low": [1e14 * 0.1 / 20],
        "naive-mid": [1e14 * 10 / 20],
        "naive-high": [1e15 * 10 / 20],
    }
    for name, chain in chains.items():
        low, value, high = bounds(name)
        assert (low, high) == pytest.approx((min(chain), max(chain)), rel=0.04), name
        assert low <= value <= high
    assert set(chains) | {"seed"} == {c.name for c in read_constants(HERE / "biology.toml")}


def test_the_seed_is_two_and_a_half_picojoules_and_no_measurement() -> None:
    seed = row("seed", "biology.toml")
    assert seed.joules_per_op == pytest.approx(2.5e-12) and seed.ops_per_joule == pytest.approx(4e11)
    assert seed.evidence == "seed" and "not a measured figure" in seed.note


# Baselines


def test_baselines_are_complete_json() -> None:
    record = baselines_record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    biology = record["biology"]
    assert biology["line"]["ops_per_joule"] == 4e11 and biology["line"]["evidence"] == "seed"
    assert biology["band"] == [3e11, 1e14] and biology["whiskers"] == [3e11, 5e14]
    for words in (
        "not a measured figure of biology",
        "TrueNorth",
        "only chain from the literature",
        "release probability",
    ):
        assert words in biology["footnote"]
    assert {row["ops_unit"] for row in record["hardware"]} == {"SynOps/s/W", "MAC/J"}
    for entry in (*record["hardware"], *biology["rows"]):
        assert entry["ops_per_joule"] * entry["joule_per_op"] == pytest.approx(1)
        assert (entry["quantity"] == "MAC") == (entry["ops_unit"] == "MAC/J")
        if entry["ops_per_joule_low"] is not None:
            assert entry["ops_per_joule_low"] <= entry["ops_per_joule"] * (1 + 1e-12)
            assert entry["ops_per_joule"] <= entry["ops_per_joule_high"] * (1 + 1e-12)


def test_the_band_is_spanned_by_its_rows() -> None:
    biology = baselines_record()["biology"]
    values = [
        v
        for r in biology["rows"]
        for v in (r["ops_per_joule_low"] or r["ops_per_joule"], r["ops_per_joule_high"] or r["ops_per_joule"])
    ]
    assert min(values) == pytest.approx(biology["band"][0], rel=0.05)
    assert max(values) == pytest.approx(biology["whiskers"][1], rel=0.05)


def test_thresholds_come_most_generous_first() -> None:
    assert [t.value_as_printed for t in thresholds()] == [1.72, 1.38, 0.285]
    assert row("Yan et al. 2026", "thresholds.toml").value_as_printed == pytest.approx(5 * 0.057)
