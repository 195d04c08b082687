"""The intermediate representation: a network as a list of named operations in topological order.

Tensors belong to their operation; shapes are those of one sample (no batch axis). A `Graph` checks its own
invariants when it is built, so every function that receives one can trust it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from convert.errors import GraphError, NonFiniteWeightError
from convert.graph.curves import CURVES, PARAMETERS, turning_point
from convert.graph.running import LayerNorm, MatMul, Softmax

__all__ = [
    "ACTIVATIONS",
    "PAD_MODES",
    "RUNNING",
    "WEIGHTED",
    "AdaptiveAvgPool",
    "Add",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "Clamp",
    "Concat",
    "Conv",
    "Curve",
    "Graph",
    "Identity",
    "Input",
    "LayerNorm",
    "LeakyRelu",
    "Linear",
    "MatMul",
    "MaxPool",
    "Node",
    "Op",
    "Pad",
    "Permute",
    "Relu",
    "Reshape",
    "Softmax",
    "Staircase",
    "Tanh",
    "rises",
    "tensors",
]


@dataclass(frozen=True, eq=False)
class Input:
    """The network's input, one sample of the given shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Linear:
    """y = W x + b over the last axis; W (out, in), b (out,) or None."""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Conv:
    """Cross-correlation in one or two dimensions, zero padding; W (out, in / groups, *kernel)."""

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """y = (x - mean) / sqrt(variance + epsilon) * weight + bias, per channel (axis 0 of a sample)."""

    mean: Tensor
    variance: Tensor
    weight: Tensor
    bias: Tensor
    epsilon: float


@dataclass(frozen=True, eq=False)
class Affine:
    """y = scale * x + shift; both broadcast against one sample."""

    scale: Tensor
    shift: Tensor


@dataclass(frozen=True, eq=False)
class Relu:
    """y = max(x, 0)."""


@dataclass(frozen=True, eq=False)
class Clamp:
    """y = min(max(x, low), high): ReLU6 is (0, 6), hard tanh (-1, 1)."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Tanh:
    """y = tanh(x)."""


@dataclass(frozen=True, eq=False)
class Staircase:
    """y = lam / L min(max(floor(L x / lam + 1/2), 0), L): an activation trained in levels (QCFS).

    Bu et al., ICLR 2022 (Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking neural networks),
    section 4. `threshold` is lam, one value; `levels` is L.
    """

    threshold: Tensor
    levels: int

    def __post_init__(self) -> None:
        """Check the numbers at the door: they may come from a file."""
        if self.threshold.numel() != 1 or self.levels < 1:
            raise GraphError(
                f"staircase: got {self.threshold.numel()} thresholds and {self.levels} levels; expected one, and at "
                "least 1"
            )


@dataclass(frozen=True, eq=False)
class LeakyRelu:
    """y = x above zero, slope x below; `slope` holds one value, or one for each channel (axis 0): PReLU."""

    slope: Tensor


@dataclass(frozen=True, eq=False)
class Curve:
    """y = f(x), a curve of `convert.graph.curves` by its name, with its numbers: sigmoid, GELU, SiLU, ELU, ...

    Raises
    ------
    GraphError
        No such curve, or other numbers than it takes.
    """

    name: str
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the name at the door: it may come from a file."""
        if self.name not in CURVES:
            raise GraphError(f"curve {self.name!r}: not known; expected one of {', '.join(CURVES)}")
        numbers = [isinstance(p, (int, float)) and math.isfinite(p) for p in self.parameters]
        if len(numbers) != PARAMETERS.get(self.name, 0) or not all(numbers):
            raise GraphError(
                f"curve {self.name}: got the numbers {self.parameters}; expected {PARAMETERS.get(self.name, 0)}"
            )


