"""Threshold rules: from the statistics of an activation to lam, the activation that a rate of one spike per step means.

max          the largest activation (Diehl et al., IJCNN 2015)
percentile   the p-th percentile, so that outliers do not cost everybody resolution (Rueckauer et al., 2017)
mse          lam that minimises the mean squared error of the T-step staircase (Li et al., ICML 2021):
             Q(x) = lam/T clip(floor(T x / lam + 1/2), 0, T)
iteration    the same goal in closed form for a drive that is normal with the measured mean and variance (Huang et al.,
             ICML 2025, "threshold iteration"): lam <- k lam until k = 1, a unique fixed point
ltb          lam <- lam + 2 mean(relu(a - lam)) from 0, a number of times (Bu et al., CVPR 2025, local threshold
             balancing); few times suit few steps, many times many
spike-norm   the largest charge per step in the spiking network: see `spike_norm.py`

Each is per layer, per channel or per neuron (`granularity.py`). A channel that was never active has nothing to say; it
gets the size of what drives it, which is in the unit of that channel: the layer's value could be off by orders of
magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import CalibrationError
from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.neurons.families import fixed_threshold, takes_both_signs
from convert.normalisation.statistics import BINS, LayerStats

__all__ = ["RULES", "Threshold", "balanced", "iterated", "maximum", "mse", "percentile", "thresholds"]


@dataclass(frozen=True, eq=False)
class Threshold:
    """lam of one activation.

    Parameters
    ----------
    value : Tensor
        Positive, broadcasts against one sample.
    rule : str
        The rule that made it.
    silent : int
        Channels that were never active on the calibration samples.
    """

    value: Tensor
    rule: str
    silent: int = 0


@dataclass(frozen=True)
class _Histogram:
    """Counts (rows, BINS) over [0, width * BINS) and the exact maximum, one row for each threshold wanted.

    `drive_mean` and `drive_deviation` (rows,) are those of what comes before the activation.
    """

    counts: Tensor
    width: Tensor
    high: Tensor
    drive_mean: Tensor
    drive_deviation: Tensor


def maximum(rows: _Histogram, **_: float) -> Tensor:
    """The largest activation of each row."""
    return rows.high


def percentile(rows: _Histogram, percentile: float = 99.9, **_: float) -> Tensor:
    """The p-th percentile of each row, to the upper edge of its bin and never above the maximum."""
    below = rows.counts.cumsum(1)
    wanted = below[:, -1:] * (percentile / 100)
    edge = (below < wanted - 1e-9 * wanted).sum(1) + 1
    return torch.minimum(edge * rows.width, rows.high)


def mse(rows: _Histogram, steps: float = 32, **_: float) -> Tensor:
    """The lam between 2 % and 100 % of the maximum, in steps of 1 %, with the least squared error."""
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) * rows.width[:, None]
    best, error = rows.high.clone(), torch.full_like(rows.high, torch.inf)
    for fraction in torch.arange(1.0, 0.015, -0.01, dtype=torch.float64):
        lam = (rows.high * fraction)[:, None].clamp(min=torch.finfo(torch.float64).tiny)
        staircase = lam / steps * torch.floor(steps * centres / lam + 0.5).clamp(0, steps)
        candidate = (rows.counts * (centres - staircase) ** 2).sum(1)
        better = candidate < error
        best, error = torch.where(better, lam[:, 0], best), torch.where(better, candidate, error)
    return best


def iterated(rows: _Histogram, steps: float = 32, **_: float) -> Tensor:
    """The fixed point of threshold iteration for a rectifier with `steps` levels, never above the maximum.

    k = [n mu/lam (n - sum erf u_i) + n sd/lam sqrt(2/pi) sum exp(-u_i^2)] / [n^2 - sum (2i - 1) erf u_i]
    u_i = ((2i - 1) lam / 2n - mu) / (sqrt(2) sd),   i = 1 .. n
    """
    n, mean, deviation = int(steps), rows.drive_mean[:, None], rows.drive_deviation[:, None].clamp(min=1e-12)
    odd = 2 * torch.arange(1, n + 1, dtype=torch.float64)[None] - 1
    lam = (mean + 3 * deviation).clamp(min=1e-12)
    for _step in range(500):
        u = (odd * lam / (2 * n) - mean) / (2**0.5 * deviation)
        over, density = torch.erf(u), torch.exp(-(u**2))
        above = n * mean / lam * (n - over.sum(1, keepdim=True))
        above = above + n * deviation / lam * (2 / torch.pi) ** 0.5 * density.sum(1, keepdim=True)
        k = (above / (n**2 - (odd * over).sum(1, keepdim=True)).clamp(min=1e-300)).clamp(0.5, 2.0)
        lam = lam * k
        if bool(((k - 1).abs() < 1e-10).all()):
            break
    return torch.minimum(lam[:, 0], rows.high)


def balanced(rows: _Histogram, iterations: float = 1000, **_: float) -> Tensor:
    """Lam after `iterations` rounds of local threshold balancing."""
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) * rows.width[:, None]
    share = rows.counts / rows.counts.sum(1, keepdim=True).clamp(min=1)
    lam = torch.zeros_like(rows.high)
    for _round in range(int(iterations)):
        lam = lam + 2 * (share * (centres - lam[:, None]).clamp(min=0)).sum(1)
    return torch.minimum(lam.clamp(min=torch.finfo(torch.float64).tiny), rows.high)


RULES: dict[str, Callable[..., Tensor]] = {
    "max": maximum, "percentile": percentile, "mse": mse, "iteration": iterated, "ltb": balanced,
}  # fmt: skip


def thresholds(
    graph: Graph, stats: dict[str, LayerStats], rule: str, per_channel: bool, **options: float
) -> dict[str, Threshold]:
    """Lam for every activation of `graph` that `stats` tells of.

    Parameters
    ----------
    rule : one of `RULES`
    per_channel : bool
        One for each row of the statistics, which are per channel or per neuron, or one for each layer.
    options
        ``percentile`` in percent, ``steps`` of the staircase, ``iterations`` of balancing.

    Raises
    ------
    CalibrationError
        A whole layer was silent on the calibration samples.
    """
    found, silent_layers = {}, []
    for node in (node for node in graph.sites() if node.name in stats):
        threshold = _threshold(node, stats[node.name], stats[node.inputs[0]], rule, per_channel, options)
        if threshold is None:
            silent_layers.append(node.place or node.name)
        else:
            found[node.name] = threshold
    if silent_layers:
        raise CalibrationError(
            f"{', '.join(silent_layers)}: no neuron was active on any calibration sample, so no threshold can be "
            "set; calibrate on real samples (--calibration SPEC), in the scaling the network was trained with"
        )
    return found


def _threshold(
    node: Node, stats: LayerStats, drive: LayerStats, rule: str, per_channel: bool, options: dict[str, float]
) -> Threshold | None:
    fixed = fixed_threshold(node.op)
    shape = [1] * len(node.shape)
    if fixed is not None and (takes_both_signs(node.op) or isinstance(node.op, ir.Staircase)):
        return Threshold(torch.full(shape, fixed, dtype=torch.float64), "fixed by the activation")
    if float(stats.high.max()) <= 0:
        return None
    whole = RULES[rule](_merged(stats, drive), **options)
    dead = stats.high <= 0
    lam = whole.expand(len(stats.high))
    if per_channel:
        lam = torch.where(dead, _size(drive, whole), RULES[rule](_rows(stats, drive), **options))
        shape = list(node.shape) if stats.axis is None else [-1 if i == stats.axis else 1 for i in range(len(shape))]
    else:
        lam = whole
    if fixed is not None:
        lam = lam.clamp(max=fixed)
    return Threshold(lam.reshape(shape), rule, int(dead.sum()))


def _size(drive: LayerStats, otherwise: Tensor) -> Tensor:
    """The largest magnitude of what drives each channel; `otherwise` where that is nothing."""
    largest = torch.maximum(drive.high.abs(), drive.low.abs())
    return torch.where(largest > 0, largest, otherwise)


def _rows(stats: LayerStats, drive: LayerStats) -> _Histogram:
    high = stats.high.clamp(min=0)
    return _Histogram(stats.histogram, stats.bin_width, high, drive.mean, drive.variance.sqrt())


def _merged(stats: LayerStats, drive: LayerStats) -> _Histogram:
    """All channels in one histogram: bins of narrower channels fall into those of the widest."""
    top = stats.exponent.max()
    row = torch.zeros(BINS, dtype=torch.float64)
    for exponent in stats.exponent.unique():
        together = stats.histogram[stats.exponent == exponent].sum(0)
        shift = min(int(top - exponent), BINS.bit_length() - 1)
        kept = together.reshape(-1, 2**shift).sum(1)
        row[: len(kept)] += kept
    mean, spread = drive.mean.mean(), drive.variance.mean() + drive.mean.var(unbiased=False)
    width, high = torch.exp2(top.double())[None] / BINS, stats.high.max()[None].clamp(min=0)
    return _Histogram(row[None], width, high, mean[None], spread.sqrt()[None])
