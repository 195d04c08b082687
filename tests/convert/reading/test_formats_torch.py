"""One trained network in every format of torch gives identical spike counts."""

import io
import itertools
import json
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from sklearn.datasets import load_digits
from torch import nn

from convert.config import ConvertConfig
from convert.errors import (
    ArchitectureError,
    ConfigError,
    ConvertError,
    IncompleteModelError,
    InputShapeError,
    LoadError,
    UnsafeFileError,
    UnsupportedOpError,
)
from convert.pipeline import convert
from convert.reading.hints import Hints
from convert.reading.models import open_model
from convert.simulation.engine import simulate

NETS = '''
import torch
from torch import nn
import torch.nn.functional as F


class MyReLU(nn.ReLU):
    pass


class Mlp(nn.Module):
    """ModuleList, ModuleDict, a functional activation and a subclass of nn.ReLU."""

    def __init__(self, width=24, depth=2):
        super().__init__()
        sizes = [64] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.heads = nn.ModuleDict({"classes": nn.Linear(width, 10)})
        self.act = MyReLU()

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = F.relu(layer(x)) if i else self.act(layer(x))
        return self.heads["classes"](x)


class Cnn(nn.Module):
    """Batch norm, pooling, and one activation used twice."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.block = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.Dropout(0.2))
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.conv1(x))))
        x = self.act(self.block(x))
        return self.head(torch.flatten(x, 1))


def factory():
    return Mlp(24)


def broken():
    return 1 / 0


number = 3
'''

MLP, CNN = "nets.py:Mlp", "nets.py:Cnn"


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    (folder / "nets.py").write_text(NETS)
    return folder


