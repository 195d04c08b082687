"""A small network with its samples, and the numbers of a run that must repeat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluate.records import Run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with model.pt and test.npz."""
    place = tmp_path / "project"
    place.mkdir()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 12), torch.nn.ReLU(), torch.nn.Linear(12, 3))
    torch.save(model, place / "model.pt")
    x = torch.rand(80, 16)
    with torch.no_grad():
        np.savez(place / "test.npz", x=x.numpy(), y=model(x).argmax(1).numpy())
    return place


@pytest.fixture
def numbers() -> Callable[[Run], dict[str, Any]]:
    """Everything of a run that does not come from a clock or a machine."""

    def found(run: Run) -> dict[str, Any]:
        exact = {m.name: (m.value, m.low, m.high) for m in run.metrics if not m.timing}
        return {"id": run.id, "case": run.case, "metrics": exact, "curves": run.curves, "layers": run.layers,
                "samples": run.samples}  # fmt: skip

    return found
