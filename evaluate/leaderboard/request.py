"""What a leaderboard is asked for, and the units of work it falls into."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import zoo
from convert.recipes import OWN_STEPS, RECIPES
from evaluate.contenders.methods import METHODS
from evaluate.contenders.peers import peer_version
from evaluate.errors import LeaderboardError

__all__ = [
    "DEFAULT_STEPS", "SMALL", "LeaderboardRequest", "Unit", "chosen_methods", "installed_methods",
]  # fmt: skip

DEFAULT_STEPS = (4, 8, 16, 32)

MOST_DIGITS = 8
"""Steps of a period beyond which radix-coded networks are left out: more digits than any weight here resolves."""

SMALL: dict[str, Any] = {
    "networks": ("digits-relu", "digits-tanh"), "methods": ("seed", "best-onebit", "rueckauer2017", "multi-threshold"),
    "steps": (4, 8), "limit": 100, "calibration_samples": 200,
}  # fmt: skip
"""Seconds instead of hours: what the tests and a first look take."""


@dataclass(frozen=True)
class Unit:
    """What is measured in one go: one network, made by a recipe or a peer, at all numbers of steps that it serves."""

    network: str
    method: str
    steps: tuple[int, ...]

    @property
    def label(self) -> str:
        """For the progress bar."""
        return f"{self.network}, {self.method}, T = {', '.join(map(str, self.steps))}"


@dataclass(frozen=True)
class LeaderboardRequest:
    """A leaderboard.

    Parameters
    ----------
    networks : tuple of str
        Of the zoo.
    methods : tuple of str
        Recipes, and names of `evaluate.contenders.methods.METHODS`.
    steps : tuple of int
        Ascending.
    limit : int or None
        Test samples of each network, the first ones; None: all.
    calibration_samples, seed : int
    command : str
        What makes it again.

    Raises
    ------
    LeaderboardError
        All that cannot be, at once.
    """

    networks: tuple[str, ...]
    methods: tuple[str, ...]
    steps: tuple[int, ...] = DEFAULT_STEPS
    limit: int | None = 500
    calibration_samples: int = 1000
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse what can be refused before anything is measured."""
        wrong = _unknown("--networks", self.networks, zoo.names())
        wrong += _unknown("--methods", self.methods, (*RECIPES, *METHODS))
        if not self.steps or min(self.steps) < 1 or max(self.steps) > 4096 or list(self.steps) != sorted(self.steps):
            wrong.append(f"--steps: got {self.steps}; expected ascending numbers from 1 to 4096, such as 4,8,16,32")
        for option, value in (("--limit", self.limit), ("--calibration-samples", self.calibration_samples)):
            if value is not None and value < 1:
                wrong.append(f"{option}: got {value}; expected at least 1")
        if self.seed < 0:
            wrong.append(f"--seed: got {self.seed}; expected 0 or more")
        for name in {METHODS[m].distribution for m in self.methods if m in METHODS}:
            if peer_version(name) is None:
                wrong.append(f"--methods: {name} is not installed; pip install '.[peers]', in an environment without "
                             "the extra nir")  # fmt: skip
        if not wrong and not list(self.units()):
            wrong.append(f"--steps: got {self.steps} for radix alone; expected {MOST_DIGITS} or fewer digits")
        if wrong:
            raise LeaderboardError("\n".join(wrong))

    def as_record(self) -> dict[str, Any]:
        """Plain JSON, without the command."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if k != "command"}

    def units(self) -> Iterator[Unit]:
        """In the order of the page: network by network, since what a network's methods share is kept meanwhile."""
        for network in self.networks:
            for method in self.methods:
                if method in METHODS:
                    yield Unit(network, method, self.steps)
                else:
                    most = MOST_DIGITS if method == "radix" else max(self.steps)
                    yield from _of_recipe(network, method, tuple(t for t in self.steps if t <= most))


def _of_recipe(network: str, method: str, steps: tuple[int, ...]) -> Iterator[Unit]:
    """One unit for each network that the recipe makes: few recipes fit one to every number of steps."""
    alike: dict[str, list[int]] = {}
    for t in steps:
        own = t if method in OWN_STEPS else 0
        alike.setdefault(repr((RECIPES[method].config(t), own)), []).append(t)
    yield from (Unit(network, method, tuple(several)) for several in alike.values())


def installed_methods() -> tuple[str, ...]:
    """Every recipe, and every method of those converters that are installed."""
    return (*RECIPES, *(name for name, method in METHODS.items() if peer_version(method.distribution)))


def chosen_methods(names: Sequence[str]) -> tuple[str, ...]:
    """`names` with the groups *ours* and *peers* written out.

    >>> chosen_methods(["seed", "ours"])[:2]
    ('seed', 'best-onebit')
    """
    groups = {"ours": tuple(RECIPES), "peers": tuple(METHODS)}
    return tuple(dict.fromkeys(m for name in names for m in groups.get(name, (name,))))


def _unknown(option: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    found = []
    for name in [n for n in names if n not in known]:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        found.append(f"{option}: got {name!r}; expected of {', '.join(known)}{hint}")
    return found or ([] if names else [f"{option}: got none; expected at least one of {', '.join(known)}"])
