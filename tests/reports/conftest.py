"""A run as `evaluate` would write it, and what is left of it when labels, joules or curves are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evaluate.records import Metric, Run

STEPS = (1, 2, 4, 8, 16, 32, 64)
ACCURACY = (0.411, 0.703, 0.894, 0.953, 0.967, 0.969, 0.972)
AGREEMENT = (0.417, 0.711, 0.908, 0.969, 0.983, 0.989, 0.994)
REST_J = 4.27e-8
NO_LABELS = "no labels; pass --data NAME with a labelled split to measure it"


def curve(factor: float) -> list[dict[str, Any]]:
    """Rows at the requested steps; `factor` scales the spikes."""
    return [
        {
            "steps": t, "ms": float(t), "accuracy": a, "accuracy_low": a - 0.012, "accuracy_high": a + 0.009,
            "agreement": g, "synops": 650.0 * t * factor, "spikes_per_neuron": 0.11 * t * factor,
            "energy_snn_j": REST_J + 650.0 * t * factor * 0.9e-12,
        }
        for t, a, g in zip(STEPS, ACCURACY, AGREEMENT, strict=True)
    ]  # fmt: skip


def anytime() -> list[dict[str, Any]]:
    """Accuracy and agreement after every step, between the requested ones by straight lines."""
    rows = []
    for i, (start, stop) in enumerate(pairwise(STEPS)):
        for t in range(start, stop):
            part = (t - start) / (stop - start)
            rows.append(
                {
                    "steps": t,
                    "accuracy": ACCURACY[i] + part * (ACCURACY[i + 1] - ACCURACY[i]),
                    "agreement": AGREEMENT[i] + part * (AGREEMENT[i + 1] - AGREEMENT[i]),
                }
            )
    return [*rows, {"steps": STEPS[-1], "accuracy": ACCURACY[-1], "agreement": AGREEMENT[-1]}]


def metrics(factor: float) -> tuple[Metric, ...]:
    """The named metrics; `factor` scales the energy of the spiking network."""
    synops = 20_800.4 * factor
    snn = REST_J + synops * 0.9e-12
    return (
        Metric("ann.accuracy", 0.9722, "fraction", "higher", 360, 0.9496, 0.9866, "Wilson interval"),
        Metric("snn.accuracy", 0.9694, "fraction", "higher", 360, 0.9461, 0.9846, "Wilson interval"),
        Metric("accuracy.difference", -0.0028, "fraction", "higher", 360, -0.0111, 0.0056, "paired; Newcombe"),
        Metric("agreement", 0.9889, "fraction", "higher", 360, 0.972, 0.997),
        Metric("latency.steps_within_0.5pp", 16.0, "steps", "lower", 360),
        Metric("latency.steps_within_0.1pp", None, "steps", "lower", 360, note="not reached in 64 steps"),
        Metric("latency.ms_within_0.5pp", 16.0, "ms", "lower", 360),
        Metric("synops.per_inference", synops, "SynOps", "lower", 360),
        Metric("spikes.per_neuron", 3.5211 * factor, "spikes", "lower", 360),
        Metric("macs.ann", 25_088.0, "MACs", "lower"),
        Metric("macs.encoder", 8_192.0, "MACs", "lower"),
        Metric("energy.ann_j", 1.154e-7, "J", "lower", low=9.2e-8, high=1.4e-7),
        Metric("energy.ann_sparse_j", 6.9123e-8, "J", "lower", low=5.5e-8, high=8.3e-8),
        Metric("energy.snn_j", snn, "J", "lower", 360, 0.8 * snn, 1.2 * snn),
        Metric("efficiency.synops_per_s_per_w", synops / snn, "SynOps/s/W", "higher", 360, 2.2e11, 2.3e13),
    )


def layers() -> tuple[dict[str, Any], ...]:
    """A two-layer perceptron with one hidden layer of neurons."""
    blank = dict.fromkeys(
        ("neuron", "neurons", "threshold_low", "threshold_median", "threshold_high", "rate", "spikes",
         "ann_macs", "encoder_macs", "synops", "rho", "neuron_updates")
    )  # fmt: skip
    encoder = {
        "name": "fc1",
        "place": "0.weight",
        "kind": "input synapses",
        "ann_macs": 8192,
        "encoder_macs": 8192,
    }
    neurons = {"name": "relu1", "place": "1", "kind": "neurons", "neuron": "seed LIF", "neurons": 128,
               "threshold_low": 0.81, "threshold_median": 1.7234, "threshold_high": 3.4, "rate": 0.1113,
               "spikes": 456.2, "neuron_updates": 4096}  # fmt: skip
    fc2 = {
        "name": "fc2",
        "place": "2.weight",
        "kind": "synapses",
        "ann_macs": 16896,
        "synops": 20800.4,
        "rho": 4.92,
    }
    return {**blank, **encoder}, {**blank, **neurons}, {**blank, **fc2}


def baseline(name: str, value: float, scope: str, evidence: str, source: str, **more: Any) -> dict[str, Any]:
    """A row of the baselines."""
    return {
        "name": name, "quantity": "SynOp", "value_as_printed": value, "unit_as_printed": "SynOps/s/W",
        "scope": scope,
        "evidence": evidence, "mark": "second-hand", "source": source, "low": None, "high": None, "group": "",
        "note": "28 nm", "ops_unit": "SynOps/s/W", "ops_per_joule": value, "ops_per_joule_low": None,
        "ops_per_joule_high": None, "joules_per_op": 1 / value, **more,
    }  # fmt: skip


def hardware() -> list[dict[str, Any]]:
    """Chips of several scopes and grades of evidence, and two processors that multiply."""
    mac = {"quantity": "MAC", "ops_unit": "MAC/J"}
    return [
        baseline("TrueNorth", 3.85e10, "all-in", "measured", "Merolla et al., Science 345:668, 2014"),
        baseline("TrueNorth, peak", 4.0e11, "all-in", "measured", "Akopyan et al., IEEE TCAD 34:1537, 2015"),
        baseline("TrueNorth, marginal", 4.35e11, "marginal", "derived", "Akopyan et al. 2015, Fig. 17"),
        baseline("Loihi", 4.2e10, "per-term", "simulated", "Davies et al., IEEE Micro 38(1):82, 2018"),
        baseline("Hala Point", 1.46e11, "all-in", "vendor", "Intel press release, 2024"),
        baseline("SpiNNaker 1", 7.5e7, "per-term", "measured", "Hoppner et al., TCAS-I 66:2973, 2019"),
        baseline("microcircuit", 1.7e6, "all-in", "measured", "Rhodes et al. 2019", ops_per_joule_low=1.6e6,
                 ops_per_joule_high=1.9e6),
        baseline("A100 SXM, FP16", 3.9e11, "all-in", "vendor", "NVIDIA data sheet", **mac),
        baseline("H100 SXM, FP16", 7.1e11, "all-in", "vendor", "NVIDIA data sheet", **mac),
    ]  # fmt: skip


def biology() -> dict[str, Any]:
    """The seed's line inside a band of estimates."""
    line = baseline("seed", 4e11, "all-in", "seed", "the founding description")
    lennie = baseline("lennie-release-20W", 4.2e11, "all-in", "derived", "Lennie, Curr. Biol. 13:493, 2003")
    vesicle = baseline("vesicle-only", 7.3e13, "per-term", "derived", "Attwell & Laughlin, JCBFM 21:1133, 2001")
    return {
        "line": line, "unit": "SynOps/s/W", "band": [3e11, 1e14], "whiskers": [3e11, 5e14],
        "rows": [line, lennie, vesicle],
        "footnote": "The line is the seed value, not a measured figure of biology.",
    }  # fmt: skip


