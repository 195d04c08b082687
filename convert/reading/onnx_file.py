"""ONNX files: parsed as inert data, bounded by their size, checked by `onnx.checker`, then walked by `onnx_trace`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convert.errors import CorruptFileError, InputShapeError, LoadError
from convert.reading.sources import Source

if TYPE_CHECKING:
    import onnx

    from convert.reading.onnx_tensors import TensorReader
    from convert.reading.tracing import Traced

__all__ = ["OnnxNetwork", "load_onnx"]

_MOST_BYTES = 2**31 - 1
_MOST_NODES = 4096
_OLDEST_OPSET = 7


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """A parsed ONNX model: one input, one output, no functions of its own.

    Parameters
    ----------
    source : Source
        Its hash covers external data as well.
    proto : onnx.ModelProto
    tensors : TensorReader
    opset : int
        Version of the standard operators.
    input : str
        Name of the input.
    dims : tuple of int or None
        Its declared shape with the batch axis in front; None where it is left open.
    parameters : int
    """

    source: Source
    proto: onnx.ModelProto
    tensors: TensorReader
    opset: int
    input: str
    dims: tuple[int | None, ...]
    parameters: int

    @property
    def sample_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample, or None where the file leaves a part of it open."""
        known = [size for size in self.dims[1:] if size is not None]
        return tuple(known) if len(known) == len(self.dims) - 1 else None

    def traced(self, shape: tuple[int, ...]) -> Traced:
        """The Graph for samples of `shape`; see `convert.reading.onnx_trace.trace_onnx`."""
        from convert.reading.onnx_nodes import printable
        from convert.reading.onnx_trace import trace_onnx

        declared = self.dims[1:]
        if len(shape) != len(declared) or any(d not in (None, s) for d, s in zip(declared, shape, strict=True)):
            expected = tuple("any" if size is None else size for size in declared)
            raise InputShapeError(
                f"{self.source.path}: its input {printable(self.input)} takes samples of shape {expected}, got "
                f"{shape}; check --data, or name the shape with --input-shape"
            )
        return trace_onnx(self, shape)


def load_onnx(source: Source) -> OnnxNetwork:
    """The model in the file, not walked yet.

    Raises
    ------
    LoadError
        The extra is not installed; several inputs or outputs; an operator set of before 2017.
    CorruptFileError, UnsafeFileError
        Truncated or damaged; values outside the model's folder.
    """
    try:
        from convert.reading.onnx_nodes import printable
        from convert.reading.onnx_tensors import TensorReader
    except ImportError as error:
        raise LoadError(
            f"{source.path}: an ONNX file; reading it needs the onnx package ({error}); "
            "install it with: pip install 'ann2spike[onnx]'"
        ) from error
    proto = _parse(source)
    _check(proto, source)
    reader = TensorReader(source.path)
    stored = list(proto.graph.initializer)
    for tensor in stored:
        reader.check(tensor)
    sha256 = reader.sha256(source.sha256, stored)
    name, dims = _input(proto, source)
    if len(proto.graph.output) != 1:
        names = ", ".join(printable(value.name) for value in proto.graph.output[:20]) or "none"
        raise LoadError(f"{source.path}: its outputs are {names}; expected one: export the model with that one alone")
    return OnnxNetwork(replace(source, sha256=sha256), proto, reader, max(_opsets(proto)), name, dims,
                       _parameters(proto))  # fmt: skip


def _parse(source: Source) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    if source.path.stat().st_size > _MOST_BYTES:
        raise LoadError(f"{source.path}: larger than 2 GiB; expected what protobuf allows: export with external data")
    content = source.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise CorruptFileError(f"{source.path}: changed while it was read; expected a finished file: try again")
    try:
        proto = onnx.ModelProto.FromString(content)
        if any(isinstance(text, bytes) for text in _texts(proto)):
            raise ValueError("a name that is not UTF-8")
        return proto
    except (DecodeError, ValueError, RecursionError, MemoryError) as error:
        raise CorruptFileError(
            f"{source.path}: truncated or damaged ({str(error)[:200]}); expected an ONNX model: copy or export it again"
        ) from error


