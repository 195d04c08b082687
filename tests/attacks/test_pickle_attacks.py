"""Pickles inside exports and files of weights: none runs, whatever the user says about the file."""

import io
import json
import pickle
import zipfile

import pytest
import torch
from torch import nn

from convert.errors import ConvertError, UnsafeFileError
from convert.reading.hints import Hints
from tests.attacks.formats import members, outcome, repacked, written


class Runs:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, sentinel):
        self.sentinel = str(sentinel)

    def __reduce__(self):
        return (open, (self.sentinel, "w"))


@pytest.fixture
def sentinel(tmp_path):
    path = tmp_path / "executed"
    pickle.loads(pickle.dumps(Runs(path))).close()
    assert path.exists()  # the weapon is loaded
    path.unlink()
    return path


def pickles(sentinel):
    whole = io.BytesIO()
    torch.save(Runs(sentinel), whole)
    return {"bare": pickle.dumps(Runs(sentinel)), "archive": whole.getvalue(), "old": pickle.dumps(Runs(sentinel), 2)}


@pytest.mark.parametrize("form", ["bare", "archive", "old"])
def test_pickles_inside_an_export_do_not_run(form, net, tmp_path, sentinel):
    data, payload = written("pt2", net, tmp_path / "file"), pickles(sentinel)[form]

    def as_pickle(name, content):
        if name.endswith("weights_config.json"):
            config = json.loads(content)
            for entry in config["config"].values():
                entry["use_pickle"] = True
            return json.dumps(config).encode()
        return payload if "/weights/weight_" in name else content

    assert isinstance(outcome(repacked(data, tmp_path / "armed", as_pickle), "pt2"), ConvertError)
    for victim in members(data):
        outcome(repacked(data, tmp_path / "armed", lambda n, c, v=victim: payload if n == v else c), "pt2")
    assert not sentinel.exists()


@pytest.mark.parametrize("form", ["bare", "archive", "old"])
def test_pickles_in_the_layouts_before_do_not_run(form, net, tmp_path, sentinel):
    data, payload = written("pt2", net, tmp_path / "file"), pickles(sentinel)[form]
    program = zipfile.ZipFile(io.BytesIO(data)).read(next(n for n in members(data) if n.endswith("models/model.json")))
    for content in (
        {"serialized_exported_program.json": program, "serialized_state_dict.pt": payload},
        {"m/archive_format": b"pt2", "m/models/model.json": program, "m/data/weights/model.pt": payload},
    ):
        with zipfile.ZipFile(tmp_path / "armed", "w") as archive:
            for name, value in content.items():
                archive.writestr(name, value)
        assert isinstance(outcome(tmp_path / "armed", "pt2"), UnsafeFileError)
    assert not sentinel.exists()


@pytest.mark.parametrize("arch", [True, False])
@pytest.mark.parametrize("form", ["archive", "old", "bare"])
def test_pickles_do_not_run_whatever_the_user_says(form, arch, tmp_path, sentinel):
    path = tmp_path / "armed.pt"
    path.write_bytes(pickles(sentinel)[form])
    (tmp_path / "net.py").write_text("from torch import nn\ndef net():\n return nn.Linear(6, 3)\n")
    hints = Hints(arch=f"{tmp_path}/net.py:net") if arch else Hints(activation="relu")
    assert isinstance(outcome(path, "state_dict", hints), ConvertError)
    assert not sentinel.exists()


class Foreign(nn.Module):
    def __init__(self, sentinel):
        super().__init__()
        self.layer, self.extra = nn.Linear(6, 3), Runs(sentinel)


def test_a_module_of_unknown_classes_gives_weights_and_nothing_else(tmp_path, sentinel):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n def __init__(self):\n  super().__init__()\n"
        "  self.layer = nn.Linear(6, 3)\n def forward(self, x):\n  return self.layer(x).relu()\n"
    )
    hints = Hints(arch=f"{tmp_path}/net.py:Net")
    torch.save(Foreign(sentinel), tmp_path / "armed.pt")
    assert isinstance(outcome(tmp_path / "armed.pt", "module", hints), UnsafeFileError)
    assert not sentinel.exists()
    harmless = Foreign(sentinel)
    harmless.extra = {"a": [1, "b"]}
    torch.save(harmless, tmp_path / "fine.pt")
    assert outcome(tmp_path / "fine.pt", "module", hints) is None
