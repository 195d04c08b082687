"""search(): which recipe, thresholds, steps and read-out reach a goal at the lowest cost.

Trials are proposed by a tree-structured Parzen estimator for two objectives, loss and cost (Ozaki et al.,
Multiobjective tree-structured Parzen estimator, J. Artif. Intell. Res. 73, 2022), as Optuna has it, and kept in its
storage: a search goes on where it stopped, and several processes can share one. Each trial is one point for every step
that is read out. The sampler is seeded anew before each trial, from the seed and the number of trials so far, so that
a search that was interrupted proposes what it would have proposed.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convert.config import ConvertConfig
from convert.errors import ConfigError, ConvertError
from convert.recipes import recipe
from evaluate.goals import COSTS, Goal
from evaluate.records import Run, content_hash
from evaluate.request import Request
from evaluate.trials import ONE_SIDED, Bench

if TYPE_CHECKING:
    import optuna

__all__ = [
    "SCHEMA",
    "SPACE",
    "Choice",
    "Options",
    "Order",
    "as_record",
    "best_so_far",
    "choose",
    "confirming",
    "front",
    "search",
]

SCHEMA = "ann2spike.search/1"

SPACE: dict[str, tuple[str | int, ...]] = {
    "recipe": ("seed", "best-onebit", "best-signed", "multi-threshold", "burst", "huang2025-differential",
               "sparse-differential", "rueckauer2017", "bu2022-half", "li2021-light"),
    "for_steps": (4, 8, 16, 32, 64),
    "thresholds": ("as the recipe", "lower", "higher"),
    "readout": ("at once", "late"),
}  # fmt: skip
"""What each option of a trial can be; the first trials are the recipes as they are."""

_FLAGS = {
    "rule": "--rule",
    "percentile": "--percentile",
    "readout_delay": "--readout-delay",
    "exact_levels": "--levels",
    "radix_bits": "--bits",
    "look_ahead": "--look-ahead",
}
"""Options of a configuration that a search sets, or that none of its recipes has."""

_FACTOR = {"lower": 0.5, "as the recipe": 1.0, "higher": 2.0}
_PERCENTILE = {"lower": 99.0, "as the recipe": 99.9, "higher": 99.99}

Point = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What one trial tries: a value of each entry of `SPACE`."""

    recipe: str
    for_steps: int
    thresholds: str
    readout: str

    def config(self, changes: Mapping[str, object]) -> ConvertConfig:
        """The configuration, with `changes` of the user's.

        Thresholds are moved by the number of steps whose staircase the rule mse fits, halved or doubled, or by the
        percentile. A late read-out leaves out what the recipe says, or else a quarter of the steps.
        """
        entry = recipe(self.recipe)
        usual = entry.config(self.for_steps, **changes)
        late = self.readout == "late"
        delay = {} if late and usual.readout_delay else {"readout_delay": self.for_steps // 4 if late else 0}
        return entry.config(self.for_steps, **{
            **delay,
            "mse_steps": max(1, round(usual.mse_steps * _FACTOR[self.thresholds])),
            "percentile": _PERCENTILE[self.thresholds], **changes,
        })  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """The point that is confirmed, and why it.

    Parameters
    ----------
    point : dict
    how : {"bound", "estimate", "none"}
        Its bound keeps the goal; or only its estimate does; or no point keeps the goal, and this is the smallest loss.
    """

    point: Point
    how: str


@dataclass(frozen=True)
class Order:
    """What to search for, and how long.

    Parameters
    ----------
    goal : Goal
    minimise : {"latency", "energy", "spikes"}
    trials : int
        In all, those of earlier searches in the same storage among them.
    storage : str
        URL of a database, as SQLAlchemy reads it.
    changes : mapping
        Options of `ConvertConfig` that all trials share.

    Raises
    ------
    ConfigError
        An option outside its range, or one that the search decides.
    """

    goal: Goal
    minimise: str
    trials: int
    storage: str
    changes: Mapping[str, object]

    def __post_init__(self) -> None:
        """Refuse what can be refused before anything is read."""
        if self.minimise not in COSTS:
            raise ConfigError(f"--minimise: got {self.minimise!r}; expected one of {', '.join(COSTS)}")
        if self.trials < 1:
            raise ConfigError(f"--trials: got {self.trials}; expected at least 1")
        decided = [_FLAGS[name] for name in _FLAGS if name in self.changes]
        if decided:
            raise ConfigError(
                f"{', '.join(decided)}: got with --auto, which decides it; expected no value: leave it out, or convert "
                "without --auto"
            )


def search(
    bench: Bench, order: Order, tell: Callable[[int, Sequence[Point]], None] = lambda done, points: None
) -> list[Point]:
    """Every point of every trial in the storage and of new ones, until there are as many trials as ordered.

    Parameters
    ----------
    tell : callable
        Called with the number of trials and their points, at the start and after each.

    Raises
    ------
    ConfigError
        Optuna is not installed, or the storage cannot be used.
    ConvertError
        No trial could be converted; the last one's reason.
    KeyboardInterrupt
        Finished trials are in the storage; the one that ran waits for the next search.
    """
    space = {**SPACE, "for_steps": _allowed(bench.request.steps)}
    study = _study(order.storage, _name(bench, order, space), space)
    tried = _tried(study)
    failure: ConvertError | None = None
    while len(tried) < min(order.trials, len(_grid(space))):
        tell(len(tried), _points(study))
        trial = _ask(study, space, bench.request.seed)
        options = _options(trial, space)
        if options in tried:
            _close(study, trial, "repeats an earlier trial")
            left = [option for option in _grid(space) if option not in tried]
            random.Random(bench.request.seed + len(tried)).shuffle(left)
            study.enqueue_trial(vars(left[0]))
            continue
        try:
            points = bench.points(options.config(order.changes))
        except ConvertError as error:
            failure = error
            _close(study, trial, f"failed: {error}")
        except BaseException:
            _close(study, trial, "")
            study.enqueue_trial(trial.params)
            raise
        else:
            trial.set_user_attr("points", [vars(options) | point for point in points])
            at = next(point for point in points if point["steps"] == options.for_steps)
            study.tell(trial, (at["loss"], at[COSTS[order.minimise][0]]))
        tried = _tried(study)
    found = _points(study)
    tell(len(tried), found)
    if not found:
        raise failure or ConfigError("--trials: no trial could be converted; convert with --recipe to see why")
    return found


def front(points: Iterable[Point], minimise: str) -> list[Point]:
    """The points that no other one beats, in loss or cost, without being worse in the other; the cheapest first.

    Of points that are alike in both, the first is kept.
    """
    cost = COSTS[minimise][0]
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p[cost], p["loss"])):
        if not kept or point["loss"] < kept[-1]["loss"]:
            kept.append(point)
    return kept


