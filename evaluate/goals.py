"""Goal: what a search is asked to keep, read from a phrase such as accuracy_drop<=0.5pp."""

from __future__ import annotations

import re
from dataclasses import dataclass

from convert.errors import ConfigError

__all__ = ["COSTS", "Goal", "read_goal"]

COSTS = {
    "latency": ("steps", "steps"),
    "energy": ("energy_snn_j", "J"),
    "spikes": ("spike_bits_per_neuron", "bits per neuron"),
}
"""What can be minimised: the field of a point that holds it, and its unit."""

_PHRASES = (
    ("accuracy_drop", re.compile(r"accuracy_drop<=([0-9.]+)pp")),
    ("agreement", re.compile(r"agreement>=([0-9.]+)%")),
)
_EXPECTED = "accuracy_drop<=0.5pp (percentage points below the ANN) or agreement>=99% (same answers as the ANN)"


@dataclass(frozen=True)
class Goal:
    """What must be kept.

    Parameters
    ----------
    kind : {"accuracy_drop", "agreement"}
    limit : float
        The largest loss allowed, a fraction: of accuracy, or of samples that are answered unlike the ANN.
    """

    kind: str
    limit: float

    @property
    def text(self) -> str:
        """The phrase that it is read from.

        >>> Goal("agreement", 0.01).text
        'agreement>=99%'
        """
        if self.kind == "agreement":
            return f"agreement>={100 * (1 - self.limit):.10g}%"
        return f"accuracy_drop<={100 * self.limit:.10g}pp"


def read_goal(text: str) -> Goal:
    """The goal that `text` says; spaces do not matter.

    Raises
    ------
    ConfigError
        Another quantity, comparison or unit, or a number out of range.

    >>> read_goal("accuracy_drop <= 0.5 pp")
    Goal(kind='accuracy_drop', limit=0.005)
    """
    for kind, phrase in _PHRASES:
        found = phrase.fullmatch("".join(text.split()))
        if found is None:
            continue
        try:
            percent = float(found[1])
        except ValueError:
            break
        if percent > 100:
            raise ConfigError(f"--auto: got {text!r}; expected a number from 0 to 100")
        return Goal(kind, (100 - percent if kind == "agreement" else percent) / 100)
    raise ConfigError(f"--auto: got {text!r}; expected {_EXPECTED}; quote it, so that the shell does not redirect")
