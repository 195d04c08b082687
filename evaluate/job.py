"""perform(): one case from a model to its run, the main job without its command line.

A model is a trained network, which is converted first, or the file of a spiking network, which is run as it is.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from convert.config import ConvertConfig
from convert.errors import ConfigError, GraphError, InputShapeError, NoNeuronError, UnsupportedOpError
from convert.graph.readout import heads_of
from convert.network import SpikingNetwork
from convert.pipeline import Conversion, Observed, convert, effort, reopened, with_provenance
from convert.reading.coverage import refuse_hybrid
from convert.reading.hints import Hints
from convert.reading.models import Model, from_module, open_model
from convert.reading.sources import Source, identify
from convert.reading.tracing import Traced
from convert.recipes import recipe
from convert.simulation.engine import ENGINES, engines_of, kernel_is_missing
from convert.simulation.periods import period_steps
from convert.simulation.quiescence import simulate_exact
from convert.writing.artefact import load
from evaluate.arrivals import look_closely
from evaluate.assembly import Case, assemble
from evaluate.diagnosis import diagnose, samples_within
from evaluate.early_exit import Simulated, exit_rule, run_to_exits
from evaluate.energy.meters import Meter, counters, simulation_metric
from evaluate.exactness import exactness_record, measure_exact
from evaluate.exit_metrics import with_exits
from evaluate.exit_rules import ExitOrder, ExitRule
from evaluate.inputs import Inputs, Wanted, calibration_samples, gather
from evaluate.inspection import Inspection
from evaluate.rasters import raster
from evaluate.records import Metric, Run
from evaluate.remedies import verdict
from evaluate.rest import rest_metrics
from evaluate.runner import measure
from evaluate.tasks import TASKS, Plan, plan

__all__ = [
    "Export", "Prepared", "Report", "Request", "Shared", "inspect", "perform", "prepare", "read_model", "run_prepared",
    "wanted",
]  # fmt: skip

Report = Callable[[str, int, int], None]
"""Called with the stage, the samples done since the last call, and how many the stage has in all."""

Export = Callable[[SpikingNetwork, Tensor], Sequence[dict[str, Any]]]
"""Called with the spiking network and the scored samples."""


_UNBUILT = (
    "The events engine was not built (no C++ compiler when the package was installed): the simulation ran densely, "
    "with the same spikes, at many times the cost. Install again where there is a compiler."
)


@dataclass(frozen=True)
class Request:
    """One case.

    Parameters
    ----------
    model : str
        A file, or ``zoo:NAME``.
    data, calibration : str or None
        Specs; see `zoo.open_dataset`.
    data_dir : str or None
        A folder to look for data sets in, before all others.
    steps : tuple of int
        Steps to report, ascending.
    command : str
        What repeats the run.
    task : str
        One of `evaluate.tasks.TASKS`.
    hints : Hints
        What the user says about the model file: its code, its activation, that it is trusted.
    diagnose : bool
        Whether to say where and why accuracy was lost.
    engine : str
        How to simulate; one of `convert.simulation.engine.ENGINES`.

    Raises
    ------
    ConfigError
        An option outside its range; all of them at once.
    """

    model: str
    config: ConvertConfig = field(default_factory=lambda: recipe("seed").config())
    data: str | None = None
    calibration: str | None = None
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    limit: int | None = None
    calibration_samples: int = 1000
    seed: int = 0
    device: str = "cpu"
    memory_mb: int = 32
    input_shape: tuple[int, ...] | None = None
    command: str = ""
    task: str = "auto"
    hints: Hints = field(default_factory=Hints)
    diagnose: bool = False
    engine: str = "auto"
    data_dir: str | None = None
    early_exit: ExitOrder | None = None

    def __post_init__(self) -> None:
        """Refuse what can be refused before anything is read."""
        wrong = [
            f"{option}: got {value}; expected at least 1"
            for option, value in (("--limit", self.limit), ("--calibration-samples", self.calibration_samples),
                                  ("--memory-mb", self.memory_mb), ("--input-shape", min(self.input_shape or (1,))))
            if value is not None and value < 1
        ]  # fmt: skip
        if not self.steps or self.steps[0] < 1 or self.steps[-1] > 100_000:
            wrong.append(f"--steps: got {self.steps}; expected numbers from 1 to 100000, such as 1,2,4,8,16,32,64")
        if not 0 <= self.seed < 2**63:
            wrong.append(f"--seed: got {self.seed}; expected 0 or more")
        if self.task not in TASKS:
            wrong.append(f"--task: got {self.task!r}; expected one of {', '.join(TASKS)}")
        if self.engine not in ENGINES:
            wrong.append(f"--engine: got {self.engine!r}; expected one of {', '.join(ENGINES)}")
        if self.device not in ("cpu", "cuda"):
            wrong.append(f"--device: got {self.device!r}; expected cpu or cuda")
        elif self.device == "cuda" and not torch.cuda.is_available():
            wrong.append("--device: cuda was asked for, but this torch finds no CUDA device; use --device cpu")
        if wrong:
            raise ConfigError("\n".join(wrong))


def perform(
    request: Request,
    report: Report = lambda stage, done, total: None,
    export: Export | None = None,
    shared: Shared | None = None,
) -> tuple[Run, Conversion]:
    """Read, convert, run both networks, compare.

    Parameters
    ----------
    export : callable, optional
        Writes the spiking network in other formats and tells how each is understood; its records go into the run.
    shared : Shared, optional
        What requests that differ in nothing but configuration and steps need not do again.

    Raises
    ------
    ConvertError, zoo.ZooError, EvaluateError
        An unsupported model is refused before any data are loaded.
    """
    prepared = prepare(request, report, shared)
    return run_prepared(request, prepared, report, export), prepared.conversion


def prepare(
    request: Request, report: Report = lambda stage, done, total: None, shared: Shared | None = None
) -> Prepared:
    """Read and convert, and load the samples: everything before the spiking network runs.

    Raises
    ------
    ConvertError, zoo.ZooError, EvaluateError
        As `perform`.
    """
    return _reopened(request) or _converted(request, report, shared or Shared())


def run_prepared(
    request: Request,
    prepared: Prepared,
    report: Report = lambda stage, done, total: None,
    export: Export | None = None,
) -> Run:
    """Run both networks, and compare; parameters as of `perform`."""
    conversion, inputs = prepared.conversion, prepared.inputs
    total = len(inputs.x)

    def progress(n: int) -> None:
        report("simulate", n, total)

    memory, asked = request.memory_mb << 20, prepared.asked
    more: tuple[Metric, ...] = ()
    rule = _exit_rule(request, prepared, report)
    rest: dict[str, Any] = {}
    meter = Meter(counters(request.device))
    if conversion.snn.code == "exact":
        measured, found = measure_exact(conversion, inputs.x, request.steps, memory, progress, asked, meter)
        rest = exactness_record(found, asked)
        more = rest_metrics(rest)
    else:
        measured = measure(
            conversion, inputs.x, request.steps, request.seed, memory, request.device, progress, asked, request.engine,
            meter,
        )  # fmt: skip
    arrivals = look_closely(conversion, inputs.x, measured.record[-1], partial(_trains, request, conversion))
    notes = (*prepared.notes, *inputs.notes)
    steps_through = conversion.snn.code in ("rate", "differential")
    if steps_through and kernel_is_missing(request.engine, request.device):
        notes = (*notes, _UNBUILT)
    run = assemble(prepared.case, conversion, measured, inputs.labels, prepared.seconds, notes, asked, arrivals)
    if rule is not None:
        exits = run_to_exits(
            conversion.snn, inputs.x, rule, asked.tasks[0], _how(request), lambda n: report("early exit", n, total)
        )
        run = with_exits(run, exits, conversion, measured, asked)
    if steps_through:
        ran = list(engines_of(conversion.snn, request.engine, request.device).values())
        engines = {name: ran.count(name) for name in ("events", "dense")}
        run = replace(run, environment=run.environment | {"populations_by_engine": engines})
    exports = () if export is None else export(conversion.snn, inputs.x)
    found_wrong = _diagnosis(request, prepared, report) if request.diagnose else {}
    more = (*more, simulation_metric(meter.joules, total))
    run = replace(run, environment=run.environment | {"joules": dict(meter.joules)})
    samples = run.samples | ({"rest": rest} if rest else {})
    seen = raster(conversion.snn, inputs.x[0], request.steps[-1], request.seed)
    return replace(run, metrics=(*run.metrics, *more), exports=tuple(exports), diagnosis=found_wrong, samples=samples,
                   trace=seen)  # fmt: skip


def _trains(request: Request, conversion: Conversion, x: Tensor) -> dict[str, Tensor]:
    """Spikes of one sample up to each step."""
    every = range(1, request.steps[-1] + 1)
    if conversion.snn.code == "exact":
        found = simulate_exact(conversion.snn, x, trace=True).emitted
        assert found is not None  # it was asked for
        return dict(found)
    if conversion.snn.code == "radix":
        every = range(1, period_steps(conversion.snn) + 1)
    return measure(conversion, x, every, request.seed, request.memory_mb << 20, request.device, None, None,
                   request.engine).spikes  # fmt: skip


def _how(request: Request) -> Simulated:
    return Simulated(
        request.steps[-1], request.seed, request.memory_mb << 20, request.device, request.engine
    )  # fmt: skip


def _exit_rule(request: Request, prepared: Prepared, report: Report) -> ExitRule | None:
    """The rule of the early exit that was asked for, calibrated where it needs it; before anything is measured."""
    if request.early_exit is None:
        return None
    named = prepared.case.data["spec"]
    spec = None if named == "synthetic" else named

    def draw(n: int) -> zoo.Samples | None:
        """The draw of the thresholds' samples goes on: the same samples first, which are left out, then others."""
        first = request.calibration_samples
        source = Wanted(spec, request.calibration, None, first + n, request.seed, *request.config.input_range,
                        request.data_dir)  # fmt: skip
        drawn = calibration_samples(source, prepared.conversion.snn.graph.input.shape)
        return None if drawn is None else drawn.take(torch.arange(first, max(first, len(drawn))))

    return exit_rule(
        request.early_exit, prepared.conversion, prepared.asked, _how(request), draw,
        lambda done, total: report("exit rule", done, total),
    )  # fmt: skip


