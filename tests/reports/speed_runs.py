"""Runs of a benchmark as `evaluate` would write them."""

from __future__ import annotations

from typing import Any

from evaluate.records import BENCHMARK, Metric, Run

__all__ = ["case", "speed_run"]

FACTORS = {"dense": 8.0, "events": 2.0, "spikingjelly": 20.0}


def case(network: str = "net", steps: int = 8, batch: int = 16, threads: int = 1, **more: Any) -> dict[str, Any]:
    """A row of the cases."""
    scale = more.get("threshold_scale", 1.0)
    label = f"{network}; T={steps}; batch={batch}; threads={threads}; x{scale:g}"
    return {"label": label, "network": network, "steps": steps, "batch": batch, "threads": threads,
            "threshold_scale": 1.0, "weights": "trained", "data": "digits", "width": None, **more}  # fmt: skip


def timing(name: str, value: float) -> Metric:
    low, high, note = 0.9 * value, 1.2 * value, "spikingjelly over events; median of 3 rounds"
    return Metric(name, value, "s", "lower", 3, low, high, note, True, (low, value, high))


def speed_run(*cases: dict[str, Any], refusals: bool = False) -> Run:
    """Ratios grow with the steps; two threads take 0.6 of the time; rates fall with the thresholds."""
    metrics: list[Metric] = []
    lines: list[dict[str, Any]] = []
    for row in cases:
        label, ann = row["label"], 0.016 * (0.6 if row["threads"] == 2 else 1.0)
        metrics.append(timing(f"seconds[ann; {label}]", ann))
        lines.append({"case": label, "contestant": "ann", "metrics": {"seconds": f"seconds[ann; {label}]"}})
        for name, factor in FACTORS.items():
            ratio = factor * row["steps"] / 8
            peer = {"version": "2.0.0", "mode": "single step", "note": "a note"} if name == "spikingjelly" else {}
            values = {"ratio": ratio, "cpu_ratio": 1.5 * ratio, "seconds": ratio * ann} | (
                {"speedup": 10.0} if peer else {}
            )
            names = {what: f"{what}[{name}; {label}]" for what in (*values, "rate")}
            metrics += [timing(names[what], value) for what, value in values.items()]
            rate = 0.1 / row["threshold_scale"] * (3 if peer else 1)
            metrics.append(Metric(names["rate"], rate, "spikes per neuron and step", "neither"))
            lines.append({"case": label, "contestant": name, "metrics": names, **peer})
        if refusals:
            lines.append({"case": label, "contestant": "sinabs", "refused": "leaves <Tanh> | as it is"})
    asked = {"kind": BENCHMARK, "config": {"neuron": "if", "steps": [8]}, "command": "python -m evaluate bench"}
    machine = {"processor": "a machine", "packages": {"torch": "2.13.0"}}
    rows = {"cases": list(cases), "contestants": lines}
    return Run("ab", asked, tuple(metrics), rows, (), {"method": ["in turn"]}, machine, ("it was busy",))
