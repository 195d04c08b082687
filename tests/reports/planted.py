"""Histories with planted changes: what a dashboard has to find, and what must not look like one."""

from __future__ import annotations

import math
import random
from typing import Any

from evaluate.records import Metric, content_hash
from reports.history import Entry

HOSTILE = '<img src=x onerror="window.pwned=1">'
MODELS = ("ops-horowitz", "chip-affine-loihi")


def commit(i: int) -> str:
    """A commit as git names it."""
    return content_hash(i)[:40]


def made(i: int) -> str:
    """A time, one hour after the one before."""
    return f"2026-{1 + i // 672:02d}-{1 + i // 24 % 28:02d}T{i % 24:02d}:00:00+00:00"


def layers(second: float = 1.0) -> tuple[dict[str, Any], ...]:
    """Two layers; `second` scales the work of the second."""
    return (
        {"name": "conv1", "synops": 9000.0, "spikes": 310.0, "rate": 0.11},
        {"name": "conv2", "synops": 4000.0 * second, "spikes": 120.0 * second, "rate": 0.08 * second},
    )


def late(rng: random.Random) -> float:
    """A factor as a busy machine gives it: 3 % log-normal, and one in ten delayed by a Pareto tail."""
    return math.exp(rng.gauss(0, 0.03)) * (1 + (rng.paretovariate(1.5) * 0.2 if rng.random() < 0.1 else 0))


def measured(work: float, right: float, seconds: float) -> tuple[Metric, ...]:
    """Metrics that go with `work`, the share of right answers, and a time."""
    synops = 13000.0 * work
    joules = (Metric(f"energy.{name}.snn_j", synops * price, "J", "lower", 450, synops * price / 9, synops * price * 9)
              for name, price in zip(MODELS, (0.9e-12, 24e-12), strict=True))  # fmt: skip
    return (
        Metric("snn.accuracy", right, "fraction", "higher", 450, right - 0.015, min(1.0, right + 0.008)),
        Metric("latency.steps_within_0.5pp", 7.0 if right > 0.98 else None, "steps", "lower", 450, note="not reached"),
        Metric("synops.per_inference", synops, "SynOps", "lower", 450),
        *joules,
        Metric("time.simulate", seconds, "ms", "lower", note="median", timing=True),
    )


def entry(i: int, metrics: tuple[Metric, ...], **changes: Any) -> Entry:
    """The entry of commit `i`."""
    given: dict[str, Any] = {
        "case": "digits-relu, digits x 450, seed, lif, T=16", "commit": commit(i), "made": made(i),
        "network": "digits-relu", "recipe": "seed", "neuron": "lif", "data": "digits", "layers": layers(),
        "machine": "one", **changes,
    }  # fmt: skip
    content = content_hash([i, given["case"], [vars(m) for m in metrics], given["machine"]])
    return Entry(content=content, run=content_hash([i, given["case"]])[:12], metrics=metrics, **given)


def planted(commits: int = 40, seed: int = 0) -> list[Entry]:
    """Four cases: work of conv2 up at commit 34; a time up at commit 20; accuracy up at 36; hostile names."""
    rng = random.Random(seed)
    rows = []
    for i in range(commits):
        work = 1.2 if i >= 34 else 1.0
        dearer = layers(1 + (work - 1) * 13000 / 4000)
        rows.append(entry(i, measured(work, 0.9889, 12 * late(rng)), layers=dearer))
        slow = 1.25 if i >= 20 else 1.0
        rows.append(entry(i, measured(1.0, 0.9711, 40 * slow * late(rng)), case="fashion-cnn, best-signed, T=8",
                          network="fashion-cnn", recipe="best-signed", neuron="if"))  # fmt: skip
        right = 0.9933 if i >= 36 else 0.9911
        rows.append(
            entry(i, measured(0.5, right, 5 * late(rng)), case="digits-tanh, seed, T=16", network="digits-tanh")
        )
    odd = (Metric(HOSTILE, 1.0, HOSTILE, "lower"), Metric("__proto__", 2.0, "steps", "neither"))
    for i in (38, 39):
        metrics = (*odd, *measured(1.0 + i, 0.5, 3.0))
        rows.append(entry(i, metrics, case=f"{HOSTILE}</script>, T=4", network=HOSTILE, commit=f"{HOSTILE}{i}",
                          layers=({"name": HOSTILE, "synops": float(i)},), machine=HOSTILE))  # fmt: skip
    return rows
