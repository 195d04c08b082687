"""Every format that the zoo writes is read back by the main job, with the same spikes."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo
from convert import ConvertConfig, convert, simulate, trace
from convert.reading.hints import Hints
from convert.reading.models import open_model
from zoo.errors import ExportError
from zoo.exporting import FORMATS, export, format_of, reading_hint

ROOT = Path(zoo.__file__).parents[1]
NEEDS = {"onnx": ("onnx", "onnxscript"), "skops": ("skops",)}
PERCEPTRON_ONLY = {"skops"}
READABLE = [
    (name, kind)
    for name in ("digits-relu", "waveform-cnn-relu")
    for kind in FORMATS
    if name.startswith("digits") or kind not in PERCEPTRON_ONLY
]


@pytest.fixture
def write(tmp_path):
    def call(name, kind):
        for package in NEEDS.get(kind, ()):
            pytest.importorskip(package)
        network = zoo.load(name)
        assert export(network, tmp_path / "model", kind) == kind
        return network, tmp_path / "model"

    return call


def hints(name, kind):
    weights = kind in ("state_dict", "checkpoint", "safetensors")
    return Hints(arch=f"zoo.architectures:build('{name}')" if weights else None, trust=kind == "torchscript")


def spikes(traced, x):
    conversion = convert(traced, x, ConvertConfig(neuron="if", potential_steps=0))
    result = simulate(conversion.snn, x, 8)
    return [result.output, *result.counts.values(), *result.spikes.values()]


@functools.cache
def expected_spikes(name):
    network = zoo.load(name)
    return spikes(trace(network.module, network.sample_shape), samples(network.data))


def samples(data):
    return zoo.open_dataset(data).calibration(40).x


@pytest.mark.filterwarnings("ignore")  # torch.jit announces its own end
@pytest.mark.parametrize(("name", "kind"), READABLE)
def test_every_format_is_read_back_with_identical_spikes(name, kind, write):
    network, path = write(name, kind)
    x = samples(network.data)
    shape = (x[0].numel(),) if kind == "skops" else network.sample_shape  # scikit-learn's samples are rows
    got = spikes(open_model(path, hints=hints(name, kind)).traced(shape), x.reshape(-1, *shape))
    expected = expected_spikes(name)
    assert len(got) == len(expected) > 3
    assert all(torch.equal(a.reshape(b.shape), b) for a, b in zip(got, expected, strict=True))
    assert sum(float(tensor.abs().sum()) for tensor in got) > 0


def test_the_command_that_is_named_reads_the_file(write):
    network, path = write("digits-sigmoid", "safetensors")
    command = reading_hint(network, path, "safetensors").removeprefix("python ")
    done = subprocess.run(f"{sys.executable} {command} --check", shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sigmoid" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [("fashion-resnet20", "pt2"), ("fashion-cnn-tanh", "pt2"), ("fashion-vit", "state_dict")],
)
def test_exported_networks_compute_the_same(name, kind, write):
    network, path = write(name, kind)
    x = torch.rand(3, *network.sample_shape)
    if kind == "pt2":
        again = torch.export.load(path).module()
    else:
        again = zoo.architectures.build(name).eval()
        again.load_state_dict(torch.load(path, weights_only=True))
    torch.testing.assert_close(again(x), network.module(x))


def test_a_network_with_classes_of_its_own_is_no_plain_module(tmp_path):
    with pytest.raises(ExportError, match=r"model\.pt: the network has classes of its own \(ResidualBlock\).*\.pt2"):
        export(zoo.load("fashion-resnet20"), tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


def test_an_exported_module_loads_with_weights_only(tmp_path):
    network = zoo.load("fashion-cnn-tanh")
    export(network, tmp_path / "model.pt")
    classes = {type(module) for module in network.module.modules()}
    with torch.serialization.safe_globals(list(classes)):
        again = torch.load(tmp_path / "model.pt", weights_only=True)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(again(x), network.module(x))


def test_scikit_learn_has_perceptrons_only(tmp_path):
    pytest.importorskip("skops")
    with pytest.raises(ExportError, match="this is none"):
        export(zoo.load("waveform-cnn-relu"), tmp_path / "model.skops")


def test_the_suffix_says_the_format_where_it_can():
    found = [format_of(f"model.{suffix}") for suffix in ("pt", "pt2", "onnx", "torchscript", "safetensors", "skops")]
    assert found == ["pt", "pt2", "onnx", "torchscript", "safetensors", "skops"]
    assert format_of("model.pt", "state_dict") == "state_dict"


@pytest.mark.parametrize(("path", "asked"), [("model.pth", None), ("model", None), ("model.pt", "keras")])
def test_an_open_or_unknown_format_is_refused_with_those_there_are(path, asked):
    with pytest.raises(ExportError, match=r"state_dict.*--format"):
        format_of(path, asked)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    pytest.importorskip("onnx")
    with pytest.raises(ExportError, match=r"needs onnxscript.*pip install"):
        export(zoo.load("digits-relu"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
