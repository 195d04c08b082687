"""prepare(): a model read and converted, with the samples it will run on; inspect(): whether it would convert.

A model is a trained network, which is converted first, or the file of a spiking network, which is taken as it is.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

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
from convert.writing.artefact import load
from evaluate.assembly import Case
from evaluate.inputs import Inputs, Wanted, gather
from evaluate.inspection import Inspection
from evaluate.request import Request
from evaluate.tasks import Plan, plan

__all__ = ["Prepared", "Report", "Shared", "inspect", "prepare", "read_model", "wanted"]

Report = Callable[[str, int, int], None]
"""Called with the stage, the samples done since the last call, and how many the stage has in all."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A spiking network with the samples it will run on."""

    conversion: Conversion
    inputs: Inputs
    case: Case
    asked: Plan
    seconds: dict[str, float]
    notes: tuple[str, ...]


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


def prepare(
    request: Request, report: Report = lambda stage, done, total: None, shared: Shared | None = None
) -> Prepared:
    """Read and convert, and load the samples: everything before the spiking network runs.

    Raises
    ------
    ConvertError, zoo.ZooError, EvaluateError
        As `evaluate.job.perform`.
    """
    return _reopened(request) or _converted(request, report, shared or Shared())


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
