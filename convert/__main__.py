"""The main job's command line: python -m convert MODEL.

This is a door, not a room: it may call `evaluate` and `reports`, and it is the only file of the room that prints.
Exit status: 0 good, 1 a bug, 2 the user's input, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
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
from convert.config import SPIKE_NORM
from convert.errors import ConfigError, ConvertError, WriteError
from convert.normalisation.granularity import GRANULARITIES
from convert.normalisation.rules import RULES
from convert.pipeline import Conversion
from convert.recipes import RECIPES
from convert.writing.artefact import to_bytes
from convert.writing.nir_wiring import nir_library
from evaluate.comparison import Aim, compare
from evaluate.errors import EvaluateError
from evaluate.fidelity import export_nir
from evaluate.goals import COSTS, read_goal
from evaluate.job import perform
from evaluate.options import Options
from evaluate.prediction import predict
from evaluate.preparation import inspect, prepare
from evaluate.records import Run, write_atomically, write_run
from evaluate.repeats import mean_over_seeds
from evaluate.request import Request
from evaluate.search import Order, as_record, best_so_far, choose, confirming, search
from evaluate.trials import Bench
from reports import ReportError, comparison_page, comparison_text, render, search_page, search_text, summary
from zoo.errors import ZooError

__all__ = ["app", "main"]

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
notice = Console(stderr=True, highlight=False)

SEEDS = "Run with so many seeds, from --seed on; metrics become means with spread, single values and a wider interval."
EXAMPLES = """Examples:

\b
  python -m convert zoo:digits-relu
      a trained network from the zoo (python -m zoo list), on its own data

\b
  python -m convert model.pt --data npz:test.npz --calibration npz:train.npz
      your network on your samples, arrays x and y; what is scored never sets a threshold

\b
  python -m convert weights.pt --arch net.py:Net --data digits
      weights (a state_dict, a training checkpoint, safetensors) and the code of their network

\b
  python -m convert model.pt --recipe exact --levels 15
      signed spikes until no neuron can fire: bit for bit the quantised network, certified sample by sample

\b
  python -m convert zoo:digits-relu --recipe radix --bits 4
      spikes as binary digits: four steps for each layer of neurons, layer after layer

\b
  python -m convert zoo:fashion-vit --hybrid
      a transformer: its attention and layer norms stay floating-point functions of running means

\b
  python -m convert model.pt --check
      what would become of every operation, in seconds; exit status 2 if it cannot be converted

\b
  python -m convert zoo:fashion-cnn-relu --neuron if --steps 32 --early-exit margin:0.5%
      each sample stops as soon as it is sure enough: which decisions that changes, and what it saves

\b
  python -m convert zoo:fashion-cnn-relu --predict --limit 500
      accuracy and spikes at each number of steps, estimated without simulating, and how wrong that is known to be

\b
  python -m convert model.snn/snn.safetensors --data npz:test.npz
      the spiking network of an earlier run, without the original

\b
  python -m convert model.pt --data fashion-mnist --neuron if --steps 4,8,16 --limit 1000
      another neuron, other steps, fewer samples

\b
  python -m convert zoo:fashion-cnn-relu --recipe all --steps 4,8,16 --for-steps 8 --limit 1000
      every recipe on the same samples, in one table

\b
  python -m convert zoo:digits-relu --steps 4,8,16 --for-steps each
      a network for each number of steps, with thresholds and starts of its own

\b
  python -m convert zoo:fashion-cnn-relu --auto "accuracy_drop<=0.5pp" --minimise latency
      search for the recipe that answers soonest within half a point of the ANN
