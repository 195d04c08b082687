"""How weights came about: what a training run is known by, beyond its recipe."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass

import torch

from zoo.errors import CheckpointError

__all__ = ["Provenance"]


@dataclass(frozen=True)
class Provenance:
    """The training run behind a checkpoint.

    Parameters
    ----------
    seed : int
        Seed of the recipe: initial weights, order of the samples, augmentation, dropout.
    epochs : int
        Passes over the training samples.
    start : str
        Network whose weights training began with; empty: from scratch.
    hold_out : int
        So many samples at the end of the training split were left out.
    held_out_accuracy : float or None
        Accuracy on them, as a fraction; None where there are none.
    cpu_s : float
        Processor time of the training in seconds, summed over threads: it does not depend on what else ran.
    threads : int
        Threads that torch had.
    torch, python : str
        Versions.
    """

    seed: int
    epochs: int
    start: str
    hold_out: int
    held_out_accuracy: float | None
    cpu_s: float
    threads: int
    torch: str = torch.__version__
    python: str = platform.python_version()

    def __post_init__(self) -> None:
        """Refuse what no training run can state."""
        share = self.held_out_accuracy
        if self.hold_out < 0 or not math.isfinite(self.cpu_s) or (share is not None and not 0 <= share <= 1):
            raise CheckpointError(
                f"provenance: got {self.hold_out} held out at accuracy {share}, {self.cpu_s} s; expected a count, a "
                "fraction and a time; train again"
            )

    @property
    def unseen(self) -> int:
        """So many samples at the end of the training split are new to the weights: none, if others were their start."""
        return 0 if self.start else self.hold_out

    def to_json(self) -> str:
        """As text for the metadata of a checkpoint."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """What `to_json` wrote.

        Raises
        ------
        ValueError
            Not that.

        Examples
        --------
        >>> run = Provenance(seed=1, epochs=2, start="", hold_out=10, held_out_accuracy=0.9, cpu_s=3.0, threads=1)
        >>> Provenance.from_json(run.to_json()) == run
        True
        """
        found = json.loads(text)
        types = {"seed": int, "epochs": int, "hold_out": int, "threads": int, "cpu_s": float, "start": str,
                 "torch": str, "python": str}  # fmt: skip
        if not isinstance(found, dict) or any(not isinstance(found.get(key), kind) for key, kind in types.items()):
            raise ValueError(f"training is {text[:200]!r}")
        try:
            return cls(**found)
        except TypeError as error:
            raise ValueError(f"training is {text[:200]!r}: {error}") from error
