"""TorchScript, cut and flipped, with and without --trust."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo
from convert.errors import ConvertError
from convert.reading.hints import Hints
from tests.attacks.formats import FLIPS, outcome

SCRIPT = """
import random, sys
from pathlib import Path
import torch
from convert.errors import ConvertError
from convert.reading.hints import Hints
from convert.reading.models import open_model
from tests.attacks.builders import members_of, packed

torch.set_num_threads(1)
source, folder, trust = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "trust"
data, draw, path = source.read_bytes(), random.Random(3), folder / "flipped"


def flipped():
    for _ in range(int(sys.argv[4])):
        broken = bytearray(data)
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        yield


def cut():
    whole = members_of(source)
    for name, content in whole.items():
        for part in (b"", content[: len(content) // 2]):
            packed(path, {**whole, name: part})
            yield


refused = 0
for _ in cut() if sys.argv[4] == "cut" else flipped():
    try:
        open_model(path, hints=Hints(trust=trust)).traced((6,))
    except ConvertError:
        refused += 1
print(refused)
"""


def refusals(folder, trust, what):
    """How many of the broken files were refused, counted in a process of its own: libtorch itself reads them."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder / "script.pt"), str(folder), trust, what],
        env={**os.environ, "PYTHONPATH": str(Path(zoo.__file__).parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("trust", "flips"), [("no", FLIPS), ("trust", 60)])
def test_flipped_bits_in_torchscript(net, tmp_path, trust, flips):
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    found = refusals(tmp_path, trust, str(flips))
    assert found == flips or trust == "trust"
    assert found > flips // 2  # checksums tell


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trust", ["no", "trust"])
def test_every_member_of_torchscript_truncated(net, tmp_path, trust):
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    assert refusals(tmp_path, trust, "cut") > 6


@pytest.mark.filterwarnings("ignore")
def test_truncated_torchscript(net, tmp_path):
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    data = (tmp_path / "script.pt").read_bytes()
    for share in range(10):
        (tmp_path / "short").write_bytes(data[: len(data) * share // 10])
        assert isinstance(outcome(tmp_path / "short", "script", Hints(trust=True)), ConvertError)
