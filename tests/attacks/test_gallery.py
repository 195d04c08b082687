"""Every file that tries to harm: nothing is executed, nothing hangs, memory is bounded, one error is named, exit 2."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.gallery import gallery
from tests.attacks.torch_files import payloads

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def visited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.attacks.gallery_visitor", str(folder)],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]  # torch's loggers keep the stream they began with
    return {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


def test_there_are_many():
    assert len(gallery()) >= (90 if importlib.util.find_spec("onnx") and importlib.util.find_spec("skops") else 60)


@pytest.mark.parametrize("kind", payloads(Path("x")))
def test_the_payloads_are_live(kind, tmp_path):
    pickle.loads(pickle.dumps(payloads(tmp_path / "canary")[kind]))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", gallery())
def test_it_is_refused(name, visited):
    found = visited[name]
    assert found["status"] == "2", found
    assert not found["canary"], "something in the file was executed"
    assert found["written"] == []
    message = found["message"]
    assert message.startswith("convert: ")
    assert message.count("convert: ") == 1
    assert len(message.splitlines()) <= 8
    assert max(map(len, message.splitlines())) <= 700
    for foreign in ("Traceback", "weights_only", "object at 0x", "can't allocate", "MemoryError"):
        assert foreign not in message, message
