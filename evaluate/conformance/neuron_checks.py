"""What a single integrate-and-fire neuron must do.

With threshold 1, potential V, drive z in every step, and subtraction of 1 with each spike, T steps bring the charge
T z. After each step V lies in [0, 1) as long as 0 <= z <= 1, so the spikes are S = floor(T z + V_0). Where T z is a
whole number, S = T z for any start V_0 in [0, 1): the answer does not depend on a convention.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from evaluate.conformance.contract import Answer, Check
from evaluate.conformance.drives import calibration, column, linear, row

__all__ = ["NEURON_CHECKS", "fires_in_turns", "resets_to_zero"]

_T = 16


def _relay(n: int) -> nn.Sequential:
    """`n` neurons, each with a synapse of weight 1, and a read-out that shows each."""
    eye = torch.eye(n)
    return nn.Sequential(linear(eye), nn.ReLU(), linear(eye))


def _driven(name: str, why: str, z: Sequence[float], expected: Answer, steps: int = _T, **more: object) -> Check:
    """Neurons with the constant drives `z`."""
    n = len(z)
    return Check(name, why, lambda: _relay(n), calibration([0.0] * n, [1.0] * n), row(z), steps, (expected,),
                 **more)  # type: ignore[arg-type]  # fmt: skip


def resets_to_zero(z: float, steps: int) -> int:
    """Spikes of a neuron that forgets the remainder: it needs ceil(1 / z) steps for each, floor(steps / ceil(1 / z)).

    >>> resets_to_zero(3 / 8, 24), resets_to_zero(1.0, 24)
    (8, 24)
    """
    return int(steps // -(-1 // z))


def fires_in_turns(steps: int) -> int:
    """Spikes for drive 3/4 where potentials are halved in each step: every second step.

    After a spike let 0 <= V < 1/4. Then V / 2 + 3/4 < 1: no spike; V / 4 + 3/8 + 3/4 >= 9/8 > 1: a spike, and V / 4 +
    1/8 < 1/4 is left. Without a spike before it, V = 0 is such a start.

    >>> fires_in_turns(16)
    8
    """
    return steps // 2


_REMAINDERS = (3 / 8, 5 / 8, 7 / 8)

_DEBT = Check(
    "debt",
    "a floor under the potential forgives inhibition, and neurons fire that should not",
    # b fires every fourth step and takes 3, a fires in every step and gives 1. With start 0, b fires at t = 4 k: three
    # spikes, then V = -2, and from there one spike in four steps: T / 4 + 2. With start 1/2, b fires at t = 4 k - 2 and
    # the neuron at 4 k - 3: T / 4.
    lambda: nn.Sequential(linear(torch.eye(2)), nn.ReLU(), linear([[1.0, -3.0]]), nn.ReLU(), linear([[1.0]])),
    calibration([0.0, 1.0], [1.0, 0.0]),
    row([1.0, 0.25]),
    64,
    ((64 // 4 + 2,), (64 // 4,)),
)

NEURON_CHECKS = (
    _driven("spike count", "rates scaled by anything but the threshold shift every activation",
            [k / _T for k in range(_T + 1)], tuple(range(_T + 1)), values=(0.0, 1.0)),
    _driven("saturation", "a neuron that sends several spikes per step is no one-bit neuron: its T is another T",
            [1.0, 2.0, 3.0], (_T, _T, _T), values=(0.0, 1.0)),
    _driven("below zero", "a rectifier is silent there; spikes of the other sign are another neuron",
            [-1.0, -1 / 16], (0, 0), values=(0.0, 1.0)),
    _driven("remainder", "reset to zero discards what is above the threshold and loses up to half of a rate",
            _REMAINDERS, tuple(int(24 * z) for z in _REMAINDERS), 24),
    _driven("no leak", "a leak eats small drives first: faint activations vanish", [1 / 32, 1 / 16], (1, 2), 32),
    _DEBT,
    Check("samples apart", "state shared between the samples of a batch makes results depend on the batch",
          lambda: _relay(1), calibration([0.0], [1.0]), column([k / _T for k in range(_T + 1)]), _T,
          (tuple(range(_T + 1)),)),
    _driven("fresh start", "potentials left over from the last input, or a model changed by converting it",
            [3 / 16, 11 / 16], (3, 11), times=2),
    _driven("option: reset to zero", "papers compare the two resets; an option that is ignored makes them equal",
            (*_REMAINDERS, 1.0), tuple(resets_to_zero(z, 24) for z in (*_REMAINDERS, 1.0)), 24,
            options={"reset": "zero"}),
    _driven("option: leak", "V <- V / 2 + z, threshold 1: below z = 1/2 never a spike, as V stays under 2 z",
            [1 / 4, 1 / 2, 3 / 4, 1.0], (0, 0, fires_in_turns(_T), _T), options={"decay": 0.5}),
)  # fmt: skip
"""In the order of the table."""
