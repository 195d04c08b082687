"""What calibration holds at a time does not grow with the steps that it calibrates for."""

import subprocess
import sys

import pytest

# Own process: the high-water mark of the test run belongs to everybody.
_PEAK = """
import resource
import torch
from torch import nn
from convert import ConvertConfig, convert, trace

torch.set_num_threads(1)
torch.manual_seed(0)
module = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 784, 10)).eval()
x = torch.rand(64, 1, 28, 28)
peaks = []
for steps in (2, 64):
    convert(trace(module, (1, 28, 28), "x"), x, ConvertConfig(potential_steps=steps))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print((peaks[1] - peaks[0]) / 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the unit of ru_maxrss")
def test_it_does_not_keep_the_values_of_a_hidden_layer_at_every_step():
    run = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True, timeout=600)
    assert float(run.stdout) < 100  # 64 x 64 values of 25,088 neurons would be 800 MB
