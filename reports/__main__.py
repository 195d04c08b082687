"""The command line of the room: run files in, reports out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluate.errors import RunFileError
from evaluate.records import read_run
from reports.digest import summary
from reports.errors import ReportError
from reports.pages import render
from reports.speed import is_benchmark, render_speed, speed_lines

__all__ = ["app", "main", "render_command"]

_EXAMPLES = """Examples:

\b
  python -m reports render out/             the run.json in out/, the report beside it
  python -m reports render out/run.json --out pages/
  python -m reports render bench.snn        the same for a run of python -m evaluate bench

Exit status: 0 good, 2 the run file or the folder cannot be used."""

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)


@app.callback(epilog=_EXAMPLES)
def main() -> None:
    """Tell people what a run found. Reads run files; needs no torch."""


@app.command("render", epilog=_EXAMPLES)
def render_command(
    run: Annotated[Path, typer.Argument(help="A run.json, or the folder that holds it.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: beside the run file.")] = None,
) -> None:
    """Write report.md and its figures, and print the summary."""
    try:
        found = read_run(run)
        folder = out if out is not None else run if run.is_dir() else run.parent
        of_speed = is_benchmark(found)
        report = render_speed(found, folder) if of_speed else render(found, folder)
        lines = speed_lines(found) if of_speed else summary(found)
    except (RunFileError, ReportError) as error:
        typer.echo(f"reports: {error}", err=True)
        raise typer.Exit(2) from None
    for line in (*lines, f"Report: {report}"):
        typer.echo(line)


if __name__ == "__main__":
    app(prog_name="python -m reports")