def energy(factor: float) -> dict[str, Any]:
    """The record of an energy model."""
    snn = REST_J + 1.87e-8 * factor
    source = "M. Horowitz, ISSCC 2014, p. 10"
    price = {
        "unit_as_printed": "pJ",
        "scope": "per-term",
        "evidence": "derived",
        "mark": "seen",
        "source": source,
    }
    ratios = {name: snn / ann for name, ann in (("ann", 1.154e-7), ("ann_sparse", 6.9123e-8))}
    return {
        "name": "ops-horowitz", "version": "1", "formula": "E_snn = SynOps E_add + encoder MACs E_mac",
        "citation": "M. Horowitz, ISSCC 2014, p. 10", "scope": "arithmetic only (per-term)", "prices": "fp32",
        "terms": {
            "ann": {"macs": 1.154e-7},
            "ann_sparse": {"macs": 6.9123e-8},
            "snn": {"accumulates": 1.87e-8 * factor, "encoder_macs": 3.77e-8, "neuron_updates": 5e-9},
        },
        "ratio": {name: {"value": r, "low": 0.8 * r, "high": 1.3 * r} for name, r in ratios.items()},
        "efficiency": {"unit": "SynOps/s/W", "marginal": {"value": 1.11e12, "low": 3.1e11, "high": 3.33e13}},
        "constants": [
            {**price, "name": "horowitz2014-45nm-fp32-mac", "value_as_printed": 4.6},
            {**price, "name": "horowitz2014-45nm-fp32-add", "value_as_printed": 0.9},
        ],
        "unpriced": ["fetching and storing weights", "routing of spikes", "static power"],
        "rho": 1.231 * factor, "rho_break_even": 5.111,
        "verdict": ["It is judged.", "With memory counted the thresholds disagree."],
        "low_high_meaning": "smallest and largest value over the number formats",
    }  # fmt: skip