def _texts(proto: onnx.ModelProto) -> Iterator[str | bytes]:
    """Every text in the message; protobuf gives bytes for one that is not UTF-8."""
    from google.protobuf.message import Message

    stack: list[Any] = [proto]
    while stack:
        for field, value in stack.pop().ListFields():
            if field.type in (field.TYPE_STRING, field.TYPE_MESSAGE):
                items = [value] if isinstance(value, (str, bytes, Message)) else list(value)
                stack.extend(item for item in items if isinstance(item, Message))
                yield from (item for item in items if isinstance(item, (str, bytes)))


def _check(proto: onnx.ModelProto, source: Source) -> None:
    """What holds for every model that we read, in the order in which it is cheap to find out."""
    where, versions = source.path, _opsets(proto)
    if len(proto.graph.node) > _MOST_NODES:
        raise LoadError(
            f"{where}: has {len(proto.graph.node):,} operations; expected at most {_MOST_NODES:,}: "
            "simplify it (onnxsim, or torch.onnx.export(..., optimize=True))"
        )
    if any(function.domain in ("", "ai.onnx") for function in proto.functions):
        raise LoadError(f"{where}: redefines standard operators; expected their standard meaning: export it again")
    if proto.graph.sparse_initializer:
        raise LoadError(f"{where}: has sparse weights; expected dense ones: export it without sparse_initializer")
    if versions and max(versions) < _OLDEST_OPSET:
        raise LoadError(
            f"{where}: written for operator set {max(versions)}; expected {_OLDEST_OPSET} or later: "
            "convert it with onnx.version_converter.convert_version(model, 17)"
        )
    if not versions:
        raise CorruptFileError(f"{where}: names no operator set; expected opset_import: export it again")
    _check_schema(proto, source)


def _opsets(proto: onnx.ModelProto) -> list[int]:
    """Versions of the standard operators; a valid file names one."""
    return [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]


def _check_schema(proto: onnx.ModelProto, source: Source) -> None:
    import onnx

    try:
        onnx.checker.check_model(_without_values(proto))
    except (onnx.checker.ValidationError, ValueError, RuntimeError, TypeError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CorruptFileError(
            f"{source.path}: not a valid ONNX model ({reason[:300]}); expected what an exporter writes: export it again"
        ) from error


def _without_values(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with empty tensors, since the checker would look for external values itself, and elsewhere."""
    import onnx

    hollow = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions)
    graph = hollow.graph
    graph.name = proto.graph.name or "graph"
    graph.input.extend(proto.graph.input)
    for value in proto.graph.output:  # of an output only the name matters to us
        type_ = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, ())
        graph.output.add(name=value.name, type=type_)
    for tensor in proto.graph.initializer:
        graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=[0])
    graph.node.extend(proto.graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                attribute.t.CopyFrom(onnx.TensorProto(data_type=attribute.t.data_type, dims=[0]))
    return hollow


def _input(proto: onnx.ModelProto, source: Source) -> tuple[str, tuple[int | None, ...]]:
    """The one input that is not a weight, and its declared shape."""
    from convert.reading.onnx_nodes import printable
    from convert.reading.onnx_tensors import FLOATS, element_type

    weights = {tensor.name for tensor in proto.graph.initializer}
    found = [value for value in proto.graph.input if value.name not in weights]
    if len(found) != 1:
        names = ", ".join(printable(value.name) for value in found[:20]) or "none"
        raise LoadError(f"{source.path}: its inputs are {names}; expected one: export the model with that one alone")
    declared = found[0].type.tensor_type
    if declared.elem_type not in FLOATS:
        raise LoadError(
            f"{source.path}: its input {printable(found[0].name)} takes {element_type(declared.elem_type)} values; "
            "expected floating-point samples: export the part behind the embedding or the conversion"
        )
    dims = tuple(d.dim_value if d.HasField("dim_value") else None for d in declared.shape.dim)
    if len(dims) < 2 or any(size is not None and size < 1 for size in dims):
        raise InputShapeError(
            f"{source.path}: its input {printable(found[0].name)} has the shape {dims}; expected a batch axis "
            "and at least one more, each of 1 or more: export it with a sample as (1, ...)"
        )
    return found[0].name, dims


def _parameters(proto: onnx.ModelProto) -> int:
    """Number of floating-point values among the weights."""
    from convert.reading.onnx_tensors import FLOATS

    return sum(math.prod(tensor.dims) for tensor in proto.graph.initializer if tensor.data_type in FLOATS)
