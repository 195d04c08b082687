"""How artefact-v1.safetensors and artefact-v1.json came about; run once for each format version, never again.

A file of an earlier version must load for ever, so neither is ever rewritten.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from convert import ConvertConfig, convert, simulate, trace
from convert.writing.artefact import VERSION, to_bytes

STEPS = 24


def model() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 6), nn.Tanh(),
        nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3),
    ).eval()  # fmt: skip


def samples() -> torch.Tensor:
    return torch.linspace(0, 1, 4 * 16).reshape(4, 1, 4, 4).flip(-1)


if __name__ == "__main__":
    folder = Path(__file__).parent
    if (folder / f"artefact-v{VERSION}.safetensors").exists():
        sys.exit("this version has its golden file already")
    snn = convert(trace(model(), (1, 4, 4)), samples(), ConvertConfig()).snn
    result = simulate(snn, samples(), STEPS)
    (folder / f"artefact-v{VERSION}.safetensors").write_bytes(to_bytes(snn))
    counts = {name: value.flatten(1).int().tolist() for name, value in result.counts.items()}
    record = {"steps": STEPS, "counts": counts, "output": result.output[-1].tolist()}
    (folder / f"artefact-v{VERSION}.json").write_text(json.dumps(record) + "\n")
