"""The report: one Markdown page and three figures, the same bytes for the same run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evaluate.records import Run, write_atomically
from reports import citations, energies, exact, findings, fits, latencies, tables
from reports.digest import converted, data
from reports.efficiency import chips, efficiency_png
from reports.errors import ReportError
from reports.fields import branch, check, metric, number, sentences, text
from reports.figures import accuracy_png, energy_png
from reports.markup import prose, sentence, table
from reports.quantities import UNMEASURED, count, joules, power_of_ten

__all__ = ["page", "render", "write_pages", "write_text"]

_ASSUMED = ("neuron", "limits", "counting", "statistics")


def render(run: Run, folder: Path) -> Path:
    """Write the report of `run` and its figures into `folder`.

    Parameters
    ----------
    run : Run
        As read by ``evaluate.records.read_run``.
    folder : Path
        Created where it does not exist; files of the same names are replaced, each at one stroke.

    Returns
    -------
    Path
        ``folder/report.md``; beside it ``accuracy.png``, ``energy.png`` and ``efficiency.png``.

    Raises
    ------
    ReportError
        The run has parts of the wrong kind, or `folder` cannot be written.
    """
    check(run)
    files = {
        "accuracy.png": accuracy_png(run),
        "energy.png": energy_png(run),
        "efficiency.png": efficiency_png(run),
        "report.md": page(run).encode(),
    }
    return write_pages(folder, files)


def write_pages(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files` into `folder`, made where there is none; the path of its ``report.md``.

    Raises
    ------
    ReportError
        It cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise ReportError(
            f"{folder}: cannot be written ({error.strerror}); expected a folder, or a place to make one; "
            "name another with --out"
        ) from error
    return folder / "report.md"


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` at one stroke; its folder is made where there is none.

    Raises
    ------
    ReportError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode())
    except OSError as error:
        raise ReportError(f"{path}: cannot be written ({error.strerror}); name another file") from error


def page(run: Run) -> str:
    """The Markdown of the report of `run`."""
    energy = branch(run.assumptions, "energy")
    context = {
        "run": run,
        "title": text(branch(run.case, "model"), "name", "a model without a name"),
        "converted": converted(run),
        "data": data(run),
        "exact": exact,
        "findings": findings,
        "fits": fits,
        "latencies": latencies,
        "tables": tables,
        "energies": energies,
        "no_break_even": _no_break_even(energy),
        "citations": citations,
        "energy": {key: text(energy, key) for key in ("formula", "citation", "scope", "low_high_meaning")},
        "verdicts": sentences(energy, "verdict"),
        "unpriced": sentences(energy, "unpriced"),
        "rho": _rho(energy),
        "chips": chips,
        "network": _network(run),
        "assumed": {key: sentences(run.assumptions, key) for key in _ASSUMED},
        "footnote": text(branch(run.assumptions, "baselines", "biology"), "footnote"),
        "case": _case(run),
        "command": text(run.case, "command").replace("`", "'"),
        "alt": _alt(run),
        "diagnosed": sentences(run.diagnosis, "verdict"),
    }
    return f"{_template().render(context)}\n"


@cache
def _template() -> Any:
    """The page's template."""
    loader = PackageLoader("reports", "templates")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"prose": prose, "sentence": sentence}
    return environment.get_template("report.md.j2")


def _rho(energy: dict[str, Any]) -> str:
    """Spikes per synapse and inference, against the model's own break-even."""
    rho, even = number(energy, "rho"), number(energy, "rho_break_even")
    if rho is None:
        why = "no weighted layer receives spikes" if energy else "no energy model in this run file"
        return f"rho, the spikes per synapse and inference: {UNMEASURED} ({why})."
    if text(energy, "no_break_even"):
        return f"rho, the spikes per synapse and inference, is {count(rho)}. {_no_break_even(energy)}"
    side = "" if even is None else f"; the model's own break-even, other terms left out, is {count(even)}"
    return f"rho, the spikes per synapse and inference, is {count(rho)}{side}."


def _no_break_even(energy: dict[str, Any]) -> str:
    """Why there is no rho and no number of steps at which the verdict flips."""
    return f"No break-even: {prose(text(energy, 'no_break_even', 'no model gives one'))}."


def _network(run: Run) -> str:
    """The efficiency of the run's network as a table: all-in and marginal under each model, joules beside them."""
    rows = []
    for row in findings.network_efficiency(run):
        values = [number(row[scope], "value") for scope in ("all_in", "marginal")]
        cells = [cell for value in values for cell in ((power_of_ten(value), joules(1 / value)) if value else ("", ""))]
        energy = number(row, "joules")
        unsure = " (*unverified*)" if text(row, "unverified") else ""
        rows.append([f"{text(row, 'model')}{unsure}", *cells, "" if energy is None else joules(energy)])
    headers = ["this network, modelled by", "SynOps per joule, all-in", "J per SynOp, all-in",
               "SynOps per joule, marginal", "J per SynOp, marginal", "J per inference"]  # fmt: skip
    return table(headers, rows)


def _case(run: Run) -> dict[str, dict[str, Any]]:
    """What was asked, by part."""
    parts = ("model", "data", "calibration", "config")
    return {part: record for part in parts if (record := branch(run.case, part))}


def _alt(run: Run) -> dict[str, str]:
    """What each figure shows, for those who do not see it."""
    said = {
        "accuracy": f"Accuracy and agreement of the spiking network against steps. {findings.accuracy(run)}.",
        "energy": f"Accuracy against modelled energy, and ratios under all models. {findings.energy(run)}.",
        "efficiency": f"SynOps per joule beside chips and biology. This network: {findings.efficiency(run)}.",
    }
    if fits.is_regression(run):
        said["accuracy"] = f"R2 of the spiking network against steps. {findings.accuracy(run)}."
        said["energy"] = said["energy"].replace("Accuracy", "R2", 1)
    elif metric(run, "ann.accuracy").value is None:
        said["energy"] = said["energy"].replace("Accuracy", "Agreement", 1)
    return {name: prose(line).replace("]", r"\]").replace("*", "") for name, line in said.items()}
