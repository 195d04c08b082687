"""verdict(): a diagnosis in words, with the command that applies the remedy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from convert import Conversion
from convert.neurons.hard_reset import HardResetNeuron

__all__ = ["cause", "verdict", "with_options"]


def cause(layer: Mapping[str, Any]) -> str:
    """The largest part of a layer's error that arises in it."""
    own = {part: share for part, share in layer["shares"].items() if part != "inherited"}
    return max(own, key=own.__getitem__, default="rounding")


def with_options(command: str, options: Mapping[str, str]) -> str:
    """`command` with these options in the place of those it has.

    >>> with_options("python -m convert m.pt --rule mse --diagnose", {"--rule": "max"})
    'python -m convert m.pt --diagnose --rule max'
    """
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        if word in options:
            next(words, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return shlex.join([*kept, *(part for pair in options.items() for part in pair)])


def verdict(found: Mapping[str, Any], conversion: Conversion, command: str) -> list[str]:
    """What was lost, where, why, and the remedy with its command."""
    steps, n, same = found["steps"], found["samples"], found["snn"]["agreement"]
    kept = "" if same is None else f", agreement {100 * same:.1f} %"
    lines = [f"on {n} calibration samples after {steps} steps{kept}"]
    if not found["layers"]:
        return lines
    worst = max(found["layers"], key=lambda row: row["given_back"])
    name = worst["name"]
    if conversion.snn.input_code == "poisson" and found["left_analog"] > max(0.5, worst["given_back"]):
        lines.append(f"input: {100 * found['left_analog']:.0f} % of the output error is left with every layer analog")
        lines.append("noise of Poisson spikes at the input")
        return [*lines, f"a constant input: {with_options(command, {'--input': 'constant'})}"]
    why = cause(worst)
    lines.append(f"{name}: analog there gives back {100 * worst['given_back']:.0f} % of the output error")
    dead = f"; {worst['dead']} of {worst['channels']} channels dead" if worst["dead"] else ""
    lines.append(f"{why}, {100 * worst['shares'].get(why, 0.0):.0f} % of the error of {name}{dead}")
    words, options = _remedy(why, name, conversion, steps)
    return [*lines, f"{words}: {with_options(command, options)}"]


def _remedy(why: str, name: str, conversion: Conversion, steps: int) -> tuple[str, dict[str, str]]:
    config, site = conversion.config, conversion.snn.sites[name]
    if why == "clipping" and config.rule != "max":
        return "larger thresholds", {"--rule": "max"}
    if why == "clipping":
        return "thresholds from more samples", {"--calibration-samples": "5000"}
    if isinstance(site.neuron, HardResetNeuron):
        return "reset by subtraction", {"--recipe": "best-onebit", "--for-steps": str(steps)}
    if why == "rounding" and config.rule != "mse":
        return "thresholds fitted to the steps", {"--rule": "mse", "--for-steps": str(steps)}
    if why == "leak":
        return "neurons without leak, or a larger --tau-mem-ms", {"--neuron": "if"}
    if why == "unevenness" and not site.neuron.signed:
        return "neurons that take spikes back", {"--recipe": "best-signed", "--for-steps": str(steps)}
    if why == "unevenness" and not conversion.snn.readout_delay:
        return "a later read-out", {"--readout-delay": str(max(1, steps // 4))}
    return "more steps", {"--steps": str(2 * steps), "--for-steps": str(2 * steps)}
