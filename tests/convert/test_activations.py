"""Every activation end to end: read, converted, simulated, saved; and measured on a small trained network."""

import logging
import math
import warnings
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from torch import nn

from convert import ConvertConfig, convert, from_estimator, simulate, trace
from convert.errors import CorruptFileError, UnsupportedOpError
from convert.graph import ir
from convert.graph.semantics import run
from convert.neurons.tracking import TrackingNeuron
from convert.reading.models import open_model
from convert.simulation.reference import simulate_reference
from convert.writing.artefact import from_bytes, to_bytes
from convert.writing.nir import to_nir

MODULES = {
    "sigmoid": (nn.Sigmoid, torch.sigmoid), "hard sigmoid": (nn.Hardsigmoid, F.hardsigmoid),
    "leaky relu": (lambda: nn.LeakyReLU(0.1), lambda x: F.leaky_relu(x, 0.1)),
    "elu": (nn.ELU, F.elu), "selu": (nn.SELU, F.selu), "celu": (lambda: nn.CELU(1.5), lambda x: F.celu(x, 1.5)),
    "gelu": (nn.GELU, F.gelu), "gelu tanh": (lambda: nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh")),
    "silu": (nn.SiLU, F.silu), "hard swish": (nn.Hardswish, F.hardswish), "mish": (nn.Mish, F.mish),
    "softplus": (lambda: nn.Softplus(2.0), lambda x: F.softplus(x, 2.0)), "log sigmoid": (nn.LogSigmoid, F.logsigmoid),
    "soft shrink": (lambda: nn.Softshrink(0.2), lambda x: F.softshrink(x, 0.2)),
    "hard shrink": (lambda: nn.Hardshrink(0.2), lambda x: F.hardshrink(x, 0.2)),
    "rrelu": (nn.RReLU, F.rrelu),
}  # fmt: skip
X = torch.rand(12, 2, 6, 6, generator=torch.Generator().manual_seed(0))


class Functional(nn.Module):
    """The same network with the activation as a function."""

    def __init__(self, layers, function):
        super().__init__()
        self.layers, self.function = layers, function

    def forward(self, x):
        conv, _, pool, conv2, _, flat, last = self.layers
        return last(flat(self.function(conv2(pool(self.function(conv(x)))))))


def layers(make):
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3), make(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2, padding=1), make(),
                         nn.Flatten(), nn.Linear(45, 3)).eval()  # fmt: skip


def assert_same(first, second):
    assert first.counts.keys() == second.counts.keys()
    assert all(torch.equal(first.counts[n].double(), second.counts[n].double()) for n in first.counts)
    assert any(c.any() for c in first.counts.values())


@pytest.mark.parametrize("neuron", ["seed", "if"])
@pytest.mark.parametrize("name", [*MODULES, "prelu"])
def test_engine_reference_and_a_saved_network_agree(name, neuron):
    make = (lambda: nn.PReLU(init=0.3)) if name == "prelu" else MODULES[name][0]
    conversion = convert(trace(layers(make), (2, 6, 6)), X[:8], ConvertConfig(neuron=neuron, potential_steps=8))
    fast = simulate(conversion.snn, X[8:], 21)
    assert_same(fast, simulate_reference(conversion.snn, X[8:], 21))
    assert_same(fast, simulate(from_bytes(to_bytes(conversion.snn)), X[8:], 21))
    one = simulate(conversion.snn, X[8:9], 21)
    assert all(torch.equal(one.counts[n], fast.counts[n][:1]) for n in one.counts)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_and_a_function_give_the_same_spikes(name):
    make, function = MODULES[name]
    module = layers(make)
    config = ConvertConfig(potential_steps=4)
    both = [simulate(convert(trace(m, (2, 6, 6)), X[:8], config).snn, X[8:], 12)
            for m in (module, Functional(module, function).eval())]  # fmt: skip
    first, second = ([*s.counts.values()] for s in both)
    assert len(first) == len(second) == 2
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    rows = trace(module, (2, 6, 6)).coverage
    assert {row.fate for row in rows} <= {"converted", "approximated", "exact linear", "dropped"}


@pytest.mark.parametrize("name", [*MODULES, "prelu"])
def test_long_simulations_approach_the_network(name):
    make = (lambda: nn.PReLU(4 if next(counter) % 2 == 0 else 5)) if name == "prelu" else MODULES[name][0]
    counter = iter(range(2))
    module = layers(make)
    if name == "prelu":
        for layer in (module[1], module[4]):
            layer.weight.data = torch.linspace(-0.5, 0.9, layer.num_parameters)  # of both signs: not monotone
    conversion = convert(trace(module, (2, 6, 6)), X, ConvertConfig(neuron="if", rule="max", potential_steps=0))
    with torch.no_grad():
        expected = module(X)
    last = simulate(conversion.snn, X, 1000).output[-1].float()
    assert float((last - expected).abs().max()) < 0.02 * float(expected.abs().max()) + 0.01


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "leaky relu", "softplus"])
def test_without_samples_nothing_clips(name):
    """Bounds from the weights hold for curves that turn as well."""
    conversion = convert(trace(layers(MODULES[name][0]), (2, 6, 6)), None, ConvertConfig(potential_steps=0))
    for node in conversion.folded.sites():
        values = {}
        run(conversion.folded, X.double(), observe=lambda n, v, values=values: values.setdefault(n.name, v))
        assert bool((values[node.name].abs() <= conversion.thresholds[node.name].value + 1e-9).all())