def _diagnosis(request: Request, prepared: Prepared, report: Report) -> dict[str, Any]:
    """Where and why accuracy was lost, or why there is nothing to say.

    It looks at calibration samples, the last ones first: who chose a remedy on the scored ones would tune to them.
    """
    conversion, steps, samples = prepared.conversion, request.steps[-1], prepared.inputs.calibration
    x = prepared.inputs.x if samples is None else samples.flip(0)
    if conversion.snn.code in ("exact", "radix"):
        return {"verdict": ["nothing is lost but quantisation: the spiking network is its quantised network"]}
    if conversion.snn.code == "differential":
        return {"verdict": ["unmeasured: a diagnosis compares rates, and the spikes of this code are corrections; "
                            "diagnose the same options with --code rate"]}  # fmt: skip
    if conversion.snn.look_ahead:
        return {"verdict": ["unmeasured: a diagnosis follows neurons that start alike for all samples; diagnose the "
                            "same options without --look-ahead"]}  # fmt: skip
    if conversion.ann is None:
        return {"verdict": ["unmeasured: the file holds no original to compare with; diagnose its conversion"]}
    x = x[: samples_within(conversion.snn, steps, len(x))]
    unlabelled = replace(prepared.asked, truths=(None,) * len(prepared.asked.tasks))
    found = diagnose(conversion, x, steps, unlabelled, request.seed, lambda n: report("diagnose", n, len(x)))
    return {**found, "verdict": verdict(found, conversion, request.command)}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A spiking network with the samples it will run on."""

    conversion: Conversion
    inputs: Inputs
    case: Case
    asked: Plan
    seconds: dict[str, float]
    notes: tuple[str, ...]


def _reopened(request: Request) -> Prepared | None:
    """The spiking network in an artefact; None where the model is another kind of file."""
    source = None if request.model.startswith("zoo:") else identify(Path(request.model))
    if source is None or source.kind != "snn":
        return None
    begin = time.perf_counter()
    _refuse_conversion_options(request)
    network = load(source.path)
    seconds = {"read": time.perf_counter() - begin}
    alone = Wanted(request.data, None, request.limit, 1, request.seed, *request.config.input_range, request.data_dir)
    inputs = gather(alone, network.graph.input.shape)
    made = {"spec": None, "samples": 0, "note": "the artefact's own thresholds",
            "sha256": network.provenance.get("calibration_sha256", "none")}  # fmt: skip
    inputs = replace(inputs, calibration=None, calibration_record=made)
    conversion = reopened(network)
    asked = plan(request.task, heads_of(conversion.folded), inputs.labels)
    case = _case(request, _described_file(source, network), inputs)
    return Prepared(conversion, inputs, case, asked, seconds, _origin(network))


def _refuse_conversion_options(request: Request) -> None:
    """A converted network has its neurons and thresholds already."""
    usual, given = (asdict(ConvertConfig()), asdict(recipe("seed").config())), asdict(request.config)
    unused = {"input_low", "input_high"}
    flags = {name: f"--{name.replace('_', '-')}" for name in given}
    flags |= {"exact_levels": "--levels", "radix_bits": "--bits"}
    changed = [
        flags[name] for name in given if given[name] not in [options[name] for options in usual] and name not in unused
    ]
    changed += ["--calibration"] if request.calibration else []
    if changed:
        raise ConfigError(
            f"{request.model}: got {', '.join(changed)} for a spiking network; expected none of the options of a "
            "conversion, the file holds its neurons and thresholds: leave them out, or convert the original again"
        )


def _described_file(source: Source, network: SpikingNetwork) -> dict[str, Any]:
    origin = Path(network.provenance.get("source", source.path.stem)).name
    return {"name": f"{origin.removeprefix('zoo:')} (spiking)", "origin": str(source.path), "format": "spiking network",
            "sha256": source.sha256, "parameters": network.graph.parameter_count()}  # fmt: skip


def _origin(network: SpikingNetwork) -> tuple[str, ...]:
    made = network.provenance
    told = (
        f"{made['source']} (sha256 {made['source_sha256']})" if {"source", "source_sha256"} <= set(made) else "unknown"
    )
    return (
        "The model is a spiking network's file: it was run as it is. What compares it with the network that it was "
        f"made from is unmeasured. That network: {told}.",
    )


@dataclass(frozen=True, eq=False)
class _Read:
    """A trained network and its samples, before it is converted."""

    model: Model
    traced: Traced
    inputs: Inputs
    asked: Plan
    seconds: float
    notes: tuple[str, ...]


@dataclass(eq=False)
class Shared:
    """One model with its samples, kept for several conversions: read once, its activations observed once."""

    read: _Read | None = None
    observed: Observed = field(default_factory=dict)


def _converted(request: Request, report: Report, shared: Shared) -> Prepared:
    if shared.read is None:
        shared.read = _read(request)
    read, known, begin = shared.read, len(shared.observed), time.perf_counter()
    conversion = _convert(request, read, report, shared.observed)
    took = time.perf_counter() - begin
    if known and len(shared.observed) == known:  # it would have taken as long alone
        took += conversion.observe_s
    seconds = {"read": read.seconds, "convert": took}
    case = _case(request, _described(read.model, request.hints), read.inputs)
    return Prepared(conversion, read.inputs, case, read.asked, seconds, (*read.model.notes, *read.notes))


def _read(request: Request) -> _Read:
    begin = time.perf_counter()
    model, traced, shape, notes = read_model(request)
    seconds = time.perf_counter() - begin
    inputs = gather(wanted(request, model), shape)
    asked = plan(request.task, heads_of(traced.graph, traced.heads), inputs.labels)
    return _Read(model, traced, inputs, asked, seconds, notes)


def read_model(request: Request) -> tuple[Model, Traced, tuple[int, ...], tuple[str, ...]]:
    """The model of `request`, its graph, the shape of its samples, and notes; no sample is loaded.

    Raises
    ------
    ConvertError, zoo.ZooError
        The file cannot be read or converted, or the shape of its samples is not known.
    """
    model = _open(request.model, request.hints)
    spec = request.data or model.data
    traced, shape, notes = _trace(model, None if spec is None else zoo.open_dataset(spec, request.data_dir), request)
    if not request.config.hybrid:
        refuse_hybrid(traced.coverage, model.origin)
    return model, traced, shape, notes


def wanted(request: Request, model: Model) -> Wanted:
    """The samples that `request` names, or else the model."""
    return Wanted(request.data or model.data, request.calibration, request.limit, request.calibration_samples,
                  request.seed, *request.config.input_range, request.data_dir)  # fmt: skip


def inspect(request: Request) -> Inspection:
    """What would become of the model of `request`; no sample is loaded.

    Raises
    ------
    ConvertError, zoo.ZooError
        The file cannot be read, or the shape of its samples is not known.
    """
    model = _open(request.model, request.hints)
    spec = request.data or model.data
    dataset = None if spec is None else zoo.open_dataset(spec, request.data_dir)
    try:
        traced, shape, _ = _trace(model, dataset, request)
        if not request.config.hybrid:
            refuse_hybrid(traced.coverage, model.origin)
    except InputShapeError:
        raise
    except (GraphError, NoNeuronError) as error:
        rows = error.coverage if isinstance(error, (UnsupportedOpError, NoNeuronError)) else ()
        return Inspection(_described(model, request.hints), None, rows, (), str(error))
    return Inspection(_described(model, request.hints), shape, traced.coverage, heads_of(traced.graph, traced.heads))


def _open(name: str, hints: Hints) -> Model:
    if name.startswith("zoo:"):
        if hints.arch or hints.activation:
            raise ConfigError(f"--arch, --activation: got one of them with {name}, which is a whole network; drop it")
        return _from_zoo(zoo.load(name.removeprefix("zoo:")), name)
    readers = {"zoo-checkpoint": lambda source: _from_zoo(zoo.load_checkpoint(source.path), str(source.path))}
    return open_model(Path(name), readers, hints)


def _from_zoo(network: zoo.ZooNetwork, origin: str) -> Model:
    return from_module(network.module, network.name, origin, "zoo checkpoint", network.sha256,
                       network.sample_shape, network.data)  # fmt: skip


def _trace(
    model: Model, dataset: zoo.Dataset | None, request: Request
) -> tuple[Traced, tuple[int, ...], tuple[str, ...]]:
    """The graph, its sample shape, and a note where the data's shape had to be adapted."""
    natural = request.input_shape or (dataset.sample_shape if dataset else model.sample_shape)
    if natural is None:
        raise InputShapeError(
            f"{model.origin}: the shape of its samples is not known; name data with --data, or the shape with "
            "--input-shape, such as --input-shape 1,28,28"
        )
    size = int(torch.tensor(natural).prod())
    others = [(size,), (1, *natural)] if dataset and request.input_shape is None else []
    first: InputShapeError | None = None
    for shape in (natural, *others):
        try:
            traced = model.traced(shape)
        except InputShapeError as error:
            first = first or error
            continue
        note = () if shape == natural else (f"Samples of shape {natural} were reshaped to {shape} to fit the network.",)
        return traced, shape, note
    assert first is not None  # the loop ran at least once
    raise first


