"""Comparing a graph with what it was read from, on random samples.

Samples of unit size alone would not tell ReLU6 from ReLU, nor one small constant from another, so some of them are ten
and a thousand times larger, and some smaller; each size is compared on its own scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor

from convert.errors import ConvertError, GraphError
from convert.graph.ir import Graph
from convert.graph.readout import Head, heads_of, split
from convert.graph.semantics import run
from convert.reading.captured import called, first_line

__all__ = ["TOLERANCE", "by_size", "probes", "verify"]

TOLERANCE = 1e-4
"""Largest difference, relative to the largest output of samples of that size."""

_COUNT = 7
_USUAL = 10.0
"""Up to this size a network has to give finite outputs."""

_SIZES = (1.0, 10.0, 1000.0, 0.1, 1.0, 10.0, 1.0)


def probes(count: int, shape: tuple[int, ...], largest: float = 1000.0) -> tuple[Tensor, Tensor]:
    """Random samples (count, *shape), and the size of each; sizes above `largest` are left out.

    >>> probes(7, (3,))[1].tolist()[:3]
    [1.0, 10.0, 1000.0]
    """
    sizes = torch.tensor([min(_SIZES[i % _COUNT], largest) for i in range(count)])
    x = torch.randn((count, *shape), generator=torch.Generator().manual_seed(0))
    return x * sizes.reshape(-1, *[1] * len(shape)), sizes


def by_size(expected: Tensor, got: Tensor, sizes: Tensor) -> Iterator[tuple[float, float, float]]:
    """For each size of samples: the size, the largest difference, and the largest expected value."""
    for size in sizes.unique().tolist():
        chosen = sizes == size
        want, have = expected[chosen], got[chosen]
        yield size, float((have - want).abs().max()), float(want.abs().max()) + 1e-6


def verify(
    graph: Graph,
    heads: Sequence[Head],
    original: Callable[[Tensor], Any],
    batch: int,
    origin: str,
) -> None:
    """The graph and its read-out must compute what the original computes; a difference is a defect and never passes.

    Parameters
    ----------
    batch : int
        Samples at a time; of one, several are tried one by one.

    Raises
    ------
    GraphError
    """
    x, sizes = probes(batch if batch > 1 else _COUNT, graph.input.shape)
    known = heads_of(graph, heads)
    parts, read = [], []
    for part in x.split(batch):
        parts.append(_outputs(original, part, origin))
        read.append([head.original(v) for head, v in zip(known, split(run(graph, part), known), strict=True)])
    for head, expected, got in zip(known, _joined(parts), _joined(read), strict=True):
        flat = expected.reshape(len(x), -1) if len(x) and expected.numel() % len(x) == 0 else expected
        same = flat.numel() == got.numel() and len(flat) == len(x)
        usual = flat[sizes <= _USUAL] if same else flat
        if not torch.isfinite(usual).all():
            raise GraphError(f"{origin}: gives NaN or infinite outputs on random inputs; its weights are not usable")
        # a softmax far from balance turns a rounding of its large inputs into a difference of its outputs, and an
        # activation that is spelled out, such as log(1 + exp(x)), overflows
        trusted = 1000.0 if head.readout == "identity" and bool(torch.isfinite(flat).all()) else _USUAL
        if not same or any(size <= trusted and worst > TOLERANCE * scale
                           for size, worst, scale in by_size(flat, got.reshape(flat.shape), sizes)):  # fmt: skip
            raise GraphError(
                f"{origin}: reading it changes what it computes (in-place operations on shared tensors are the usual "
                "cause); expected the same within 1e-4: rewrite forward() without in-place operations"
            )


def _outputs(original: Callable[[Tensor], Any], x: Tensor, origin: str) -> list[Tensor]:
    try:
        return [leaf for leaf in pytree.tree_leaves(called(original, x.clone())) if isinstance(leaf, Tensor)]
    except ConvertError:
        raise
    except Exception as error:  # whatever forward() raises on numbers, but not on shapes
        raise GraphError(
            f"{origin}: fails on random samples of shape {tuple(x.shape[1:])}: {first_line(error)}; expected a network "
            "that runs on float32 samples: save it again"
        ) from error


def _joined(parts: list[list[Tensor]]) -> Iterator[Tensor]:
    return (torch.cat(same) for same in zip(*parts, strict=True))
