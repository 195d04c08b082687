"""What a format folds or moves away: scalers into the first layer, a softmax to the read-out."""

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

from convert import ConvertConfig, convert, from_estimator, simulate
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


@pytest.fixture(scope="module")
def x():
    return torch.from_numpy(load_digits().data[:140] / 16).float()


def test_a_folded_scaler_through_scikit_learn_and_skops(x, tmp_path):
    pipeline = trained(StandardScaler())
    file = tmp_path / "m.skops"
    file.write_bytes(pytest.importorskip("skops.io").dumps(pipeline))
    expected = counts(from_estimator(pipeline).traced((64,)), x)
    assert_same(counts(open_model(file).traced((64,)), x), expected)
    conversion = convert(from_estimator(pipeline).traced((64,)), x, ConvertConfig(potential_steps=0))
    last = simulate(conversion.snn, x, 64).output[-1]
    assert (last.argmax(1).numpy() == pipeline.predict(x.numpy().astype(np.float64))).mean() > 0.95


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