def _convert(request: Request, read: _Read, report: Report, observed: Observed) -> Conversion:
    model, traced, inputs = read.model, read.traced, read.inputs
    samples = 0 if inputs.calibration is None else len(inputs.calibration)
    total = effort(traced, samples, request.config)
    conversion = convert(traced, inputs.calibration, request.config, lambda n: report("calibrate", n, total), observed)
    return with_provenance(
        conversion, source=model.origin, source_sha256=model.sha256, seed=str(request.seed),
        config=json.dumps(request.config.as_record(), sort_keys=True),
        calibration_sha256=str(inputs.calibration_record.get("sha256", "none")),
        torch=torch.__version__, python=platform.python_version(),
        heads=json.dumps([[head.name, head.shape, head.readout] for head in conversion.heads]),
    )  # fmt: skip


def _described(model: Model, hints: Hints) -> dict[str, Any]:
    said = {
        name: value for name, value in (("arch", hints.arch), ("activation", hints.activation)) if value is not None
    }
    return {
        "name": model.name, "origin": model.origin, "format": model.format, "sha256": model.sha256,
        "parameters": model.parameters, **said,
    }  # fmt: skip


def _case(request: Request, described: dict[str, Any], inputs: Inputs) -> Case:
    options = {"steps": request.steps[-1], "record": list(request.steps), "seed": request.seed, "limit": request.limit,
               "calibration_samples": request.calibration_samples, "task": request.task}  # fmt: skip
    options |= {} if request.early_exit is None else {"early_exit": request.early_exit.text}
    return Case(described, inputs.data_record, inputs.calibration_record, options, request.command)
