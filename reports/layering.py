"""Layer by layer, as bars: rates, SynOps, modelled joules and error, in one table that reads without its bars."""

from __future__ import annotations

from html import escape

from evaluate.records import Run
from reports.fields import branch, entries, number, text
from reports.quantities import count, joules, percent

__all__ = ["layer_table"]

_TERMS = {"accumulates": "synops", "encoder macs": "encoder_macs", "neuron updates": "neuron_updates"}
"""Terms of an energy model that are spread over the layers in proportion to a count."""

_COLUMNS = (
    ("rate", "spikes per neuron and step", 2),
    ("synops", "SynOps", 0),
    ("energy", "modelled energy", 1),
    ("error", "rms error of the rate", 3),
)


def layer_table(run: Run) -> str:
    """The table; empty where the run has no layers."""
    rows = [_values(run, dict(row)) for row in run.layers]
    rows = [row for row in rows if any(row[key] is not None for key, _, _ in _COLUMNS)]
    if not rows:
        return ""
    most = {key: max((value for row in rows if isinstance(value := row[key], float)), default=0.0)
            for key, _, _ in _COLUMNS}  # fmt: skip
    shown = [column for column in _COLUMNS if most[column[0]] > 0]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("layer", *(t for _, t, _ in shown)))
    body = "".join(
        f'<tr><th scope="row">{escape(str(row["name"]))}</th>'
        + "".join(_cell(key, row[key], most[key], colour) for key, _, colour in shown)
        + "</tr>"
        for row in rows
    )
    return f'<table class="bars"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _values(run: Run, row: dict[str, object]) -> dict[str, float | str | None]:
    """What the table shows of a layer; the error is that of the diagnosis, where there is one."""
    name = text(row, "name")
    found = next((r for r in entries(run.diagnosis, "layers") if text(r, "name") == name), {})
    return {"name": name, "rate": number(row, "rate"), "synops": number(row, "synops"),
            "energy": _energy(run, row), "error": number(found, "relative_rms_error")}  # fmt: skip


def _energy(run: Run, row: dict[str, object]) -> float | None:
    """Each term of the model, spread in proportion to what it counts."""
    terms, total = branch(run.assumptions, "energy", "terms", "snn"), 0.0
    for term, key in _TERMS.items():
        value = next((number(terms, name) for name in terms if name.replace("_", " ").lower() == term), None)
        whole = sum(number(other, key) or 0.0 for other in run.layers)
        total += (value or 0.0) * (number(row, key) or 0.0) / whole if whole else 0.0
    return total or None


def _cell(key: str, value: float | str | None, most: float, colour: int) -> str:
    if not isinstance(value, float):
        return "<td></td>"
    said = joules(value) if key == "energy" else percent(value) if key == "error" else count(value)
    bar = f'<rect class="bar s{colour}" width="{100 * value / most:.1f}" height="8"/>'
    drawn = f'<svg aria-hidden="true" viewBox="0 0 100 8" preserveAspectRatio="none">{bar}</svg>'
    return f"<td><span>{escape(said)}</span>{drawn}</td>"
