"""Which samples were right: what a run file keeps of them, bit by bit."""

import numpy as np

from convert.graph.readout import Head
from evaluate.records import unpack_bits
from evaluate.scores import Decisions
from evaluate.tasks import plan


def test_bits_are_those_of_the_last_step():
    task = plan("classes", (Head("", (3,), "identity"),), None).tasks[0]
    answers = np.array([[0, 1], [1, 2], [2, 0]])
    scores = Decisions(task, answers, np.array([1, 0, 0]), np.array([1, 2, 1]), 0.001)
    record = scores.each()
    assert record["count"] == 3
    bits = {key: unpack_bits(record[key], 3) for key in ("snn_right", "ann_right", "agree")}
    assert bits == {"snn_right": [True, True, False], "ann_right": [True, False, False], "agree": [True, False, True]}
    assert set(Decisions(task, answers, None, None, 0.001).each()) == {"count"}
