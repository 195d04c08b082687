"""Files of torch, cut, flipped and repacked: each is a finite network or one named error."""

import io
import random
import zipfile

import pytest
import torch
from torch import nn

from convert.errors import CorruptFileError, UnsafeFileError
from tests.attacks.formats import FLIPS, WRITERS, members, outcome, repacked, written


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bits(kind, net, tmp_path):
    data, path, draw = written(kind, net, tmp_path / "file"), tmp_path / "flipped", random.Random(7)
    for _ in range(FLIPS):
        broken = bytearray(data)
        for _ in range(draw.choice((1, 1, 4))):
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        outcome(path, kind)


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bits_in_front_where_the_structure_is(kind, net, tmp_path):
    data, path, draw = written(kind, net, tmp_path / "file"), tmp_path / "flipped", random.Random(8)
    for _ in range(FLIPS // 4):
        broken = bytearray(data)
        broken[draw.randrange(min(600, len(broken)))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        outcome(path, kind)


@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_flipped_bits_inside_members_with_valid_checksums(kind, net, tmp_path):
    data, draw = written(kind, net, tmp_path / "file"), random.Random(9)
    names = [name for name in members(data) if "sample_inputs" not in name and ".data/" not in name]

    for _ in range(FLIPS // 2):
        chosen = draw.choice(names)

        def flip(name, content, chosen=chosen):
            if name != chosen or not content:
                return content
            changed = bytearray(content)
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
            return bytes(changed)

        outcome(repacked(data, tmp_path / "flipped", flip), kind)


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_files(kind, net, tmp_path):
    data, path = written(kind, net, tmp_path / "file"), tmp_path / "short"
    for share in range(25):
        path.write_bytes(data[: len(data) * share // 25])
        assert outcome(path, kind) is not None


@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_every_member_truncated_emptied_or_gone(kind, net, tmp_path):
    data = written(kind, net, tmp_path / "file")
    for chosen in members(data):
        for cut in (lambda content: content[: len(content) // 2], lambda content: b"", lambda content: None):
            path = repacked(data, tmp_path / "cut", lambda n, c, chosen=chosen, cut=cut: cut(c) if n == chosen else c)
            error = outcome(path, kind)
            if any(
                part in chosen for part in ("weights/weight", "model.json", "weights_config", "data.pkl", "/data/0")
            ):
                assert error is not None, chosen


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:/evil", "..\\evil", "file/../../evil"])
@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_members_that_escape(kind, name, net, tmp_path):
    data = written(kind, net, tmp_path / "file")
    path = tmp_path / "escape"
    repacked(data, path, lambda n, c: c)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    assert isinstance(outcome(path, kind), UnsafeFileError)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["escape", "file"]


@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_members_that_explode(kind, net, tmp_path):
    data = written(kind, net, tmp_path / "file")
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(tmp_path / "bomb", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        root = old.namelist()[0].partition("/")[0]
        new.writestr(f"{root}/data/weights/bomb", bytes(2**24), zipfile.ZIP_DEFLATED)
    error = outcome(tmp_path / "bomb", kind)
    assert isinstance(error, UnsafeFileError)
    assert "compressed" in str(error)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["pt2", "state_dict", "module"])
def test_members_of_one_name(kind, net, tmp_path):
    path = tmp_path / "file"
    name = members(written(kind, net, path))[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"another")
    error = outcome(path, kind)
    assert isinstance(error, UnsafeFileError)
    assert "twice" in str(error)


def test_a_tensor_that_is_larger_than_its_storage(tmp_path):
    torch.save({"0.weight": torch.ones(1).expand(2**20, 6)}, tmp_path / "w.pt")
    assert isinstance(outcome(tmp_path / "w.pt", "state_dict"), CorruptFileError)


def test_weights_that_are_not_finite(net, tmp_path):
    for kind in ("state_dict", "safetensors", "pt2"):
        broken = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
        with torch.no_grad():
            broken[0].weight[0, 0] = torch.nan
        written(kind, broken, tmp_path / "nan")
        assert "NaN" in str(outcome(tmp_path / "nan", kind))
