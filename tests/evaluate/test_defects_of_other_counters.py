"""What published counters get wrong, as tests of ours; each is named after the tool and its defect.

The figures are those that the tools gave for these inputs: NeuroBench 2.3.0 (run), syops 0.0.5, SpikingJelly afb1322,
keras-spiking b28875a, snn_toolbox 0255f75, sinabs 904eb89, norse pull requests 443 and 444.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convert import ConvertConfig, convert, trace
from evaluate.counts import OpCount, Tensors
from evaluate.energy import CHIPS, ChipAffine, Lemaire2022, OpsHorowitz
from evaluate.energy.charges import rows
from evaluate.operations import count_operations
from evaluate.runner import measure


class Own(nn.Conv2d):
    """A subclass."""


class Downsampling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.main = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 4, 3, 2, 1)
        self.down = nn.Conv2d(2, 4, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return torch.relu(self.main(x) + self.down(x)).flatten(1)


def counts(layer: nn.Module, spikes: torch.Tensor, *pool: nn.Module, **options: object) -> dict[str, OpCount]:
    """Counts of `layer` where the neurons in front of it have fired `spikes`, of shape (1, 4, 4)."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, spikes.shape[0], 1), nn.ReLU(), *pool, layer, nn.ReLU()).eval()
    conversion = convert(trace(network, (1, 4, 4)), None, ConvertConfig(neuron="if", **options))
    fired = {name: torch.zeros(conversion.snn.graph[name].shape) for name in conversion.snn.sites}
    fired["relu"] = spikes
    return {row.node: row for row in count_operations(conversion, fired, {}, 4)}


def conv(**options: object) -> nn.Conv2d:
    return nn.Conv2d(1, 1, 3, **{"padding": 1, "bias": False, **options})


def spikes(corner: float = 1.0, rest: float = 0.0) -> torch.Tensor:
    pattern = torch.full((1, 4, 4), rest, dtype=torch.float64)
    pattern[0, 0, 0] = corner
    return pattern


def test_neurobench_one_graded_value_in_a_batch_turns_every_addition_into_a_mac() -> None:
    """104 ACs of a batch of two became 104 MACs: one value was 0.5. Our roles do not look at values."""
    first, second = (counts(conv(), each, spike_values=2, signed=True)["conv2d_1"] for each in (spikes(1, 1), spikes()))
    assert (first.synops, second.synops) == (100, 4)
    assert first.role == second.role == "spiking" and first.encoder_macs == second.encoder_macs == 0


def test_neurobench_an_analog_input_of_ones_counts_as_spikes() -> None:
    conversion = convert(trace(nn.Sequential(conv(), nn.ReLU()), (1, 4, 4)), None, ConvertConfig(neuron="if"))
    for x in (torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)):
        found = measure(conversion, x, (3,))
        row = count_operations(conversion, {k: v[-1] for k, v in found.spikes.items()}, found.nonzero, 3)[0]
        assert (row.role, row.encoder_macs, row.encoder_macs_recomputed, row.synops) == ("encoder", 100, 300, 0)


def test_neurobench_a_burst_of_two_is_a_mac() -> None:
    row = counts(conv(), spikes(2), burst=3)["conv2d_1"]
    assert (row.synops, row.encoder_macs) == (8, 0)


