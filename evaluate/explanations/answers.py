"""The explanation of one number of a run file, and the list of all that can be asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from evaluate.errors import EvaluateError
from evaluate.explanations.again import metrics_again, others_again
from evaluate.explanations.formulas import formula, inputs
from evaluate.explanations.meanings import meaning
from evaluate.explanations.numbers import Number, numbers_of
from evaluate.records import BENCHMARK, Metric, Run

__all__ = ["Answers", "explain", "listing", "unit_words"]

_WORDS = {
    "SynOps": ("SynOp",), "MACs": ("MAC",), "updates": ("update",), "spikes": ("SynOp is one spike", "spikes"),
    "values": ("Softmax",), "SynOps/s/W": ("SynOp",), "steps": ("Latency", "look"), "ms": ("Latency",),
    "fraction": ("interval", "Agreement", "relative error"), "R2": ("R2",), "output units": ("R2",),
    "p": ("McNemar",), "spikes per synapse and inference": ("SynOp",),
}  # fmt: skip
"""Unit -> what the conventions that concern it have in them."""

_LISTED = ("layer", "curve", "energy")
"""Parts whose numbers follow from the measurement; the others are inputs."""


def explain(run: Run, name: str) -> str:
    """Value, unit, interval, formula with its inputs, constants with their rows, convention, and what is not priced.

    Raises
    ------
    EvaluateError
        No number is called so; the message names the nearest.
    """
    return Answers(run).explain(name)


class Answers:
    """The explanations of one run; what they share is computed once.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def numbers(self) -> dict[str, Number]:
        """What the run file has."""
        return numbers_of(self.run)

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """What its content gives again."""
        return metrics_again(self.run)

    @cached_property
    def others(self) -> dict[str, float]:
        """The same for what is no metric."""
        return others_again(self.run)

    def explain(self, name: str) -> str:
        """See `explain`."""
        run, number = self.run, self.numbers.get(name) or _absent(self.run, name)
        if number is None:
            raise EvaluateError(_unknown(name, list(self.numbers)))
        try:
            again, value = self._again(number)
        except (KeyError, TypeError, ValueError, IndexError, ArithmeticError) as error:
            raise EvaluateError(
                f"{name}: the run file does not hold together ({type(error).__name__}: {error}); "
                "convert the model again"
            ) from error
        rows = {
            "meaning": meaning(name),
            "value": _value(number),
            "interval": _interval(run, number),
            "samples": str(number.metric.samples) if number.metric and number.metric.samples else "",
            "formula": "\n".join(formula(value)) if value is not None else "",
            "recomputed": again,
            "how": number.metric.note if number.metric and number.value is not None else _of_layer(run, number),
            "constants": "\n".join(_constants(run, number, value)),
            "convention": "\n".join(_conventions(run, number, value)),
            "not priced": "; ".join(_model(run, name).get("unpriced", ())),
            "unverified": _model(run, name).get("unverified", ""),
        }
        return "\n".join([name, *(_row(title, text) for title, text in rows.items() if text)]) + "\n"

    def _again(self, number: Number) -> tuple[str, float | None]:
        """Whether the number follows from the run file's content, and its trace."""
        if number.value is None:
            return "", None
        if number.metric is None:
            value = self.others.get(number.name)
            return (
                (_recorded(self.run, number), None) if value is None else (_compared(number.value, value, True), value)
            )
        found = self.metrics.get(number.name)
        if found is None or found.value is None:
            return _recorded(self.run, number), None
        return _compared(number.value, found.value, _same_ends(number.metric, found)), found.value


def listing(run: Run) -> str:
    """The names of all numbers, each with its value and what it is."""
    numbers = numbers_of(run)
    shown = {key: n for key, n in numbers.items() if n.metric or key.partition(":")[0] in _LISTED}
    parts: dict[str, int] = {}
    for key in numbers.keys() - shown.keys():
        parts[key.partition(":")[0]] = parts.get(key.partition(":")[0], 0) + 1
    width = max((len(key) for key in shown), default=0)
    lines = [f"{key:<{width}}  {_short(n):<18}  {meaning(key)}" for key, n in shown.items()]
    more = ", ".join(f"{count} of {part}:..." for part, count in sorted(parts.items()))
    return "\n".join([*lines, f"and what was asked, assumed and recorded: {more}" if more else ""]).rstrip() + "\n"


def _of_layer(run: Run, number: Number) -> str:
    """How a count of a layer came about, with its inputs."""
    for row in run.layers:
        key = number.name.removeprefix(f"layer:{row.get('name')}.")
        if key == number.name or number.value is None:
            continue
        value, arrivals, neurons = number.value, row.get("arrivals"), row.get("neurons")
        if key == "synops" and arrivals:
            return (
                f"sum over the inputs of spikes times synapses that leave there: {arrivals:.6g} spikes arrive, "
                f"{value / arrivals:.6g} synapses each in the mean"
            )
        if key == "neuron_updates" and neurons:
            return f"{neurons:,} neurons times {value / neurons:g} steps"
        if key == "neuron_updates_event":
            looked = (run.assumptions.get("setting", {}).get("spread") or {}).get("samples")
            return f"mean over {looked} samples that ran once more alone, evenly spaced in the data"
    return ""


