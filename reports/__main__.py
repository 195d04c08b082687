"""The command line of the room: run files in, reports out."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from evaluate.errors import RunFileError
from evaluate.records import read_run
from reports.board_html import leaderboard_html
from reports.boards import is_leaderboard
from reports.budgets import Budgets, read_budgets
from reports.digest import summary
from reports.errors import ReportError
from reports.formats import csv_table, json_list
from reports.gate import gate
from reports.html import html_page
from reports.leaderboard import leaderboard_lines, render_leaderboard
from reports.pages import render, write_text
from reports.pairing import load_runs
from reports.rerunning import rerun
from reports.speed import is_benchmark, render_speed, speed_lines
from reports.verdicts import headline, junit, markdown, regressions

__all__ = ["Format", "app", "gate_command", "main", "render_command", "rerun_command"]

_EXAMPLES = """Examples:

\b
  python -m reports render out/             the run.json in out/, the report beside it
  python -m reports render out/run.json --out pages/
  python -m reports render bench.snn        the same for a run of python -m evaluate bench
  python -m reports render leaderboard.snn --format html    or of python -m evaluate leaderboard
  python -m reports render a.snn --format html
  python -m reports render a.snn b.snn c.snn --format html --out pages/
                                            one file, report.html, with the runs side by side
  python -m reports render a.snn b.snn --format csv

Exit status: 0 good, 2 the run file or the folder cannot be used."""

_GATE = """Examples:

\b
  python -m reports gate --base main.snn --head branch.snn --budgets .ci/budgets.toml
  python -m reports gate --base runs/main/ --head runs/branch/ --markdown comment.md --junit gate.xml
      folders of runs, matched by case; several runs of one case, taken in turn, are what times are judged by

Exit status: 0 pass, 2 a file cannot be used, 3 something got worse, 4 not enough data to tell."""

_RERUN = """Examples:

\b
  python -m reports rerun digits-relu.snn
  python -m reports rerun out/run.json --within project/   the model's path is relative to project/

Exit status: 0 every number again, 2 it cannot be run, 3 numbers differ, 4 other weights, data or options."""

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)


class Format(Enum):
    """What `render` writes."""

    MD = "md"
    HTML = "html"
    JSON = "json"
    CSV = "csv"


@app.callback(epilog=_EXAMPLES)
def main() -> None:
    """Tell people what a run found. Reads run files; needs no torch."""


@app.command("render", epilog=_EXAMPLES)
def render_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A run.json, or the folder that holds it.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: beside the first run file.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Markdown with figures, one HTML file, or data.")
    ] = Format.MD,
) -> None:
    """Write the report of a run, or one page of several side by side."""
    try:
        found = [read_run(run) for run in runs]
        folder = out if out is not None else runs[0] if runs[0].is_dir() else runs[0].parent
        if form is not Format.MD:
            path = folder / f"report.{form.value}"
            alone = len(found) == 1 and is_leaderboard(found[0])
            page = (lambda runs: leaderboard_html(runs[0])) if alone else html_page
            write_text(path, {"html": page, "json": json_list, "csv": csv_table}[form.value](found))
            typer.echo(f"Report: {path}")
            return
        if len(found) > 1:
            raise ReportError(f"--format md: got {len(found)} runs; expected one: --format html shows several")
        run = found[0]
        tell, make = (
            (speed_lines, render_speed) if is_benchmark(run)
            else (leaderboard_lines, render_leaderboard) if is_leaderboard(run)
            else (summary, render)
        )  # fmt: skip
        report, lines = make(run, folder), tell(run)
    except (RunFileError, ReportError) as error:
        typer.echo(f"reports: {error}", err=True)
        raise typer.Exit(2) from None
    for line in (*lines, f"Report: {report}"):
        typer.echo(line)


@app.command("gate", epilog=_GATE)
def gate_command(
    base: Annotated[str, typer.Option(help="Run file, or folder of runs, to compare with.")],
    head: Annotated[str, typer.Option(help="Run file, or folder of runs, that is judged.")],
    budgets: Annotated[Path | None, typer.Option(help="TOML of what may be lost; default: nothing.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the comment here.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    list_file: Annotated[Path | None, typer.Option("--list", help="Write the regressions here, one a line.")] = None,
) -> None:
    """Say whether the head is worse than the base, metric by metric."""
    try:
        found = gate(load_runs(base), load_runs(head), Budgets() if budgets is None else read_budgets(budgets))
        for path, told in ((markdown_file, markdown), (junit_file, junit), (list_file, regressions)):
            if path is not None:
                write_text(path, told(found))
    except (RunFileError, ReportError) as error:
        typer.echo(f"reports: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(markdown(found) if markdown_file is None else headline(found))
    raise typer.Exit(found.exit_status)


@app.command("rerun", epilog=_RERUN)
def rerun_command(
    run: Annotated[Path, typer.Argument(help="A run.json, or the folder that holds it.")],
    within: Annotated[Path, typer.Option(help="Folder from which the recorded paths are found.")] = Path(),
    trust: Annotated[bool, typer.Option("--trust", help="Run code that the recorded command names.")] = False,
) -> None:
    """Run the recorded case again, and say whether every number is the same."""
    try:
        found = rerun(read_run(run), within, trust)
    except (RunFileError, ReportError) as error:
        typer.echo(f"reports: {error}", err=True)
        raise typer.Exit(2) from None
    for line in found.lines():
        typer.echo(line)
    raise typer.Exit(found.exit_status)


if __name__ == "__main__":
    app(prog_name="python -m reports")
