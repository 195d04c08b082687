"""from_estimator(): a trained scikit-learn MLP, alone or behind scalers in a Pipeline, as a Model.

A layer of an MLP is y = f(x W + b), W (in, out). Only fitted arrays are read; nothing of the estimator is called.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from convert.errors import InputShapeError, LoadError, NonFiniteWeightError, UnsupportedOpError
from convert.graph import ir
from convert.graph.ir import Graph, Node, Op
from convert.reading.aten import OPERATORS, Call
from convert.reading.coverage import Coverage, check, describe_node
from convert.reading.models import Model
from convert.reading.sklearn_arrays import Array, class_name, folded_layers, scaling
from convert.reading.tracing import Traced

__all__ = ["from_estimator"]

_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}
"""scikit-learn's name -> ATen's, whose table says whether there is a neuron for it."""
_READ_OUT = {
    "softmax": "moved to the read-out: the order of classes is unchanged",
    "logistic": "moved to the read-out: an output above 0 is a probability above 1/2",
}
_EXPECTED = "expected a fitted MLPClassifier or MLPRegressor, or a Pipeline of StandardScaler, MinMaxScaler and one"


def from_estimator(estimator: Any, name: str = "estimator", origin: str = "estimator") -> Model:
    """The network in `estimator`.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        Fitted. A classifier's outputs are what stands before softmax or the logistic function: of several classes the
        largest wins; of two classes there is one output, and above 0 it means the second of ``classes_``; of several
        labels each output above 0 is on. A regressor's outputs are its predictions.

    Raises
    ------
    UnsupportedOpError
        Other steps or activations, all of them at once.
    LoadError
        Not fitted, or arrays that do not fit together.
    """
    steps = _steps(estimator, origin)
    network = steps[-1][1]
    scalings = [scaling(title, step, origin) for title, step in steps[:-1]]
    layers = folded_layers(network, scalings, origin)
    features = layers[0][0].shape[0]
    digest = hashlib.sha256(repr((network.activation, network.out_activation_)).encode())
    for weight, bias in layers:
        digest.update(weight.tobytes() + bias.tobytes())

    def traced(shape: tuple[int, ...]) -> Traced:
        if shape != (features,):
            raise InputShapeError(
                f"{origin}: takes samples of shape ({features},), got {shape}; check --data, or name the shape with "
                f"--input-shape {features}"
            )
        return _trace(steps[-1][0], network, layers, [step.row for step in scalings], origin)

    parameters = sum(weight.size + bias.size for weight, bias in layers)
    return Model(name, origin, "scikit-learn", digest.hexdigest(), parameters, (features,), None, traced)


def _steps(estimator: Any, origin: str) -> list[tuple[str, Any]]:
    """Title and estimator of each step; the last is the network. Steps that cannot be converted are all named."""
    steps = [("model", estimator)]
    if class_name(estimator) == "Pipeline":
        written = vars(estimator).get("steps")
        if not isinstance(written, list) or not all(isinstance(s, (tuple, list)) and len(s) == 2 for s in written):
            raise LoadError(f"{origin}: a Pipeline without steps; {_EXPECTED}: save it again")
        steps = [(str(title), step) for title, step in written if step is not None and step != "passthrough"]
    last = len(steps) - 1
    wanted = {True: ("MLPClassifier", "MLPRegressor"), False: ("StandardScaler", "MinMaxScaler")}
    wrong = [f"  {title}: {class_name(step)}" for i, (title, step) in enumerate(steps)
             if class_name(step) not in wanted[i == last]]  # fmt: skip
    if wrong or not steps:
        listed = "\n".join(wrong) or "  no step"
        raise UnsupportedOpError(
            f"{origin}: {len(wrong)} step(s) cannot be converted:\n{listed}\n{_EXPECTED}; convert the network alone "
            "and apply the other steps to the samples"
        )
    return steps


def _trace(
    title: str, network: Any, layers: Sequence[tuple[Array, Array]], rows: list[Coverage], origin: str
) -> Traced:
    """Linear layers with the activation between them, in float32 as every reader gives them."""
    nodes = [Node("input", ir.Input((layers[0][0].shape[0],)), (), (layers[0][0].shape[0],), "input")]

    def append(name: str, op: Op, size: int, kind: str) -> None:
        nodes.append(Node(name, op, (nodes[-1].name,), (size,), f"{title}.{name}"))
        rows.append(describe_node(f"{title}.{name}", kind, op))

    rows = list(rows)
    for i, (weight, bias) in enumerate(layers):
        size = weight.shape[1]
        append(f"layer{i}", ir.Linear(_float32(weight.T), _float32(bias)), size, "coefs_, intercepts_")
        if i < len(layers) - 1 and network.activation != "identity":
            row = _refusal(f"{title}.activation{i}", network.activation)
            if row is not None:
                rows.append(row)
                continue
            made = OPERATORS[_ACTIVATIONS[network.activation]](Call("", {"self": None}, ("self",), ((size,),), (size,)))
            append(f"activation{i}", made, size, network.activation)  # type: ignore[arg-type]  # one operation
    rows.extend(_read_out(title, network.out_activation_))
    check(rows, origin, has_neurons=len(nodes) > len(layers) + 1)
    try:
        graph = Graph(tuple(nodes), nodes[-1].name)
    except NonFiniteWeightError as error:
        raise NonFiniteWeightError(f"{origin}: {error}") from error
    return Traced(graph, tuple(rows), notes=_notes(network, math.prod(nodes[-1].shape), origin))


def _float32(array: Array) -> torch.Tensor:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and that is refused by name
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _refusal(place: str, activation: str) -> Coverage | None:
    if _ACTIVATIONS.get(activation) in OPERATORS:
        return None
    return Coverage(place, activation, "refused", "", "has no neuron; use 'relu', 'tanh' or 'logistic'")


def _read_out(title: str, activation: str) -> list[Coverage]:
    if activation == "identity":
        return []
    place = f"{title}.out_activation_"
    if activation not in _READ_OUT:
        return [Coverage(place, activation, "refused", "", "expected identity, softmax or logistic outputs")]
    return [Coverage(place, activation, "dropped", "read-out", _READ_OUT[activation])]


def _notes(network: Any, outputs: int, origin: str) -> tuple[str, ...]:
    """What an output stands for, where that is not its number."""
    if class_name(network) == "MLPRegressor":
        return ()
    classes = [str(c) for c in np.asarray(vars(network).get("classes_", ())).reshape(-1)]
    if network.out_activation_ == "logistic":
        meaning = (f"class {classes[1]} where its output is above 0, else class {classes[0]}"
                   if outputs == 1 and len(classes) == 2 else "each label whose output is above 0")  # fmt: skip
        return (f"{origin}: predicts {meaning}.",)
    if classes == [str(i) for i in range(outputs)]:
        return ()
    listed = ", ".join(f"{i}: {c}" for i, c in enumerate(classes[:20])) + (", ..." if len(classes) > 20 else "")
    return (f"{origin}: outputs are numbered in the order of classes_ ({listed}); labels must be numbered so.",)
