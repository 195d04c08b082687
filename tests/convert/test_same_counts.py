"""One trained network through every format gives identical spike counts."""

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from convert import ConvertConfig, convert, from_estimator, simulate, trace
from convert.graph.semantics import run
from convert.reading.models import open_model

onnx = pytest.importorskip("onnx")

STEPS = 16


def counts(traced, x):
    conversion = convert(traced, x[:40], ConvertConfig(potential_steps=8))
    simulation = simulate(conversion.snn, x[100:], STEPS)
    return [simulation.output, *simulation.counts.values(), *simulation.spikes.values()]


def assert_same(first, second):
    assert len(first) == len(second) > 1
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert sum(float(tensor.abs().sum()) for tensor in first) > 0


def gemm_model(module: nn.Sequential, shape) -> bytes:
    """The module by `onnx.helper`, layer for layer."""
    helper, nodes, stored, name = onnx.helper, [], [], "x"
    for i, layer in enumerate(module):
        out = f"v{i}" if i < len(module) - 1 else "y"
        weights = []
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            for kind in ("weight", "bias"):
                weights.append(f"{i}.{kind}")
                stored.append(onnx.numpy_helper.from_array(getattr(layer, kind).detach().numpy(), weights[-1]))
        op, options = {
            nn.Linear: ("Gemm", {"transB": 1}), nn.Conv2d: ("Conv", {"pads": [1] * 4}), nn.ReLU: ("Relu", {}),
            nn.Flatten: ("Flatten", {}), nn.AvgPool2d: ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            nn.Softmax: ("Softmax", {}),
        }[type(layer)]  # fmt: skip
        nodes.append(helper.make_node(op, [name, *weights], [out], **options))
        name = out
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, ("N", *shape))], [info("y", 1, None)], stored)
    imports = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


def exported(module: nn.Module, shape, path: Path) -> Path:
    pytest.importorskip("onnxscript")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(2, *shape),), path, dynamic_shapes=({0: "batch"},), verbose=False)
    return path


def trained(*scalers):
    x, y = load_digits(return_X_y=True)
    network = MLPClassifier((32, 16), max_iter=15, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (make_pipeline(*scalers, network) if scalers else network).fit(x / 16, y)


def as_module(network: MLPClassifier) -> nn.Sequential:
    layers: list[nn.Module] = []
    for weight, bias in zip(network.coefs_, network.intercepts_, strict=True):
        layer = nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = torch.tensor(weight.T).float(), torch.tensor(bias).float()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Softmax(-1)).eval()


@pytest.fixture(scope="module")
def x():
    return torch.from_numpy(load_digits().data[:140] / 16).float()


def test_one_mlp_through_scikit_learn_skops_onnx_and_torch(x, tmp_path):
    network = trained()
    module = as_module(network)
    expected = counts(from_estimator(network).traced((64,)), x)
    files = [exported(module, (64,), tmp_path / "exported.onnx"), tmp_path / "built.onnx", tmp_path / "m.skops"]
    files[1].write_bytes(gemm_model(module, (64,)))
    files[2].write_bytes(pytest.importorskip("skops.io").dumps(network))
    for file in files:
        assert_same(counts(open_model(file).traced((64,)), x), expected)
    assert_same(counts(trace(module[:-1], (64,)), x), expected)


def test_a_folded_scaler_through_scikit_learn_and_skops(x, tmp_path):
    pipeline = trained(StandardScaler())
    file = tmp_path / "m.skops"
    file.write_bytes(pytest.importorskip("skops.io").dumps(pipeline))
    expected = counts(from_estimator(pipeline).traced((64,)), x)
    assert_same(counts(open_model(file).traced((64,)), x), expected)
    conversion = convert(from_estimator(pipeline).traced((64,)), x, ConvertConfig(potential_steps=0))
    last = simulate(conversion.snn, x, 64).output[-1]
    assert (last.argmax(1).numpy() == pipeline.predict(x.numpy().astype(np.float64))).mean() > 0.95


def test_one_cnn_through_onnx_and_torch(x, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3, padding=1),
                           nn.ReLU(), nn.Flatten(), nn.Linear(96, 10)).eval()  # fmt: skip
    images = x.reshape(-1, 1, 8, 8)
    built = tmp_path / "built.onnx"
    built.write_bytes(gemm_model(module, (1, 8, 8)))
    expected = counts(trace(module, (1, 8, 8)), images)
    for file in (exported(module, (1, 8, 8), tmp_path / "exported.onnx"), built):
        assert_same(counts(open_model(file).traced((1, 8, 8)), images), expected)


def test_batch_norm_softmax_and_views_of_exported_networks(x, tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(36, 10)

        def forward(self, x):
            h = torch.nn.functional.avg_pool2d(torch.relu(self.norm(self.conv(x))), 2)
            return torch.log_softmax(self.head(h.view(h.size(0), -1)), 1)

    torch.manual_seed(0)
    net = Net()
    net(torch.rand(20, 1, 8, 8))
    traced = open_model(exported(net.eval(), (1, 8, 8), tmp_path / "m.onnx")).traced((1, 8, 8))
    assert traced.coverage[-1].fate == "dropped"
    images = x.reshape(-1, 1, 8, 8)
    got = torch.log_softmax(run(traced.graph, images), 1)
    with torch.no_grad():
        torch.testing.assert_close(got, net(images), atol=1e-4, rtol=1e-4)
