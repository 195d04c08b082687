"""The command line of the room: run files in, reports out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evaluate.errors import RunFileError
from evaluate.records import read_run
from reports.board_html import leaderboard_html
from reports.boards import is_leaderboard
from reports.budgets import Budgets, read_budgets
from reports.dashboard import write_dashboard
from reports.digest import summary
from reports.errors import ReportError
from reports.fields import check
from reports.formats import csv_table, json_list
from reports.gate import gate
from reports.history import Entry, entry_of
from reports.html import html_page
from reports.leaderboard import leaderboard_lines, render_leaderboard
from reports.pages import render, write_text
from reports.pairing import load_runs
from reports.rerunning import rerun
from reports.speed import is_benchmark, render_speed, speed_lines
from reports.store import find_runs, open_store
from reports.store.intake import files, lines, take_in
from reports.store.lines import write_lines
from reports.store.listing import listing
from reports.store.store import Added
from reports.verdicts import headline, junit, markdown, regressions

__all__ = [
    "Format",
    "add_command",
    "app",
    "dashboard_command",
    "export_command",
    "gate_command",
    "import_command",
    "list_command",
    "main",
    "render_command",
    "rerun_command",
    "show_command",
]

_EXAMPLES = """Examples:

\b
  python -m reports render out/             the run.json in out/, the report beside it
  python -m reports render out/run.json --out pages/
  python -m reports render bench.snn        the same for a run of python -m evaluate bench
  python -m reports render leaderboard.snn --format html    or of python -m evaluate leaderboard
  python -m reports render a.snn --format html
  python -m reports render a.snn b.snn c.snn --format html --out pages/
                                            one file, report.html, with the runs side by side
  python -m reports render runs/ --format html
                                            the same with all runs of a suite
  python -m reports render a.snn b.snn --format csv

Exit status: 0 good, 2 the run file or the folder cannot be used."""

_GATE = """Examples:

\b
  python -m reports gate --base main.snn --head branch.snn --budgets .ci/budgets.toml
  python -m reports gate --base runs/main/ --head runs/branch/ --markdown comment.md --junit gate.xml
      folders of runs, matched by case; several runs of one case, taken in turn, are what times are judged by
  python -m reports gate --base main --head branch.snn --store runs.db
      the runs of a commit from a store: a branch, a tag, HEAD~1, the start of a commit's hash or of a run's key

Exit status: 0 pass, 2 a file cannot be used, 3 something got worse, 4 not enough data to tell."""

_RERUN = """Examples:

\b
  python -m reports rerun digits-relu.snn
  python -m reports rerun out/run.json --within project/   the model's path is relative to project/

Exit status: 0 every number again, 2 it cannot be run, 3 numbers differ, 4 other weights, data or options."""

_ADD = """Examples:

