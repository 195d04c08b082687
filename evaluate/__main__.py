"""The command line of the room: `python -m evaluate bench`, `run`, `show`, `conform` and `leaderboard`.

Exit status: 0 good, 1 a bug, 2 the user's input, 3 a case of a suite failed or a check did not pass, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

import zoo
from convert.errors import ConvertError
from evaluate.benchmarks.request import DEFAULT_NETWORKS, SCALINGS, BenchmarkRequest, Case, cores
from evaluate.benchmarks.running import claim_folder, run_benchmark
from evaluate.benchmarks.table import benchmark_text
from evaluate.conformance.scoring import conform, find_adapter
from evaluate.conformance.table import conformance_line, conformance_table
from evaluate.contenders.adapters import ADAPTERS
from evaluate.contenders.peers import PEERS
from evaluate.errors import BenchmarkError, EvaluateError, LeaderboardError, SuiteError
from evaluate.explanations import explain, listing
from evaluate.isolation import Progress as Reported
from evaluate.leaderboard.request import SMALL, LeaderboardRequest, Unit, chosen_methods, installed_methods
from evaluate.leaderboard.running import claim, make_leaderboard, workers
from evaluate.leaderboard.table import leaderboard_text
from evaluate.records import read_run, write_atomically
from evaluate.suites.folders import Failure
from evaluate.suites.pools import Cluster, Here
from evaluate.suites.running import Ended, Side, planned, run_suite
from evaluate.suites.suite import read_suite
from evaluate.suites.table import suite_text
from zoo.errors import ZooError

__all__ = ["app", "bench", "conform_command", "leaderboard_command", "main", "run", "show"]

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
notice = Console(stderr=True, highlight=False)

_WIDE = 120
"""Columns of a table that is not printed on a terminal."""

BENCH = """Examples:

\b
  python -m evaluate bench
      three networks at T = 8 and 32 with one thread and two: both engines, and the peers that are installed

\b
  python -m evaluate bench --networks digits-relu --threads 1 --repeats 5
      a look, in seconds

\b
  python -m evaluate bench --networks mlp-784-1200-1200-10 --scaling steps,batch,width,rate --threads 1
      how the ratio grows with each of them, the others held

\b
  python -m evaluate bench --networks fashion-cnn-relu,fashion-resnet20 --engines events --peers none --out fast.snn
      our events engine alone, another folder

\b
  python -m reports render bench.snn
      the page with tables and figures

Each case runs in a process of its own; nothing else should use the machine meanwhile. Ctrl-C keeps the finished cases.
Exit status: 0 good, 2 refused, 130 interrupted."""

RUN = """Examples:

\b
  python -m evaluate run suite.toml --jobs 4 --out runs
      every case of the suite, four at a time; the same command goes on after an interruption

\b
  python -m evaluate run suite.toml --against ../base --out runs
      every case in the checkout ../base and here, in turn: runs/base and runs/head

\b
  python -m evaluate run suite.toml --cluster tcp://scheduler:8786 --out runs
      on the workers of a Dask cluster

\b
  python -m reports gate --base runs/base --head runs/head
      did it get worse?

A suite.toml:

\b
  [options]
  limit = 1000
  [matrix]
  model = ["zoo:digits-relu", "zoo:digits-tanh"]
  recipe = ["seed", "best-onebit"]
  [[exclude]]
  model = "zoo:digits-tanh"
  recipe = "best-onebit"
  [[include]]
  model = "zoo:digits-relu"
  recipe = "radix"
  bits = 4

Exit status: 0 good, 2 refused, 3 a case failed, 130 interrupted."""

JOBS = "Cases at a time, each in a process of its own [as many as there are processors for them]."
AGAINST = "Another checkout, in which every case runs too, in turn with this one: DIR/base and DIR/head."
CLUSTER = "Run the cases on this Dask scheduler's workers."

CONFORM = """Examples:

\b
  python -m evaluate conform
      our own converter

