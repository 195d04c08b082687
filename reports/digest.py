"""The run in a dozen lines of plain text, for the terminal."""

from __future__ import annotations

from evaluate.records import Metric, Run
from reports import energies, exact, findings, fits, latencies
from reports.fields import branch, check, entries, metric, number, plain, sentences, text
from reports.quantities import UNMEASURED, count, quantity

__all__ = ["converted", "data", "is_hybrid", "summary"]


def summary(run: Run) -> list[str]:
    """About twelve lines that tell a newcomer what was converted, what was kept and what it costs.

    Parameters
    ----------
    run : Run
        As read by ``evaluate.records.read_run``.

    Returns
    -------
    list of str
        Plain text, one fact a line; a value that was not measured says so and how to measure it.

    Raises
    ------
    ReportError
        The run has parts of the wrong kind.
    """
    check(run)
    model = findings.energy_model(run)
    lines = {
        "Converted": converted(run),
        "Data": data(run),
        findings.score_name(run): findings.accuracy(run),
        findings.agreement_name(run): findings.agreement(run),
        "Latency": findings.latency(run),
        "Activity": _activity(run),
        "Operations": _operations(run),
        f"Energy, modelled by {model}": findings.energy(run),
        f"Energy verdict of {model}": findings.energy_verdict(run),
        "Published thresholds": findings.published(run),
        "Efficiency": findings.efficiency(run),
        "Coverage": _coverage(run),
        **{f"NIR, {form} form": findings.exported(run, form) for form in findings.exported_forms(run)},
        "Warnings": f"{len(run.notes)}, listed in the report" if run.notes else "none",
    }
    if models := energies.disagreement(run):
        lines = _after(lines, f"Energy verdict of {model}", {"Energy models": models})
    if latencies.exits_early(run):
        lines = _after(lines, "Latency", {"Early exit": latencies.early_exit(run)})
    if is_hybrid(run):
        lines["Hybrid"] = _hybrid(run)
    if exact.is_exact(run):
        lines |= {"Exactness": exact.exactness(run), "Quiescence": exact.quiescence(run)}
    if heads := fits.heads(run):
        lines["Outputs"] = "; ".join(heads)
    lines |= {("Diagnosis", "Where", "Why", "Remedy")[min(i, 3)]: line
              for i, line in enumerate(sentences(run.diagnosis, "verdict"))}  # fmt: skip
    return [plain(f"{label}: {line}").replace(UNMEASURED, UNMEASURED.strip("*")) for label, line in lines.items()]


def _after(lines: dict[str, str], label: str, more: dict[str, str]) -> dict[str, str]:
    """`lines` with `more` after the one called `label`."""
    place = list(lines).index(label) + 1
    items = list(lines.items())
    return dict([*items[:place], *more.items(), *items[place:]])


def converted(run: Run) -> str:
    """What was converted, into what."""
    model, config = branch(run.case, "model"), branch(run.case, "config")
    parameters = number(model, "parameters")
    size = f" ({count(parameters)} parameters)" if parameters is not None else ""
    neuron, rule = text(config, "neuron", "LIF"), text(config, "rule")
    name = text(model, "name", "a model without a name")
    hybrid = "hybrid " if is_hybrid(run) else ""
    parts = [f"{name}{size} into a {hybrid}spiking network of {exact.kind(run) or f'{neuron} neurons'}"]
    steps, dt_ms = number(config, "steps"), number(config, "dt_ms")
    if steps is not None and not exact.kind(run):
        parts.append(f"{count(steps)} steps" + (f" of {dt_ms:g} ms" if dt_ms is not None else ""))
    if rule:
        parts.append(f"threshold rule {rule}")
    return ", ".join(parts)


def data(run: Run) -> str:
    """What both networks were run on."""
    used = branch(run.case, "data")
    samples = number(used, "samples")
    parts = [text(used, "spec", "unknown data"), text(used, "split") and f"{text(used, 'split')} split"]
    parts.append("" if samples is None else f"{count(samples)} samples")
    parts.append("" if used.get("labels") else "no labels")
    return ", ".join(filter(None, parts))


def _shown(metric: Metric) -> str:
    """The value of `metric`, or that there is none."""
    if metric.value is None:
        return findings.missing(metric)
    return findings.with_interval(metric)


def _activity(run: Run) -> str:
    """How much the neurons fire."""
    rate = metric(run, "spikes.per_neuron")
    return _shown(rate) if rate.value is None else f"{_shown(rate)} per neuron and inference"


def _operations(run: Run) -> str:
    """SynOps against MACs, the encoder's included."""
    encoder = metric(run, "macs.encoder")
    values = "analog values" if is_hybrid(run) else "the analog input"
    also = f" and {quantity(encoder.value, encoder.unit)} on {values}" if encoder.value else ""
    spiking, dense = (_shown(metric(run, name)) for name in ("synops.per_inference", "macs.ann"))
    return f"SNN {spiking}{also}, ANN {dense}, per inference"


def is_hybrid(run: Run) -> bool:
    """Whether the network keeps floating-point functions at run time."""
    return any(m.name == "hybrid.macs_per_step" for m in run.metrics)


def _hybrid(run: Run) -> str:
    """What a hybrid network computes in floating point."""
    macs, functions = (_shown(metric(run, f"hybrid.{name}_per_step")) for name in ("macs", "functions"))
    return f"{macs} on analog values and {functions} of softmax and layer norm per step, in floating point: no SynOps"


def _coverage(run: Run) -> str:
    """What became of the operations of the model."""
    fates: dict[str, int] = {}
    for row in entries(run.case, "coverage"):
        fate = text(row, "fate", "unknown")
        fates[fate] = fates.get(fate, 0) + 1
    if not fates:
        return "not in this run file"
    return "operations of the model: " + ", ".join(f"{n} {fate}" for fate, n in sorted(fates.items()))
