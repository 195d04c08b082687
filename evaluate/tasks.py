"""What a network is for, and with it what counts as an answer.

classes      one of several: the largest output
binary       one of two from one value: whether it is positive (a sigmoid above one half)
labels       several at once: which values are positive
regression   numbers: the outputs themselves
heads        several outputs, each with a task of its own; the first one is the headline

`plan()` recognises the task from the outputs and the labels, or takes the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convert.graph.readout import Head, split
from evaluate.errors import EvaluateError

__all__ = ["TASKS", "Plan", "Task", "plan"]

TASKS = ("auto", "classes", "binary", "labels", "regression", "heads")

Array = npt.NDArray[Any]

_HOW = {
    "classes": "the class with the largest of {n} outputs",
    "binary": "yes where the output is positive, which is where its sigmoid is above one half",
    "labels": "every label whose output is positive, which is where its sigmoid is above one half; {n} labels",
    "regression": "the {n} output(s) themselves",
}


@dataclass(frozen=True)
class Task:
    """What one head is for.

    Parameters
    ----------
    kind : {"classes", "binary", "labels", "regression"}
    head : Head
    """

    kind: str
    head: Head

    def answers(self, values: Tensor) -> Array:
        """What the network says, for values (batch, width) of the head.

        Returns
        -------
        (batch,) integers for one class or one of two, (batch, width) booleans for labels, float64 for numbers

        >>> Task("binary", Head("", (1,))).answers(torch.tensor([[0.3], [-2.0]])).tolist()
        [1, 0]
        """
        if self.kind == "regression":
            return self.head.original(values.double()).numpy()
        if self.kind == "classes":
            return values.argmax(1).numpy()
        positive = (values > 0).numpy()
        return positive if self.kind == "labels" else positive[:, 0].astype(np.int64)

    def truth(self, labels: Tensor) -> Array:
        """`labels` in the form of the answers.

        Raises
        ------
        EvaluateError
            They are not labels for this task.
        """
        y, width = labels.numpy().reshape(len(labels), -1), self.head.width
        one = y.shape[1] == 1 and self.kind in ("classes", "binary")
        classes = max(2, width) if self.kind == "classes" else 2
        fits = {
            "classes": one and _within(y, classes),
            "binary": one and _within(y, 2),
            "labels": y.shape[1] == width and _within(y, 2),
            "regression": y.shape[1] == width,
        }[self.kind]
        if not fits:
            raise EvaluateError(self._misfit(y, classes))
        if self.kind == "regression":
            return y.astype(np.float64)
        return y.astype(bool) if self.kind == "labels" else y[:, 0].astype(np.int64)

    def _misfit(self, y: Array, classes: int) -> str:
        where = f"labels of output {self.head.name!r}" if self.head.name else "labels"
        got = f"{where} run from {y.min():g} to {y.max():g}, {y.shape[1]} for each sample"
        wanted = {
            "classes": f"one class index from 0 to {classes - 1}", "binary": "0 or 1",
            "labels": f"0 or 1 for each of the {self.head.width} outputs", "regression": f"{self.head.width} number(s)",
        }[self.kind]  # fmt: skip
        return (
            f"{got}, but the network has {self.head.width} output(s); expected {wanted} for each sample ({self.kind}); "
            "check that the data belong to this network, or name another task with --task"
        )

    def as_record(self) -> dict[str, Any]:
        """Plain JSON for the run file."""
        return {
            "name": self.head.name, "kind": self.kind, "outputs": self.head.width, "readout": self.head.readout,
            "answer": _HOW[self.kind].format(n=self.head.width),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Plan:
    """The task of every head, and its labels.

    Parameters
    ----------
    tasks : tuple of Task
        The first one is the headline.
    truths : tuple of arrays or None
        For each task, in the form of its answers; None without labels.
    notes : tuple of str
        What was decided that the user might not expect.
    """

    tasks: tuple[Task, ...]
    truths: tuple[Array | None, ...]
    notes: tuple[str, ...] = ()

    def answers(self, output: Tensor) -> list[Array]:
        """What the network says, head by head, for its output (batch, *output shape)."""
        parts = split(output, [task.head for task in self.tasks])
        return [task.answers(values) for task, values in zip(self.tasks, parts, strict=True)]

    def as_record(self) -> dict[str, Any]:
        """Plain JSON for the run file: the headline's kind, and every head."""
        kind = self.tasks[0].kind
        scored = "heads" if len(self.tasks) > 1 else kind
        return {"kind": scored, "headline": kind, "heads": [task.as_record() for task in self.tasks]}