@pytest.fixture(scope="module")
def nets(folder):
    import importlib.util
    import sys

    spec = importlib.util.spec_from_file_location("nets_of_the_test", folder / "nets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["nets_of_the_test"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["nets_of_the_test"]


def train(module, x, y, steps):
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    for step in range(steps):
        rows = slice(64 * step % 1700, 64 * step % 1700 + 64)
        loss = nn.functional.cross_entropy(module(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module.eval()


@pytest.fixture(scope="module")
def trained(nets, digits):
    torch.set_num_threads(1)
    x, y = digits
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        mlp, cnn = nets.Mlp(), nets.Cnn()
        return {"mlp": train(mlp, x, y, 100), "cnn": train(cnn, x.view(-1, 1, 8, 8), y, 60)}


SHAPES = {"mlp": (64,), "cnn": (1, 8, 8)}
ARCHS = {"mlp": MLP, "cnn": CNN}


def dynamic(module, shape, path):
    batch = {0: torch.export.Dim("batch")}
    torch.export.save(torch.export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=(batch,)), path)


def wrapped(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def widened(tensor):
    return tensor.double() if tensor.is_floating_point() else tensor


WRITERS = {
    "state_dict": lambda m, s, p: torch.save(m.state_dict(), p),
    "old state_dict": lambda m, s, p: torch.save(m.state_dict(), p, _use_new_zipfile_serialization=False),
    "checkpoint": lambda m, s, p: torch.save(
        {"epoch": 3, "model_state_dict": m.state_dict(), "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, p
    ),
    "data parallel": lambda m, s, p: torch.save({"state_dict": wrapped("module.", m.state_dict())}, p),
    "compiled": lambda m, s, p: torch.save(wrapped("_orig_mod.", m.state_dict()), p),
    "lightning": lambda m, s, p: torch.save({"state_dict": wrapped("model.", m.state_dict()), "hparams": {}}, p),
    "double": lambda m, s, p: torch.save({k: widened(v) for k, v in m.state_dict().items()}, p),
    "channels last": lambda m, s, p: torch.save(
        {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in m.state_dict().items()}, p
    ),
    "custom module": lambda m, s, p: torch.save(m, p),
    "safetensors": lambda m, s, p: safetensors.torch.save_file(m.state_dict(), p),
    "export, batch 1": lambda m, s, p: torch.export.save(torch.export.export(m, (torch.zeros(1, *s),)), p),
    "export, batch 5": lambda m, s, p: torch.export.save(torch.export.export(m, (torch.zeros(5, *s),)), p),
    "export, dynamic batch": dynamic,
    "TorchScript, scripted": lambda m, s, p: torch.jit.script(m).save(p),
    "TorchScript, traced": lambda m, s, p: torch.jit.trace(m, torch.zeros(1, *s)).save(p),
}  # fmt: skip

NEEDS_CODE = ("state_dict", "old state_dict", "checkpoint", "data parallel", "compiled", "lightning", "double",
              "channels last", "custom module", "safetensors")  # fmt: skip


def hints_for(name, net, folder):
    if name in NEEDS_CODE:
        return Hints(arch=f"{folder}/{ARCHS[net]}")
    return Hints(trust=name.startswith("TorchScript"))


def counts(traced, x):
    conversion = convert(traced, x[:200], ConvertConfig(potential_steps=0))
    result = simulate(conversion.snn, x[:16], 8)
    return result.output, list(result.counts.values())


@pytest.fixture(scope="module")
def expected(trained, digits):
    from convert.reading.tracing import trace

    x, _ = digits
    return {net: counts(trace(trained[net], shape), x.view(-1, *shape)) for net, shape in SHAPES.items()}


@pytest.mark.filterwarnings("ignore")  # torch.jit announces its own end
@pytest.mark.parametrize("net", SHAPES)
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_identical_spike_counts(name, net, trained, digits, folder, expected):
    path, shape = folder / f"{net}-{name}.bin".replace(" ", "-").replace(",", ""), SHAPES[net]
    WRITERS[name](trained[net], shape, str(path))
    model = open_model(path, hints=hints_for(name, net, folder))
    assert model.parameters == sum(p.numel() for p in trained[net].parameters())
    assert model.notes == ()
    output, spikes = counts(model.traced(shape), digits[0].view(-1, *shape))
    want, want_spikes = expected[net]
    assert torch.equal(output, want)
    assert len(spikes) == len(want_spikes)
    assert all(torch.equal(a, b) for a, b in zip(spikes, want_spikes, strict=True))


def saved(tmp_path, content, **options):
    path = tmp_path / "file.pt"
    torch.save(content, path, **options)
    return path


def stack(*sizes, activation=nn.ReLU):
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), activation())]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(*layers[:-1]).eval()


def assert_computes(model, module, shape):
    from convert.graph.semantics import run

    x = torch.randn((5, *shape), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(run(model.traced(shape).graph, x), module(x))


class TestDtypes:
    def test_halves_convert_exactly_and_without_a_note(self, tmp_path):
        for dtype in (torch.float16, torch.bfloat16):
            module = stack(6, 5, 3).to(dtype)
            model = open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))
            assert not [note for note in model.notes if "rounded" in note]
            assert_computes(model, module.float(), (6,))

    def test_double_is_rounded_with_a_note(self, tmp_path):
        module = stack(6, 5, 3).double()
        module[0].weight.data += 1e-12
        path = saved(tmp_path, module)
        assert "rounded to float32" in open_model(path).notes[0]
        exported = tmp_path / "double.pt2"
        torch.export.save(torch.export.export(module, (torch.zeros(1, 6, dtype=torch.float64),)), str(exported))
        model = open_model(exported)
        assert "rounded to float32" in model.notes[0]
        assert_computes(model, module.float(), (6,))

    def test_tensors_saved_on_cuda(self, tmp_path):
        module = stack(6, 5, 3)
        path = saved(tmp_path, module.state_dict())
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                pickled = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
                assert not name.endswith("data.pkl") or pickled != data
                archive.writestr(name, pickled if name.endswith("data.pkl") else data)
        assert_computes(open_model(path, hints=Hints(activation="relu")), module, (6,))