"""

RECIPE = f"How to convert: {', '.join(RECIPES)}; or all, which compares them."
FOR_STEPS = (
    "The number of steps the network is meant for: recipes fit thresholds and starts to it. each: one network for each "
    "of --steps, in one table."
)
RULE = f"Threshold rule: {', '.join((*RULES, SPIKE_NORM))}."
GRANULARITY = f"What one threshold is for: {', '.join(GRANULARITIES)} [channel]."
MODEL = (
    "A file, told from its content: torch.save, torch.export, TorchScript, safetensors, ONNX, skops, or the "
    "snn.safetensors of an earlier run; or zoo:NAME."
)
NIR = "Also write native.nir and faithful.nir, and check how readers understand them (extra nir)."
DATA = f"What is scored: {zoo.SPECS}. Default: the data a zoo network names; else noise."
DATA_DIR = "A folder to look for data sets in, before $ANN2SPIKE_DATA and the usual places (python -m zoo data)."
CALIBRATION = "Samples that set the thresholds. Default: the training split of the data."
ARCH = "For a file of weights: the network's code, such as net.py:Net or 'net.py:Net(28, width=2)'. It is run."
ACTIVATION = "For the weights of a plain stack of linear layers: relu, tanh, sigmoid, leaky_relu, gelu, silu or elu."
TRUST = "Read a TorchScript file, which executes it."
TASK = "What is scored: classes, binary, labels, regression or heads; auto: by outputs and labels."
DIAGNOSE = "Also say where and why accuracy was lost, layer by layer, and which command may help."
EARLY_EXIT = (
    "Also let each sample stop early: margin:RATE, where at most that share of decisions may change [0.5%], calibrated "
    "on samples that set no threshold; or sound, where none can."
)
PREDICT = "Only estimate accuracy and spikes at --steps, without simulating; nothing is written."
HYBRID = "Keep softmax, layer norm and products of two inputs as floating-point functions at run time."
BURST = "The most plain spikes that a neuron fires in one step; each counts as a spike [1]."
CODE = "What spikes mean: rate, or differential: each corrects what was said before (needs --neuron if) [rate]."
LOOK_AHEAD = "Steps for which each sample is tried first, to repair neurons' starts; latency for every layer [0]."
BITS = "For --recipe radix: binary digits of a number, and steps of each layer's period [6]."
LEVELS = "For --recipe exact: levels of the quantised network [15]."
AUTO = "Search for a conversion that keeps this: accuracy_drop<=0.5pp or agreement>=99%."
MINIMISE = f"For --auto: what is to be least: {', '.join(COSTS)}."
TRIALS = "For --auto: trials in all; those in the storage count."
STORAGE = "For --auto: database that keeps the trials, such as sqlite:///search.db. Default: MODEL.search.db"
SHAPE = "Shape of one sample, where neither the model nor data tell."
SUFFIXES = (".pt", ".pth", ".pt2", ".ts", ".ckpt", ".bin", ".onnx", ".safetensors", ".skops")
"""What a model file is usually called; the output folder is named without it."""


@app.command(epilog=EXAMPLES)
def main(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    data: Annotated[str | None, typer.Option(metavar="SPEC", help=DATA)] = None,
    calibration: Annotated[str | None, typer.Option(metavar="SPEC", help=CALIBRATION)] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help=DATA_DIR)] = None,
    arch: Annotated[str | None, typer.Option(metavar="CODE", help=ARCH)] = None,
    activation: Annotated[str | None, typer.Option(help=ACTIVATION)] = None,
    trust: Annotated[bool, typer.Option("--trust", help=TRUST)] = False,
    recipe_name: Annotated[str, typer.Option("--recipe", metavar="NAME", help=RECIPE)] = "seed",
    for_steps: Annotated[str, typer.Option(metavar="N", help=FOR_STEPS)] = "16",
    neuron: Annotated[str | None, typer.Option(help="seed (LIF, exponential synapse), lif or if.")] = None,
    tau_mem_ms: Annotated[float | None, typer.Option(help="Membrane time constant, for seed and lif [20].")] = None,
    tau_syn_ms: Annotated[float | None, typer.Option(help="Synaptic time constant, for seed [2].")] = None,
    dt_ms: Annotated[float | None, typer.Option(help="Length of a step [1].")] = None,
    rule: Annotated[str | None, typer.Option(help=RULE)] = None,
    percentile: Annotated[float | None, typer.Option(help="For --rule percentile [99.9].")] = None,
    granularity: Annotated[str | None, typer.Option(help=GRANULARITY)] = None,
    potentials: Annotated[
        bool, typer.Option("--potentials/--no-potentials", help="Calibrate the initial potentials.")
    ] = True,
    primed: Annotated[
        bool | None, typer.Option("--primed/--unprimed", help="Whether synapses begin as the mean of what arrived.")
    ] = None,
    signed: Annotated[
        bool | None, typer.Option("--signed/--unsigned", help="Whether neurons take spikes back against credit.")
    ] = None,
    spike_values: Annotated[int | None, typer.Option(help="Values 1, 1/2, 1/4, ... that a spike can have [1].")] = None,
    burst: Annotated[int | None, typer.Option(metavar="N", help=BURST)] = None,
    readout_delay: Annotated[
        int | None, typer.Option(help="Steps that the read-out leaves out, at most half of those run.")
    ] = None,
    look_ahead: Annotated[int | None, typer.Option(metavar="N", help=LOOK_AHEAD)] = None,
    hybrid: Annotated[bool, typer.Option("--hybrid", help=HYBRID)] = False,
    levels: Annotated[int | None, typer.Option(help=LEVELS)] = None,
    bits: Annotated[int | None, typer.Option(metavar="K", help=BITS)] = None,
    code: Annotated[str | None, typer.Option(help=CODE)] = None,
    input_code: Annotated[str | None, typer.Option("--input", help="constant (a current) or poisson (spikes).")] = None,
    steps: Annotated[str, typer.Option(help="Steps to report; the last ends the simulation.")] = "1,2,4,8,16,32,64",
    limit: Annotated[int | None, typer.Option(help="Score at most so many samples.")] = None,
    calibration_samples: Annotated[int, typer.Option(help="Calibrate on at most so many samples.")] = 1000,
    input_shape: Annotated[str | None, typer.Option(metavar="N,N,...", help=SHAPE)] = None,
    input_range: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Range of the inputs, where there are no samples.")
    ] = "0,1",
    seed: Annotated[int, typer.Option(help="For the draw of calibration samples, noise and Poisson input.")] = 0,
    seeds: Annotated[int, typer.Option(help=SEEDS)] = 1,
    auto: Annotated[str | None, typer.Option(metavar="GOAL", help=AUTO)] = None,
    minimise: Annotated[str, typer.Option(help=MINIMISE)] = "latency",
    trials: Annotated[int, typer.Option(help=TRIALS)] = 30,
    auto_storage: Annotated[str | None, typer.Option(metavar="URL", help=STORAGE)] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    engine: Annotated[
        str, typer.Option(help="auto, events (a layer costs what its spikes cost) or dense; the spikes are the same.")
    ] = "auto",
    memory_mb: Annotated[int, typer.Option(help="Memory for the spikes held at a time.")] = 32,
    task: Annotated[str, typer.Option(help=TASK)] = "auto",
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would become of every operation; no data are loaded.")
    ] = False,
    diagnose: Annotated[bool, typer.Option("--diagnose", help=DIAGNOSE)] = False,
    early_exit: Annotated[str | None, typer.Option(metavar="RULE", help=EARLY_EXIT)] = None,
    predict_only: Annotated[bool, typer.Option("--predict", help=PREDICT)] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Output folder. Default: MODEL.snn")] = None,
    nir: Annotated[bool, typer.Option("--nir", help=NIR)] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the run file, or the table of --check, as JSON.")
    ] = False,
) -> None:
    """Convert a trained network into a spiking network, run both on the same samples, and compare them.

    Writes snn.safetensors (the spiking network), run.json (every number), report.md and figures.
    """
    try:
        options = Options(
            model=model, data=data, calibration=calibration, arch=arch, activation=activation, trust=trust,
            recipe=recipe_name, for_steps=for_steps, neuron=neuron, tau_mem_ms=tau_mem_ms, tau_syn_ms=tau_syn_ms,
            dt_ms=dt_ms, rule=rule, percentile=percentile, granularity=granularity, potentials=potentials,
            primed=primed,
            signed=signed, spike_values=spike_values, burst=burst, readout_delay=readout_delay, look_ahead=look_ahead,
            hybrid=hybrid, levels=levels, bits=bits, code=code, input=input_code, steps=steps, limit=limit,
            calibration_samples=calibration_samples, input_shape=input_shape, input_range=input_range, seed=seed,
            device=device, engine=engine, memory_mb=memory_mb, task=task, diagnose=diagnose, data_dir=data_dir,
            early_exit=early_exit,
        )  # fmt: skip
        aims, each = options.aims(), options.each
        request = options.request(shlex.join(["python", "-m", "convert", *sys.argv[1:]]))
        several = {"--auto": auto, "--recipe all": recipe_name == "all", "--for-steps each": each, "--nir": nir,
                   "--predict": predict_only, "--check": check}  # fmt: skip
        _refuse_seeds(seeds, [option for option, given in several.items() if given])
        if predict_only:
            idle = {"--check": check, "--diagnose": diagnose, "--nir": nir, "--out": out, "--auto": auto,
                    "--early-exit": early_exit, "--recipe all": recipe_name == "all",
                    "--for-steps each": each, "--engine": engine != "auto",
                    "--device": device != "cpu", "--memory-mb": memory_mb != Request.memory_mb}  # fmt: skip
            _predict(request, [option for option, given in idle.items() if given], json_output)
        if check:
            _check(request, json_output)
        if early_exit is not None and (recipe_name == "all" or each or auto is not None):
            raise ConfigError(
                "--early-exit: got several networks (--recipe all, --for-steps each or --auto); expected one"
            )
        folder = out or _folder(model)
        if auto is not None and (recipe_name != "seed" or each):
            other = "--for-steps each" if each else f"--recipe {recipe_name}"
            raise ConfigError(f"--auto: got {other} as well; expected one: --auto chooses the recipe and its steps")
        if recipe_name == "all" or each:
            _compare(request, aims, out or folder.with_suffix(".steps" if each else ".recipes"), json_output)
        if auto is not None:
            storage = auto_storage or f"sqlite:///{folder.with_name(folder.name.removesuffix('.snn') + '.search.db')}"
            order = Order(read_goal(auto), minimise, trials, storage, options.changes)
            _search(request, order, folder, nir, json_output)
        run = _job(request, folder, nir, seeds)
    except (ConvertError, ZooError, EvaluateError, ReportError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        notice.print("convert: interrupted; nothing was written", markup=False)
        raise SystemExit(130) from None
    if json_output:
        sys.stdout.write(run.to_json())
    else:
        sys.stdout.write("\n".join(summary(run)) + f"\nReport: {folder / 'report.md'}\n")


def _refuse_seeds(seeds: int, others: Sequence[str]) -> None:
    """Several seeds are of one case that is run."""
    if seeds < 1 or (seeds > 1 and others):
        got = f"{seeds}" if seeds < 1 else f"{seeds} with {', '.join(others)}"
        raise ConfigError(f"--seeds: got {got}; expected at least 1, and more than 1 only for a single case")


def _job(request: Request, out: Path, nir: bool, seeds: int = 1) -> Run:
    """Perform the request and write the folder, all of it or nothing; with several seeds the network of the first."""
    if nir:
        nir_library()
    with _staged(out) as folder:
        export = partial(export_nir, folder, request.steps[-1], request.seed) if nir else None
        with _bars() as bars:
            run, conversion = perform(request, partial(_advance, bars, {}, ""), export)
            runs, numbers = [run], range(request.seed, request.seed + seeds)
            for seed in numbers[1:]:
                repeated = partial(_advance, bars, {}, f"seed {seed}")
                runs.append(perform(replace(request, seed=seed, diagnose=False), repeated)[0])
        run = run if seeds == 1 else mean_over_seeds(runs, numbers)
        write_atomically(folder / "snn.safetensors", to_bytes(conversion.snn))
        write_run(run, folder / "run.json")
        render(run, folder)
    return run


def _compare(request: Request, aims: dict[str, list[Aim]], out: Path, json_output: bool) -> NoReturn:
    """Run every recipe, and print the table; each run file is there as soon as its recipe is through."""
    with _staged(out) as folder, _bars() as bars:

        def keep(label: str, run: Run, conversion: Conversion) -> None:
            write_run(run, folder / f"{label}.json")
            if len(aims) == 1:
                write_atomically(folder / f"{label}.safetensors", to_bytes(conversion.snn))

        record = compare(request, aims, lambda name: partial(_advance, bars, {}, name), keep)
        text = json.dumps(record, indent=2) + "\n"
        write_atomically(folder / "recipes.json", text.encode())
        write_atomically(folder / "report.md", comparison_page(record).encode())
    sys.stdout.write(text if json_output else comparison_text(record) + f"Report: {out / 'report.md'}\n")
    raise SystemExit(0)


def _search(request: Request, order: Order, out: Path, nir: bool, json_output: bool) -> NoReturn:
    """Search, confirm what was chosen, and write its folder with the search beside it."""
    bench = Bench.open(replace(request, command=request.command.replace(order.storage, "URL")), order.goal)
    finished = 0
    try:
        with _bars() as bars:
            bars.start()
            bar = bars.add_task("search", total=order.trials)

            def tell(done: int, points: Sequence[dict[str, Any]]) -> None:
                nonlocal finished
                finished = done
                best = f", best so far {best_so_far(points, order)}" if points else ""
                bars.update(bar, completed=done, description=f"search{best}")

            points = search(bench, order, tell)
    except KeyboardInterrupt:
        notice.print(f"convert: interrupted; {finished} trials are kept, and the same command goes on", markup=False)
        raise SystemExit(130) from None
    choice = choose(points, order.goal, order.minimise)
    run = _job(confirming(bench, choice, order), out, nir)
    record = as_record(bench, points, order, choice, run)
    text = json.dumps(record, indent=2) + "\n"
    write_atomically(out / "search.json", text.encode())
    write_atomically(out / "search.md", search_page(record).encode())
    sys.stdout.write(text if json_output else search_text(record) + f"Report: {out / 'search.md'}\n")
    raise SystemExit(0)


def _check(request: Request, json_output: bool) -> NoReturn:
    """Print what would become of the model: exit status 0 if it converts, 2 if not."""
    found = inspect(request)
    sys.stdout.write(found.to_json() if json_output else found.to_text())
    raise SystemExit(0 if found.converts else 2)


def _predict(request: Request, idle: Sequence[str], json_output: bool) -> NoReturn:
    """Print what a simulation is expected to say; options that only a simulation or another job needs are refused."""
    if idle:
        raise ConfigError(
            f"{', '.join(idle)}: got it with --predict, which neither simulates nor writes; expected --predict without "
            "it: leave one of them out"
        )
    with _bars() as bars:
        report = partial(_advance, bars, {}, "")
        prepared = prepare(request, report)
        x = prepared.inputs.x
        found = predict(
            prepared.conversion, x, request.steps, prepared.asked, request.seed,
            lambda n: report("predict", n, len(x)),
        )  # fmt: skip
    sys.stdout.write(found.to_json() if json_output else found.to_text())
    raise SystemExit(0)


def _folder(model: str) -> Path:
    """Where a run goes that does not say where: beside the model, and never over the run that an artefact is of."""
    if model.endswith("snn.safetensors"):
        folder = Path(model).parent
        if folder.name in ("", ".."):  # here, or above: a folder whose name the path does not say
            folder = folder.resolve()
        return folder.with_name(f"{folder.name.removesuffix('.snn') or 'model'}.again.snn")
    path = Path(model.removeprefix("zoo:"))
    return path.with_name(f"{path.stem if path.suffix in SUFFIXES else path.name}.snn")


def _fail(message: str) -> NoReturn:
    notice.print(f"convert: {message}", markup=False, soft_wrap=True)
    raise SystemExit(2) from None


@contextmanager
def _bars() -> Iterator[Progress]:
    """Bars on standard error, shown from the first report on; without a terminal there are none, and no empty line."""
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    bars = Progress(*columns, console=notice, transient=True, disable=not notice.is_interactive)
    try:
        yield bars
    finally:
        if bars.tasks:
            bars.stop()


def _advance(bars: Progress, tasks: dict[str, TaskID], label: str, stage: str, done: int, total: int) -> None:
    """Move the bar of `stage`, a new one at its first report."""
    if stage not in tasks:
        bars.start()
        tasks[stage] = bars.add_task(f"{label} {stage}".strip(), total=total)
    bars.advance(tasks[stage], done)


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A neighbour of `out` whose files take their places there only when all of them have been written."""
    if out.exists() and not out.is_dir():
        raise WriteError(f"--out: {out} is a file; expected a folder, new or written by an earlier run")
    if out.is_dir() and any(out.iterdir()) and not any((out / name).exists() for name in ("run.json", "recipes.json")):
        raise WriteError(f"--out: {out} holds other files; expected a new or empty folder, or one of an earlier run")
    folder = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        if out.is_dir():
            Path(tempfile.mkdtemp(dir=out)).rmdir()
        yield folder
        out.mkdir(exist_ok=True)
        for file in sorted(folder.iterdir(), key=lambda f: f.name in ("run.json", "recipes.json")):
            file.replace(out / file.name)
    except OSError as error:
        raise WriteError(f"--out: {out} cannot be written ({error.strerror}); name another with --out") from error
    finally:
        if folder is not None:
            with suppress(OSError):
                shutil.rmtree(folder)


if __name__ == "__main__":
    app(prog_name="python -m convert")
