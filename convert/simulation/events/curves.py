"""Neurons that keep their count on a curve of their charge, in the kernel: no spikes are listed, every neuron works.

The operations are those of `convert.neurons.tracking`, in its order, so the spikes are the same. Only the piece of the
curve is found in another way: not by bisection but from a table of equal cells, each of which knows a piece that lies
above none of its values; from there on upwards, by the same comparisons.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from convert.network import Site
from convert.neurons.leaky import decay
from convert.neurons.tracking import CurveNeuron, TrackingState
from convert.simulation.events.library import Tracked, kernel

__all__ = ["track"]

_CELLS = 4
"""For each piece of the curve."""


def track(
    site: Site, neuron: CurveNeuron, state: TrackingState, current: Tensor, steps: int, dt_s: float
) -> tuple[TrackingState, Tensor]:
    """Spikes of the population at `site` over a block of steps, as `convert.simulation.kernels.scan` gives them.

    Parameters
    ----------
    state
        In float64.
    current : Tensor
        (steps, batch, *shape) in float32 or float64, or (1, batch, *shape) where it is constant.

    Returns
    -------
    state, spikes : the new state; (steps, batch, *shape) in float32
    """
    library, images = kernel(), current.ndim == 5
    assert library is not None  # the caller has asked
    drive = _inside(current, 2)
    charge, count = _inside(state.charge, 1).clone(), _inside(state.count, 1).clone()
    spikes = torch.empty((steps, *charge.shape), dtype=torch.float32)
    breaks, rises, offsets = neuron.table(charge)
    low, per_unit, first = _cells(breaks)
    units, spikes_per = (site.threshold / site.quantum).double(), site.threshold.double().reciprocal()
    apart = max(units.numel(), spikes_per.numel()) > 1
    if apart:
        shape = current.shape[2:]
        units, spikes_per = (_inside(value.expand(shape), 0) for value in (units, spikes_per))
    beta, windows = decay(dt_s, neuron.tau_mem_s), [state.window]
    for _ in range(steps):
        windows.append(beta * windows[-1] + 1.0)
    window = torch.tensor(windows[1:], dtype=torch.float64)
    inverse = torch.tensor([1.0 / w for w in windows[1:]], dtype=torch.float64)
    tracked = Tracked(
        size=charge.numel(), neurons=charge[0].numel(), steps=steps,
        drive=drive.data_ptr(), drive_step=charge.numel() if len(drive) > 1 else 0, drive_bytes=drive.element_size(),
        charge=charge.data_ptr(), count=count.data_ptr(), spikes=spikes.data_ptr(), beta=beta,
        threshold=neuron.v_threshold, windows=window.data_ptr(), inverse=inverse.data_ptr(), units=units.data_ptr(),
        spikes_per=spikes_per.data_ptr(), apart=apart, breaks=breaks.data_ptr(), rises=rises.data_ptr(),
        offsets=offsets.data_ptr(), break_count=len(breaks), low=low, per_unit=per_unit, first=first.data_ptr(),
        cells=len(first),
    )  # fmt: skip
    library.events_track(ctypes.byref(tracked))
    if images:
        charge, count, spikes = charge.movedim(-1, 1), count.movedim(-1, 1), spikes.movedim(-1, 2)
    return TrackingState(charge, count, windows[-1]), spikes


def _inside(x: Tensor, before: int) -> Tensor:
    """`x` (some that come before, *shape) with the channels of an image innermost, one number after the other."""
    return (x.movedim(before, -1) if x.ndim == before + 3 else x).contiguous()


def _cells(breaks: Tensor) -> tuple[float, float, Tensor]:
    """Where the first cell begins, cells per unit, and the piece from which on to look in each: (cells,) of int32."""
    low, high = float(breaks[0]), float(breaks[-1])
    cells = _CELLS * (len(breaks) + 1) if high > low else 1
    per_unit = cells / (high - low) if high > low else 1.0
    # From half a cell below its edge: the rounding of (x - low) per_unit cannot bring a lower number into it.
    edges = low + (torch.arange(cells, dtype=torch.float64) - 0.5) / per_unit
    first = torch.bucketize(edges, breaks, right=True).int()
    first[0] = 0  # all that lies below goes there, too, however close its edge is
    return low, per_unit, first