class TestStack:
    def test_tanh_is_what_the_user_says(self, tmp_path):
        module = stack(6, 5, 4, 3, activation=nn.Tanh)
        model = open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="tanh"))
        assert_computes(model, module, (6,))
        assert "3 linear layers with tanh between them and none after the last" in model.notes[0]

    def test_batch_norm_at_the_next_number(self, tmp_path):
        module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).eval()
        module[1].running_mean.uniform_(-1, 1)
        module[1].running_var.uniform_(0.5, 2)
        model = open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))
        assert_computes(model, module, (6,))
        assert "epsilon" in model.notes[0]

    def test_batch_norm_after_the_activation_is_refused(self, tmp_path):
        module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 3))
        with pytest.raises(ArchitectureError, match=r"2: batch norm that is not known.*--arch"):
            open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))

    def test_layers_without_room_for_an_activation_are_refused(self, tmp_path):
        module = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
        with pytest.raises(ArchitectureError, match="0 and 1 stand next to each other"):
            open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))

    def test_convolutions_are_refused_by_name(self, tmp_path, trained):
        with pytest.raises(
            ArchitectureError, match=r"conv1: a convolution.*(.|\n)*block.0: a convolution.*(.|\n)*--arch"
        ):
            open_model(saved(tmp_path, trained["cnn"].state_dict()), hints=Hints(activation="relu"))

    def test_sizes_must_chain(self, tmp_path):
        state = {"a.weight": torch.ones(5, 6), "b.weight": torch.ones(3, 4)}
        with pytest.raises(ArchitectureError, match="b takes 4 values but a gives 5"):
            open_model(saved(tmp_path, state), hints=Hints(activation="relu"))

    def test_safetensors_orders_by_number(self, tmp_path):
        module = stack(*[6] * 13)
        safetensors.torch.save_file(module.state_dict(), tmp_path / "w.safetensors")
        assert_computes(open_model(tmp_path / "w.safetensors", hints=Hints(activation="relu")), module, (6,))

    def test_safetensors_orders_by_the_only_chain_of_sizes(self, tmp_path):
        module = stack(6, 5, 3)
        state = {"zebra.weight": module[0].weight, "zebra.bias": module[0].bias, "ant.weight": module[2].weight,
                 "ant.bias": module[2].bias}  # fmt: skip
        safetensors.torch.save_file(state, tmp_path / "w.safetensors")
        assert_computes(open_model(tmp_path / "w.safetensors", hints=Hints(activation="relu")), module, (6,))

    def test_safetensors_without_an_order_is_refused(self, tmp_path):
        safetensors.torch.save_file({"a.weight": torch.eye(4), "b.weight": torch.eye(4)}, tmp_path / "w.safetensors")
        with pytest.raises(ArchitectureError, match="keeps no order"):
            open_model(tmp_path / "w.safetensors", hints=Hints(activation="relu"))

    @pytest.mark.parametrize("state", [
        {"a.weight_ih_l0": torch.ones(4, 4)}, {"a.weight": torch.ones(4)},
        {"a.weight": torch.ones(4, 4), "a.bias": torch.ones(3)},
        {"a.weight": torch.ones(4, 4, dtype=torch.int64)},
        {"a.running_mean": torch.ones(4), "a.running_var": torch.ones(3)},
    ])  # fmt: skip
    def test_other_entries_are_refused_by_name(self, tmp_path, state):
        with pytest.raises(ArchitectureError, match="shapes do not determine the network:\n  a: "):
            open_model(saved(tmp_path, state), hints=Hints(activation="relu"))