def plan(asked: str, heads: Sequence[Head], labels: Tensor | None) -> Plan:
    """The plan for a network with these heads on samples with these labels.

    Parameters
    ----------
    asked : str
        One of `TASKS`.
    labels : Tensor (samples, ...) or None
        Several heads share its columns: one for each head, or as many as each has outputs.

    Raises
    ------
    EvaluateError
        The labels do not belong to the outputs, or to the task that was asked for.
    """
    if asked not in TASKS:
        raise EvaluateError(f"--task: got {asked!r}; expected one of {', '.join(TASKS)}")
    if (asked == "heads") != (len(heads) > 1) and asked != "auto":
        have = ", ".join(f"{head.name!r}" for head in heads)
        raise EvaluateError(
            f"--task {asked}: the network has {len(heads)} output(s){f': {have}' if len(heads) > 1 else ''}; expected "
            f"{'several' if asked == 'heads' else 'one'}; leave --task out, and each output gets its own task"
        )
    if len(heads) == 1:
        task, truth, notes = _single(asked, heads[0], labels)
        return Plan((task,), (truth,), notes)
    singles = [_single("auto", head, y) for head, y in zip(heads, _columns(heads, labels), strict=True)]
    note = f"The network has {len(heads)} outputs; the headline is the first, {heads[0].name!r}."
    notes = tuple(text for _, _, texts in singles for text in texts)
    return Plan(tuple(s[0] for s in singles), tuple(s[1] for s in singles), (note, *notes))


def _columns(heads: Sequence[Head], labels: Tensor | None) -> list[Tensor | None]:
    """The labels of each head."""
    if labels is None:
        return [None] * len(heads)
    y, widths = labels.reshape(len(labels), -1), [head.width for head in heads]
    if y.shape[1] == len(heads):
        return [_whole(column) for column in y.split(1, dim=1)]
    if y.shape[1] == sum(widths):
        return [_whole(part) for part in y.split(widths, dim=1)]
    raise EvaluateError(
        f"labels: {y.shape[1]} for each sample, but the network has outputs of {widths} values; expected one for each "
        f"output ({len(heads)}) or one for each value ({sum(widths)}): save y with as many columns"
    )


def _whole(column: Tensor) -> Tensor:
    """Whole numbers as integers: an array of several columns has one type for all of them."""
    whole = column.is_floating_point() and bool((column == column.round()).all()) and bool((column >= 0).all())
    return column.long() if whole else column


def _single(asked: str, head: Head, labels: Tensor | None) -> tuple[Task, Array | None, tuple[str, ...]]:
    y = None if labels is None else labels.reshape(len(labels), -1)
    notes: tuple[str, ...] = ()
    if asked in ("auto", "classes") and y is not None and head.width > 1 and _one_hot(y, head):
        y = y.argmax(1, keepdim=True)
        notes = ("The labels are one-hot rows; they were read as classes (--task labels reads them as labels).",)
    kind = asked if asked != "auto" else _recognised(head, y)
    task = Task(kind, head)
    if kind == "binary" and head.width != 1:
        raise EvaluateError(f"--task binary: the network has {head.width} outputs; expected one; use --task classes")
    if kind == "classes" and head.width == 1:
        raise EvaluateError("--task classes: the network has a single output; expected one for each; use --task binary")
    return task, None if y is None else task.truth(y), notes


def _recognised(head: Head, y: Tensor | None) -> str:
    """The task that outputs and labels fit together."""
    if y is None:
        several, one = ("labels", "binary") if head.readout == "sigmoid" else ("classes", "regression")
        return several if head.width > 1 else one
    numbers = y.is_floating_point()
    if head.width == 1:
        if not numbers and not _within(y.numpy(), 2):
            raise EvaluateError(
                f"labels run from {int(y.min())} to {int(y.max())}, but the network has 1 output(s); expected 0 or 1; "
                "check that the data belong to this network, or pass --task regression if these are quantities"
            )
        return "regression" if numbers else "binary"
    if y.shape[1] == 1 and not numbers:
        return "classes"
    return "regression" if numbers or not _within(y.numpy(), 2) else "labels"


def _within(y: Array, classes: int) -> bool:
    return bool(((y == np.floor(y)) & (y >= 0) & (y < classes)).all())


def _one_hot(y: Tensor, head: Head) -> bool:
    """Whether rows of 0 and 1 name one class each; behind sigmoids they are labels."""
    return (
        head.readout != "sigmoid"
        and y.shape[1] == head.width
        and _within(y.numpy(), 2)
        and bool((torch.sum(y, 1) == 1).all())
    )