\b
  python -m evaluate conform --contender spikingjelly --out scores
      another one, where it is installed; writes scores/spikingjelly.json

\b
  python -m evaluate conform --contender mine:adapter
      your own: the function adapter in mine.py; its contract is the docstring of evaluate/conformance/contract.py

Exit status: 0 every check passes, 2 refused, 3 some do not."""

LEADERBOARD = """Examples:

\b
  python -m evaluate leaderboard --small
      a look, in seconds

\b
  python -m evaluate leaderboard --networks digits-relu,digits-tanh --limit 0 --out digits-board.snn
      all methods on all test samples (--limit 0)

\b
  python -m evaluate leaderboard --methods ours --networks fashion-cnn-relu --steps 8,32
      our recipes alone; the group of the others is called peers

\b
  python -m reports render leaderboard.snn --format html
      the page

Each result is on disk as soon as it is there: the same command goes on where it stopped, and a larger one takes over
what a smaller one has measured. Ctrl-C keeps what is finished. Exit status: 0 good, 2 refused, 130 interrupted."""

METHODS_HELP = "Recipes, names of the peers' methods, or the groups ours and peers; by default all that are installed."

_MOST_WORKERS = 8
"""Processes that are started without being asked for: each holds a data set, about 1 GB."""

NETWORKS = (
    "Of the zoo (python -m zoo list), vgg16-32x32, or a perceptron such as mlp-784-1200-1200-10; "
    "the last two have random weights."
)
SCALING = f"Vary these alone, in place of the grid: {', '.join(SCALINGS)}; at the last of --steps and --batch."


@app.callback(epilog="Example: python -m evaluate bench --networks digits-relu --threads 1")
def main() -> None:
    """Measure: how good, how fast, how costly is a spiking network? Writes run files."""


@app.command("bench", epilog=BENCH)
def bench(
    networks: Annotated[str, typer.Option(metavar="NAME,...", help=NETWORKS)] = ",".join(DEFAULT_NETWORKS),
    steps: Annotated[str, typer.Option(metavar="N,...", help="Steps T.")] = "8,32",
    batch: Annotated[
        str | None, typer.Option(metavar="N,...", help="Samples at a time; by default what suits each network.")
    ] = None,
    threads: Annotated[str, typer.Option(metavar="N,...", help="Threads; each count in processes of its own.")] = "1,2",
    repeats: Annotated[int, typer.Option(help="Rounds; in each, every contestant is timed once.")] = 11,
    engines: Annotated[str, typer.Option(help="Of ours: dense, events.")] = "dense,events",
    peers: Annotated[
        str | None, typer.Option(help=f"{', '.join(PEERS)} or none; by default those that are installed.")
    ] = None,
    neuron: Annotated[str, typer.Option(help="if, lif or seed; the peers' is always their own.")] = "if",
    scaling: Annotated[str | None, typer.Option(metavar="NAME,...", help=SCALING)] = None,
    seed: Annotated[int, typer.Option(help="For random weights, noise and the draw of calibration samples.")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run file.")] = Path("bench.snn"),
    json_output: Annotated[bool, typer.Option("--json", help="Print the run file instead of the table.")] = False,
) -> None:
    """Time the simulation: engines and other converters against the ANN's forward pass, on the same samples.

    Interleaved rounds, medians with intervals, as ratios, with the firing rate of every case. Writes run.json.
    """
    bars = _Bars()
    try:
        request = BenchmarkRequest(
            _names(networks), _integers("--steps", steps), _integers("--batch", batch or ""),
            _integers("--threads", threads), repeats, _names(engines),
            None if peers is None else () if peers == "none" else _names(peers), neuron, _names(scaling or ""), seed,
            shlex.join(["python", "-m", "evaluate", *sys.argv[1:]]),
        )  # fmt: skip
        path = claim_folder(out)
        with bars.progress:
            run = run_benchmark(request, path, bars.begin)
    except (ConvertError, ZooError, EvaluateError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        cases = "1 case is" if bars.finished == 1 else f"{bars.finished} cases are"
        kept = f"{cases} kept in {out / 'run.json'}" if bars.finished else "nothing was written"
        notice.print(f"evaluate: interrupted; {kept}", markup=False, soft_wrap=True)
        raise SystemExit(130) from None
    sys.stdout.write(run.to_json() if json_output else f"{benchmark_text(run)}\nRun file: {path}\n")


@app.command("run", epilog=RUN)
def run(
    suite: Annotated[Path, typer.Argument(metavar="SUITE.toml", help="Options, and a matrix of them.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the runs, one folder each.")],
    jobs: Annotated[int | None, typer.Option(help=JOBS)] = None,
    threads: Annotated[int, typer.Option(help="Threads of each case.")] = 1,
    cluster: Annotated[str | None, typer.Option(metavar="ADDRESS", help=CLUSTER)] = None,
    against: Annotated[Path | None, typer.Option(metavar="CHECKOUT", help=AGAINST)] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what has failed before.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove runs in DIR that are not of this suite as it is now.")
    ] = False,
) -> None:
    """Run every case of a suite; finished ones are not repeated, and failures are results.

    A case means what the same options of python -m convert mean. Writes a run.json for each.
    """
    watch = _Watch()
    try:
        asked = read_suite(suite)
        here = Side("" if against is None else "head", Path.cwd())
        sides = [here] if against is None else [_checkout(against), here]
        with ExitStack() as stack:
            local = stack.enter_context(_local(cluster, jobs, threads, len(asked.cases) * asked.repeat))
            plan = planned(asked, sides, out, local)
            pool = local if cluster is None else stack.enter_context(Cluster(cluster, threads))
            stack.enter_context(watch.progress)
            watch.progress.update(watch.cases, total=len(plan))
            ended = run_suite(plan, pool, watch, retry_failed, prune)
    except (ConvertError, ZooError, EvaluateError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        notice.print(f"evaluate: interrupted; what is finished is kept in {out}, and the same command goes on",
                     markup=False, soft_wrap=True)  # fmt: skip
        raise SystemExit(130) from None
    sys.stdout.write(suite_text(ended))
    raise SystemExit(3 if any(_counts(one) for one in ended) else 0)


def _checkout(folder: Path) -> Side:
    """The side of --against."""
    if not folder.is_dir():
        raise SuiteError(f"--against: {folder} is no folder; expected a checkout: git worktree add {folder} main")
    return Side("base", folder.resolve())


def _local(cluster: str | None, jobs: int | None, threads: int, runs: int) -> Here:
    """Where the cases are identified, and run without a cluster."""
    if threads < 1 or (jobs is not None and jobs < 1):
        raise SuiteError(f"--jobs, --threads: got {jobs} and {threads}; expected at least 1")
    if cluster is not None and jobs is not None:
        raise SuiteError("--jobs: got it with --cluster, whose workers decide how many run at a time; leave it out")
    return Here(jobs or max(1, min(cores() // threads, runs)), threads)


def _counts(ended: Ended) -> bool:
    """Whether it is a failure of what is judged: the base may lack a model that is new."""
    refused = isinstance(ended.outcome, Failure) and ended.outcome.kind == "refused"
    return isinstance(ended.outcome, Failure) and not (refused and ended.planned.side.name == "base")


SHOW = """Examples:

