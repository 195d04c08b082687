"""Activation functions by name: what they compute, where they turn, and what they reach at most.

A curve is increasing, or falls up to one turning point and rises from there (GELU, SiLU, hard swish, Mish).

sources   GELU: Hendrycks and Gimpel 2016; SiLU: Elfwing et al. 2018; hard swish: Howard et al., ICCV 2019; ELU: Clevert
          et al., ICLR 2016; SELU: Klambauer et al., NeurIPS 2017; CELU: Barron 2017; Mish: Misra, BMVC 2020
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CURVES", "LIMITS", "PARAMETERS", "evaluate", "turning_point"]

CURVES: dict[str, Callable[..., Tensor]] = {
    "sigmoid": torch.sigmoid,
    "centred_sigmoid": lambda x: torch.sigmoid(x) - 0.5,
    "log_sigmoid": F.logsigmoid,
    "softplus": lambda x, beta, threshold: F.softplus(x, beta, threshold),
    "softsign": lambda x: x / (1 + x.abs()),
    "elu": lambda x, alpha: F.elu(x, alpha),
    "selu": lambda x: F.selu(x),
    "celu": lambda x, alpha: F.celu(x, alpha),
    "gelu": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": lambda x: F.silu(x),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "mish": lambda x: F.mish(x),
    "tanhshrink": lambda x: x - torch.tanh(x),
    "softshrink": lambda x, bound: F.softshrink(x, bound),
    "hardshrink": lambda x, bound: F.hardshrink(x, bound),
}
"""Name -> f(x, *parameters)."""

PARAMETERS = {"softplus": 2, "elu": 1, "celu": 1, "softshrink": 1, "hardshrink": 1}
"""How many numbers a curve takes, where it takes any."""

LIMITS = {"sigmoid": 1.0, "centred_sigmoid": 0.5, "softsign": 1.0}
"""What |f| cannot exceed."""


def evaluate(name: str, parameters: tuple[float, ...], x: Tensor) -> Tensor:
    """f(x).

    >>> evaluate("elu", (1.0,), torch.tensor([2.0]))
    tensor([2.])
    """
    return CURVES[name](x, *parameters)


@lru_cache(maxsize=64)
def turning_point(name: str, parameters: tuple[float, ...] = ()) -> float | None:
    """Where the curve has its minimum, to 2^-12; None where it rises everywhere.

    >>> turning_point("softplus", (1.0, 20.0)) is None
    True
    """
    x = torch.arange(-32.0, 32.0, 2.0**-12, dtype=torch.float64)
    y = evaluate(name, parameters, x)
    at = int(y.argmin())
    return float(x[at]) if float(y[0] - y[at]) > 1e-6 else None
