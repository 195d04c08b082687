"""One trained network in every format gives identical spike counts."""

import copy
import logging
import warnings
import zipfile

import pytest
import safetensors.torch
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn

from convert import ConvertConfig, convert, from_estimator, simulate, trace
from convert.reading.hints import Hints
from convert.reading.models import open_model
from tests.oracles.onnx_models import by_hand
from tests.oracles.trained import ARCHS, SHAPES
from zoo.catalogue import load


def plain(net, module):
    """The same network of torch.nn classes alone."""
    if net == "mlp":
        a, b = module.layers
        return nn.Sequential(nn.Sequential(a, nn.ReLU()), nn.Sequential(b, nn.ReLU()), module.heads["classes"]).eval()
    front = nn.Sequential(module.conv1, module.norm, nn.ReLU(), module.pool)
    return nn.Sequential(front, module.block, nn.ReLU(), nn.Flatten(), module.head).eval()


def flat(module):
    """The same layers without nesting."""
    layers = [layer for layer in module.modules() if not isinstance(layer, nn.Sequential)]
    return nn.Sequential(*layers).eval()


def export(module, shape, path, batch=1, dtype=torch.float32):
    program = torch.export.export(module, (torch.zeros(batch, *shape, dtype=dtype),), strict=False)
    torch.export.save(program, str(path))


def dynamic(module, shape, path):
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=(batch,), strict=False)
    torch.export.save(program, str(path))


def onnx_export(module, shape, path):
    pytest.importorskip("onnxscript")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.onnx.export(module, (torch.zeros(2, *shape),), path, dynamic_shapes=({0: "batch"},), verbose=False)


def wrapped(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def widened(state):
    return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}


def on_cuda(state, path):
    """What torch.save writes on a machine with CUDA, made without one."""
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            tagged = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            assert not name.endswith("data.pkl") or tagged != data
            archive.writestr(name, tagged if name.endswith("data.pkl") else data)


def last(state):
    return {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()}