class TestArchitecture:
    @pytest.fixture
    def weights(self, tmp_path, trained):
        return saved(tmp_path, trained["mlp"].state_dict())

    @pytest.mark.parametrize("tail", ["Mlp", "factory", "Mlp()", "Mlp(24)", "Mlp(width=24, depth=2)"])
    def test_what_can_be_named(self, weights, folder, tail):
        assert open_model(weights, hints=Hints(arch=f"{folder}/nets.py:{tail}")).parameters > 0

    def test_module_by_dotted_name(self, weights, folder, monkeypatch):
        monkeypatch.syspath_prepend(str(folder))
        assert open_model(weights, hints=Hints(arch="nets:factory")).parameters > 0

    @pytest.mark.parametrize(("tail", "words"), [
        ("Mlp(open('x'))", "not literals"),
        ("Mlp(*[3])", "not literals"),
        ("Mlp(**{'width': 3})", "not literals"),
        ("Nope", "has no Nope; expected a class or function in it, such as .*Mlp"),
        ("number", "number is a int"),
        ("broken", r"nets.py, line \d+: ZeroDivisionError"),
        ("Mlp(width='a')", "nets.py, line 1[0-9]: TypeError"),
        ("zip", "has no zip"),
        ("F.relu", "TypeError"),
        ("torch.nn.Linear", "TypeError"),
        ("dict", "has no dict"),
    ])  # fmt: skip
    def test_what_cannot(self, weights, folder, tail, words):
        with pytest.raises(ArchitectureError, match=words) as caught:
            open_model(weights, hints=Hints(arch=f"{folder}/nets.py:{tail}"))
        assert "Traceback" not in str(caught.value)

    @pytest.mark.parametrize("arch", ["", "net.py", "net.py:", ":Net", "net.py:3", "net.py:Net(", "no-such:Net",
                                      "none.py:Net", "no_such_module_at_all:Net", "os:getcwd"])  # fmt: skip
    def test_what_is_not_an_architecture(self, weights, arch):
        with pytest.raises(ArchitectureError, match="--arch"):
            open_model(weights, hints=Hints(arch=arch))

    @pytest.mark.parametrize("code", ["def Net(:", "import no_such_thing_here", "raise SystemExit(3)", "1 / 0", "\0"])
    def test_code_that_fails_on_import(self, weights, tmp_path, code):
        (tmp_path / "bad.py").write_text(f"x = 1\n{code}\n")
        with pytest.raises(ArchitectureError, match="expected code that builds the network"):
            open_model(weights, hints=Hints(arch=f"{tmp_path}/bad.py:Net"))

    def test_the_file_may_import_its_neighbours_and_print(self, weights, tmp_path, folder, capsys):
        (tmp_path / "neighbour_of_the_net.py").write_text(NETS)
        (tmp_path / "net.py").write_text("from neighbour_of_the_net import Mlp\nprint('hello')\n")
        open_model(weights, hints=Hints(arch=f"{tmp_path}/net.py:Mlp"))
        assert capsys.readouterr().out == ""

    def test_weights_that_do_not_fit_are_all_listed(self, tmp_path, trained, folder):
        state = dict(trained["mlp"].state_dict())
        del state["layers.1.bias"]
        state["extra.weight"] = torch.ones(2)
        state["layers.0.bias"] = torch.ones(3)
        with pytest.raises(ArchitectureError) as caught:
            open_model(saved(tmp_path, state), hints=Hints(arch=f"{folder}/{MLP}"))
        for words in (
            "missing: layers.1.bias",
            "unexpected: extra.weight (2,)",
            "layers.0.bias: got (3,), expected (24,)",
        ):
            assert words in str(caught.value)

    def test_the_global_random_state_is_left_alone(self, weights, folder):
        before = torch.get_rng_state()
        open_model(weights, hints=Hints(arch=f"{folder}/{MLP}"))
        assert torch.equal(before, torch.get_rng_state())

    def test_shared_weights(self, tmp_path):
        (tmp_path / "net.py").write_text(
            "from torch import nn\nclass Net(nn.Module):\n def __init__(self):\n  super().__init__()\n"
            "  self.a = nn.Linear(6, 6)\n  self.b = nn.Linear(6, 6)\n  self.b.weight = self.a.weight\n"
            "  self.out = nn.Linear(6, 3)\n"
            " def forward(self, x):\n  return self.out(self.b(self.a(self.a(x).relu()).relu()).relu())\n"
        )
        from convert.reading.architecture import build

        module = build(f"{tmp_path}/net.py:Net").eval()
        for i, name in enumerate(("weights.pt", "weights.pt2")):
            path = tmp_path / name
            if i:
                torch.export.save(torch.export.export(module, (torch.zeros(1, 6),)), str(path))
            else:
                torch.save(module.state_dict(), path)
            hints = Hints() if i else Hints(arch=f"{tmp_path}/net.py:Net")
            assert_computes(open_model(path, hints=hints), module, (6,))


