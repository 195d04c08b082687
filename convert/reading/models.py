"""open_model(): any file or name that we can read, as one thing that can be traced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from convert.errors import ConfigError, IncompleteModelError, LoadError, UnknownFormatError
from convert.reading.architecture import build, fill
from convert.reading.hints import Hints
from convert.reading.onnx_file import load_onnx
from convert.reading.pickles import estimator_refusal
from convert.reading.pt2 import open_exported
from convert.reading.sources import Source, identify
from convert.reading.stacks import stack
from convert.reading.torch_file import load
from convert.reading.torchscript import open_script
from convert.reading.tracing import Traced, expected_shape, trace
from convert.reading.weights import Weights, load_safetensors, way_out

__all__ = ["Model", "from_module", "open_model"]


@dataclass(frozen=True)
class Model:
    """A network that has been read but not traced yet: its sample shape may still depend on the data.

    Parameters
    ----------
    name : str
        For people and for the output folder.
    origin : str
        The file or zoo name, as the user wrote it.
    format : str
    sha256 : str
        Hash of the file.
    parameters : int
    sample_shape : tuple of int or None
        What the model itself fixes.
    data : str or None
        The data set that it names.
    traced : callable
        Sample shape -> Traced.
    notes : tuple of str
        What was assumed or rounded on the way in.
    """

    name: str
    origin: str
    format: str
    sha256: str
    parameters: int
    sample_shape: tuple[int, ...] | None
    data: str | None
    traced: Callable[[tuple[int, ...]], Traced]
    notes: tuple[str, ...] = ()


def from_module(
    module: nn.Module,
    name: str,
    origin: str,
    kind: str,
    sha256: str,
    sample_shape: tuple[int, ...] | None = None,
    data: str | None = None,
    notes: tuple[str, ...] = (),
) -> Model:
    """A Model of an `nn.Module` in memory."""
    parameters = sum(p.numel() for p in module.parameters())
    shape = sample_shape or expected_shape(module)
    return Model(name, origin, kind, sha256, parameters, shape, data, lambda s: trace(module, s, origin), notes)


def open_model(
    path: Path, readers: dict[str, Callable[[Source], Model]] | None = None, hints: Hints | None = None
) -> Model:
    """The network in the file at `path`.

    Parameters
    ----------
    readers : dict, optional
        Kinds of files that somebody else knows how to read, such as the zoo's checkpoints.
    hints : Hints, optional
        What the user says about the file.

    Raises
    ------
    LoadError
        See `identify` and the reader of each format.
    ConfigError
        --arch or --activation for a file that holds its own network.
    """
    source, hints = identify(path), hints or Hints()
    known = {**_READERS, **{kind: _alone(reader) for kind, reader in (readers or {}).items()}}
    if source.kind == "snn":
        raise UnknownFormatError(
            f"{path}: already a spiking network; expected the trained network that it was made from"
        )
    if source.kind not in known:
        raise UnknownFormatError(f"{path}: a {source.kind} file; expected one of {', '.join(known)}")
    return known[source.kind](source, hints)


def _alone(reader: Callable[[Source], Model]) -> Callable[[Source, Hints], Model]:
    """A reader of files that hold their own network, and need no hints."""

    def read(source: Source, hints: Hints) -> Model:
        _refuse_hints(source, hints)
        return reader(source)

    return read


def _refuse_hints(source: Source, hints: Hints) -> None:
    for option, value in (("--arch", hints.arch), ("--activation", hints.activation)):
        if value is not None:
            raise ConfigError(
                f"{option}: got {value!r}, but {source.path} holds its own network; expected a file of weights: drop "
                f"{option}"
            )


def _from_torch(source: Source, hints: Hints) -> Model:
    try:
        content, notes = load(source, weights_only=hints.arch is not None)
    except RecursionError as error:
        raise LoadError(f"{source.path}: nested too deeply; expected an nn.Module of torch.nn classes") from error
    if isinstance(content, Weights):
        return _from_weights(source, content, hints, "state_dict (torch.save)")
    _refuse_hints(source, hints)
    return _model(source, content, "nn.Module (torch.save)", notes)


def _from_safetensors(source: Source, hints: Hints) -> Model:
    return _from_weights(source, load_safetensors(source), hints, "safetensors")


def _from_weights(source: Source, weights: Weights, hints: Hints, kind: str) -> Model:
    """Weights, in the network that the user names or that their shapes determine."""
    origin = str(source.path)
    if hints.arch is not None:
        module = fill(build(hints.arch), weights, origin, hints.arch)
        return _model(source, module, kind, weights.notes)
    if hints.activation is not None:
        layers, notes = stack(weights, hints.activation, origin)
        return _model(source, layers, kind, (*weights.notes, *notes))
    raise IncompleteModelError(
        f"{origin}: holds {weights.described}: weights without the network they belong to; expected a whole network, "
        f"or to be told which.\n{way_out(source.path)}"
    )


def _model(source: Source, module: nn.Module, kind: str, notes: tuple[str, ...]) -> Model:
    return from_module(module, source.path.stem, str(source.path), kind, source.sha256, notes=notes)


def _from_exported(source: Source, hints: Hints) -> Model:
    _refuse_hints(source, hints)
    program = open_exported(source)
    return Model(source.path.stem, str(source.path), "torch.export (.pt2)", source.sha256, program.parameters,
                 program.sample_shape, None, program.traced, program.notes)  # fmt: skip


def _from_script(source: Source, hints: Hints) -> Model:
    _refuse_hints(source, hints)
    script = open_script(source, hints.trust)
    return Model(source.path.stem, str(source.path), "TorchScript", source.sha256, script.parameters,
                 script.sample_shape, None, script.traced, script.notes)  # fmt: skip


def _from_onnx(source: Source) -> Model:
    network = load_onnx(source)
    return Model(source.path.stem, str(source.path), "ONNX", network.source.sha256, network.parameters,
                 network.sample_shape, None, network.traced)  # fmt: skip


def _from_skops(source: Source) -> Model:
    from convert.reading.sklearn_model import from_estimator  # which makes a Model, so it stands above this file
    from convert.reading.skops_file import load_estimator

    model = from_estimator(load_estimator(source), source.path.stem, str(source.path))
    return replace(model, format="scikit-learn (skops)", sha256=source.sha256)


def _refuse_estimator(source: Source) -> Model:
    raise estimator_refusal(source.path)


_READERS: dict[str, Callable[[Source, Hints], Model]] = {
    "torch-pickle": _from_torch,
    "safetensors": _from_safetensors,
    "pt2": _from_exported,
    "torchscript": _from_script,
    "onnx": _alone(_from_onnx),
    "skops": _alone(_from_skops),
    "estimator-pickle": _alone(_refuse_estimator),
}
