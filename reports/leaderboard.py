"""render_leaderboard(): networks by methods by steps as one page of Markdown; the same tables serve the HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluate.records import Run
from reports.boards import COSTS, Board, Row, accuracy, board, front, ratio_to_ann
from reports.fields import branch, check, entries, number, sentences, text
from reports.markup import prose, table
from reports.pages import write_pages
from reports.quantities import percent, significant
from reports.tables import facts

__all__ = [
    "PUBLISHED", "cost_headers", "costs", "leaderboard_lines", "leaderboard_page", "published_rows",
    "refused_rows", "render_leaderboard",
]  # fmt: skip

PUBLISHED = (
    "Accuracies in percent as printed in the source of each row; nobody measured them here, on these networks or with "
    "this accounting. Networks of the same name differ between publications: compare with the ANN of the same row."
)

_LEGEND = (
    "Accuracy in percent with its 95 % interval. **Bold**: the best of its column. ≈: a paired test on the same "
    "samples does not tell it from the best."
)


def render_leaderboard(run: Run, folder: Path) -> Path:
    """Write ``report.md`` into `folder`; its path.

    Raises
    ------
    ReportError
        The run has parts of the wrong kind, or `folder` cannot be written.
    """
    return write_pages(Path(folder), {"report.md": leaderboard_page(run).encode()})


def leaderboard_lines(run: Run) -> list[str]:
    """A line for each network: the best of each column."""
    check(run)
    found = board(run)
    lines = []
    for network in found.networks():
        best = [row for row in found.of(network) if row.get("best") is True]
        shown = {number(row, "steps"): row for row in reversed(best)}
        words = [f"T = {t}: {text(shown[t], 'method')} {_percent(found, network, shown[t])}"
                 for t in found.steps if t in shown]  # fmt: skip
        lines.append(f"{network}: {'; '.join(words) or 'nothing ran'}")
    return lines


def leaderboard_page(run: Run) -> str:
    """The Markdown of the page."""
    check(run)
    found = board(run)
    parts = ["# Leaderboard", _lede(found), _LEGEND, *_overview(found)]
    for network in found.networks():
        parts += [f"## {network}", *_of_network(found, network)]
    refused = table(["network", "method", "message"], refused_rows(found))
    published = table(*published_rows(run))
    sections = {
        "Refused, or not spiking": refused,
        "Published figures, not measured here": f"{PUBLISHED}\n\n{published}" if published else "",
        "Methods": table(["method", "after", "what it is", "departs from it"], [
            [text(m, key) for key in ("name", "source", "what", "differs")] for m in entries(run.assumptions, "methods")
        ]),
        "How it was measured": "\n".join(f"- {prose(line)}" for line in sentences(run.assumptions, "method")),
        "Warnings": "\n".join(f"- {prose(note)}" for note in run.notes),
        "Environment": facts(run.environment),
    }  # fmt: skip
    parts += [f"## {title}\n\n{content}" for title, content in sections.items() if content]
    command = text(run.case, "command").replace("`", "'")
    parts += [f"## Run it again\n\n```sh\n{command}\n```"] if command else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _lede(found: Board) -> str:
    networks = ", ".join(found.networks()) or "none"
    return f"Networks: {prose(networks)}. Every method got the same trained network, samples and numbers of steps."


def _overview(found: Board) -> list[str]:
    """The best at each T, group by group."""
    if len(found.networks()) < 2:
        return []
    rows = [
        [network, title, *("" if r is None else f"{_short(found, network, r)} {text(r, 'method')}" for r in tops)]
        for network in found.networks()
        for title, tops in found.tops(network)
    ]
    return ["## The best of each column", table(["network", "methods", *(f"T = {t}" for t in found.steps)], rows)]


def _short(found: Board, network: str, row: Row) -> str:
    return _percent(found, network, row).removesuffix(" %")


def _of_network(found: Board, network: str) -> list[str]:
    ann, n = found.ann(network), found.samples(network)
    methods = found.methods(network)
    grid = [[m, *(_cell(found, network, m, t) for t in found.steps)] for m in methods]
    said = "" if ann is None else f"The ANN is right on {percent(ann, n)}. "
    parts = [f"{said}{'' if n is None else f'{n:,} test samples.'}",
             table(["method", *(f"T = {t}" for t in found.steps)], grid)]  # fmt: skip
    rows = [[m, *costs(found.last(network, m))] for m in methods]
    parts += ["At the largest T:", table(["method", *cost_headers()], rows)] if rows else []
    for cost in COSTS:
        on = [[text(r, "method"), text(r, "steps"), _percent(found, network, r), cost.words(cost.of(r) or 0.0)]
              for r in front(found.of(network), cost)]  # fmt: skip
        parts += [f"### Nothing beats these: accuracy against {cost.name}",
                  table(["method", "T", "accuracy", cost.label], on)] if on else []  # fmt: skip
    return parts


def _percent(found: Board, network: str, row: Row) -> str:
    value = accuracy(row)
    return "" if value is None else percent(value[0], found.samples(network))


def _cell(found: Board, network: str, method: str, steps: int) -> str:
    row = found.cell(network, method, steps)
    value, n = accuracy(row), found.samples(network)
    if row is None or value is None:
        return ""
    shown, low, high = (percent(x, n).removesuffix(" %") for x in value)
    marked = f"**{shown}**" if row.get("best") is True else f"{shown} ≈" if row.get("as_good") is True else shown
    return f"{marked} ({low} to {high})"


def cost_headers() -> list[str]:
    """The columns of `costs`."""
    return ["T", "agreement", "spikes per neuron", "bits per spike", "most spikes in a step", "energy / dense ANN",
            "latency in steps", "of these look-ahead", "calibration samples", "time / ANN pass", "memory"]  # fmt: skip


def costs(row: Row) -> list[str]:
    """What a cell costs, in words."""
    agreement, ratio = row.get("agreement"), ratio_to_ann(row)
    same = number({"x": agreement[0]}, "x") if isinstance(agreement, list) and agreement else None
    n = number(row, "samples")
    calibration = f"{number(row, 'calibration_samples') or 0:,.0f}"
    if simulated := number(row, "simulated_samples"):
        calibration += f" + {simulated:,.0f} simulated"
    return [
        text(row, "steps"), "" if same is None else percent(same, None if n is None else int(n)),
        _number(row, "spikes_per_neuron", 3), _whole(row, "payload_bits"), _whole(row, "largest"),
        "unmeasured" if ratio is None else significant(ratio), _whole(row, "latency_steps"),
        _whole(row, "look_ahead_steps"), calibration, _number(row, "time_ratio", 2), _memory(row),
    ]  # fmt: skip


def _number(row: Row, key: str, digits: int) -> str:
    value = number(row, key)
    return "" if value is None else significant(value, digits)


def _whole(row: Row, key: str) -> str:
    value = number(row, key)
    return "" if value is None else f"{value:,.0f}"


def _memory(row: Row) -> str:
    value = number(row, "peak_bytes")
    return "unmeasured" if value is None else f"{value / 2**20:,.0f} MB"


def refused_rows(found: Board) -> list[list[str]]:
    """What did not run; what would have run as an ANN is said to have been silent."""
    return [[network, method, message + (" (it says nothing itself: found out by us)" if silent else "")]
            for network, method, message, silent in found.refusals()]  # fmt: skip


def published_rows(run: Run) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the figures from the literature, those of one network together."""
    rows = sorted(entries(run.curves, "published"), key=lambda row: (text(row, "data"), text(row, "network")))
    headers = ["data", "network", "ANN", "method", "venue", "spike", "retrained", "look-ahead",
               "accuracy @ T", "source"]  # fmt: skip
    return headers, [_published(row) for row in rows]


def _published(row: dict[str, Any]) -> list[str]:
    printed = branch(row, "accuracy")
    figures = [f"{number(printed, t) or 0:.2f} @ {t}" for t in sorted(printed, key=int)]
    return [text(row, "data"), text(row, "network"), f"{number(row, 'ann') or 0:.2f}",
            *(text(row, key) for key in ("method", "venue", "spike", "training", "look_ahead")), ", ".join(figures),
            text(row, "source")]  # fmt: skip