class TestRefusals:
    def test_weights_without_a_word(self, tmp_path, trained):
        with pytest.raises(IncompleteModelError, match=r"--arch net.py:Net(.|\n)*--activation relu(.|\n)*torch.save"):
            open_model(saved(tmp_path, trained["mlp"].state_dict()))

    def test_safetensors_without_a_word(self, tmp_path, trained):
        safetensors.torch.save_file(trained["mlp"].state_dict(), tmp_path / "w")
        with pytest.raises(IncompleteModelError, match="--arch"):
            open_model(tmp_path / "w")

    def test_a_custom_class_lists_its_globals_and_two_ways_out(self, tmp_path, trained):
        with pytest.raises(UnsafeFileError) as caught:
            open_model(saved(tmp_path, trained["mlp"]))
        for words in ("nets_of_the_test.MyReLU, nets_of_the_test.Mlp", "--arch net.py:Net",
                      "torch.export.save(torch.export.export(model.eval(), (x,)), 'model.pt2')"):  # fmt: skip
            assert words in str(caught.value).replace(
                "nets_of_the_test.Mlp, nets_of_the_test.MyReLU", "nets_of_the_test.MyReLU, nets_of_the_test.Mlp"
            )

    def test_an_old_file_of_a_module(self, tmp_path, trained, folder):
        path = saved(tmp_path, trained["mlp"], _use_new_zipfile_serialization=False)
        with pytest.raises(UnsafeFileError, match=r"nets_of_the_test.Mlp"):
            open_model(path)
        with pytest.raises(UnsafeFileError, match=r"torch before 1.6"):
            open_model(path, hints=Hints(arch=f"{folder}/{MLP}"))

    @pytest.mark.filterwarnings("ignore")
    def test_torchscript_without_trust(self, tmp_path):
        torch.jit.script(stack(6, 5, 3)).save(str(tmp_path / "s.pt"))
        with pytest.raises(UnsafeFileError, match=r"executes; nothing was executed(.|\n)*--trust"):
            open_model(tmp_path / "s.pt")

    @pytest.mark.parametrize("hints", [Hints(arch="a.py:B"), Hints(activation="relu")])
    def test_hints_for_a_file_that_holds_its_network(self, tmp_path, hints):
        with pytest.raises(ConfigError, match="holds its own network"):
            open_model(_exported(tmp_path, stack(6, 5, 3)), hints=hints)

    def test_hints_that_contradict(self):
        with pytest.raises(ConfigError, match="--activation: got --arch as well"):
            Hints(arch="a.py:B", activation="relu")
        with pytest.raises(ConfigError, match="--activation: got 'glu'; expected one of relu, tanh, sigmoid"):
            Hints(activation="glu")

    def test_several_sets_of_weights(self, tmp_path):
        first, second = stack(6, 5, 3).state_dict(), stack(6, 5, 3).state_dict()
        model = open_model(saved(tmp_path, {"ema": first, "model": second}), hints=Hints(activation="relu"))
        assert "used model, not ema" in model.notes[0]
        with pytest.raises(IncompleteModelError, match=r"several sets of weights .generator, critic."):
            open_model(saved(tmp_path, {"generator": first, "critic": second}), hints=Hints(activation="relu"))

    @pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1], 3, "text", torch.ones(3), None])
    def test_files_without_weights(self, tmp_path, content):
        with pytest.raises(LoadError, match="expected"):
            open_model(saved(tmp_path, content), hints=Hints(activation="relu"))

    @pytest.mark.parametrize("weight", [torch.ones(3, 3).to_sparse(), torch.ones(3, 3, dtype=torch.complex64)])
    @pytest.mark.filterwarnings("ignore")
    def test_weights_that_are_not_plain(self, tmp_path, weight):
        with pytest.raises(LoadError, match=r"a.weight is a"):
            open_model(saved(tmp_path, {"a.weight": weight}), hints=Hints(activation="relu"))


def _exported(folder, module, *example):
    path = folder / "net.pt2"
    torch.export.save(torch.export.export(module.eval(), example or (torch.zeros(1, 6),)), str(path))
    return path


