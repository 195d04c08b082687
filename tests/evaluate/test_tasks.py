"""The task is recognised from outputs and labels, or named; it decides what an answer is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convert.graph.readout import Head
from evaluate.errors import EvaluateError
from evaluate.tasks import Task, plan

ONE, THREE = Head("", (1,)), Head("", (3,))
SIGMOIDS = Head("", (3,), "sigmoid")


def kinds(heads, labels, asked="auto"):
    return [task.kind for task in plan(asked, heads, None if labels is None else torch.as_tensor(labels)).tasks]


@pytest.mark.parametrize(
    ("head", "labels", "kind"),
    [
        (THREE, [0, 2, 1], "classes"),
        (THREE, [[0], [2], [1]], "classes"),
        (THREE, None, "classes"),
        (SIGMOIDS, None, "labels"),
        (SIGMOIDS, [[1, 0, 0], [0, 1, 0]], "labels"),
        (THREE, [[1, 0, 1], [0, 1, 0]], "labels"),
        (THREE, [[1, 0, 0], [0, 1, 0]], "classes"),
        (THREE, [[0.5, 0.1, 2.0]], "regression"),
        (THREE, [[5, 1, 2]], "regression"),
        (ONE, [0, 1, 1], "binary"),
        (ONE, [0.5, 1.0], "regression"),
        (ONE, [[0.5], [1.0]], "regression"),
        (ONE, None, "regression"),
        (Head("", (), "sigmoid"), None, "binary"),
        (Head("", (2, 3)), [[0.1] * 6], "regression"),
    ],
)
def test_the_task_is_recognised(head, labels, kind):
    assert kinds([head], labels) == [kind]


@pytest.mark.parametrize(
    ("head", "labels", "asked"),
    [(ONE, [3, 7], "regression"), (THREE, [[1, 0, 0]], "labels"), (ONE, [0.0, 1.0], "binary"), (THREE, [1], "classes")],
)
def test_the_task_can_be_named(head, labels, asked):
    assert kinds([head], labels, asked) == [asked]


@pytest.mark.parametrize(
    ("heads", "labels", "asked", "words"),
    [
        ([ONE], [0, 9], "auto", "run from 0 to 9, but the network has 1 output.*--task regression"),
        ([THREE], [0, 3], "auto", "expected one class index from 0 to 2"),
        ([THREE], [[0.5, 0.2]], "auto", r"expected 3 number\(s\)"),
        ([THREE], [0.5, 0.2], "classes", "expected one class index"),
        ([THREE], [[2, 0, 0]], "labels", "expected 0 or 1 for each of the 3 outputs"),
        ([ONE], [0, 1], "classes", "use --task binary"),
        ([THREE], [0, 1], "binary", "use --task classes"),
        ([THREE], [0, 1], "heads", "has 1 output"),
        ([ONE, THREE], [0, 1], "classes", "has 2 output"),
        ([ONE, THREE], [[0, 1, 1]], "auto", r"one for each output \(2\) or one for each value \(4\)"),
        ([ONE], [0], "sorting", "expected one of auto, classes"),
    ],
)
def test_what_does_not_fit_is_refused(heads, labels, asked, words):
    with pytest.raises(EvaluateError, match=words):
        plan(asked, heads, torch.as_tensor(labels))


def test_one_hot_rows_are_read_as_classes_and_the_notes_say_so():
    found = plan("auto", [THREE], torch.eye(3).long())
    assert found.truths[0].tolist() == [0, 1, 2]
    assert "one-hot" in found.notes[0]


def test_answers():
    values = torch.tensor([[0.5, -1.0, 2.0], [-0.5, -1.0, -2.0]])
    assert Task("classes", THREE).answers(values).tolist() == [2, 0]
    assert Task("labels", THREE).answers(values).tolist() == [[True, False, True], [False] * 3]
    assert Task("binary", ONE).answers(values[:, :1]).tolist() == [1, 0]
    assert np.allclose(Task("regression", SIGMOIDS).answers(values), torch.sigmoid(values).numpy())


def test_heads_share_the_columns_of_the_labels():
    heads = [Head("kind", (3,)), Head("age", (1,))]
    found = plan("auto", heads, torch.tensor([[2, 0.5], [0, 1.5]]))
    assert [task.kind for task in found.tasks] == ["classes", "regression"]
    assert found.truths[0].tolist() == [2, 0] and found.truths[1].tolist() == [[0.5], [1.5]]
    assert "the headline is the first, 'kind'" in found.notes[0]
    record = found.as_record()
    assert (record["kind"], record["headline"]) == ("heads", "classes")
    parts = found.answers(torch.tensor([[0.0, 1.0, 0.5, 7.0]]))
    assert parts[0].tolist() == [1] and parts[1].tolist() == [[7.0]]
    by_value = plan("auto", heads, torch.tensor([[1.0, 0, 0, 0.5]]))
    assert by_value.truths[0].tolist() == [0]
