import pytest
import torch
from torch import nn

import zoo
from convert import ConvertConfig, convert, trace
from evaluate.operations import count_operations
from evaluate.runner import measure
from evaluate.statistics import wilson
from zoo.cards import DATA_LICENCES, NOT_RECORDED, accuracy_interval, card
from zoo.macs import macs

FACTS = (
    "data", "test split", "accuracy", "held out", "parameters", "MACs", "activation", "sample shape", "licence",
    "training", "recipe", "sha256",
)  # fmt: skip
OLDER = {
    "digits-relu", "digits-tanh", "fashion-cnn-relu", "fashion-cnn-tanh", "fashion-cnn-max", "fashion-resnet20",
    "fashion-vit",
}  # fmt: skip
"""Made before seconds and versions were recorded."""


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_has_a_complete_card(name):
    network = zoo.load(name)
    facts = card(network)
    assert tuple(facts) == FACTS
    assert all(facts.values())
    assert (NOT_RECORDED in facts["training"]) == (name in OLDER)
    assert DATA_LICENCES[network.data] in facts["licence"]
    assert facts["sha256"] == network.sha256


@pytest.mark.parametrize("name", zoo.names())
def test_the_interval_is_wilsons(name):
    network = zoo.load(name)
    expected = wilson(round(network.accuracy * network.samples), network.samples)
    assert accuracy_interval(network) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_what_was_held_out_stands_on_the_card_with_its_accuracy():
    network = zoo.load("digits-sigmoid")
    unseen = zoo.training.held_out("digits", network.training.hold_out)
    assert zoo.accuracy(network.module, unseen) == pytest.approx(network.training.held_out_accuracy)
    assert "347 samples" in card(network)["held out"]


MEAN_OF_TOKENS = 16 * 64
"""A comparison counts the mean as products, since it reads values and not spikes."""

COMPARED = [
    ("digits-tanh", 0),
    ("waveform-cnn-relu", 0),
    pytest.param("fashion-cnn-max", 0, marks=pytest.mark.slow),
    pytest.param("fashion-resnet20", 0, marks=pytest.mark.slow),
    pytest.param("fashion-vit", MEAN_OF_TOKENS, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "more"), COMPARED)
def test_macs_are_those_that_a_comparison_counts(name, more):
    network = zoo.load(name)
    x = torch.rand(4, *network.sample_shape)
    config = ConvertConfig(neuron="if", potential_steps=0, hybrid=name == "fashion-vit")
    conversion = convert(trace(network.module, network.sample_shape), x, config)
    found = measure(conversion, x, (1,))
    rows = count_operations(conversion, {k: v[-1] for k, v in found.spikes.items()}, found.nonzero, 1)
    assert macs(network.module, network.sample_shape) + more == sum(row.ann_macs for row in rows)


def test_products_at_borders_and_in_attention():
    one = nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2)
    assert macs(one, (2, 4, 4)) == 6 * (4 + 6 + 6 + 9)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    tokens = 5
    linear = tokens * 8 * (3 * 8 + 8 + 2 * 16)
    assert macs(encoder.eval(), (tokens, 8)) == linear + 2 * tokens * tokens * 8


def test_a_network_that_cannot_run_leaves_no_hook():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(99, 1))
    with pytest.raises(RuntimeError):
        macs(module, (1, 5, 5))
    assert not module[0]._forward_hooks