class Two(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(6, 6), nn.Linear(6, 3), forward

    def forward(self, *x):
        return self.function(self, *x)


class TestExported:
    def test_the_shape_is_the_captured_one(self, tmp_path):
        model = open_model(_exported(tmp_path, stack(6, 5, 3)))
        assert model.sample_shape == (6,)
        with pytest.raises(InputShapeError, match=r"captured for samples of shape .6,., got .5,."):
            model.traced((5,))

    def test_places_are_those_of_the_users_model(self, tmp_path, trained):
        path = _exported(tmp_path, trained["cnn"], torch.zeros(1, 1, 8, 8))
        places = [row.place for row in open_model(path).traced((1, 8, 8)).coverage]
        assert places[:4] == ["conv1", "norm", "act", "pool"]

    @pytest.mark.parametrize(("forward", "words"), [
        (lambda m, x: torch.softmax(m.a(x), 1).cumsum(1), "softmax.*(.|\n)*cumsum"),
        (lambda m, x: m.b(m.a(x).relu()).chunk(3, 1)[0], "chunk"),
        (lambda m, x: m.a(x).relu().mean(0, keepdim=True), "mean"),
        (lambda m, x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)), "cond"),
    ])  # fmt: skip
    def test_operations_without_a_neuron_are_named(self, tmp_path, forward, words):
        path = _exported(tmp_path, Two(forward), torch.zeros(4, 6))
        with pytest.raises(UnsupportedOpError, match=words):
            open_model(path).traced((6,))

    @pytest.mark.parametrize(("forward", "names"), [
        (lambda m, x: (m.a(x).relu(), m.b(x)), ["0", "1"]),
        (lambda m, x: {"a": m.a(x).relu(), "b": [m.b(x)]}, ["a", "b.0"]),
    ])  # fmt: skip
    def test_several_outputs_keep_their_names(self, tmp_path, forward, names):
        traced = open_model(_exported(tmp_path, Two(forward), torch.zeros(4, 6))).traced((6,))
        assert [head.name for head in traced.heads] == names

    def test_a_softmax_at_the_end_goes_to_the_read_out(self, tmp_path):
        path = _exported(tmp_path, Two(lambda m, x: m.b(m.a(x).relu()).softmax(1)), torch.zeros(4, 6))
        assert [head.readout for head in open_model(path).traced((6,)).heads] == ["softmax"]

    def test_calls_on_fixed_tensors_are_made_only_if_harmless(self, tmp_path):
        module = Two(lambda m, x: torch.relu(x @ m.a.weight.t() * 2) @ m.b.weight.t())
        assert_computes(open_model(_exported(tmp_path, module)), module, (6,))
        path = _exported(tmp_path, Two(lambda m, x: m.b(m.a(x).relu() + torch.zeros(6))))
        with pytest.raises(UnsupportedOpError, match="zeros"):
            open_model(path).traced((6,))

    @pytest.mark.filterwarnings("ignore")  # torch's own, of its own types
    def test_a_decomposed_program(self, tmp_path, trained):
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        network.append(nn.Linear(36, 3)).eval()[1].running_mean.uniform_(-1, 1)
        program = torch.export.export(network, (torch.zeros(1, 1, 8, 8),)).run_decompositions()
        targets = {str(node.target) for node in program.graph.nodes}
        assert {"aten._native_batch_norm_legit_no_training.default", "aten.addmm.default"} <= targets
        torch.export.save(program, str(tmp_path / "net.pt2"))
        assert_computes(open_model(tmp_path / "net.pt2"), network, (1, 8, 8))

    def test_two_inputs(self, tmp_path):
        path = _exported(tmp_path, Two(lambda m, x, y: m.a(x + y).relu()), torch.zeros(1, 6), torch.zeros(1, 6))
        with pytest.raises(UnsupportedOpError, match="a second input"):
            open_model(path)

    def test_constants_and_sizes(self, tmp_path):
        module = Two(lambda m, x: m.b(torch.relu(m.a(x) * m.factor + 0.5)).view(x.shape[0], -1))
        module.factor = torch.arange(1.0, 7.0)
        batch = {0: torch.export.Dim("batch")}
        path = tmp_path / "net.pt2"
        torch.export.save(torch.export.export(module, (torch.zeros(3, 6),), dynamic_shapes={"x": (batch,)}), str(path))
        assert_computes(open_model(path), module, (6,))

    def test_the_layouts_before_torch_2_9(self, tmp_path):
        module = stack(6, 5, 3)
        with zipfile.ZipFile(_exported(tmp_path, module)) as archive:
            program = next(archive.read(n) for n in archive.namelist() if n.endswith("models/model.json"))
        state, nothing = io.BytesIO(), io.BytesIO()
        torch.save(module.state_dict(), state)
        torch.save({}, nothing)
        old = {"serialized_exported_program.json": program, "serialized_state_dict.pt": state.getvalue(),
               "serialized_constants.pt": nothing.getvalue(), "version": b"8.2"}  # fmt: skip
        between = {"m/archive_format": b"pt2", "m/models/model.json": program,
                   "m/data/weights/model.pt": state.getvalue(),
                   "m/data/constants/model.pt": nothing.getvalue()}  # fmt: skip
        for content in (old, between):
            with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
                for name, data in content.items():
                    archive.writestr(name, data)
            assert_computes(open_model(tmp_path / "old.pt2"), module, (6,))

    def test_a_graph_that_does_not_compute_what_its_shapes_say(self, tmp_path):
        path = _exported(tmp_path, stack(6, 5, 3))
        edited = tmp_path / "edited.pt2"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(edited, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name.endswith("models/model.json"):
                    program = json.loads(data)
                    values = program["graph_module"]["graph"]["tensor_values"]
                    values["linear"]["sizes"][1] = {"as_int": 4}
                    data = json.dumps(program).encode()
                new.writestr(name, data)
        with pytest.raises(ConvertError, match=r"recorded with samples of shape \(4,\), but gives \(5,\)"):
            open_model(edited).traced((6,))


@pytest.mark.filterwarnings("ignore")
class TestScript:
    def test_control_flow_is_refused(self, tmp_path):
        (tmp_path / "net.py").write_text(
            "import torch\nfrom torch import nn\nclass Net(nn.Module):\n def __init__(self):\n  super().__init__()\n"
            "  self.a = nn.Linear(6, 3)\n"
            " def forward(self, x):\n  if x.sum() > 0:\n   return self.a(x).relu()\n  return self.a(x)\n"
        )
        from convert.reading.architecture import build

        torch.jit.script(build(f"{tmp_path}/net.py:Net").eval()).save(str(tmp_path / "s.pt"))
        with pytest.raises(ConvertError) as caught:
            open_model(tmp_path / "s.pt", hints=Hints(trust=True)).traced((6,))
        assert "Traceback" not in str(caught.value)

    def test_a_batch_of_one_is_enough(self, tmp_path):
        module = Two(lambda m, x: m.b(m.a(x).relu().view(1, 6)))
        torch.jit.trace(module, torch.zeros(1, 6)).save(str(tmp_path / "s.pt"))
        model = open_model(tmp_path / "s.pt", hints=Hints(trust=True))
        x = torch.randn((1, 6), generator=torch.Generator().manual_seed(3))
        from convert.graph.semantics import run

        with torch.no_grad():
            torch.testing.assert_close(run(model.traced((6,)).graph, x), module(x))

    def test_another_shape(self, tmp_path):
        torch.jit.script(stack(6, 5, 3)).save(str(tmp_path / "s.pt"))
        model = open_model(tmp_path / "s.pt", hints=Hints(trust=True))
        assert model.sample_shape == (6,)
        with pytest.raises(InputShapeError, match=r"does not accept samples of shape .7,."):
            model.traced((7,))


def test_the_command_line_records_what_was_said(tmp_path, trained, folder):
    import os
    import subprocess
    import sys

    import zoo

    path = saved(tmp_path, trained["mlp"].state_dict())
    arch = f"{folder}/nets.py:Mlp(24, depth=2)"
    root = Path(zoo.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "convert", str(path), "--arch", arch, "--data", "digits", "--limit", "20",
         "--steps", "2", "--out", str(tmp_path / "out")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    case = json.loads((tmp_path / "out" / "run.json").read_text())["case"]
    assert case["model"]["format"] == "state_dict (torch.save)"
    assert case["model"]["arch"] == arch
