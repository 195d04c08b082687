"""The models beside ops-horowitz: prices by hand, thresholds of their papers, and every price from a cited row."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convert import ConvertConfig, convert, trace
from evaluate.counts import OpCount, Tensors
from evaluate.energy import (
    ChipAffine,
    DavidsonFurber2021,
    EnergyModel,
    Lemaire2022,
    OpsHorowitz,
    Yan2024,
    as_record,
    matched_bits,
)
from evaluate.energy.charges import rows
from evaluate.energy.lemaire2022 import access_j
from evaluate.errors import EvaluateError
from evaluate.operations import count_operations
from evaluate.runner import measure
from evaluate.tensors import tensors_of

NEURONS = OpCount("relu", "1", "neuron", neurons=10, spikes=50.0, neuron_updates=320, adds_per_update=2,
                  multiplies_per_update=1, tensors=Tensors(outputs=10))  # fmt: skip
SPIKING = OpCount("fc2", "2", "spiking", ann_macs=5000, ann_macs_effective=2500.0, synops=12_000.0, arrivals=24.0,
                  tensors=Tensors(10, 500, 5000, 500))  # fmt: skip
ENCODER = OpCount("fc1", "0", "encoder", ann_macs=1000, ann_macs_effective=900.0, encoder_macs=1000,
                  tensors=Tensors(100, 10, 1000, 10))  # fmt: skip
TINY = (ENCODER, NEURONS, SPIKING)
MODELS: tuple[EnergyModel, ...] = (
    OpsHorowitz(bits=4), Lemaire2022(4), DavidsonFurber2021(), Yan2024(4),
    ChipAffine("TrueNorth", 0.032), ChipAffine("Loihi", 0.032),
)  # fmt: skip
NAMES = [model.name for model in MODELS]


def test_davidson_and_furber_break_even_at_twelve_sevenths() -> None:
    bill = DavidsonFurber2021().price((SPIKING,)).nominal
    assert bill.rho_break_even == pytest.approx(12 / 7)
    assert (bill.ann_j, bill.snn_j) == pytest.approx((5000 * 720e-15, 12_000 * 420e-15))
    table = rows()
    assert table["davidson-furber2021-22nm-mac"].low == pytest.approx(12 * 293 / 5, rel=1e-3)
    assert table["davidson-furber2021-22nm-synop"].low == pytest.approx(7 * 293 / 5, rel=1e-3)


def test_truenorth_is_static_power_and_slope() -> None:
    breakdown = ChipAffine("TrueNorth", 0.032).price(TINY)
    assert breakdown.nominal.snn == pytest.approx({"static power": 64.4e-3 * 0.032, "accumulates": 12_000 * 2.3e-12})
    assert breakdown.energy("snn").low == pytest.approx(12_000 * 2.5e-12)
    slower = ChipAffine("TrueNorth", 0.064).price(TINY)
    assert slower.nominal.snn_j > 1.99 * breakdown.nominal.snn_j, "more steps cost static energy"


def test_loihi_pays_active_and_inactive_updates() -> None:
    breakdown = ChipAffine("Loihi", 0.032).price(TINY)
    assert breakdown.nominal.snn == pytest.approx(
        {"accumulates": 12_000 * 23.6e-12, "neuron updates": (50 * 81 + 270 * 52) * 1e-12, "spikes": 50 * 1.7e-12}
    )
    low, high = (12_000 * 23.6 + 320 * each + 85 for each in (52, 81))
    assert (breakdown.energy("snn").low, breakdown.energy("snn").high) == pytest.approx((low * 1e-12, high * 1e-12))


def test_no_ann_runs_on_a_chip() -> None:
    for chip in ("TrueNorth", "Loihi"):
        breakdown = ChipAffine(chip).price(TINY)
        assert breakdown.ratio("ann") is None and breakdown.nominal.rho_break_even is None
        assert any("prices no ANN" in line for line in as_record(ChipAffine(chip), breakdown)["verdict"])


def test_memory_is_piecewise_linear_in_its_size() -> None:
    kilobyte = 256
    found = [access_j(n * kilobyte) * 1e12 for n in (0, 4, 8, 20, 32, 1024, 4096)]
    assert found == pytest.approx([0, 5, 10, 15, 20, 100, 100])


def test_lemaire_by_hand() -> None:
    bill = Lemaire2022(4).price((NEURONS, SPIKING)).nominal
    read_in, read_v, read_w, read_u = (access_j(n) * 1e12 for n in (10, 500, 5000, 10))
    assert 1e12 * bill.snn_j == pytest.approx(
        (12_000 + 50) * 0.1 + 320 * (2 * 0.1 + 3.1)
        + 24 * read_in + 12_000 * (read_w + 2 * read_v) + 50 * read_u + 2 * 320 * read_u
        + 12_000 * 0.1
    )  # fmt: skip
    assert 1e12 * bill.ann_j == pytest.approx(
        5000 * (3.2 + read_in + read_w) + 500 * (read_w + read_v + 0.1) + (10 + 500) * 0.1
    )


def test_a_convolution_pays_for_addresses_of_spikes() -> None:
    conv = replace(SPIKING, tensors=replace(SPIKING.tensors, kernel=90))
    terms = [Lemaire2022(4).price((c,)).nominal.snn["addressing"] * 1e12 for c in (SPIKING, conv)]
    assert terms == pytest.approx([1200, 1200 + 2 * 24 * 3.2])


def test_yan_by_hand() -> None:
    bill = Yan2024(4).price((NEURONS, SPIKING)).nominal
    bit = 20 / 64
    assert 1e12 * bill.quantised_j == pytest.approx(5000 * (4 * 0.03 + 8 * bit) + 510 * 4 * bit)
    assert 1e12 * bill.snn_j == pytest.approx(
        12_000 * (0.03 + 8 * bit) + 24 * 4 * bit + 320 * (2 * 0.03 + 0.2 + 64 * bit)
    )


@given(st.integers(1, 5000))
def test_bits_match_the_counts_of_so_many_steps(steps: int) -> None:
    assert matched_bits(steps) == math.ceil(math.log2(steps + 1))


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_break_even_separates_winners_from_losers(model: EnergyModel) -> None:
    bill = model.price(TINY).nominal
    if bill.rho_break_even_all_terms is None:
        assert not bill.ann
        return
    for side in (0.99, 1.01):
        scale = side * bill.rho_break_even_all_terms / (12_000 / 5000)
        scaled = (
            ENCODER, replace(NEURONS, spikes=50 * scale),
            replace(SPIKING, synops=12_000 * scale, arrivals=24 * scale),
        )  # fmt: skip
        found = model.price(scaled).nominal
        assert (found.snn_j < found.ann_j) == (side < 1)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_an_inference_costs_something_within_its_range_and_says_what_is_left_out(model: EnergyModel) -> None:
    breakdown = model.price(TINY)
    span = breakdown.energy("snn")
    assert 0 < span.low <= span.value <= span.high
    assert len(breakdown.bills) > 1 and model.low_high_meaning
    assert model.unpriced and model.formula and model.scope and len(model.citation) > 20
    assert breakdown.nominal.spike_terms <= breakdown.nominal.snn.keys()
    assert model.price(()).energy("ann").value == 0


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_price_is_a_row_with_a_source(model: EnergyModel) -> None:
    table = rows()
    assert model.constants
    for constant in model.constants:
        assert table[constant.name] == constant and len(constant.source) > 20


def test_a_quantised_network_of_few_bits_costs_less_than_the_dense_one() -> None:
    for model in (OpsHorowitz(bits=3), Lemaire2022(3), Yan2024(3)):
        bill = model.price(TINY).nominal
        assert 0 < bill.quantised_j < bill.ann_j, model.name
    assert OpsHorowitz().price(TINY).nominal.quantised is None


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_an_encoder_computed_in_no_step_is_refused(model: EnergyModel) -> None:
    with pytest.raises(EvaluateError, match=f"{model.name.split()[0]}.*encoder_repeats is 0"):
        model.price(TINY, encoder_repeats=0)


def test_arguments_that_mean_nothing_are_refused() -> None:
    with pytest.raises(EvaluateError, match="chip is 'Abacus'; expected one of TrueNorth, Loihi"):
        ChipAffine("Abacus")
    with pytest.raises(EvaluateError, match="expected seconds above 0"):
        ChipAffine("Loihi", 0.0)
    for model in (Lemaire2022, Yan2024):
        with pytest.raises(EvaluateError, match="bits is 0"):
            model(0)


def test_tensors_and_arrivals_are_those_of_the_network() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 4, 3), nn.ReLU()).eval()
    x = torch.rand((4, 1, 6, 6), generator=torch.Generator().manual_seed(1))
    conversion = convert(trace(network, (1, 6, 6)), x, ConvertConfig(neuron="if"))
    measured = measure(conversion, x, (6,))
    counts = count_operations(conversion, {k: v[-1] for k, v in measured.spikes.items()}, measured.nonzero, 6)
    second = next(c for c in counts if c.role == "spiking")
    assert second.tensors == Tensors(inputs=72, outputs=64, weights=72, biases=4, kernel=36)
    assert second.arrivals == pytest.approx(next(c for c in counts if c.role == "neuron").spikes)
    for count in counts:
        assert count.tensors == tensors_of(conversion.snn.graph[count.node], conversion.snn.graph)
