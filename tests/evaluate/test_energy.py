"""Prices by hand, verdicts that say who loses, records that are complete."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.counts import OpCount
from evaluate.energy import (
    Breakdown,
    EnergyModel,
    OpsHorowitz,
    as_record,
    joules_in_words,
    rounded,
    verdict,
)
from evaluate.energy.ops_horowitz import FORMATS
from evaluate.errors import EvaluateError

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