def energy_model(name: str, factor: float, ann: float, **more: Any) -> dict[str, Any]:
    """The record of one model among several; `ann` is what the dense ANN costs under it, in nJ."""
    joules = {"snn": 50e-9 * factor, "ann": ann * 1e-9, "ann_sparse": 0.6 * ann * 1e-9, "quantised": 0.5 * ann * 1e-9}
    ends = {key: {"value": j, "low": 0.8 * j, "high": 1.234 * j} for key, j in joules.items()}
    ratios = {key: j and 50e-9 * factor / j for key, j in joules.items() if key != "snn"}
    spans = {key: {"value": r, "low": 0.9 * r, "high": 1.1 * r} for key, r in ratios.items()}
    flip = {"rho": 1.2 * factor, "rho_even": {"value": 1.23, "low": 1.0, "high": 1.5}, "rate": 0.02 * factor,
            "rate_even": 0.0192, "steps": 64, "steps_even": {"value": 65.6, "low": 60.0, "high": 80.0}}  # fmt: skip
    return {
        "name": name, "version": "1", "scope": "arithmetic and memory", "source": "Somebody, Somewhere, 2022",
        "unpriced": ["static power"], "low_high_meaning": "two price lists", "unverified": "", "totals": ends,
        "ratio": spans, "break_even": {"ann": flip}, "no_break_even": "", "quantised_bits": 7,
        "efficiency": {"all_terms": {"value": 4e11, "low": 2e11, "high": 5e11}, "marginal": {"value": 1.1e12}}, **more,
    }  # fmt: skip


def energy_models(factor: float) -> list[dict[str, Any]]:
    """Two models that price an ANN, one of them second-hand, and a chip that does not."""
    chip = energy_model("chip-affine", factor, 1.0)
    chip |= {"totals": {"snn": chip["totals"]["snn"]}, "ratio": {}, "break_even": {}}
    return [energy_model("ops-horowitz", factor, 120.0),
            energy_model("lemaire2022", factor, 40.0, unverified="memory accesses"), chip]  # fmt: skip


def assumptions(factor: float) -> dict[str, Any]:
    """Energy model, baselines, conventions."""
    return {
        "energy": energy(factor),
        "energy_models": energy_models(factor),
        "baselines": {"biology": biology(), "hardware": hardware()},
        "counting": [
            "One SynOp is one spike delivered through one existing synapse.",
            "Padding is not counted.",
        ],
        "statistics": ["Intervals of accuracies are Wilson intervals at 95 %."],
        "neuron": ["tau_syn dI/dt + I = S(t)", "tau_mem dV/dt + V = W I + b", "V >= V_th -> emit 1"],
        "limits": ["Inputs below (1-beta)/2 never fire."],
    }


