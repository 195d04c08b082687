"""open_model(): any file or name that we can read, as one thing that can be traced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from convert.errors import LoadError, UnknownFormatError
from convert.reading.onnx_file import load_onnx
from convert.reading.pickles import estimator_refusal
from convert.reading.sources import Source, identify
from convert.reading.torch_file import load_module
from convert.reading.tracing import Traced, expected_shape, trace

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
    """

    name: str
    origin: str
    format: str
    sha256: str
    parameters: int
    sample_shape: tuple[int, ...] | None
    data: str | None
    traced: Callable[[tuple[int, ...]], Traced]


def from_module(
    module: nn.Module,
    name: str,
    origin: str,
    kind: str,
    sha256: str,
    sample_shape: tuple[int, ...] | None = None,
    data: str | None = None,
) -> Model:
    """A Model of an `nn.Module` in memory."""
    parameters = sum(p.numel() for p in module.parameters())
    shape = sample_shape or expected_shape(module)
    return Model(name, origin, kind, sha256, parameters, shape, data, lambda s: trace(module, s, origin))


def open_model(path: Path, readers: dict[str, Callable[[Source], Model]] | None = None) -> Model:
    """The network in the file at `path`.

    Parameters
    ----------
    readers : dict, optional
        Kinds of files that somebody else knows how to read, such as the zoo's checkpoints.

    Raises
    ------
    LoadError
        See `identify` and `load_module`.
    """
    source = identify(path)
    known = {"torch-pickle": _from_pickle, "onnx": _from_onnx, "skops": _from_skops,
             "estimator-pickle": _refuse_estimator, **(readers or {})}  # fmt: skip
    if source.kind == "snn":
        raise UnknownFormatError(
            f"{path}: already a spiking network; expected the trained network that it was made from"
        )
    if source.kind not in known:
        raise UnknownFormatError(
            f"{path}: a {source.kind} file: weights without a network; expected an nn.Module made of torch.nn "
            "classes, saved with torch.save(model, path)"
        )
    return known[source.kind](source)


def _from_pickle(source: Source) -> Model:
    try:
        module = load_module(source)
    except RecursionError as error:
        raise LoadError(f"{source.path}: nested too deeply; expected an nn.Module of torch.nn classes") from error
    return from_module(module, source.path.stem, str(source.path), "nn.Module (torch.save)", source.sha256)


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
