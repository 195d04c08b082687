"""Fitted arrays of scikit-learn's MLPs and scalers, checked, and folded into one list of layers.

A scaler computes a x + c for each feature; several of them compose, and the first layer takes the result:
y = (a x + c) W + b gives W' = a W by rows, b' = b + c W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.errors import LoadError, UnsupportedOpError
from convert.reading.coverage import Coverage

__all__ = ["Array", "Scaling", "class_name", "folded_layers", "scaling"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """a x + c for each feature, and the coverage row of the scaler."""

    scale: Array
    shift: Array
    row: Coverage


def class_name(estimator: Any) -> str:
    """The class of `estimator` where it is scikit-learn's own, such as ``MLPClassifier``."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else f"{kind.__module__}.{kind.__qualname__}"


def scaling(title: str, scaler: Any, origin: str) -> Scaling:
    """StandardScaler: (x - mean_) / scale_. MinMaxScaler: x scale_ + min_."""
    place, kind, state = f"{origin}: {title}", class_name(scaler), vars(scaler)
    row = Coverage(title, kind, "exact linear", "folded into the weights of the first layer")
    if kind == "MinMaxScaler":
        if state.get("clip"):
            raise UnsupportedOpError(
                f"{place}: MinMaxScaler with clip=True has no spiking counterpart before the first layer; expected "
                "clip=False: set it, or clip the samples yourself"
            )
        return Scaling(_vector(state, "scale_", place), _vector(state, "min_", place), row)
    if "scale_" not in state or "mean_" not in state:
        raise LoadError(f"{place}: is not fitted; expected a fitted StandardScaler: call fit() before")
    mean = _vector(state, "mean_", place) if state["mean_"] is not None and state.get("with_mean", True) else None
    deviation = _vector(state, "scale_", place) if state["scale_"] is not None else None
    known = mean if mean is not None else deviation
    if known is None:
        count = int(state.get("n_features_in_", 1))
        return Scaling(np.ones(count), np.zeros(count), row)
    with np.errstate(all="ignore"):  # what becomes infinite is refused by name with the weights
        scale = np.ones_like(known) if deviation is None else 1.0 / deviation
        return Scaling(scale, np.zeros_like(scale) if mean is None else -mean * scale, row)


def _vector(state: dict[str, Any], name: str, place: str) -> Array:
    return _array(state.get(name), 1, f"{place}: {name}")


def _array(value: Any, rank: int, place: str) -> Array:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.ndim != rank or 0 in value.shape:
        got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise LoadError(f"{place}: got {got}; expected numbers with {rank} axes: fit the model, and save it again")
    return value.astype(np.float64)


def folded_layers(network: Any, scalings: Sequence[Scaling], origin: str) -> list[tuple[Array, Array]]:
    """(W, b) of each layer in float64, the scalers folded into the first."""
    state, place = vars(network), f"{origin}: {class_name(network)}"
    weights, biases = state.get("coefs_"), state.get("intercepts_")
    if not isinstance(weights, (list, tuple)) or not isinstance(biases, (list, tuple)) or not weights:
        raise LoadError(f"{place}: is not fitted (no coefs_); expected a trained network: call fit() before")
    if len(weights) != len(biases):
        raise LoadError(f"{place}: {len(weights)} coefs_ and {len(biases)} intercepts_; expected as many: save again")
    layers = [(_array(w, 2, f"{place}: coefs_[{i}]"), _array(b, 1, f"{place}: intercepts_[{i}]"))
              for i, (w, b) in enumerate(zip(weights, biases, strict=True))]  # fmt: skip
    sizes = [w.shape[0] for w, _ in layers] + [layers[-1][0].shape[1]]
    fits = all(w.shape == (sizes[i], sizes[i + 1]) and b.shape == (sizes[i + 1],) for i, (w, b) in enumerate(layers))
    if not fits or any(s.scale.shape != (sizes[0],) or s.shift.shape != (sizes[0],) for s in scalings):
        shapes = ", ".join(f"{w.shape}+{b.shape}" for w, b in layers)
        raise LoadError(f"{place}: its layers {shapes} or its scalers do not fit together; save the model again")
    if any(not isinstance(state.get(name), str) for name in ("activation", "out_activation_")):
        raise LoadError(f"{place}: names no activation; expected a trained network: fit it, and save it again")
    weight, bias = layers[0]
    for step in reversed(scalings):
        with np.errstate(all="ignore"):
            weight, bias = weight * step.scale[:, None], bias + step.shift @ weight
    return [(weight, bias), *layers[1:]]