def test_nir_refuses_them_by_name():
    pytest.importorskip("nir")
    for make, title in ((nn.GELU, "gelu"), (nn.LeakyReLU, "leaky ReLU")):
        module = nn.Sequential(nn.Linear(4, 4), make(), nn.Linear(4, 2)).eval()
        conversion = convert(trace(module, (4,)), torch.rand(9, 4), ConvertConfig(potential_steps=0))
        with pytest.raises(UnsupportedOpError, match=title):
            to_nir(conversion.snn, "native")


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    x, y = torch.from_numpy(data.data / 16).float(), torch.from_numpy(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return (x[order[:1200]], y[order[:1200]]), (x[order[1200:]], y[order[1200:]])


def trained(make, part, epochs=25):
    x, y = part
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 48), make(), nn.Linear(48, 32), make(), nn.Linear(32, 10))
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(100):
            optimiser.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimiser.step()
    return net.eval()


@pytest.mark.parametrize("name", [n for n in MODULES if "shrink" not in n and n != "rrelu"])
def test_a_trained_network_keeps_its_answers(name, digits):
    """Calibrated on training samples; agreement of the default neuron with the network on samples held back."""
    module = trained(MODULES[name][0], digits[0])
    conversion = convert(trace(module, (64,)), digits[0][0][:300])
    with torch.no_grad():
        expected = module(digits[1][0]).argmax(1)
    output = simulate(conversion.snn, digits[1][0], 64).output
    agreement = {steps: float((output[steps - 1].argmax(1) == expected).double().mean()) for steps in (32, 64)}
    assert agreement[32] >= 0.975, agreement
    assert agreement[64] >= 0.98, agreement


def _fitted(x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        return MLPClassifier((24,), activation="logistic", max_iter=60, random_state=0).fit(x, y)


def test_a_logistic_network_of_scikit_learn_is_its_torch_twin(digits):
    (x, y), (held, _) = digits
    network = _fitted(x.numpy(), y.numpy())
    module = nn.Sequential(nn.Linear(64, 24), nn.Sigmoid(), nn.Linear(24, 10)).eval()
    for layer, weight, bias in zip((module[0], module[2]), network.coefs_, network.intercepts_, strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(weight.T).float(), torch.tensor(bias).float()
    config = ConvertConfig(potential_steps=4)
    both = [simulate(convert(traced, x[:200], config).snn, held[:50], 32)
            for traced in (from_estimator(network).traced((64,)), trace(module, (64,)))]  # fmt: skip
    first, second = ([*s.counts.values()] for s in both)
    assert torch.equal(first[0], second[0])
    agreement = (both[0].output[-1].argmax(1).numpy() == network.predict(held[:50].numpy())).mean()
    assert agreement >= 0.98


def test_a_slope_stays_what_it_is():
    """Slopes are the neuron's; the lattice of the weights does not touch them."""
    module = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.01), nn.Linear(4, 2)).eval()
    snn = convert(trace(module, (4,)), torch.rand(9, 4), ConvertConfig(potential_steps=0)).snn
    (site,) = snn.sites.values()
    assert isinstance(site.neuron, TrackingNeuron)
    assert site.neuron.slopes == (0.01,)
    assert math.isclose(float(next(n.op.slope for n in snn.graph.sites())), 0.01)
    assert isinstance(snn.graph.sites()[0].op, ir.LeakyRelu)


@pytest.mark.parametrize("make", [nn.SiLU, nn.Softplus, nn.GELU, nn.LogSigmoid, nn.Tanhshrink, nn.Softsign, nn.Mish,
                                  nn.Hardswish, nn.Sigmoid, partial(nn.LeakyReLU, 0.2), partial(nn.PReLU, 5), nn.ELU],
                         ids=str)  # fmt: skip
def test_exported_to_onnx_it_gives_the_same_spikes(make, tmp_path):
    pytest.importorskip("onnxscript")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(6, 5), make(), nn.Linear(5, 5), make(), nn.Linear(5, 2)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(2, 6),), tmp_path / "m.onnx", dynamic_shapes=({0: "batch"},),
                          verbose=False)  # fmt: skip
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    both = [simulate(convert(traced, x[:12], ConvertConfig(potential_steps=4)).snn, x[12:], 16).counts.values()
            for traced in (trace(module, (6,)), open_model(tmp_path / "m.onnx").traced((6,)))]  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))
    assert len(both[0]) == 2


def test_a_damaged_slope_or_table_is_refused_on_loading():
    module = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2)).eval()
    snn = convert(trace(module, (4,)), torch.rand(9, 4), ConvertConfig(potential_steps=0)).snn
    content = to_bytes(snn)
    slopes = ", ".join(str(s) for s in next(s.neuron.slopes for s in snn.sites.values()))
    curve = '"name": "gelu", "parameters"'
    for old, new in ((slopes, slopes.replace("0.25, 0.25", "0.25      ", 1)), (curve, curve.replace("gelu", "gelo"))):
        old, new = (text.replace('"', '\\"').encode() for text in (old, new))
        assert content.count(old) == 1 and len(old) == len(new)
        with pytest.raises(CorruptFileError, match=r"slopes|not known"):
            from_bytes(content.replace(old, new))
