"""Every run is priced by several models, one with memory at least, and every constant leads to a row with a source."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evaluate.energy
from convert.recipes import recipe
from evaluate.counts import OpCount, Tensors
from evaluate.energy import (
    ChipAffine,
    DavidsonFurber2021,
    Lemaire2022,
    OpsHorowitz,
    Yan2024,
    break_even,
    judged,
    matched_bits,
    model_record,
)
from evaluate.energy.break_even import flip_in_words
from evaluate.energy.charges import table_of
from evaluate.errors import EvaluateError
from evaluate.job import perform
from evaluate.records import Run
from evaluate.request import Request

HERE = Path(evaluate.energy.__file__).parent
ENCODER = OpCount("fc1", "0", "encoder", ann_macs=1000, ann_macs_effective=900.0, encoder_macs=1000,
                  tensors=Tensors(50, 20, 1000, 20))  # fmt: skip
NEURONS = OpCount("relu", "1", "neuron", neurons=20, spikes=50.0, neuron_updates=320, adds_per_update=2,
                  multiplies_per_update=1, tensors=Tensors(outputs=20))  # fmt: skip
SPIKING = OpCount("fc2", "2", "spiking", ann_macs=50_000, ann_macs_effective=25_000.0, synops=12_000.0, arrivals=50.0,
                  tensors=Tensors(20, 2500, 50_000, 10))  # fmt: skip
TINY, T = (ENCODER, NEURONS, SPIKING), 16
WITH_ANN = (OpsHorowitz(bits=5), Lemaire2022(5), DavidsonFurber2021(), Yan2024(5))
NAMES = [model.name for model in WITH_ANN]


def run_of(name: str, **changes: Any) -> Run:
    config = recipe(name).config(**changes) if changes else recipe(name).config()
    return perform(Request("zoo:digits-relu", config, "digits", steps=(2, 4), limit=40, calibration_samples=100))[0]


@pytest.fixture(scope="module")
def rate_run() -> Run:
    return run_of("seed")


# What a run carries


def test_several_models_price_every_run_and_one_counts_memory(rate_run: Run) -> None:
    records = rate_run.assumptions["energy_models"]
    assert [record["name"] for record in records] == [*NAMES, "chip-affine TrueNorth", "chip-affine Loihi"]
    assert any(not record["counts_memory"] for record in records) and any(r["counts_memory"] for r in records)
    assert json.loads(json.dumps(records, allow_nan=False)) == records


@pytest.mark.parametrize("run", ["rate", "exact", "radix"])
def test_every_constant_of_a_run_is_a_row_with_a_source(run: str, rate_run: Run) -> None:
    found = rate_run if run == "rate" else run_of(run)
    tables = {path.name: tomllib.loads(path.read_text())["constant"] for path in HERE.glob("*.toml")}
    listed = {row["name"]: row for row in found.assumptions["energy_constants"]}
    used = {name for record in found.assumptions["energy_models"] for name in record["constants"]}
    assert used == set(listed) and len(used) > 15
    walked = [
        *listed.values(),
        *({**row, "table": table} for key, table in (("constants", "processes.toml"), ("thresholds", "thresholds.toml"))
          for row in found.assumptions["energy"][key]),
        *({**row, "table": "hardware.toml"} for row in found.assumptions["baselines"]["hardware"]),
        *({**row, "table": "biology.toml"} for row in found.assumptions["baselines"]["biology"]["rows"]),
    ]  # fmt: skip
    for row in walked:
        (printed,) = (each for each in tables[row["table"]] if each["name"] == row["name"])
        assert len(printed["source"]) > 20 and row["source"] == printed["source"]
        assert (row["value"], row["unit"]) == (printed["value_as_printed"], printed["unit_as_printed"])


def test_a_row_that_no_table_has_is_refused() -> None:
    assert table_of("Loihi") == "hardware.toml" and table_of("TrueNorth, static power") == "chips.toml"
    with pytest.raises(EvaluateError, match=r"nobody: no row of .*processes\.toml"):
        table_of("nobody")


def test_metrics_of_every_model_stand_beside_those_of_the_headline(rate_run: Run) -> None:
    for network in ("ann", "ann_sparse", "snn"):
        assert rate_run.metric(f"energy.ops-horowitz.{network}_j").value == rate_run.metric(f"energy.{network}_j").value
    for record in rate_run.assumptions["energy_models"]:
        slug = record["name"].lower().replace(" ", "-")
        for network, span in record["totals"].items():
            found = rate_run.metric(f"energy.{slug}.{network}_j")
            assert (found.value, found.low, found.high) == (span["value"], span["low"], span["high"])
            assert ("unverified" in found.note) == bool(record["unverified"])
            for bill, value in zip(record["terms"].values(), [span["value"]], strict=False):
                assert sum(bill[network].values()) == pytest.approx(value)


def test_efficiency_of_every_model_is_synops_over_its_joules(rate_run: Run) -> None:
    synops = rate_run.metric("synops.per_inference").value
    assert synops is not None
    for record in rate_run.assumptions["energy_models"]:
        whole, slope = (record["efficiency"][key]["value"] for key in ("all_terms", "marginal"))
        assert whole == pytest.approx(synops / record["totals"]["snn"]["value"]) and whole <= slope
    assert slope < 1 / 23.6e-12 == pytest.approx(4.237e10, rel=1e-3), "Loihi pays for the spike too"


def test_the_curve_has_joules_of_every_model_and_rho(rate_run: Run) -> None:
    for row in rate_run.curves["steps"]:
        assert row["energy_by_model_j"]["ops-horowitz"] == row["energy_snn_j"]
        assert len(row["energy_by_model_j"]) == 6 and row["rho"] > 0
    first, last = rate_run.curves["steps"][0], rate_run.curves["steps"][-1]
    assert all(first["energy_by_model_j"][name] < last["energy_by_model_j"][name] for name in NAMES)


def test_the_quantised_ann_has_the_bits_of_the_steps(rate_run: Run) -> None:
    lemaire = rate_run.assumptions["energy_models"][1]
    assert lemaire["quantised_bits"] == matched_bits(4) == 3
    assert "activations of 3 bits" in rate_run.metric("energy.lemaire2022.quantised_j").note


@pytest.mark.parametrize(("name", "why"), [("exact", "corrections until rest"), ("radix", "binary digit")])
def test_codes_that_are_no_rate_have_no_break_even(name: str, why: str) -> None:
    run = run_of(name)
    for record in run.assumptions["energy_models"]:
        assert record["break_even"] == {} and why in record["no_break_even"]
        assert not any(line.startswith("Break-even") for line in record["verdict"])
    energy = run.assumptions["energy"]
    assert energy["rho_break_even"] is None and any(f"No break-even: {energy['no_break_even']}" in line
                                                    for line in energy["verdict"])  # fmt: skip


def test_an_exact_network_is_held_against_the_bits_of_its_levels() -> None:
    bits = {r["quantised_bits"] for r in run_of("exact").assumptions["energy_models"] if r["quantised_bits"]}
    levels = recipe("exact").config().exact_levels
    assert bits == {matched_bits(levels)}


# Where the verdict flips


@pytest.mark.parametrize("baseline", ["ann", "ann_sparse", "quantised"])
@pytest.mark.parametrize("model", WITH_ANN, ids=NAMES)
def test_at_the_break_even_both_networks_cost_the_same(model: Any, baseline: str) -> None:
    found = break_even(model.price(TINY), baseline, T)
    if found is None:
        assert baseline == "quantised" and model.name == "davidson-furber2021"
        return
    for even, spiking, stepped in (
        (found.rho_even.value / found.rho, found.rho_even.value / found.rho, 1.0),
        (found.steps_even.value / T, found.steps_even.value / T, found.steps_even.value / T),
    ):
        if even <= 0:
            continue
        scaled = (
            ENCODER,
            replace(NEURONS, spikes=50 * spiking, neuron_updates=320 * stepped),  # type: ignore[arg-type]
            replace(SPIKING, synops=12_000 * spiking, arrivals=50 * spiking),
        )
        bill = model.price(scaled).nominal
        assert bill.snn_j == pytest.approx(getattr(bill, f"{baseline}_j"))


def test_break_even_of_davidson_and_furber_by_hand() -> None:
    found = break_even(DavidsonFurber2021().price(TINY), "ann", T)
    assert found is not None
    assert found.rho == pytest.approx(0.24) and found.rate == pytest.approx(0.24 / 16)
    assert found.rho_even.value == pytest.approx(12 / 7) and found.rate_even == pytest.approx(12 / 7 / 16)
    assert found.steps_even.value == pytest.approx(16 * 50_000 * 12 / (12_000 * 7))
    words = flip_in_words(DavidsonFurber2021(), found)
    assert "rho is 0.24, 0.015 per step, and the SNN wins" in words
    assert "below rho = 1.7" in words and "wins up to 114 steps" in words


def test_a_network_that_loses_is_told_what_would_turn_it() -> None:
    busy = (ENCODER, NEURONS, replace(SPIKING, synops=4.0 * 50_000))
    words = " ".join(judged(DavidsonFurber2021(), DavidsonFurber2021().price(busy), T))
    assert "loses against the ANN computed densely" in words and "the SNN does not win" in words
    assert "in 16 steps it wins below rho = 1.7" in words and "at this rate it wins up to 6 steps" in words
    slow = (replace(NEURONS, neuron_updates=10**7), SPIKING)
    words = " ".join(judged(OpsHorowitz(), OpsHorowitz().price(slow), T))
    assert "no rho is low enough" in words and "not even one step pays" in words


def test_silent_networks_and_chips_have_no_break_even() -> None:
    silent = (ENCODER, NEURONS, replace(SPIKING, synops=0.0, arrivals=0.0))
    assert break_even(OpsHorowitz().price(silent), "ann", T) is None
    assert break_even(ChipAffine().price(TINY), "ann", T) is None
    record = model_record(ChipAffine(), ChipAffine().price(TINY), T)
    assert record["break_even"] == {} and record["ratio"] == {} and set(record["totals"]) == {"snn"}
    words = " ".join(record["verdict"])
    assert "prices no ANN" in words and "costs nothing" not in words


@pytest.mark.parametrize("model", [*WITH_ANN[1:], ChipAffine("TrueNorth"), ChipAffine("Loihi")], ids=lambda m: m.name)
def test_what_is_second_hand_is_marked_unverified(model: Any) -> None:
    assert model.unverified
    assert f"*unverified*: {model.unverified}." in judged(model, model.price(TINY), T)