def estimator(module):
    """scikit-learn's MLP with these weights."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    network = MLPClassifier([layer.out_features for layer in linear[:-1]], max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(torch.rand(20, linear[0].in_features).double().numpy(), list(range(10)) * 2)
    network.coefs_ = [layer.weight.detach().double().numpy().T for layer in linear]
    network.intercepts_ = [layer.bias.detach().double().numpy() for layer in linear]
    return network


def skops_file(module, path):
    path.write_bytes(pytest.importorskip("skops.io").dumps(estimator(module)))


CODE = {
    "state_dict": lambda m, s, p: torch.save(m.state_dict(), p),
    "state_dict before torch 1.6": lambda m, s, p: torch.save(
        m.state_dict(), p, _use_new_zipfile_serialization=False),
    "checkpoint": lambda m, s, p: torch.save(
        {"epoch": 3, "model_state_dict": m.state_dict(), "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, p),
    "checkpoint, data parallel": lambda m, s, p: torch.save({"state_dict": wrapped("module.", m.state_dict())}, p),
    "checkpoint, compiled": lambda m, s, p: torch.save({"model": wrapped("_orig_mod.", m.state_dict())}, p),
    "checkpoint, both": lambda m, s, p: torch.save(wrapped("_orig_mod.module.", m.state_dict()), p),
    "checkpoint, lightning": lambda m, s, p: torch.save({"state_dict": wrapped("model.", m.state_dict())}, p),
    "float64": lambda m, s, p: torch.save(widened(m.state_dict()), p),
    "channels last": lambda m, s, p: torch.save(last(m.state_dict()), p),
    "tagged as on CUDA": lambda m, s, p: on_cuda(m.state_dict(), p),
    "custom module": lambda m, s, p: torch.save(m, p),
    "safetensors": lambda m, s, p: safetensors.torch.save_file(m.state_dict(), p),
}  # fmt: skip
"""Weights, read with --arch."""

WHOLE = {
    "module": lambda m, s, p: torch.save(m["plain"], p),
    "module, flat": lambda m, s, p: torch.save(flat(m["plain"]), p),
    "module, float64": lambda m, s, p: torch.save(m["double"], p),
    "module in a checkpoint": lambda m, s, p: torch.save({"epoch": 1, "model": m["plain"]}, p),
    "export, batch 1": lambda m, s, p: export(m["own"], s, p),
    "export, batch 5": lambda m, s, p: export(m["own"], s, p, 5),
    "export, dynamic batch": lambda m, s, p: dynamic(m["own"], s, p),
    "export, float64": lambda m, s, p: export(m["double"], s, p, 2, torch.float64),
    "export, decomposed": lambda m, s, p: torch.export.save(
        torch.export.export(m["own"], (torch.zeros(1, *s),), strict=False).run_decompositions(), str(p)),
    "TorchScript, scripted": lambda m, s, p: torch.jit.script(m["own"]).save(str(p)),
    "TorchScript, traced": lambda m, s, p: torch.jit.trace(m["own"], torch.zeros(1, *s)).save(str(p)),
    "ONNX, exported": lambda m, s, p: onnx_export(m["own"], s, p),
    "ONNX, by hand": lambda m, s, p: p.write_bytes(by_hand(flat(m["plain"]), s)),
}  # fmt: skip
"""Networks as a whole."""

MLP_ONLY = {
    "skops": lambda m, s, p: skops_file(m["plain"], p),
    "weights and an activation": lambda m, s, p: torch.save(flat(m["plain"]).state_dict(), p),
    "safetensors and an activation": lambda m, s, p: safetensors.torch.save_file(flat(m["plain"]).state_dict(), p),
}

ARGUMENTS = ("", "()", "(24)", "(width=24, depth=2)")


def counts(traced, x):
    conversion = convert(traced, x[:200], ConvertConfig(potential_steps=8))
    result = simulate(conversion.snn, x[200:216], 8)
    return [result.output, *result.counts.values(), *result.spikes.values()]


def assert_same(got, want):
    assert len(got) == len(want) > 3
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    assert sum(float(tensor.abs().sum()) for tensor in got) > 0


@pytest.fixture(scope="module")
def forms(trained):
    found = {}
    for net, module in trained.items():
        form = plain(net, copy.deepcopy(module))
        found[net] = {"own": module, "plain": form, "double": copy.deepcopy(form).double()}
    return found


@pytest.fixture(scope="module")
def samples(digits):
    return {net: digits[0].view(-1, *shape) for net, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def expected(trained, samples):
    return {net: counts(trace(trained[net], shape), samples[net]) for net, shape in SHAPES.items()}


@pytest.mark.parametrize("net", SHAPES)
@pytest.mark.parametrize("name", CODE)
def test_weights_and_their_code(name, net, trained, samples, folder, expected, tmp_path):
    CODE[name](trained[net], SHAPES[net], tmp_path / "file")
    model = open_model(tmp_path / "file", hints=Hints(arch=f"{folder}/{ARCHS[net]}"))
    assert model.parameters == sum(p.numel() for p in trained[net].parameters())
    assert model.notes == ()
    assert_same(counts(model.traced(SHAPES[net]), samples[net]), expected[net])


@pytest.mark.parametrize("arch", [*(f"{{folder}}/nets.py:Mlp{a}" for a in ARGUMENTS), "{folder}/nets.py:factory",
                                  "nets:factory", "nets:Mlp(24, depth=2)"])  # fmt: skip
def test_code_in_every_spelling(arch, trained, samples, folder, expected, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    torch.save(trained["mlp"].state_dict(), tmp_path / "file")
    model = open_model(tmp_path / "file", hints=Hints(arch=arch.format(folder=folder)))
    assert_same(counts(model.traced((64,)), samples["mlp"]), expected["mlp"])


@pytest.mark.filterwarnings("ignore")  # torch.jit announces its own end, torch.onnx what it is about to do
@pytest.mark.parametrize("net", SHAPES)
@pytest.mark.parametrize("name", WHOLE)
def test_whole_networks(name, net, forms, samples, expected, tmp_path):
    if name.startswith("ONNX"):
        pytest.importorskip("onnx")
    WHOLE[name](forms[net], SHAPES[net], tmp_path / "file")
    model = open_model(tmp_path / "file", hints=Hints(trust=name.startswith("TorchScript")))
    assert_same(counts(model.traced(SHAPES[net]), samples[net]), expected[net])


@pytest.mark.parametrize("name", MLP_ONLY)
def test_stacks_of_linear_layers(name, forms, samples, expected, tmp_path):
    MLP_ONLY[name](forms["mlp"], SHAPES["mlp"], tmp_path / "file")
    model = open_model(tmp_path / "file", hints=Hints(activation=None if name == "skops" else "relu"))
    assert_same(counts(model.traced((64,)), samples["mlp"]), expected["mlp"])


def test_scikit_learn_in_memory(forms, samples, expected):
    traced = from_estimator(estimator(forms["mlp"]["plain"])).traced((64,))
    assert_same(counts(traced, samples["mlp"]), expected["mlp"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("net", SHAPES)
def test_halves_are_the_network_of_their_precision(dtype, net, forms, samples, expected, tmp_path):
    half = copy.deepcopy(forms[net]["plain"]).to(dtype)
    want = counts(trace(copy.deepcopy(half).float(), SHAPES[net]), samples[net])
    torch.save(half, tmp_path / "whole")
    export(half, SHAPES[net], tmp_path / "export", 2, dtype)
    for name in ("whole", "export"):
        assert_same(counts(open_model(tmp_path / name).traced(SHAPES[net]), samples[net]), want)
    assert not torch.equal(want[0], expected[net][0])


def test_a_zoo_checkpoint_and_its_module(samples, tmp_path):
    network = load("digits-relu")
    torch.save(network.module, tmp_path / "file")
    shape = network.sample_shape
    x = samples["mlp"].view(-1, *shape)
    assert_same(counts(open_model(tmp_path / "file").traced(shape), x), counts(trace(network.module, shape), x))
