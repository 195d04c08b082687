"""--arch: the network that the user names, and weights that fit it or not."""

import json

import pytest
import torch

from convert.errors import (
    ArchitectureError,
)
from convert.reading.architecture import build
from convert.reading.hints import Hints
from convert.reading.models import open_model
from tests.commands import python
from tests.oracles.trained import MLP, NETS, assert_computes, saved


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
        module = build(f"{tmp_path}/net.py:Net").eval()
        for i, name in enumerate(("weights.pt", "weights.pt2")):
            path = tmp_path / name
            if i:
                torch.export.save(torch.export.export(module, (torch.zeros(1, 6),)), str(path))
            else:
                torch.save(module.state_dict(), path)
            hints = Hints() if i else Hints(arch=f"{tmp_path}/net.py:Net")
            assert_computes(open_model(path, hints=hints), module, (6,))


def test_the_command_line_records_what_was_said(tmp_path, trained, folder):
    path = saved(tmp_path, trained["mlp"].state_dict())
    arch = f"{folder}/nets.py:Mlp(24, depth=2)"
    done = python("convert", path, "--arch", arch, "--data", "digits", "--limit", "20", "--steps", "2",
                  "--out", tmp_path / "out", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    case = json.loads((tmp_path / "out" / "run.json").read_text())["case"]
    assert case["model"]["format"] == "state_dict (torch.save)"
    assert case["model"]["arch"] == arch
