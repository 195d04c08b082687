"""The networks of `tests.oracles.trained`, trained once."""

import importlib.util
import sys

import pytest
import torch
from sklearn.datasets import load_digits

from tests.oracles.trained import NETS, train


@pytest.fixture(scope="session")
def digits():
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    (folder / "nets.py").write_text(NETS)
    return folder


@pytest.fixture(scope="session")
def nets(folder):
    spec = importlib.util.spec_from_file_location("nets_of_the_test", folder / "nets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["nets_of_the_test"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["nets_of_the_test"]


@pytest.fixture(scope="session")
def trained(nets, digits):
    torch.set_num_threads(1)
    x, y = digits
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        mlp, cnn = nets.Mlp(), nets.Cnn()
        return {"mlp": train(mlp, x, y, 100), "cnn": train(cnn, x.view(-1, 1, 8, 8), y, 60)}