def choose(points: Sequence[Point], goal: Goal, minimise: str) -> Choice:
    """The cheapest point whose one-sided bound on the loss keeps the goal.

    Where the samples are too few for any bound to keep it, the cheapest whose estimate does; where there is none
    either, the smallest loss. Of equal costs the one with the lower bound.
    """
    cost = COSTS[minimise][0]
    for how, field in (("bound", "loss_bound"), ("estimate", "loss")):
        good = [point for point in points if point[field] <= goal.limit + 1e-12]
        if good:
            return Choice(min(good, key=lambda p: (p[cost], p["loss_bound"])), how)
    return Choice(min(points, key=lambda p: (p["loss"], p[cost])), "none")


def confirming(bench: Bench, choice: Choice, order: Order) -> Request:
    """The request whose `perform` confirms `choice`: fitted to the same samples, and run on those that are scored."""
    options = Options(**{name: choice.point[name] for name in SPACE})
    steps = tuple(t for t in bench.request.steps if t <= choice.point["steps"])
    return replace(bench.request, config=options.config(order.changes), steps=steps,
                   calibration_samples=len(bench.fit))  # fmt: skip


def best_so_far(points: Sequence[Point], order: Order) -> str:
    """The point that would be chosen now, in a few words."""
    point = choose(points, order.goal, order.minimise).point
    return f"{point['recipe']} at T = {point['steps']}, {100 * point['loss']:.2f} points lost"


def as_record(bench: Bench, points: Sequence[Point], order: Order, choice: Choice, run: Run) -> dict[str, Any]:
    """Plain JSON of a search and of `run`, which confirmed its choice."""
    names = ("accuracy.difference", "agreement", "snn.accuracy", "ann.accuracy", "spikes.per_neuron", "energy.snn_j")
    metrics = {metric.name: metric for metric in run.metrics}
    measured = {
        name: {"value": m.value, "low": m.low, "high": m.high, "samples": m.samples}
        for name in names if (m := metrics.get(name)) is not None
    }  # fmt: skip
    parts = {name: {"samples": len(part), "split": part.split, "sha256": part.sha256}
             for name, part in (("fit", bench.fit), ("held_out", bench.held_out))}  # fmt: skip
    return {
        "schema": SCHEMA, "goal": bench.goal.text, "limit": bench.goal.limit, "against": bench.against,
        "minimise": order.minimise, "unit": COSTS[order.minimise][1], "one_sided": ONE_SIDED,
        "seed": bench.request.seed,
        "model": run.case["model"], "data": run.case["data"], **parts,
        "trials": len({_of(point) for point in points}), "points": list(points), "front": front(points, order.minimise),
        "chosen": choice.point, "chosen_by": choice.how,
        "confirmed": {"run": run.id, **_verdict(bench, measured), "metrics": measured},
    }  # fmt: skip


