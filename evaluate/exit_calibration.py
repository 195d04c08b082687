"""The threshold of a margin rule from samples that nothing was fitted to, with a stated rate of changed decisions.

For one sample let c be the largest accumulated margin at which a step before the last one names another class than
the last one does (0 if there is none). A rule with threshold lam >= c never stops the sample with an answer that would
have changed: at every step at which it may stop, the margin exceeds c. So the share of changed decisions is at most
P(c > lam), and lam has to be an upper *tolerance limit* of c.

**Proposition** (Wilks 1941). Of n independent samples take the (k + 1)-th largest c as lam. Then, with confidence
1 - delta over the draw of the n samples, P(c > lam) <= alpha, if P(Binomial(n, alpha) <= k) <= delta.

*Proof.* Let q be the infimum of the values that c exceeds with probability at most alpha; P(c > q) <= alpha, for the
distribution function is continuous from the right. If lam >= q, P(c > lam) <= alpha. Otherwise lam < q, so at most k of
the n samples reach q or more, and each does so with P(c >= q) >= alpha: that has at most the probability
P(Binomial(n, alpha) <= k) <= delta. No assumption on the distribution of c is made.

k is the largest that fulfils it. That is the same as asking the exact upper limit of Clopper and Pearson for k of n to
be at most alpha, and a case of risk control with a loss that is made monotone (Bates et al. 2021).

It holds for samples drawn like those of the calibration. A network is surer of what it was trained on than of what is
new: calibrated on its training samples, the rate need not hold on others, and the run says which share changed there.

Sources: S. S. Wilks, Determination of sample sizes for setting tolerance limits, Ann. Math. Stat. 12:91, 1941; C. J.
Clopper and E. S. Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika
26:404, 1934; S. Bates et al., Distribution-free, risk-controlling prediction sets, J. ACM 68(6), 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from scipy.special import bdtr, betaincinv
from torch import Tensor

from convert.errors import ConfigError
from evaluate.exit_rules import MarginRule, accumulated_margin
from evaluate.tasks import Task

__all__ = ["CONFIDENCE", "MOST", "allowed_changes", "critical_margins", "fit_margin", "wanted_samples"]

CONFIDENCE = 0.95

MOST = 10_000
"""The most samples that a threshold is calibrated on, however small the rate."""

_EXPECTED_CHANGES = 20
"""As many samples as to expect so many changes at the rate: then about half of the rate is lost to the confidence."""

_SOURCE = "Wilks, Ann. Math. Stat. 12:91, 1941; Clopper and Pearson, Biometrika 26:404, 1934"


def wanted_samples(rate: float) -> int:
    """How many calibration samples a rate asks for.

    >>> wanted_samples(0.005), wanted_samples(1e-6)
    (4000, 10000)
    """
    return min(MOST, math.ceil(_EXPECTED_CHANGES / rate))


def allowed_changes(n: int, rate: float) -> int | None:
    """The largest k with P(Binomial(n, rate) <= k) <= 5 %; None where not even k = 0 has it.

    >>> allowed_changes(4000, 0.005), allowed_changes(299, 0.01), allowed_changes(298, 0.01)
    (12, 0, None)
    """
    k = -1
    while k + 1 < n and bdtr(k + 1, n, rate) <= 1 - CONFIDENCE:
        k += 1
    return k if k >= 0 else None


def critical_margins(output: Tensor, task: Task, delay: int) -> Tensor:
    """The c of every sample, (samples,), from the read-outs of all steps (steps, samples, *output shape)."""
    last = torch.as_tensor(task.answers(output[-1].flatten(1)))
    found = torch.zeros(output.shape[1], dtype=torch.float64)
    for step, said in enumerate(output[:-1], start=1):
        other = torch.as_tensor(task.answers(said.flatten(1))) != last
        other = other.any(1) if other.ndim > 1 else other
        margins = accumulated_margin(said, step, task.kind, delay)
        found = torch.where(other, torch.maximum(found, margins), found)
    return found


def fit_margin(critical: Tensor, rate: float, task: Task, delay: int, described: Sequence[str] = ()) -> MarginRule:
    """The margin rule that changes at most a share `rate` of the decisions, with 95 % confidence.

    Parameters
    ----------
    critical : Tensor (samples,)
        Of `critical_margins`.
    described : sequence of str
        Where the samples come from.

    Raises
    ------
    ConfigError
        Too few samples for that rate.
    """
    n = len(critical)
    allowed = allowed_changes(n, rate)
    if allowed is None:
        raise ConfigError(_too_few(n, rate))
    threshold = float(critical.sort(descending=True).values[allowed])
    origin: dict[str, Any] = {
        "rate": rate, "confidence": CONFIDENCE, "samples": n, "changes_allowed": allowed,
        "changes_found": int((critical > threshold).sum()),
        "upper_bound": float(betaincinv(allowed + 1, n - allowed, CONFIDENCE)),
        "calibration": " ".join(described), "source": _SOURCE,
    }  # fmt: skip
    return MarginRule(task.kind, threshold, delay, origin)


def _too_few(n: int, rate: float) -> str:
    """Why this rate cannot be stated, and what can be done."""
    needed = math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-rate))
    least = "" if n == 0 else f"; margin:{_percent(1 - (1 - CONFIDENCE) ** (1 / n))} is the least that these allow"
    return (
        f"--early-exit margin:{100 * rate:.10g}%: got {n} calibration samples that set no threshold; expected at least "
        f"{needed} for this rate at {100 * CONFIDENCE:g} % confidence{least}: name a larger rate, a smaller "
        "--calibration-samples, or more samples with --calibration"
    )


def _percent(share: float) -> str:
    """`share` in percent, rounded up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(share)) - 1)
    return f"{100 * unit * math.ceil(share / unit):.10g}%"