\b
  python -m reports add digits-relu.snn          into runs.db, which is made where there is none
  python -m reports add out/*/run.json runs/     run files, output folders, folders of either
  python -m reports add runs/ --store postgresql://me@host/runs

A run's key is the hash of its content, so adding a run again changes nothing.
Exit status: 0 good, 2 a run file or the store cannot be used; if a run file is damaged, nothing is added."""

_IMPORT = """Examples:

\b
  python -m reports import runs.jsonl
  python -m reports import runs.jsonl --store postgresql://me@host/runs

If a line is damaged, all such lines are named and nothing is added. Runs that the store has are skipped.
Exit status: 0 good, 2 the file or the store cannot be used."""

_EXPORT = """Examples:

\b
  python -m reports export runs.jsonl
  python -m reports export runs.jsonl --store postgresql://me@host/runs

One run a line, the oldest first; the same runs give the same bytes, so that the file can live in git.
Exit status: 0 good, 2 the file or the store cannot be used."""

_LIST = """Examples:

\b
  python -m reports list
  python -m reports list --network digits-relu --since 2026-11-01 --last 50
  python -m reports list --case "T=16" --commit 3f2a --store postgresql://me@host/runs

Exit status: 0 good, 2 the store cannot be used."""

_SHOW = """Examples:

\b
  python -m reports show 3f2a9c                 what the run found, in a dozen lines
  python -m reports show 3f2a9c --out old.snn   its run file again, for render, rerun and gate

Exit status: 0 good, 2 no such run, or the store cannot be used."""

Where = Annotated[
    str,
    typer.Option(
        "--store", envvar="ANN2SPIKE_STORE", help="File of the run store, or postgresql://USER@HOST/DATABASE."
    ),
]
STORE = "runs.db"

notice = Console(stderr=True)

_DASHBOARD = """Examples:

\b
  python -m reports dashboard --out site/                  the history in runs.db
  python -m reports dashboard --store postgresql://me@host/runs --out site/
  python -m reports dashboard --runs runs/ --out site/     every run.json under runs/
  python -m reports dashboard --runs runs/ --out site/ --title "digits on main"

Open site/index.html; it needs neither a server nor a network.

Exit status: 0 good, 2 the history or the folder cannot be used."""

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
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A run.json, its folder, or a folder of runs.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: beside the first run file.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Markdown with figures, one HTML file, or data.")
    ] = Format.MD,
) -> None:
    """Write the report of a run, or one page of several side by side."""
    try:
        found = [run for place in runs for run in load_runs(place)]
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
    base: Annotated[str, typer.Option(help="Run file, folder of runs, or commit or run in the store: the old one.")],
    head: Annotated[str, typer.Option(help="Run file, folder of runs, or commit or run in the store: is judged.")],
    budgets: Annotated[Path | None, typer.Option(help="TOML of what may be lost; default: nothing.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the comment here.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    list_file: Annotated[Path | None, typer.Option("--list", help="Write the regressions here, one a line.")] = None,
    store: Where = STORE,
) -> None:
    """Say whether the head is worse than the base, metric by metric."""
    try:
        sides = find_runs(base, store), find_runs(head, store)
        found = gate(*sides, Budgets() if budgets is None else read_budgets(budgets))
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


@app.command("add", epilog=_ADD)
def add_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A run file, or a folder that holds some.")],
    store: Where = STORE,
) -> None:
    """Keep runs in a store."""
    with _refusals():
        sources = files(runs)
        with _bar("add", len(sources)) as advance, open_store(store) as kept:
            added = take_in(kept, sources, advance)
            _tell(added, f"{kept.place} now has {len(kept):,}")


@app.command("import", epilog=_IMPORT)
def import_command(
    file: Annotated[Path, typer.Argument(help="Lines of JSON, as export writes them.")], store: Where = STORE
) -> None:
    """Add the runs of a file of JSON lines."""
    with _refusals():
        sources = lines(file)
        with _bar("import", len(sources)) as advance, open_store(store) as kept:
            added = take_in(kept, sources, advance)
            _tell(added, f"{kept.place} now has {len(kept):,}")


@app.command("export", epilog=_EXPORT)
def export_command(
    file: Annotated[Path, typer.Argument(help="Is written at one stroke.")], store: Where = STORE
) -> None:
    """Write all runs of a store as JSON lines."""
    with _refusals(), open_store(store, create=False) as kept, _bar("export", len(kept)) as advance:
        count = write_lines(kept, file, advance)
    typer.echo(f"{count:,} run{'s' * (count != 1)} in {file}")


@app.command("list", epilog=_LIST)
def list_command(
    store: Where = STORE,
    last: Annotated[int, typer.Option(help="So many of the newest.")] = 20,
    network: Annotated[str | None, typer.Option(help="Only of this network.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only by this recipe.")] = None,
    neuron: Annotated[str | None, typer.Option(help="Only with this neuron.")] = None,
    case: Annotated[str | None, typer.Option(help="Only cases with this in their name.")] = None,
    commit: Annotated[str | None, typer.Option(help="Only of commits that start so.")] = None,
    since: Annotated[str | None, typer.Option(help="Only made then or later, such as 2026-11-30.")] = None,
) -> None:
    """Show the runs of a store, the newest last."""
    with _refusals(), open_store(store, create=False) as kept:
        found = kept.entries(
            network=network, recipe=recipe, neuron=neuron, case=case, commit=commit, since=since, last=last
        )
        typer.echo(listing(found))
        typer.echo(f"{len(found):,} of {len(kept):,} runs in {kept.place}")


@app.command("show", epilog=_SHOW)
def show_command(
    key: Annotated[str, typer.Argument(metavar="RUN", help="The start of its key, as list shows it.")],
    store: Where = STORE,
    out: Annotated[Path | None, typer.Option(help="Write its run file into this folder.")] = None,
) -> None:
    """Tell what one run of a store found, or get its run file back."""
    with _refusals(), open_store(store, create=False) as kept:
        run = kept.run(key)
        for line in speed_lines(run) if is_benchmark(run) else summary(run):
            typer.echo(line)
        if out is not None:
            write_text(out / "run.json", run.to_json())
            typer.echo(f"Run file: {out / 'run.json'}")


def _tell(added: Added, now: str) -> None:
    typer.echo(f"{added.new:,} added, {added.known:,} known already; {now}")


@contextmanager
def _refusals() -> Iterator[None]:
    """Bad input ends in a message and status 2."""
    try:
        yield
    except (RunFileError, ReportError) as error:
        typer.echo(f"reports: {error}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error, once it takes more than two seconds; what is yielded moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    bar = Progress(*columns, console=notice, transient=True, disable=not notice.is_interactive)
    task, began = bar.add_task(what, total=total), time.monotonic()

    def advance(done: int) -> None:
        if time.monotonic() - began > 2 and not bar.live.is_started:
            bar.start()
        bar.advance(task, done)

    try:
        yield advance
    finally:
        bar.stop()


@app.command("dashboard", epilog=_DASHBOARD)
def dashboard_command(
    store: Where = STORE,
    runs: Annotated[Path | None, typer.Option(help="A folder of runs, in the place of a store.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the site.")] = Path("dashboard"),
    title: Annotated[str, typer.Option(help="Headline of the first page.")] = "",
) -> None:
    """Write the history of all metrics as a site that opens from the file system."""
    with _refusals():
        page = write_dashboard(_entries(store, runs), out, title)
    typer.echo(f"Dashboard: {page}")


def _entries(store: str, folder: Path | None) -> list[Entry]:
    """The history in a store, or in a folder of runs."""
    if folder is None:
        with open_store(store, create=False) as kept:
            return kept.entries()
    found = load_runs(folder)
    for run in found:
        check(run)
    return [entry_of(run) for run in found]


if __name__ == "__main__":
    app(prog_name="python -m reports")
