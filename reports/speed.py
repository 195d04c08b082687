"""render_speed(): what a benchmark found, as a page with figures; speed_lines(): the same for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluate.records import BENCHMARK, Metric, Run
from reports.fields import branch, check, entries, metric, number, sentences, text
from reports.markup import prose, table
from reports.pages import write_pages
from reports.quantities import count, percent, significant
from reports.scaling import AXES, curves, rate_of, scaling_png
from reports.tables import facts

__all__ = ["is_benchmark", "render_speed", "speed_lines", "speed_page"]

_RANDOM = (
    "Networks marked * have random weights and classify nothing: only their shape, their time and their firing rate "
    "mean anything."
)
_CASE = ["network", "T", "batch", "threads"]


def is_benchmark(run: Run) -> bool:
    """Whether `run` tells of speed, not of a conversion."""
    return text(run.case, "kind") == BENCHMARK


def render_speed(run: Run, folder: Path) -> Path:
    """Write ``report.md`` and a figure for each quantity that was varied into `folder`; the path of the page.

    Raises
    ------
    ReportError
        The run has parts of the wrong kind, or `folder` cannot be written.
    """
    check(run)
    drawn = {f"scaling-{axis}.png": scaling_png(run, axis) for axis in AXES if curves(run, axis)}
    return write_pages(Path(folder), {**drawn, "report.md": speed_page(run).encode()})


def speed_lines(run: Run) -> list[str]:
    """A line for each case: the median ratios and the firing rate."""
    check(run)
    found = []
    for case in entries(run.curves, "cases"):
        ratios = [f"{name} {_short(_metric(run, line, 'ratio'))}" for name, line in _of(run, case).items()
                  if "ratio" in branch(line, "metrics")]  # fmt: skip
        found.append(f"{text(case, 'label')}: {', '.join(ratios)} ANN passes at {_rate(rate_of(run, case))} spikes")
    return [*found, f"Warnings: {len(run.notes)}, listed in the report" if run.notes else "Warnings: none"]


def speed_page(run: Run) -> str:
    """The Markdown of the page."""
    cases = entries(run.curves, "cases")
    neuron = text(branch(run.case, "config"), "neuron", "unknown")
    parts = [
        "# How fast it is simulated",
        f"Spiking networks of {prose(neuron)} neurons on {prose(text(run.environment, 'processor', 'unknown'))}, torch "
        f"{prose(text(branch(run.environment, 'packages'), 'torch', 'unknown'))}. A number is the time over that of "
        "the ANN's forward pass on the same samples, the median of interleaved rounds, with its interval.",
        "## Time over the ANN's forward pass", _ratios(run, cases) or "No case was measured.",
    ]  # fmt: skip
    if any(text(case, "weights") == "random" for case in cases):
        parts.append(_RANDOM)
    sections = {
        "Other converters": _peers(run, cases),
        "Refused": _refused(run),
        "Threads": _threads(run, cases),
        "Scaling": _figures(run),
        "Processor time over the ANN's": _ratios(run, cases, "cpu_ratio"),
        "Warnings": _listed(run.notes),
        "How it was measured": _listed(sentences(run.assumptions, "method")),
        "What was asked": facts({"options": branch(run.case, "config"), "conversion": branch(run.case, "conversion")}),
        "Environment": facts(run.environment),
    }
    parts += [f"## {title}\n\n{content}" for title, content in sections.items() if content]
    command = text(run.case, "command").replace("`", "'")
    parts += [f"## Run it again\n\n```sh\n{command}\n```"] if command else []
    return "\n\n".join(parts) + "\n"


def _ratios(run: Run, cases: list[dict[str, Any]], what: str = "ratio") -> str:
    """Cases as rows, contestants as columns."""
    lines = entries(run.curves, "contestants")
    names = list(dict.fromkeys(text(line, "contestant") for line in lines if "ratio" in branch(line, "metrics")))
    rows = []
    for case in cases:
        of = _of(run, case)
        seconds, batch = _metric(run, of.get("ann", {}), "seconds").value, number(case, "batch")
        ann = "" if seconds is None or not batch else f"{significant(1e6 * seconds / batch)} us"
        cells = [_interval(_metric(run, of[name], what)) if name in of else "" for name in names]
        rows.append([*_named(case), text(case, "data"), _rate(rate_of(run, case)), ann, *cells])
    return table([*_CASE, "data", "spikes per neuron and step", "ANN, per sample", *names], rows)


def _peers(run: Run, cases: list[dict[str, Any]]) -> str:
    """How many times as long as our fastest engine each peer takes."""
    rows = []
    for case in cases:
        for name, line in _of(run, case).items():
            if not text(line, "version") or "metrics" not in line:
                continue
            found, rate = _metric(run, line, "speedup"), _metric(run, line, "rate").value
            rows.append([*_named(case), f"{name} {text(line, 'version')}", text(line, "mode"), _rate(rate),
                         _rate(rate_of(run, case)), _interval(found), found.note.partition(";")[0],
                         text(line, "note")])  # fmt: skip
    return table(
        [*_CASE, "converter", "its fastest mode", "its rate", "our rate", "times as long", "", "its neurons"], rows
    )


def _refused(run: Run) -> str:
    rows = [[text(line, key) for key in ("contestant", "case", "refused")]
            for line in entries(run.curves, "contestants") if "refused" in line]  # fmt: skip
    return table(["contestant", "case", "message"], rows)


def _threads(run: Run, cases: list[dict[str, Any]]) -> str:
    """Time with the fewest threads over that with more: of medians, since each count has a process of its own."""
    same: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for case in cases:
        key = tuple(text(case, name) for name in ("network", "steps", "batch", "threshold_scale"))
        same.setdefault(key, []).append(case)
    rows = []
    for group in same.values():
        one, *more = sorted(group, key=lambda case: number(case, "threads") or 0)
        for case in more:
            before, after = _of(run, one), _of(run, case)
            for name in (name for name in after if name in before):
                a, b = (_metric(run, lines[name], "seconds").value for lines in (before, after))
                if a and b:
                    rows.append([*_named(one)[:3], f"{text(one, 'threads')} to {text(case, 'threads')}", name,
                                 significant(a / b, 3)])  # fmt: skip
    return table([*_CASE, "contestant", "times as fast"], rows)


def _figures(run: Run) -> str:
    """The figures, with what they show in words."""
    found = []
    for axis, name in AXES.items():
        if groups := curves(run, axis):
            said = "; ".join(
                f"{title}: {contestant} from {significant(points[0].ratio)} to {significant(points[-1].ratio)}"
                for title, group in groups.items()
                for contestant, points in group.items()
            )
            found.append(f"![Time over the ANN's forward pass against {name}. {prose(said)}](scaling-{axis}.png)")
    return "\n\n".join(found)


def _of(run: Run, case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The contestants of `case` by name."""
    lines = entries(run.curves, "contestants")
    return {text(line, "contestant"): line for line in lines if text(line, "case") == text(case, "label")}


def _metric(run: Run, line: dict[str, Any], what: str) -> Metric:
    return metric(run, text(branch(line, "metrics"), what))


def _named(case: dict[str, Any]) -> list[str]:
    """The cells that say which case it is."""
    mark = " *" if text(case, "weights") == "random" else ""
    scale = number(case, "threshold_scale")
    scaled = "" if scale in (None, 1) else f", thresholds x{scale:g}"
    return [f"{text(case, 'network')}{mark}{scaled}", *(_whole(case, key) for key in ("steps", "batch", "threads"))]


def _whole(case: dict[str, Any], key: str) -> str:
    value = number(case, key)
    return "" if value is None else count(value)


def _rate(value: float | None) -> str:
    return "unknown" if value is None else percent(value)


def _short(found: Metric) -> str:
    return "unmeasured" if found.value is None else significant(found.value, 3)


def _interval(found: Metric) -> str:
    """The median and its interval."""
    if found.value is None or found.low is None or found.high is None:
        return ""
    return f"{significant(found.value, 3)} ({significant(found.low, 3)} to {significant(found.high, 3)})"


def _listed(lines: Any) -> str:
    return "\n".join(f"- {prose(line)}" for line in lines)