\b
  python -m evaluate show digits-relu.snn
      every number of the run, with what it is

\b
  python -m evaluate show digits-relu.snn energy.lemaire2022.snn_j
      the formula with its inputs, recomputed from the run file; prices, sources, conventions, what is not priced

\b
  python -m evaluate show digits-relu.snn layer:relu.synops
      a number of a layer; curve:..., energy:... likewise

Reads run.json alone; works for benchmarks too. Exit status: 0 good, 2 no such file or number."""


@app.command("show", epilog=SHOW)
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run.json, or the folder that holds it.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of a number; without it, all are listed.")
    ] = None,
) -> None:
    """Explain any number of a run file: formula, inputs, sources, convention."""
    try:
        record = read_run(run)
        text = listing(record) if name is None else explain(record, name)
    except EvaluateError as error:
        _fail(str(error))
    sys.stdout.write(text)


@app.command("conform", epilog=CONFORM)
def conform_command(
    contender: Annotated[
        str, typer.Option(metavar="NAME", help=f"{', '.join(ADAPTERS)}, or module:function of your own adapter.")
    ] = "ours",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the result.")] = Path("conform.snn"),
    json_output: Annotated[bool, typer.Option("--json", help="Print the result instead of the table.")] = False,
) -> None:
    """Score a converter on tiny networks with known exact answers: spike counts, resets, borders, scales, honesty.

    Prints a table with what was expected, what came and why it matters. Writes NAME.json.
    """
    path = out / f"{contender.replace(':', '-')}.json"
    try:
        record = conform(contender, find_adapter(contender))
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    except EvaluateError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"--out: {out} cannot be written ({error.strerror}); name another with --out")
    except KeyboardInterrupt:
        notice.print("evaluate: interrupted; nothing was written", markup=False)
        raise SystemExit(130) from None
    if json_output:
        sys.stdout.write(path.read_text(encoding="utf-8"))
    else:
        screen = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
        screen.print(conformance_table(record))
        screen.print(f"\n{conformance_line(record)}\nResult: {path}", markup=False, soft_wrap=True)
    if record["score"]["fail"] or record["score"]["refused"]:
        raise SystemExit(3)


@app.command("leaderboard", epilog=LEADERBOARD)
def leaderboard_command(
    networks: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Of the zoo; by default all (python -m zoo list).")
    ] = None,
    methods: Annotated[str | None, typer.Option(metavar="NAME,...", help=METHODS_HELP)] = None,
    steps: Annotated[str | None, typer.Option(metavar="N,...", help="Steps T; by default 4,8,16,32.")] = None,
    limit: Annotated[int | None, typer.Option(help="First test samples of each network, 0: all; default 500.")] = None,
    calibration_samples: Annotated[int | None, typer.Option(help="Training samples to calibrate on; 1000.")] = None,
    seed: Annotated[int, typer.Option(help="For the draw of calibration samples and for Poisson input.")] = 0,
    small: Annotated[
        bool, typer.Option("--small", help="What is not given otherwise is chosen to take seconds.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(help="Processes, of one thread each; by default one for each core, 8 at most.")
    ] = None,
    patience: Annotated[
        int, typer.Option(metavar="SECONDS", help="A network of one method that takes longer is not finished.")
    ] = 900,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the result.")] = Path("leaderboard.snn"),
    json_output: Annotated[bool, typer.Option("--json", help="Print the run file instead of the summary.")] = False,
) -> None:
    """Every network by every method at every T, on the same samples: accuracy, spikes, energy, latency, time.

    Methods are our recipes and other converters. Writes run.json, which python -m reports render makes a page of.
    """
    watch = _BoardWatch()
    try:
        if (jobs is not None and jobs < 1) or patience < 1:
            raise LeaderboardError(f"--jobs, --patience: got {jobs} and {patience}; expected at least 1")
        usual: dict[str, Any] = SMALL if small else {"networks": zoo.names(), "methods": installed_methods()}
        given = {
            "networks": None if networks is None else _names(networks),
            "methods": None if methods is None else chosen_methods(_names(methods)),
            "steps": None if steps is None else _integers("--steps", steps),
            "limit": limit, "calibration_samples": calibration_samples,
        }  # fmt: skip
        options = usual | {name: value for name, value in given.items() if value is not None}
        if limit == 0:
            options["limit"] = None
        command = shlex.join(["python", "-m", "evaluate", *sys.argv[1:]])
        request = LeaderboardRequest(**options, seed=seed, command=command)
        path = claim(out)
        most = jobs or min(cores(), _MOST_WORKERS)
        with workers(min(most, len(list(request.units()))), patience) as pool, watch.progress:
            run = make_leaderboard(request, path, watch, pool)
    except (ConvertError, ZooError, EvaluateError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        notice.print(f"evaluate: interrupted; what is finished is kept in {out}", markup=False, soft_wrap=True)
        raise SystemExit(130) from None
    sys.stdout.write(run.to_json() if json_output else f"{leaderboard_text(run)}\nRun file: {path}\n")


def _names(text: str) -> tuple[str, ...]:
    """The parts between commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _integers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in _names(text)))
    except ValueError:
        raise BenchmarkError(f"{option}: got {text!r}; expected whole numbers separated by commas") from None


