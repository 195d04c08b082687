import hashlib

import pytest
import torch
from torch import nn

from convert.errors import UnsafeFileError
from convert.graph.semantics import run
from convert.reading.sources import identify
from convert.reading.torch_file import load_module
from convert.reading.tracing import trace
from tests.oracles.networks import NETWORKS, network, samples

PLAIN = [name for name in NETWORKS if name not in ("residual", "concat")]


def through_a_file(module, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(module, path)
    return load_module(identify(path))


@pytest.mark.parametrize("name", PLAIN)
def test_a_network_of_layers_comes_back_from_its_file(name, tmp_path):
    module, shape = network(name)
    read, x = through_a_file(module, tmp_path), samples(shape, 4)
    with torch.no_grad():
        assert torch.equal(read(x), module(x))
        torch.testing.assert_close(run(trace(read, shape).graph, x), module(x))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 4), (6,)), (nn.Linear(6, 4, bias=False), (6,)), (nn.Conv1d(2, 3, 3, padding="same"), (2, 6)),
        (nn.Conv2d(2, 4, 3, 2, 1, groups=2), (2, 6, 6)),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 6, 6)),
        (nn.BatchNorm1d(6), (6,)), (nn.BatchNorm2d(2), (2, 6, 6)), (nn.BatchNorm2d(2, affine=False), (2, 6, 6)),
        (nn.ReLU(inplace=True), (6,)), (nn.ReLU6(), (6,)), (nn.Hardtanh(-2, 2), (6,)), (nn.Tanh(), (6,)),
        (nn.AvgPool1d(2), (2, 6)), (nn.AvgPool2d(2, ceil_mode=True), (2, 5, 5)), (nn.AdaptiveAvgPool1d(2), (2, 6)),
        (nn.AdaptiveAvgPool2d((1, 2)), (2, 6, 6)), (nn.MaxPool1d(2), (2, 6)), (nn.MaxPool2d(3, 2, 1), (2, 6, 6)),
        (nn.Dropout(0.3), (6,)), (nn.Dropout2d(), (2, 6, 6)), (nn.Flatten(), (2, 3)), (nn.Unflatten(1, (2, 3)), (6,)),
        (nn.Identity(), (6,)), (nn.Sequential(nn.Sequential(nn.Linear(6, 6))), (6,)),
        # layers without a spiking counterpart are read all the same: tracing refuses them by name
        (nn.GELU(), (6,)), (nn.Sigmoid(), (6,)), (nn.LeakyReLU(), (6,)), (nn.LayerNorm(6), (6,)), (nn.Softmax(1), (6,)),
        (nn.GroupNorm(1, 2), (2, 6)), (nn.ConvTranspose2d(2, 3, 3), (2, 6, 6)), (nn.PReLU(), (6,)),
        (nn.Upsample(scale_factor=2), (2, 6, 6)), (nn.ZeroPad2d(1), (2, 6, 6)), (nn.ChannelShuffle(2), (2, 6, 6)),
    ],
    ids=str,
)  # fmt: skip
def test_a_layer_comes_back_from_its_file(layer, shape, tmp_path):
    module = nn.Sequential(layer, nn.ReLU()).eval()
    x = torch.randn((3, *shape), generator=torch.Generator().manual_seed(0))
    assert torch.equal(through_a_file(module, tmp_path)(x), module(x))


def test_what_is_read_is_ready_for_inference(tmp_path):
    module = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.ReLU()).double().train()
    read = through_a_file(module, tmp_path)
    assert not any(m.training for m in read.modules())
    assert not any(p.requires_grad for p in read.parameters())
    assert {p.dtype for p in read.parameters()} == {torch.float32}
    assert torch.equal(read(torch.ones(2, 6)), read(torch.ones(2, 6)))


def test_a_layer_used_twice_stays_one_layer(tmp_path):
    linear = nn.Linear(6, 6)
    read = through_a_file(nn.Sequential(linear, nn.ReLU(), linear), tmp_path)
    assert read[0] is read[2]


def test_plain_attributes_of_a_model_are_kept(tmp_path):
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    module.note, module.classes = "trained on Tuesday", ["a", "b"]
    read = through_a_file(module, tmp_path)
    assert (read.note, read.classes) == ("trained on Tuesday", ["a", "b"])


@pytest.mark.parametrize("name", ["residual", "concat"])
def test_a_class_of_the_user_s_own_is_refused_by_name_with_the_way_out(name, tmp_path):
    module, _ = network(name)
    with pytest.raises(UnsafeFileError) as caught:
        through_a_file(module, tmp_path)
    message = str(caught.value)
    assert f"{type(module).__module__}.{type(module).__name__}" in message
    assert "nn.Sequential" in message
    assert len(message.splitlines()) <= 4


def test_identify_tells_a_model_from_its_content_and_hashes_it(tmp_path):
    path = tmp_path / "holiday.jpg"
    torch.save(network("mlp")[0], path)
    source = identify(path)
    assert (source.kind, source.path) == ("torch-pickle", path)
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