def test_neurobench_per_forward_or_per_sample() -> None:
    """Ours is the mean over samples, whatever the batch."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), conv(), nn.ReLU())
    conversion = convert(trace(network, (1, 4, 4)), None, ConvertConfig(neuron="if"))
    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def synops(part: torch.Tensor) -> float:
        found = measure(conversion, part, (5,))
        last = {k: v[-1] for k, v in found.spikes.items()}
        return sum(row.synops for row in count_operations(conversion, last, found.nonzero, 5))

    assert synops(x) == pytest.approx(sum(synops(x[i : i + 1]) for i in range(4)) / 4)


def test_syops_a_spike_in_the_corner_is_charged_nine_synapses() -> None:
    assert counts(conv(), spikes())["conv2d_1"].synops == 4


def test_syops_an_analog_value_between_zero_and_one_counts_as_a_rate() -> None:
    """{0, 0.25} was called spiking at a rate of 0.125, a constant 0.5 spiking at 50 %."""
    conversion = convert(trace(nn.Sequential(conv(), nn.ReLU()), (1, 4, 4)), None, ConvertConfig(neuron="if"))
    for x in (torch.tensor([0, 0.25]).repeat(8).reshape(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.5)):
        found = measure(conversion, x, (2,))
        row = count_operations(conversion, {k: v[-1] for k, v in found.spikes.items()}, found.nonzero, 2)[0]
        assert (row.encoder_macs, row.synops) == (100, 0)


def test_syops_biases_are_counted_among_the_synapses() -> None:
    plain, biased = (counts(conv(bias=b), spikes(1, 1))["conv2d_1"] for b in (False, True))
    assert plain.synops == biased.synops == 100 and plain.ann_macs == biased.ann_macs


def test_syops_a_subclass_is_a_layer_without_operations() -> None:
    assert counts(Own(1, 1, 3, padding=1), spikes())["conv2d_1"].synops == 4


def test_spikingjelly_macs_of_the_ann_include_padding_where_those_of_the_snn_do_not() -> None:
    """144 against 100 for a kernel of 3 on 4 x 4: a ratio of equals was 0.69."""
    row = counts(conv(), spikes(1, 1))["conv2d_1"]
    assert row.ann_macs == row.synops == 100


def test_spikingjelly_additions_are_charged_twice() -> None:
    """12 SynOps gave 2.4 pJ at 0.1 pJ."""
    row = OpCount("fc", "0", "spiking", ann_macs=12, synops=12.0, arrivals=4.0, tensors=Tensors(4, 3, 12, 0))
    assert Lemaire2022(4).price((row,)).nominal.snn["accumulates"] == pytest.approx(1.2e-12)


def test_keras_spiking_an_analog_first_layer_costs_next_to_nothing() -> None:
    """It was taken as a rate in Hz. Ours costs its MACs, however small the values, as a part of the SNN's energy."""
    row = counts(conv(), spikes())["conv2d"]
    assert row.encoder_macs == 16
    assert OpsHorowitz().price((row,)).nominal.snn["encoder MACs"] == pytest.approx(16 * 4.6e-12)


def test_snn_toolbox_two_operations_for_a_mac_against_one_for_a_spike() -> None:
    table = rows()
    for form in ("fp32", "int8"):
        add, multiply, mac = (
            table[f"horowitz2014-45nm-{form}-{op}"].joules_per_op for op in ("add", "multiply", "mac")
        )
        assert mac == pytest.approx(add + multiply)
        row = OpCount("fc", "0", "spiking", ann_macs=1, synops=1.0)
        bill = OpsHorowitz(form).price((row,)).nominal
        assert (bill.ann_j, bill.snn_j) == pytest.approx((mac, add))


def test_snn_toolbox_the_fan_in_of_a_depthwise_layer_is_all_channels() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1, groups=3)
    assert counts(layer, torch.ones(3, 4, 4, dtype=torch.float64))["conv2d_1"].ann_macs == 3 * 100


def test_sinabs_average_pooling_needs_kernel_and_stride_alike() -> None:
    """A spike goes to every window that it lies in: here 1, 2, 2, 1 along each axis, to one weight each."""
    row = counts(nn.Conv2d(1, 1, 1), spikes(1, 1), nn.AvgPool2d(2, 1))["conv2d_1"]
    assert row.synops == 36


def test_norse_neither_stride_nor_border() -> None:
    """spikes x channels x kernel gave 9 for each; of a stride of 2 a spike meets at most four outputs."""
    found = [counts(conv(stride=2), spikes(*each))["conv2d_1"].synops for each in ((1, 0), (1, 1))]
    assert found == [1, 25]


def test_spikssd_the_macs_of_the_first_layer_are_missing() -> None:
    bill = OpsHorowitz().price(tuple(counts(conv(), spikes()).values())).nominal
    assert bill.snn["encoder MACs"] > 0 and bill.snn_j > bill.snn["encoder MACs"]


def test_spikeyolo_convolutions_that_downsample_are_unpriced() -> None:
    torch.manual_seed(0)
    conversion = convert(trace(Downsampling().eval(), (1, 4, 4)), None, ConvertConfig(neuron="if"))
    fired = {name: torch.ones(conversion.snn.graph[name].shape) for name in conversion.snn.sites}
    found = {row.place: row for row in count_operations(conversion, fired, {}, 4)}
    assert (found["down"].synops, found["down"].ann_macs) == (2 * 4 * 4, 2 * 4 * 4)


def test_loihi_2_dynamic_energy_below_zero() -> None:
    """A difference of two readings was -0.36 mJ of 16.3 mJ; ours are sums, and the total is what is printed."""
    table = tuple(counts(conv(), spikes()).values())
    for chip in CHIPS:
        bills = ChipAffine(chip, 4e-3).price(table).bills
        assert all(joules >= 0 for bill in bills for joules in bill.snn.values())
