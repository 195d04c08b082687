"""Accuracy and agreement of a spiking network after every step."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from evaluate.errors import EvaluateError

__all__ = ["accuracy_curve", "agreement_curve", "correct_counts"]

_IntArray = npt.NDArray[np.integer[Any]]
_FloatArray = npt.NDArray[np.float64]


def correct_counts(predictions: _IntArray, reference: _IntArray) -> npt.NDArray[np.int64]:
    """How many samples match the reference after each step.

    Parameters
    ----------
    predictions : int array, shape (n, steps)
        Predicted class after step 1, 2, ..., steps.
    reference : int array, shape (n,)
        Labels, or the predictions of the ANN.

    Returns
    -------
    int64 array, shape (steps,)

    Raises
    ------
    EvaluateError
        The shapes do not belong together, or there is no sample.

    >>> correct_counts(np.array([[0, 1], [2, 2]]), np.array([1, 2])).tolist()
    [1, 2]
    """
    predictions, reference = np.asarray(predictions), np.asarray(reference)
    if predictions.ndim != 2 or reference.shape != predictions.shape[:1] or not reference.size:
        raise EvaluateError(
            f"accuracy: got predictions {list(predictions.shape)} and reference {list(reference.shape)}; "
            "expected (n, steps) and (n,) with n > 0; pass the prediction of every sample after every step"
        )
    return np.asarray((predictions == reference[:, None]).sum(axis=0), dtype=np.int64)


@overload
def accuracy_curve(predictions: _IntArray, labels: _IntArray) -> _FloatArray: ...


@overload
def accuracy_curve(predictions: _IntArray, labels: None) -> None: ...


def accuracy_curve(predictions: _IntArray, labels: _IntArray | None) -> _FloatArray | None:
    """Fraction of samples classified correctly after each step, shape (steps,); None without labels.

    >>> accuracy_curve(np.array([[0, 1], [2, 2]]), np.array([1, 2])).tolist()
    [0.5, 1.0]
    """
    return None if labels is None else correct_counts(predictions, labels) / len(labels)


def agreement_curve(predictions: _IntArray, ann_predictions: _IntArray) -> _FloatArray:
    """Fraction of samples on which the SNN says what the ANN says, after each step, shape (steps,).

    Needs no labels: it measures the conversion and not the task.
    """
    return correct_counts(predictions, ann_predictions) / len(ann_predictions)