def _absent(run: Run, name: str) -> Number | None:
    """A count that a layer does not have."""
    for row in run.layers:
        key = name.removeprefix(f"layer:{row.get('name')}.")
        if key != name and key in row:
            return Number(name, None, f"a layer of the role {row.get('role')!r} has none")
    return None


def _same_ends(stored: Metric, found: Metric) -> bool:
    """Whether the interval is the same as well, where the content of the run file gives one."""
    return (stored.low, stored.high) == (found.low, found.high)


def _compared(stored: float, found: float, same_ends: bool) -> str:
    """The verdict in words."""
    if stored == found and same_ends:
        return "identical, from the content of this run file"
    if stored == found:
        return "identical value; the interval DIFFERS from what the content of this run file gives"
    return f"DIFFERS: the content of this run file gives {float(found)!r}; the file was altered, or the version differs"


def _recorded(run: Run, number: Number) -> str:
    """Why there is nothing to compute."""
    if number.metric is not None and run.case.get("kind") == BENCHMARK:
        return "nothing to compute: counted while the contestant ran"
    if number.metric is not None and "setting" not in run.assumptions:
        return "not possible: the run file was written by an earlier version; convert the model again"
    part = number.name.partition(":")[0]
    why = {"layer": "counted or set while the network was built and simulated", "curve": "counted while simulating",
           "case": "what was asked", "environment": "what the machine said", "samples": "counted while simulating",
           "setting": "read off the network"}  # fmt: skip
    return f"nothing to compute: {why.get(part, 'an input of this run, or recorded with it')}"


def _value(number: Number) -> str:
    if number.value is None:
        return f"none: {number.metric.note if number.metric else number.unit}"
    return f"{float(number.value)!r} {number.unit}".rstrip()


def _short(number: Number) -> str:
    """The value in few characters."""
    return "none" if number.value is None else f"{number.value:.4g} {number.unit}".rstrip()


def _interval(run: Run, number: Number) -> str:
    m = number.metric
    if m is None or m.low is None or m.high is None:
        return ""
    what = "range over prices" if m.unit in ("J", "SynOps/s/W") and not m.timing else "95 %"
    meant = _model(run, number.name).get("low_high_meaning", "")
    return f"{m.low:.6g} to {m.high:.6g} {m.unit} ({what}{': ' if meant else ''}{meant})"


def _model(run: Run, name: str) -> Mapping[str, Any]:
    """The record of the energy model behind the number, if there is one."""
    headline: Mapping[str, Any] = run.assumptions.get("energy", {})
    if name.startswith(("energy:headline", "efficiency.")) or (name.startswith("energy.") and name.count(".") == 1):
        return headline
    for row in run.assumptions.get("energy_models", []):
        slug = row["name"].lower().replace(" ", "-")
        if name.startswith((f"energy.{slug}.", f"energy:{row['name']}.")) or name.endswith(
            f"_by_model_j.{row['name']}"
        ):
            return dict(row)
    return headline if name.startswith("curve:") and name.endswith("energy_snn_j") else {}


def _constants(run: Run, number: Number, value: float | None) -> Iterator[str]:
    """The rows of the prices that enter: as printed, with table, evidence and source."""
    used = {leaf.label for leaf in inputs(value)} if value is not None else set()
    memory = any(label.startswith("access to a memory") for label in used)
    named = set(_model(run, number.name).get("constants", ())) if memory else set()
    for row in run.assumptions.get("energy_constants", []):
        if row["name"] in used or (row["name"] in named and row["quantity"] == "memory access"):
            yield (
                f"{row['name']}: {row['value']:g} {row['unit']} per {row['quantity']}, {row['table']}; {row['scope']}, "
                f"{row['evidence']}, {row['mark']}; {row['source']}"
            )


def _conventions(run: Run, number: Number, value: float | None) -> Iterator[str]:
    """The rules of counting, or of statistics, that concern the units that enter."""
    yield from unit_words(run, {number.unit, *(leaf.unit for leaf in inputs(value) if value is not None)}
                          if value is not None else {number.unit})  # fmt: skip


def unit_words(run: Run, units: set[str]) -> Iterator[str]:
    """The sentences of the run file's conventions that concern numbers of these units, with their places."""
    words = [word for unit in units for word in _WORDS.get(unit, ())]
    for section in ("counting", "statistics", "method"):
        for i, sentence in enumerate(run.assumptions.get(section, [])):
            if section == "method" or any(word in sentence for word in words):
                yield f"{section}[{i}]: {sentence}"


def _unknown(name: str, known: list[str]) -> str:
    """No such number: the nearest names."""
    near = get_close_matches(name, known, 5, 0.5) or [key for key in known if name.lower() in key.lower()][:5]
    nearest = ", ".join(near) or "none"
    return f"{name}: no number of this run file is called so; nearest: {nearest}; leave NAME out to see all"


def _row(title: str, text: str) -> str:
    first, *more = text.split("\n")
    return "\n".join([f"  {title:<11} {first}", *(f"  {'':<11} {line}" for line in more)])
