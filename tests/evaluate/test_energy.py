"""Tables of constants row by row, prices by hand, verdicts that say who loses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evaluate.energy
from evaluate.energy import (
    Breakdown,
    Constant,
    EnergyModel,
    OpsHorowitz,
    as_record,
    baselines_record,
    joules_in_words,
    read_constants,
    rounded,
    thresholds,
    verdict,
)
from evaluate.energy.constants import EVIDENCE, MARKS, QUANTITIES, SCOPES, UNITS
from evaluate.energy.ops_horowitz import FORMATS
from evaluate.errors import ConstantsError, EvaluateError
from evaluate.operations import OpCount

HERE = Path(evaluate.energy.__file__).parent
TABLES = ("processes.toml", "hardware.toml", "chips.toml", "biology.toml", "thresholds.toml")
ROWS = [(table, row) for table in TABLES for row in read_constants(HERE / table)]
PRICES = {"fp32": (0.9, 3.7), "fp16": (0.4, 1.1), "int32": (0.1, 3.1), "int8": (0.03, 0.2)}

ENCODER = OpCount("fc1", "0", "encoder", ann_macs=1000, ann_macs_effective=900.0, encoder_macs=1000)
NEURONS = OpCount(
    "relu",
    "1",
    "neuron",
    neurons=10,
    spikes=50.0,
    neuron_updates=320,
    adds_per_update=2,
    multiplies_per_update=1,
)
SPIKING = OpCount("fc2", "2", "spiking", ann_macs=5000, ann_macs_effective=2500.0, synops=12_000.0)
TINY = (ENCODER, NEURONS, SPIKING)


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


# Prices


def by_hand(add: float, multiply: float) -> tuple[float, float, float]:
    """ANN, sparse ANN and SNN of `TINY` in pJ."""
    mac = add + multiply
    return 6000 * mac, 3400 * mac, 12_000 * add + 1000 * mac + 320 * (2 * add + multiply)


@pytest.mark.parametrize("number_format", FORMATS)
def test_a_tiny_network_priced_by_hand(number_format: str) -> None:
    bill = OpsHorowitz(number_format).price(TINY).nominal
    assert bill.prices == number_format
    found = (bill.ann_j, bill.ann_sparse_j, bill.snn_j)
    assert found == pytest.approx([1e-12 * pj for pj in by_hand(*PRICES[number_format])])


def test_terms_in_fp32() -> None:
    bill = OpsHorowitz().price(TINY).nominal
    assert bill.ann == pytest.approx({"MACs": 27_600e-12})
    assert bill.ann_sparse == pytest.approx({"MACs": 15_640e-12})
    assert bill.snn == pytest.approx({"accumulates": 10_800e-12, "encoder MACs": 4600e-12, "neuron updates": 1760e-12})


def test_ranges_swap_price_lists_and_never_mix_them() -> None:
    breakdown = OpsHorowitz().price(TINY)
    hand = {name: by_hand(*prices) for name, prices in PRICES.items()}
    ratio, ratios = breakdown.ratio(), [snn / ann for ann, _, snn in hand.values()]
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx(
        (hand["fp32"][2] / hand["fp32"][0], min(ratios), max(ratios))
    )
    energy = breakdown.energy("snn")
    assert (energy.low, energy.high) == pytest.approx((1e-12 * hand["int8"][2], 1e-12 * hand["fp32"][2]))
    assert [bill.prices for bill in OpsHorowitz("int8").price(TINY).bills] == [
        "int8",
        "fp32",
        "fp16",
        "int32",
    ]


def test_rho_is_over_spiking_layers_alone() -> None:
    pool = OpCount("pool", "3", "linear", ann_macs=0, synops=600.0)
    breakdown = OpsHorowitz().price((*TINY, pool))
    assert breakdown.rho == pytest.approx(12_000 / 5000)
    assert breakdown.synops == 12_600
    assert breakdown.nominal.snn["accumulates"] == pytest.approx(12_600 * 0.9e-12)


@pytest.mark.parametrize(
    ("number_format", "expected"), [("fp32", 4.6 / 0.9), ("fp16", 3.75), ("int32", 32), ("int8", 7.67)]
)
def test_break_even_without_other_terms(number_format: str, expected: float) -> None:
    assert OpsHorowitz(number_format).price(TINY).nominal.rho_break_even == pytest.approx(expected, rel=1e-3)


@given(st.floats(0, 20))
def test_break_even_with_all_terms_separates_winners_from_losers(rho: float) -> None:
    breakdown = OpsHorowitz().price((ENCODER, NEURONS, replace(SPIKING, synops=rho * 5000)))
    bill = breakdown.nominal
    assert bill.rho_break_even_all_terms is not None
    if abs(rho - bill.rho_break_even_all_terms) > 1e-9:
        assert (bill.snn_j < bill.ann_j) == (rho < bill.rho_break_even_all_terms)
    # The encoder costs the same in both networks, so that only the updates lower the point.
    assert bill.rho_break_even_all_terms == pytest.approx(4.6 / 0.9 - 1760 / (5000 * 0.9))


def test_an_encoder_that_is_not_cached_is_paid_at_every_step() -> None:
    cached, repeated = OpsHorowitz().price(TINY), OpsHorowitz().price(TINY, encoder_repeats=32)
    assert repeated.nominal.snn["encoder MACs"] == pytest.approx(32 * cached.nominal.snn["encoder MACs"])
    assert repeated.nominal.ann == cached.nominal.ann
    with pytest.raises(EvaluateError, match="encoder_repeats is 0"):
        OpsHorowitz().price(TINY, encoder_repeats=0)


def test_efficiency_is_synops_over_all_joules_of_the_snn() -> None:
    breakdown = OpsHorowitz().price(TINY)
    efficiency, marginal = breakdown.efficiency(), breakdown.marginal_efficiency()
    assert efficiency is not None and marginal is not None
    assert efficiency.value == pytest.approx(12_000 / 17_160e-12)
    assert marginal.value == pytest.approx(1 / 0.9e-12), "a constant of the price list"
    assert efficiency.value < marginal.value


MEANS = st.integers(0, 10**9).map(lambda total: total / 64)
"""Means over 64 samples."""
COUNTS = st.builds(
    OpCount,
    node=st.just("n"),
    place=st.just("p"),
    role=st.sampled_from(["encoder", "spiking", "neuron", "linear"]),
    ann_macs=st.integers(0, 10**9),
    ann_macs_effective=MEANS,
    encoder_macs=st.integers(0, 10**9),
    synops=MEANS,
    neuron_updates=st.integers(0, 10**9),
    adds_per_update=st.integers(0, 5),
    multiplies_per_update=st.integers(0, 5),
)


@given(st.lists(COUNTS, max_size=6), st.sampled_from(FORMATS))
def test_doubling_all_counts_doubles_all_joules(counts: list[OpCount], number_format: str) -> None:
    def twice(c: OpCount) -> OpCount:
        doubled: dict[str, Any] = {
            key: 2 * getattr(c, key)
            for key in ("ann_macs", "ann_macs_effective", "encoder_macs", "synops", "neuron_updates")
        }
        return replace(c, **doubled)

    model = OpsHorowitz(number_format)
    once, doubled = model.price(counts), model.price([twice(c) for c in counts])
    for a, b in zip(once.bills, doubled.bills, strict=True):
        for network in ("ann", "ann_sparse", "snn"):
            for term, joules in getattr(a, network).items():
                assert getattr(b, network)[term] == pytest.approx(2 * joules)
    assert doubled.rho == (None if once.rho is None else pytest.approx(once.rho))
    verdict(model, once)
    json.dumps(as_record(model, once), allow_nan=False)


def test_another_number_format_is_refused() -> None:
    with pytest.raises(EvaluateError, match="number format is 'bf16'; expected one of fp32, fp16, int32, int8"):
        OpsHorowitz("bf16")


# Words


def judged(rho: float, counts: tuple[OpCount, ...] = (SPIKING,)) -> str:
    spiking = [replace(c, synops=rho * c.ann_macs) if c.role == "spiking" else c for c in counts]
    return "\n".join(verdict(OpsHorowitz(), OpsHorowitz().price(spiking)))


def test_a_network_that_loses_everywhere_is_told_so() -> None:
    words = judged(8.0)
    assert "the SNN loses against the ANN computed densely: 36 nJ against 23 nJ" in words
    assert "loses by every published threshold" in words and "no saving of energy is to be claimed" in words


def test_winning_on_arithmetic_is_not_winning_with_memory() -> None:
    words = judged(2.4)
    assert "the SNN wins against the ANN computed densely" in words
    assert "the model most favourable to the spiking network" in words
    for name, figure in (
        ("Davidson & Furber 2021", "1.72"),
        ("Dampfhoffer et al. 2023", "0.15 to 1.38"),
        ("Yan et al. 2026", "0.285"),
    ):
        assert f"rho = 2.4 does not meet the threshold {figure} of {name}" in words
    assert "figure quoted second-hand" in words
    assert "no saving of energy is to be claimed" in words


def test_between_the_thresholds_nothing_is_established() -> None:
    words = judged(0.5)
    assert "meets the threshold 1.72" in words and "does not meet the threshold 0.285" in words
    assert "meets only the generous end of the threshold 0.15 to 1.38" in words
    assert "a saving of energy is not established" in words


def test_below_all_thresholds_it_can_win() -> None:
    assert "can win by every published threshold listed" in judged(0.1)


def test_the_order_over_price_lists_is_told() -> None:
    assert "The order is the same at all price lists" in judged(0.1)
    words = judged(8.0)
    assert "the SNN is cheaper than the dense ANN at int32 and not cheaper at fp32, fp16, int8" in words


def test_updates_that_cost_more_than_the_ann_leave_no_break_even() -> None:
    busy = replace(NEURONS, neuron_updates=10**6)
    assert "with them there is none" in judged(0.1, (SPIKING, busy))


def test_a_network_without_spiking_layers_has_no_rho() -> None:
    words = "\n".join(verdict(OpsHorowitz(), OpsHorowitz().price((ENCODER,))))
    assert "is undefined" in words and "threshold" not in words
    assert "ties" in words


def test_nothing_costs_nothing() -> None:
    breakdown = OpsHorowitz().price(())
    assert breakdown.ratio() is None and breakdown.efficiency() is None and breakdown.rho is None
    assert "costs nothing: no ratio" in " ".join(verdict(OpsHorowitz(), breakdown))


@pytest.mark.parametrize(
    ("joules", "number", "words"),
    [
        (17.6, 18.0, "18 J"),
        (2.06e-3, 2.1e-3, "2.1 mJ"),
        (1.2345e-6, 1.2e-6, "1.2 uJ"),
        (9.96e-10, 1.0e-9, "1 nJ"),
        (1.23e-10, 1.2e-10, "120 pJ"),
        (3.46e-12, 3.5e-12, "3.5 pJ"),
        (2.1e-15, 2.1e-15, "2.1 fJ"),
        (0.0, 0.0, "0 fJ"),
    ],
)
def test_joules_are_shown_with_two_digits(joules: float, number: float, words: str) -> None:
    assert rounded(joules) == pytest.approx(number)
    assert joules_in_words(joules) == words


# Records


def test_the_record_of_a_run_is_complete_json() -> None:
    model: EnergyModel = OpsHorowitz()
    record = as_record(model, model.price(TINY))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["name"] == "ops-horowitz" and record["version"] and "ISSCC 2014" in record["citation"]
    assert set(record["terms"]) == {"ann", "ann_sparse", "snn"} and record["terms_unit"] == "J"
    assert record["rho"] == pytest.approx(2.4) and record["rho_break_even"] == pytest.approx(4.6 / 0.9)
    assert record["efficiency"]["joule_per_synop"] == pytest.approx(17_160e-12 / 12_000)
    assert len(record["constants"]) == 3 * len(FORMATS)
    assert all(c["source"] and c["unit"] == "pJ" and c["value"] > 0 for c in record["constants"])
    assert any("membrane potentials" in term for term in record["unpriced"])
    assert record["verdict"] and "fp16" in record["low_high_meaning"]


def test_totals_of_the_record_are_the_sums_of_its_terms() -> None:
    record = as_record(OpsHorowitz(), OpsHorowitz().price(TINY))
    for network, terms in record["terms"].items():
        assert record["totals"][network]["value"] == pytest.approx(sum(terms.values()))


def test_a_model_of_ones_own_needs_no_registration() -> None:
    class Free:
        name, version, citation, scope, formula = "free", "1", "nobody", "nothing", "0"
        low_high_meaning, unpriced, constants, counts_memory = "none", ("everything",), (), False
        unverified = ""

        def price(self, counts: Any, *, encoder_repeats: int = 1) -> Breakdown:
            return OpsHorowitz().price(counts, encoder_repeats=encoder_repeats)

    model: EnergyModel = Free()
    assert as_record(model, model.price(TINY))["name"] == "free"


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