def _fail(message: str) -> NoReturn:
    notice.print(f"evaluate: {message}", markup=False, soft_wrap=True)
    raise SystemExit(2) from None


class _Bars:
    """Bars on standard error: one for the cases, one for what runs in the case."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(),
                   TextColumn("left"), TimeRemainingColumn())  # fmt: skip
        self.progress = Progress(*columns, console=notice, transient=True)
        self.cases = self.progress.add_task("cases", total=None)
        self.inner = self.progress.add_task("starting", total=None)
        self.finished = 0

    def begin(self, finished: int, total: int, case: Case) -> Callable[[str, int, int], None]:
        """The next case begins; what is returned moves its own bar."""
        self.finished = finished
        self.progress.update(self.cases, completed=finished, total=total)
        self.progress.reset(self.inner, total=None, description=f"{case.label}: starting")
        return partial(self._advance, case.label)

    def _advance(self, label: str, what: str, done: int, total: int) -> None:
        self.progress.update(self.inner, description=f"{label}: {what}", completed=done, total=total or None)


class _Watch:
    """A bar for everything and one for each case that runs; without a terminal a line for each that ends."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(),
                   TextColumn("left"), TimeRemainingColumn())  # fmt: skip
        self.progress = Progress(*columns, console=notice, transient=True, disable=not notice.is_interactive)
        self.cases = self.progress.add_task("cases", total=None)
        self.finished, self.failed = 0, 0
        self._bars: dict[int, TaskID] = {}

    def begin(self, number: int, label: str) -> Reported:
        """A case begins; what is returned moves its own bar."""
        bar = self._bars[number] = self.progress.add_task(f"  {label}", total=None)
        self._tell()
        return lambda what, done, total: self.progress.update(
            bar, description=f"  {label}: {what}", completed=done, total=total or None
        )

    def end(self, number: int, ended: Ended) -> None:
        """A case of a suite ended, or had ended before."""
        failure = ended.outcome.kind if isinstance(ended.outcome, Failure) else ""
        self._ended(number, ended.planned.label, failure, ended.kept)

    def _ended(self, number: int, label: str, failure: str, kept: bool = False, size: int = 1) -> None:
        if failure:
            self.failed += size
        else:
            self.finished += size
        if number in self._bars:
            self.progress.remove_task(self._bars.pop(number))
        self._tell()
        if not kept and not notice.is_interactive:
            said = f"FAILED ({failure})" if failure else "done"
            notice.print(f"{self.finished + self.failed}: {label}: {said}", markup=False, soft_wrap=True)

    def _tell(self) -> None:
        said = f"{len(self._bars)} running, {self.finished} done, {self.failed} failed"
        self.progress.update(self.cases, description=said, completed=self.finished + self.failed)


class _BoardWatch(_Watch):
    """The same for a leaderboard, counting its cells."""

    def known(self, cells: int, of: int) -> None:
        """So many cells are on disk."""
        self.finished = cells
        self.progress.update(self.cases, total=of, completed=cells)

    def end_unit(self, number: int, unit: Unit, failure: str) -> None:
        """A unit ended."""
        self._ended(number, unit.label, failure, size=len(unit.steps))


if __name__ == "__main__":
    app(prog_name="python -m evaluate")
