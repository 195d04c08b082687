"""The networks that are measured."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import zoo
from evaluate.benchmarks.architectures import resnet18, vgg16
from evaluate.benchmarks.subjects import VGG, default_batch, open_subject, width_of, with_width
from evaluate.errors import BenchmarkError


def test_a_perceptron_has_the_layers_of_its_name() -> None:
    subject = open_subject("mlp-20-30-5-4", 3)
    shapes = [tuple(layer.weight.shape) for layer in subject.module if isinstance(layer, nn.Linear)]
    assert shapes == [(30, 20), (5, 30), (4, 5)]
    assert (subject.weights, subject.data) == ("random", "uniform noise")
    assert subject.x.shape == (3, 20) and subject.module(subject.x).shape == (3, 4)


def test_weights_come_from_the_seed_and_leave_torch_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, same, other = (open_subject("mlp-20-30-4", 2, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one.module[1].weight, same.module[1].weight) and torch.equal(one.x, same.x)
    assert not torch.equal(one.module[1].weight, other.module[1].weight)


def test_random_weights_are_those_of_he() -> None:
    weight = open_subject("mlp-800-1000-4", 1).module[1].weight
    assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / 800), rel=0.01)


def test_inputs_of_known_size_are_real_samples() -> None:
    subject = open_subject("mlp-64-8-4", 5)
    digits = zoo.open_dataset("digits")
    assert subject.data == "digits" and torch.equal(subject.x, digits.scored(5).x)


def test_thresholds_are_not_set_by_what_is_simulated() -> None:
    for name in ("digits-relu", "mlp-20-8-4"):
        subject = open_subject(name, 50)
        seen = {row.numpy().tobytes() for row in subject.calibration}
        assert not seen & {row.numpy().tobytes() for row in subject.x}


def test_vgg_is_as_deep_as_it_says_and_its_batch_norms_are_calibrated() -> None:
    subject = open_subject(VGG, 1)
    convolutions = [layer.out_channels for layer in subject.module if isinstance(layer, nn.Conv2d)]
    assert convolutions == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in subject.module)
    norms = [layer for layer in subject.module if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 13 and not any(torch.equal(n.running_mean, torch.zeros_like(n.running_mean)) for n in norms)
    assert not subject.module.training and subject.module(subject.x).shape == (1, 10)


def test_more_samples_than_there_are_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="--batch: got 451; expected at most 450, the test samples of digits"):
        open_subject("digits-relu", 451)


@pytest.mark.parametrize("name", ["", "mlp", "mlp-10", "mlp-10-4", "mlp-0-4-3", "mlp-x-4-3", "vgg16"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(BenchmarkError, match="--networks: got"):
        default_batch(name)


def test_widths() -> None:
    assert width_of("mlp-8-16-16-16-4") == 16 and width_of(VGG) is None
    assert with_width("mlp-8-16-32-4", 5) == "mlp-8-5-5-4"


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (resnet18, 11_689_512),  # as published, and as torchvision counts
        (lambda: vgg16(nn.MaxPool2d, (25088, 4096, 4096, 1000)), 138_365_992),
    ],
)
def test_networks_of_imagenet_have_their_size(make, parameters) -> None:
    with torch.device("meta"):
        network = make()
        assert sum(p.numel() for p in network.parameters()) == parameters
        assert network.eval()(torch.zeros(2, 3, 224, 224)).shape == (2, 1000)
