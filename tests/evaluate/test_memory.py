"""The memory of a measurement does not grow with the number of samples."""

import subprocess
import sys

import pytest

# Own process: the high-water mark and the heap of the test run belong to everybody.
_GROWTH = """
from statistics import median

import torch
from torch import nn
from convert import ConvertConfig, convert, trace
from evaluate.runner import measure

torch.set_num_threads(1)
torch.manual_seed(0)
module = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 196, 32), nn.Tanh(),
    nn.Linear(32, 10),
).eval()
x = torch.rand(3200, 1, 28, 28)
conversion = convert(trace(module, (1, 28, 28), "x"), x[:20], ConvertConfig(potential_steps=0))
resident, done = [], 0

def note(samples):
    global done
    done += samples
    with open("/proc/self/statm") as file:
        resident.append((done, int(file.read().split()[1]) * 4096))

measure(conversion, x, (8, 16), progress=note)
# Medians: the buffers of a single batch may be still there, or not yet returned, when it is looked at.
early = median(size for done, size in resident if done <= len(x) // 4)
late = median(size for done, size in resident if done > 3 * len(x) // 4)
print(len(resident), (late - early) / 2**20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_resident_memory_is_flat_over_many_batches():
    run = subprocess.run([sys.executable, "-c", _GROWTH], capture_output=True, text=True, check=True, timeout=600)
    batches, growth_mib = run.stdout.split()
    assert int(batches) > 100
    assert float(growth_mib) < 8  # the heap breathes by a few
