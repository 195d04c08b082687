"""trace(): an `nn.Module` through `torch.export` to a Graph, checked against the module.

The module is exported at an odd batch size, so that an operator that moves or mixes the batch axis shows itself in
the shape. Shapes are found on tensors without storage; the module itself runs only after its size has been bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)

from convert.errors import GraphError, InputShapeError, NonFiniteWeightError
from convert.graph.ir import Graph
from convert.graph.readout import Head
from convert.reading.calls import MOST_VALUES
from convert.reading.captured import Captured, called, capture, export, first_line, quiet
from convert.reading.coverage import Coverage, check
from convert.reading.footprint import affordable_batch
from convert.reading.probes import verify
from convert.reading.walk import Walk

__all__ = ["Traced", "accepted_batch", "expected_shape", "read_captured", "trace"]

_BATCH = 7

_UNKNOWN = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException,
            UnsupportedOperatorException)  # fmt: skip
"""What depends on values; torch.export refuses that, and says why."""


@dataclass(frozen=True)
class Traced:
    """A network as read: its graph, what became of every operation, and what the user must know about the reading."""

    graph: Graph
    coverage: tuple[Coverage, ...]
    notes: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()
    """Empty where the graph's output is the only one and nothing is applied to it."""


def trace(module: nn.Module, sample_shape: tuple[int, ...], origin: str = "model") -> Traced:
    """The Graph of `module` for samples of `sample_shape`.

    Raises
    ------
    UnsupportedOpError, NoNeuronError
        Before any data is touched; all offenders at once.
    InputShapeError
        The module does not accept such samples.
    """
    module = module.eval()
    batch = accepted_batch(module, sample_shape, origin)
    program = export(module, torch.zeros((batch, *sample_shape)), origin)
    return read_captured(capture(program, batch), module, sample_shape, origin)


def read_captured(
    captured: Captured, original: Callable[[Tensor], Any], sample_shape: tuple[int, ...], origin: str
) -> Traced:
    """The Graph of what was captured, compared with what `original` computes.

    Raises
    ------
    UnsupportedOpError, NoNeuronError, GraphError
    """
    batch = affordable_batch(captured, origin)
    walk = Walk(captured)
    try:
        graph, rows = walk.read()
    except NonFiniteWeightError as error:
        raise NonFiniteWeightError(f"{origin}: {error}") from error
    check(rows, origin, has_neurons=graph is not None and bool(graph.sites()))
    if graph is None:
        raise GraphError(f"{origin}: the network returns its input unchanged; nothing to convert")
    verify(graph, walk.heads, original, batch, origin)
    return Traced(graph, tuple(rows), heads=tuple(walk.heads))


def accepted_batch(
    module: Callable[[Tensor], Any],
    sample_shape: tuple[int, ...],
    origin: str,
    accepts: Callable[[Any, int], bool] = lambda output, batch: True,
) -> int:
    """An odd batch size that forward() accepts: 1 where that is fixed in its code. Nothing is computed.

    Parameters
    ----------
    accepts : callable, optional
        Whether an output belongs to a batch of that size.

    Raises
    ------
    InputShapeError
    """
    if math.prod(sample_shape) > MOST_VALUES:
        raise InputShapeError(
            f"{origin}: would take samples of shape {sample_shape}; expected at most {MOST_VALUES:,} values: check "
            "--data, or name the shape with --input-shape"
        )
    first: Exception | None = None
    for batch in (_BATCH, 1):
        try:
            with quiet(), FakeTensorMode(allow_non_fake_inputs=True):
                if accepts(called(module, torch.zeros((batch, *sample_shape))), batch):
                    return batch
        except _UNKNOWN:
            return batch
        except Exception as error:  # whatever forward() raises
            first = first or error
    reason = first_line(first) if first is not None else "its output has another batch"
    raise InputShapeError(
        f"{origin}: does not accept samples of shape {sample_shape}: {reason}; "
        "check --data, or name the shape with --input-shape"
    ) from first


def expected_shape(module: nn.Module) -> tuple[int, ...] | None:
    """The sample shape that the first layer fixes on its own, or None.

    >>> expected_shape(nn.Sequential(nn.Linear(64, 10)))
    (64,)
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            width = getattr(layer, "in_features", None)  # a damaged file may lack it
            return (width,) if isinstance(width, int) and width > 0 else None
        if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
            return None
    return None
