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

torch.set_num_threads(1)
source, folder, trust = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "trust"
data, draw, path = source.read_bytes(), random.Random(3), folder / "flipped"
refused = 0
for i in range(int(sys.argv[4])):
    broken = bytearray(data)
    broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    path.write_bytes(broken)
    try:
        open_model(path, hints=Hints(trust=trust)).traced((6,))
    except ConvertError:
        refused += 1
print(refused)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("trust", "flips"), [("no", FLIPS), ("trust", 60)])
def test_flipped_bits_in_torchscript(net, tmp_path, trust, flips):
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    done = subprocess.run(  # a process of its own: libtorch reads this one, and the user had to ask for it
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "script.pt"), str(tmp_path), trust, str(flips)],
        env={**os.environ, "PYTHONPATH": str(Path(zoo.__file__).parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == flips or trust == "trust"


@pytest.mark.filterwarnings("ignore")
def test_truncated_torchscript(net, tmp_path):
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    data = (tmp_path / "script.pt").read_bytes()
    for share in range(10):
        (tmp_path / "short").write_bytes(data[: len(data) * share // 10])
        assert isinstance(outcome(tmp_path / "short", "script", Hints(trust=True)), ConvertError)