def _verdict(bench: Bench, measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Loss on the scored samples, its bound (of a two-sided 95 % interval), and whether the goal is kept."""
    if bench.against == "accuracy" and measured["accuracy.difference"]["value"] is not None:
        found = measured["accuracy.difference"]
        loss, bound = 0.0 - found["value"], -found["low"]
    else:
        found = measured["agreement"]
        loss, bound = 1 - found["value"], 1 - found["low"]
    return {"loss": loss, "loss_bound": bound, "reached": loss <= bench.goal.limit + 1e-12,
            "certain": bound <= bench.goal.limit}  # fmt: skip


def _allowed(steps: Sequence[int]) -> tuple[str | int, ...]:
    """Numbers of steps that networks are made for: those of the space that are read out, else the last step."""
    return tuple(t for t in SPACE["for_steps"] if t in steps) or (steps[-1],)


def _name(bench: Bench, order: Order, space: Mapping[str, Any]) -> str:
    """Name of the study: a hash of all that decides what a trial measures, but not the goal's limit."""
    request = bench.request
    config = recipe("seed").config(16, **order.changes).as_record()
    return content_hash({
        "model": bench.model_sha256, "fit": bench.fit.sha256, "held_out": bench.held_out.sha256, "seed": request.seed,
        "steps": list(request.steps), "task": request.task, "against": bench.against, "minimise": order.minimise,
        "space": {name: list(values) for name, values in space.items()}, "changes": config,
    })  # fmt: skip


def _study(storage: str, name: str, space: Mapping[str, Sequence[str | int]]) -> optuna.Study:
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise ConfigError(
            "--auto: the library optuna is not installed; expected optuna 4 or later: pip install 'ann2spike[auto]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            storage=storage, study_name=name, directions=["minimize", "minimize"], load_if_exists=True
        )
        if not study.trials:
            middle = int(space["for_steps"][len(space["for_steps"]) // 2])
            for way in map(str, space["recipe"]):
                readout = "at once" if recipe(way).config(middle).readout_delay == 0 else "late"
                study.enqueue_trial(vars(Options(way, middle, "as the recipe", readout)))
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, ValueError) as error:
        shown = _shown(storage)
        reason = str(error).splitlines()[0].replace(storage, shown)
        raise ConfigError(
            f"--auto-storage: {shown} cannot be used ({reason}); expected the URL of a database that can be written, "
            "such as sqlite:///search.db"
        ) from error
    return study


def _shown(url: str) -> str:
    """The URL without its password."""
    return re.sub(r"(//[^/@:]*):.*@", r"\1:***@", url)


def _ask(study: optuna.Study, space: Mapping[str, Sequence[str | int]], seed: int) -> optuna.Trial:
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    begun = [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
    counted = sum(t.state != TrialState.FAIL or "closed" in t.user_attrs for t in begun)
    study.sampler = TPESampler(seed=(seed + counted) % 2**32)
    return study.ask()


def _options(trial: optuna.Trial, space: Mapping[str, Sequence[str | int]]) -> Options:
    values: dict[str, Any] = {name: trial.suggest_categorical(name, values) for name, values in space.items()}
    return Options(**values)


def _close(study: optuna.Study, trial: optuna.Trial, why: str) -> None:
    """End a trial without values; with a reason it counts, without one it was interrupted."""
    from optuna.trial import TrialState

    if why:
        trial.set_user_attr("closed", why)
    study.tell(trial, state=TrialState.FAIL)


def _tried(study: optuna.Study) -> set[Options]:
    """What finished trials have tried, those that could not be converted among them."""
    return {
        Options(**trial.params)
        for trial in study.get_trials(deepcopy=False)
        if "points" in trial.user_attrs or "closed" in trial.user_attrs
    }


def _points(study: optuna.Study) -> list[Point]:
    trials = study.get_trials(deepcopy=False)
    return [point for trial in trials if trial.values for point in trial.user_attrs["points"]]


def _grid(space: Mapping[str, Sequence[str | int]]) -> list[Options]:
    every: Iterable[tuple[Any, ...]] = itertools.product(*space.values())
    return [Options(**dict(zip(space, values, strict=True))) for values in every]


def _of(point: Point) -> str:
    """The trial that `point` is of."""
    return json.dumps([point[name] for name in SPACE])