def full_run(factor: float = 1.0) -> Run:
    """A labelled run; `factor` makes the spiking network dearer."""
    digest = "9f" * 32
    config = {
        "neuron": "seed LIF", "tau_mem_ms": 20.0, "tau_syn_ms": 2.0, "dt_ms": 1.0, "rule": "robust",
        "percentile": 99.9, "granularity": "channel", "steps": 32, "seed": 0, "input": "constant current",
    }  # fmt: skip
    case = {
        "model": {"name": "digits-mlp", "origin": "model.pt", "format": "torch.export", "sha256": digest,
                  "parameters": 25_482},
        "data": {"spec": "digits", "split": "test", "samples": 360, "sha256": digest, "labels": True,
                 "sample_shape": [64], "split_note": "last fifth"},
        "calibration": {"spec": "digits", "split": "train", "samples": 512, "sha256": digest, "note": ""},
        "config": config,
        "coverage": [
            {"place": "0", "op": "linear", "fate": "converted", "becomes": "input synapses", "why": ""},
            {"place": "1", "op": "relu", "fate": "converted", "becomes": "seed LIF", "why": ""},
            {"place": "2", "op": "linear", "fate": "read-out", "becomes": "synapses", "why": "a | b <c>"},
        ],
        "command": "python -m convert model.pt --data digits --steps 32",
    }  # fmt: skip
    environment = {
        "python": "3.12.3",
        "torch": "2.9.0",
        "seconds": {"read": 0.21, "calibrate": 0.8, "simulate": 4.25},
    }
    return Run(
        id="c0ffee12", case=case, metrics=metrics(factor),
        curves={"steps": curve(factor), "anytime": anytime()}, layers=layers(),
        assumptions=assumptions(factor), environment=environment,
        notes=("fc2: the read-out is a membrane without a threshold.",),
    )  # fmt: skip


def unlabelled_run() -> Run:
    """A run on synthetic inputs: no accuracy, no latency, agreement only."""
    run = full_run()
    hidden = ("ann.accuracy", "snn.accuracy", "accuracy.difference")
    kept = tuple(
        replace(m, value=None, low=None, high=None, note=NO_LABELS)
        if m.name in hidden or m.name.startswith("latency.")
        else m
        for m in run.metrics
    )
    rows = [{**row, "accuracy": None, "accuracy_low": None, "accuracy_high": None} for row in run.curves["steps"]]
    every = [{**row, "accuracy": None} for row in run.curves["anytime"]]
    data = {"spec": "synthetic", "split": None, "samples": 360, "labels": False}
    return replace(run, metrics=kept, curves={"steps": rows, "anytime": every}, case={**run.case, "data": data})


def single_step_run() -> Run:
    """One requested step and one point of the curve."""
    run = full_run()
    return replace(run, curves={"steps": run.curves["steps"][3:4], "anytime": []})


def bare_run() -> Run:
    """Nothing but the outer shape."""
    return Run(id="bare", case={}, metrics=(), curves={}, layers=(), assumptions={}, environment={})


RUNS: dict[str, Callable[[], Run]] = {
    "full": full_run,
    "unlabelled": unlabelled_run,
    "losing": lambda: full_run(12.0),
    "mixed": lambda: full_run(2.0),
    "single step": single_step_run,
    "bare": bare_run,
}


@pytest.fixture
def make_run() -> Callable[[str], Run]:
    """A run by name; see `RUNS`."""
    return lambda name: RUNS[name]()


@pytest.fixture(params=sorted(RUNS))
def any_run(request: pytest.FixtureRequest) -> Run:
    """Each of the runs in turn."""
    return RUNS[request.param]()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server; see `tests.reports.postgres`."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'ann2spike[postgres]'")
    from tests.reports.postgres import binaries, running

    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    with running(found) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where no store is yet, of each kind."""
    return str(tmp_path / "runs.db") if request.param == "sqlite" else request.getfixturevalue("postgres").place()
