"""torch.export archives (.pt2), read without `torch.export.load`, which unpickles some members.

What is read: the JSON graph and the tensors. Example inputs, extra files and objects are not opened. No module
exists to compare with, so the captured calls themselves are made once, in ATen, and must give what our graph gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from convert.errors import ConvertError, CorruptFileError, InputShapeError, UnknownFormatError
from convert.reading.archive import members
from convert.reading.captured import Captured
from convert.reading.pt2_graph import captured_from
from convert.reading.pt2_tensors import saved_tensors, tables
from convert.reading.sources import Source
from convert.reading.tracing import Traced, read_captured
from convert.reading.weights import rounding_notes

__all__ = ["Exported", "open_exported"]

_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, NotImplementedError,
           RecursionError, MemoryError, AssertionError)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Exported:
    """A captured network.

    Parameters
    ----------
    captured : Captured
    origin : str
    parameters : int
    sample_shape : tuple of int
        The shape that it was captured with, the only one it takes.
    notes : tuple of str
    """

    captured: Captured
    origin: str
    parameters: int
    sample_shape: tuple[int, ...]
    notes: tuple[str, ...]

    def traced(self, sample_shape: tuple[int, ...]) -> Traced:
        """The Graph for samples of `sample_shape`.

        Raises
        ------
        InputShapeError, UnsupportedOpError, NoNeuronError, CorruptFileError
        """
        if sample_shape != self.sample_shape:
            raise InputShapeError(
                f"{self.origin}: was captured for samples of shape {self.sample_shape}, got {sample_shape}; check "
                "--data, or capture it again with samples of that shape"
            )
        with _damage(self.origin):
            return read_captured(self.captured, lambda x: _run(self.captured, x), sample_shape, self.origin)
        raise AssertionError("unreachable")


class _damage:  # noqa: N801  reads as a statement
    """Whatever a damaged file makes our code or torch's raise, as one error."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _DAMAGE) and not isinstance(error, ConvertError):
            reason = (str(error).splitlines() or [""])[0][:200]
            raise CorruptFileError(
                f"{self.origin}: damaged, or of a version that is not known ({type(error).__name__}: {reason}); "
                "expected an archive of torch 2.6 to 2.13: capture it again with torch.export.save"
            ) from error


def open_exported(source: Source) -> Exported:
    """The captured network in a .pt2 file.

    Raises
    ------
    UnsafeFileError, CorruptFileError, UnknownFormatError, UnsupportedOpError
    """
    origin = str(source.path)
    content = members(source.path)
    with _damage(origin):
        program, tensors = _parts(content, origin)
        as_float = {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}
        captured = captured_from(program, as_float, origin)
        trained = {name: t for name, t in as_float.items() if name in _parameter_names(program)}
        shape = next(n.meta["val"].shape[1:] for n in captured.graph.nodes
                     if n.op == "placeholder" and n.name not in captured.constants)  # fmt: skip
    return Exported(captured, origin, sum(t.numel() for t in trained.values()), tuple(shape), rounding_notes(tensors))


def _parts(content: Mapping[str, bytes], origin: str) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """The JSON program and its tensors, in today's layout or that of torch 2.7 and before."""
    if "serialized_exported_program.json" in content:
        saved = [content[name] for name in ("serialized_state_dict.pt", "serialized_constants.pt") if content.get(name)]
        tensors = {k: t for member in saved for k, t in saved_tensors(member, origin).items()}
        return json.loads(content["serialized_exported_program.json"]), tensors
    models = [name for name in content if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        raise UnknownFormatError(
            f"{origin}: holds {len(models)} captured networks ({', '.join(models) or 'none'}); expected one, "
            "written by torch.export.save(torch.export.export(model, (x,)), 'model.pt2')"
        )
    name = models[0].removeprefix("models/").removesuffix(".json")
    return json.loads(content[models[0]]), tables(content, name, origin)


def _parameter_names(program: Mapping[str, Any]) -> set[str]:
    specs = program["graph_module"]["signature"]["input_specs"]
    return {spec["parameter"]["parameter_name"] for spec in specs if spec.get("parameter")}


def _run(captured: Captured, x: Tensor) -> list[Tensor]:
    """What the captured calls compute; every one of them has been read, so it is an operator of our tables."""
    values: dict[fx.Node, Any] = {}
    for node in captured.graph.nodes:
        if node.op == "placeholder":
            constant = captured.constants.get(node.name)
            values[node] = x if constant is None else constant.clone()
        elif node.op == "call_function":
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: values[n])
            values[node] = node.target(*args, **kwargs)
    return [values[node] for _, node in captured.returned if isinstance(node, fx.Node)]