@dataclass(frozen=True, eq=False)
class AvgPool:
    """Average pooling; `divisor` replaces the count of the window (1 makes it sum pooling)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None


@dataclass(frozen=True, eq=False)
class AdaptiveAvgPool:
    """Average pooling to a given output size."""

    size: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Maximum over windows; padding never wins."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False


@dataclass(frozen=True, eq=False)
class Add:
    """Sum of two inputs of one shape: a residual connection."""


@dataclass(frozen=True, eq=False)
class Concat:
    """Concatenation along an axis of the sample."""

    axis: int


@dataclass(frozen=True, eq=False)
class Reshape:
    """The same values in another shape of one sample: flatten, view, squeeze."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Pad:
    """A wider border; one entry of `before` and `after` for each axis of the sample, negative ones crop.

    `mode` says what the border repeats: nothing (zeros), or values of the sample as `torch.nn.functional.pad` does.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    mode: str = "zeros"


@dataclass(frozen=True, eq=False)
class Permute:
    """The axes of a sample in another order: axis i of the result is axis `axes[i]` of the input."""

    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Identity:
    """Nothing at inference time: dropout, contiguous, detach."""


Op = (
    Input
    | Linear
    | Conv
    | BatchNorm
    | Affine
    | Relu
    | Clamp
    | Tanh
    | LeakyRelu
    | Curve
    | AvgPool
    | AdaptiveAvgPool
    | MaxPool
    | Add
    | Concat
    | Reshape
    | Pad
    | Permute
    | Identity
    | Staircase
    | Softmax
    | LayerNorm
    | MatMul
)

ACTIVATIONS = (Relu, Clamp, Tanh, LeakyRelu, Curve, Staircase)
"""Operations that become neurons."""

PAD_MODES = ("zeros", "reflect", "replicate", "circular")
"""What a border can repeat."""

WEIGHTED = (Linear, Conv)
"""Operations that become synapses."""

RUNNING = (Softmax, LayerNorm, MatMul)
"""Operations that act on running means in floating point: they make a network hybrid."""


def rises(op: Op) -> bool:
    """Whether the activation `op` never falls, so that it may change places with a maximum.

    >>> rises(Tanh()), rises(Curve("gelu"))
    (True, False)
    """
    if isinstance(op, LeakyRelu):
        return bool((op.slope >= 0).all())
    return not isinstance(op, Curve) or turning_point(op.name, op.parameters) is None


def tensors(op: Op) -> dict[str, Tensor]:
    """The tensors of `op` by field name.

    >>> list(tensors(Linear(torch.eye(2))))
    ['weight']
    """
    return {f.name: v for f in fields(op) if isinstance(v := getattr(op, f.name), Tensor)}


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of the network.

    Parameters
    ----------
    name : str
        Unique in the graph.
    op : Op
    inputs : tuple of str
        Names of earlier nodes.
    shape : tuple of int
        Shape of one sample of the output.
    place : str
        Where it stands in the user's model, such as ``features.3`` or a line of source.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    place: str = ""

    @property
    def kind(self) -> str:
        """The operation's type name."""
        return type(self.op).__name__


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order with one `Input` (the first) and one output.

    Raises
    ------
    GraphError
        Names that repeat, inputs that are not earlier nodes, no `Input` in front, an unknown output.
    NonFiniteWeightError
        NaN or infinity in a tensor; all such tensors are named.
    """

    nodes: tuple[Node, ...]
    output: str

    def __post_init__(self) -> None:
        """Check the invariants once, so that nobody downstream has to."""
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise GraphError(f"{node.name}: two nodes of this name; names must be unique")
            if missing := [name for name in node.inputs if name not in seen]:
                raise GraphError(f"{node.name}: inputs {missing} are not earlier nodes; order the graph topologically")
            if isinstance(node.op, Input) != (not seen):
                raise GraphError(f"{node.name}: a graph has exactly one Input and it comes first")
            seen.add(node.name)
        if self.output not in seen:
            raise GraphError(f"output {self.output!r} is not a node; nodes: {', '.join(sorted(seen))}")
        _refuse_non_finite(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        """Nodes in topological order."""
        return iter(self.nodes)

    def __getitem__(self, name: str) -> Node:
        """The node called `name`."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def input(self) -> Node:
        """The node that takes the sample."""
        return self.nodes[0]

    def consumers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read `name`."""
        return tuple(node for node in self.nodes if name in node.inputs)

    def sites(self) -> tuple[Node, ...]:
        """The activations: where neurons go."""
        return tuple(node for node in self.nodes if isinstance(node.op, ACTIVATIONS))

    def upstream(self, name: str) -> Graph:
        """The part that the node `name` depends on; that node becomes the output."""
        needed = {name}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed |= set(node.inputs)
        return Graph(tuple(node for node in self.nodes if node.name in needed), name)

    def parameter_count(self) -> int:
        """Number of weights and biases."""
        return sum(t.numel() for node in self.nodes for t in tensors(node.op).values())


def _refuse_non_finite(nodes: tuple[Node, ...]) -> None:
    found = []
    for node in nodes:
        for field, tensor in tensors(node.op).items():
            bad = int((~torch.isfinite(tensor)).sum())
            if bad:
                found.append(f"{node.place or node.name}.{field} ({bad} of {tensor.numel()})")
    if found:
        raise NonFiniteWeightError(
            f"NaN or infinite values in {', '.join(found)}; every weight must be finite; "
            "this usually means that training diverged: save an earlier checkpoint"
        )
