"""How wrong predictions have been: prediction.toml, measured against simulation, and how to measure it again.

    python -m evaluate.prediction_errors [--networks NAME,...] [--out FILE]

converts each network by each recipe, predicts and simulates the same samples, and writes both in one table. An entry
replaces that of the same recipe and network; the others are kept. Nothing in a prediction is fitted to these numbers.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from evaluate.environment import environment
from evaluate.records import write_atomically

__all__ = ["FILE", "KnownError", "Measured", "RecipeErrors", "known_errors", "measure_network", "read", "written"]

FILE = Path(__file__).with_name("prediction.toml")

NETWORKS = {"digits-relu": 500, "digits-tanh": 500, "fashion-cnn-relu": 100, "fashion-cnn-tanh": 100}
"""Networks of the zoo, and how many samples of each."""

STEPS = (4, 8, 16, 32)

_CALIBRATED_ON = 256

_LISTS = ("accuracy_simulated", "accuracy_predicted", "spikes_simulated", "spikes_predicted")


@dataclass(frozen=True)
class Measured:
    """One recipe on one network: predicted and simulated, step by step.

    Parameters
    ----------
    steps : tuple of int
    accuracy_simulated, accuracy_predicted : tuple of float
        Fractions of the samples.
    spikes_simulated, spikes_predicted : tuple of float
        Spikes per neuron and sample.
    """

    recipe: str
    network: str
    samples: int
    steps: tuple[int, ...]
    accuracy_simulated: tuple[float, ...]
    accuracy_predicted: tuple[float, ...]
    spikes_simulated: tuple[float, ...]
    spikes_predicted: tuple[float, ...]


@dataclass(frozen=True)
class KnownError:
    """The largest errors over networks at one number of steps.

    Parameters
    ----------
    accuracy : float
        Fraction of samples.
    spikes : float
        Relative to the spikes simulated.
    accuracy_of, spikes_of : str
        Where they were found.
    """

    accuracy: float
    spikes: float
    accuracy_of: str
    spikes_of: str


@dataclass(frozen=True)
class RecipeErrors:
    """What was measured for one recipe."""

    rows: tuple[Measured, ...]

    def at(self, steps: int) -> KnownError:
        """The largest errors at the measured number of steps that is nearest on a logarithmic scale."""
        near = min((t for row in self.rows for t in row.steps), key=lambda t: abs(math.log(t / steps)))
        accuracy, spikes = [], []
        for row in self.rows:
            for i, t in enumerate(row.steps):
                if t == near:
                    where = f"{row.network}, T = {t}"
                    accuracy.append((abs(row.accuracy_predicted[i] - row.accuracy_simulated[i]), where))
                    of = row.spikes_simulated[i]
                    spikes.append((abs(row.spikes_predicted[i] / of - 1) if of else 0.0, where))
        worst, most = max(accuracy), max(spikes)
        return KnownError(worst[0], most[0], worst[1], most[1])


def read(file: Path = FILE) -> tuple[Measured, ...]:
    """The entries of `file`; none where there is no file."""
    if not file.exists():
        return ()
    entries: list[dict[str, Any]] = tomllib.loads(file.read_text())["measured"]
    return tuple(Measured(**{k: _frozen(v) for k, v in entry.items()}) for entry in entries)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@cache
def known_errors() -> dict[str, RecipeErrors]:
    """Recipe -> what was measured for it."""
    rows = read()
    return {name: RecipeErrors(tuple(r for r in rows if r.recipe == name)) for name in {r.recipe for r in rows}}


def written(rows: Iterable[Measured], commit: str) -> str:
    """The file that holds `rows`."""
    lines = [
        "# Predicted and simulated on the same samples: accuracy as a fraction, spikes per neuron and sample.",
        "# Written by: python -m evaluate.prediction_errors",
        f"# Thresholds for 16 steps, from {_CALIBRATED_ON} samples of the training split, seed 0; the samples scored "
        "are the first of the test split.",
        f'evidence = "measured"\ncommit = "{commit}"\n',
    ]
    for row in rows:
        lines += ["[[measured]]", f'recipe = "{row.recipe}"', f'network = "{row.network}"', f"samples = {row.samples}"]
        lines += [f"steps = {list(row.steps)}"]
        lines += [f"{name} = [{', '.join(f'{v:.5f}' for v in getattr(row, name))}]" for name in _LISTS]
        lines.append("")
    return "\n".join(lines)


def measure_network(
    network: str, samples: int, recipes: Sequence[str], steps: Sequence[int] = STEPS
) -> Iterator[Measured]:
    """Predict and simulate `network` by each of `recipes`; those that cannot convert it, or be predicted, are left out.

    Each entry comes as soon as it is known.
    """
    from convert.errors import ConvertError
    from convert.recipes import recipe
    from evaluate.errors import EvaluateError
    from evaluate.job import run_prepared
    from evaluate.prediction import predict
    from evaluate.preparation import prepare
    from evaluate.request import Request

    for name in recipes:
        request = Request(f"zoo:{network}", recipe(name).config(16), steps=tuple(steps), limit=samples,
                          calibration_samples=_CALIBRATED_ON)  # fmt: skip
        try:
            prepared = prepare(request)
            said = predict(prepared.conversion, prepared.inputs.x, steps, prepared.asked)
        except (ConvertError, EvaluateError):
            continue
        run = run_prepared(request, prepared)
        points: list[dict[str, Any]] = [
            [row for row in run.curves["steps"] if row["steps"] <= t][-1] for t in steps
        ]  # an exact network that is at rest stays as it is
        yield Measured(
            name, network, len(prepared.inputs.x), tuple(steps),
            tuple(point["accuracy"] for point in points), tuple(p.accuracy or 0.0 for p in said.points),
            tuple(point["spikes_per_neuron"] for point in points), tuple(p.spikes_per_neuron for p in said.points),
        )  # fmt: skip


def _main() -> None:
    from convert.recipes import RECIPES

    parser = argparse.ArgumentParser(prog="python -m evaluate.prediction_errors", description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="of the zoo, those of prediction.toml")
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    for network in given.networks.split(","):
        for new in measure_network(network, NETWORKS[network], list(RECIPES)):
            rows = [row for row in read(given.out) if (row.network, row.recipe) != (network, new.recipe)] + [new]
            write_atomically(given.out, written(rows, (environment()["git"] or {}).get("commit", "unknown")).encode())


if __name__ == "__main__":
    _main()
