"""Request: what one case asks for, as options of the command line and of a suite name it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from convert.config import MOST_STEPS, ConvertConfig
from convert.errors import ConfigError
from convert.reading.hints import Hints
from convert.recipes import recipe
from convert.simulation.engine import ENGINES
from evaluate.exit_rules import ExitOrder
from evaluate.tasks import TASKS

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """One case.

    Parameters
    ----------
    model : str
        A file, or ``zoo:NAME``.
    data, calibration : str or None
        Specs; see `zoo.open_dataset`.
    data_dir : str or None
        A folder to look for data sets in, before all others.
    steps : tuple of int
        Steps to report, ascending.
    command : str
        What repeats the run.
    task : str
        One of `evaluate.tasks.TASKS`.
    hints : Hints
        What the user says about the model file: its code, its activation, that it is trusted.
    diagnose : bool
        Whether to say where and why accuracy was lost.
    engine : str
        How to simulate; one of `convert.simulation.engine.ENGINES`.

    Raises
    ------
    ConfigError
        An option outside its range; all of them at once.
    """

    model: str
    config: ConvertConfig = field(default_factory=lambda: recipe("seed").config())
    data: str | None = None
    calibration: str | None = None
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    limit: int | None = None
    calibration_samples: int = 1000
    seed: int = 0
    device: str = "cpu"
    memory_mb: int = 32
    input_shape: tuple[int, ...] | None = None
    command: str = ""
    task: str = "auto"
    hints: Hints = field(default_factory=Hints)
    diagnose: bool = False
    engine: str = "auto"
    data_dir: str | None = None
    early_exit: ExitOrder | None = None

    def __post_init__(self) -> None:
        """Refuse what can be refused before anything is read."""
        wrong = [
            f"{option}: got {value}; expected at least 1"
            for option, value in (("--limit", self.limit), ("--calibration-samples", self.calibration_samples),
                                  ("--memory-mb", self.memory_mb), ("--input-shape", min(self.input_shape or (1,))))
            if value is not None and value < 1
        ]  # fmt: skip
        if not self.steps or self.steps[0] < 1 or self.steps[-1] > MOST_STEPS:
            wrong.append(f"--steps: got {self.steps}; expected 1 to {MOST_STEPS}, such as 1,2,4,8,16,32,64")
        if not 0 <= self.seed < 2**63:
            wrong.append(f"--seed: got {self.seed}; expected 0 or more")
        if self.task not in TASKS:
            wrong.append(f"--task: got {self.task!r}; expected one of {', '.join(TASKS)}")
        if self.engine not in ENGINES:
            wrong.append(f"--engine: got {self.engine!r}; expected one of {', '.join(ENGINES)}")
        if self.device not in ("cpu", "cuda"):
            wrong.append(f"--device: got {self.device!r}; expected cpu or cuda")
        elif self.device == "cuda" and not torch.cuda.is_available():
            wrong.append("--device: cuda was asked for, but this torch finds no CUDA device; use --device cpu")
        if wrong:
            raise ConfigError("\n".join(wrong))
