"""A population, or a weighted layer, of which the kernel computes a block of steps.

In lattice units, membrane and drive are 32-bit integers: that is exact for neurons without leak. With leak or
synaptic filter the drive is exact all the same, and the membrane is in double precision, with the operations in the
order of the dense engine; so both give the same spikes.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convert.lattice import fraction_bits
from convert.network import Site
from convert.neurons.graded import GradedNeuron, halving
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron, decay
from convert.simulation.events.library import Layer, Source, kernel
from convert.simulation.events.planes import Planes, geometry, words_of
from convert.simulation.events.weights import Part, listed_level
from convert.simulation.events.wiring import Drive

__all__ = ["LAWS", "Population", "Receiver", "law_of"]

LAWS = {LeakyNeuron: 1, HardResetNeuron: 2, GradedNeuron: 3}
"""Neurons that the kernel knows -> `Law` of events.cpp."""

_DRIVE = 0


def law_of(site: Site) -> int | None:
    """The kernel's number for the law of `site`, None where it has none."""
    neuron = site.neuron
    if isinstance(neuron, GradedNeuron) and neuron.values != halving(len(neuron.values)):
        return None
    return LAWS.get(type(neuron))


@dataclass(frozen=True, eq=False)
class Receiver:
    """A node whose drive comes from spikes, ready for the kernel.

    Parameters
    ----------
    bits : int
        The drive is in units of 2^-bits quanta.
    bound : float
        The largest drive, in quanta.
    """

    shape: tuple[int, ...]
    drive: Drive
    parts: tuple[Part, ...]
    bits: int
    bound: float

    @property
    def width(self) -> int:
        """Neurons at each place, with those that fill the last word."""
        return 32 * words_of(geometry(self.shape)[0])

    def drives(self, planes: Mapping[tuple[str, str | None], Planes], batch: int, steps: int) -> Tensor:
        """The sum of the weights of the spikes of each step, without bias: (steps, batch, *shape) in float64."""
        channels, height, width = geometry(self.shape)
        out = torch.empty((steps, batch, height * width, self.width), dtype=torch.int32)
        for part in self.parts:
            layer = self.layer(part, planes, batch, steps)
            layer.law = _DRIVE
            layer.drive = out.data_ptr() + 4 * part.first
            layer.drive_step = out.stride(0)
            _run(layer)
        image = out[..., :channels].unflatten(2, (height, width)).movedim(-1, 2).double().mul_(2.0**-self.bits)
        return image.reshape(steps, batch, *self.shape)

    def layer(self, part: Part, planes: Mapping[tuple[str, str | None], Planes], batch: int, steps: int) -> Layer:
        """The kernel's argument for `part`, as far as it does not depend on the neurons."""
        _, height, width = geometry(self.shape)
        found: list[Source] = []
        for i, c in enumerate(self.drive.connections):
            spikes = planes[c.source, c.pool]
            in_h, in_w = geometry(spikes.shape)[1:]
            for p, (level, negative) in enumerate(zip(spikes.levels, spikes.negative, strict=True)):
                listed = level <= listed_level(c)
                found.append(
                    Source(
                        spikes.bits[p].data_ptr(), in_h, in_w, spikes.bits.shape[-1], *part.words[i],
                        *c.weight.shape[2:], *c.stride, *c.padding, *c.dilation, part.rows[i],
                        0 if listed else level, int(negative), 2**level if listed else 1,
                    )
                )  # fmt: skip
        found.sort(key=lambda s: (-s.level, s.negative, s.row))
        layer = Layer(
            first=0, last=batch, out_h=height, out_w=width, steps=steps, neurons=part.neurons, width=self.width,
            source_count=len(found), rows=part.weight.shape[1] - 1, weight=part.weight.data_ptr(),
            weight_bytes=part.weight.element_size(), together=part.together, tile=part.tile,
        )  # fmt: skip
        layer.sources = (Source * len(found))(*found)
        return layer


@dataclass(eq=False)
class Population:
    """The neurons of a site on one batch: their state, and one block of steps after the other.

    Parameters
    ----------
    base : Tensor
        Drive without spikes, (neurons,) or (batch, *shape), in quanta.
    most_steps : int
        Steps of the whole run.
    """

    receiver: Receiver
    site: Site
    base: Tensor
    batch: int
    most_steps: int
    dt_s: float
    real: bool = field(init=False)
    state: dict[str, Tensor] = field(init=False)
    left: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Choose the membrane's type, and start."""
        self.left = torch.zeros((), dtype=torch.float64)
        neuron, receiver = self.site.neuron, self.receiver
        self.law = law_of(self.site)
        self.beta, self.alpha = decay(self.dt_s, neuron.tau_mem_s), decay(self.dt_s, neuron.tau_syn_s)
        self.values = neuron.values if isinstance(neuron, GradedNeuron) else (1.0,)
        self.real = not self._is_integer()
        self.quantum = 1.0 if self.real else 2.0**receiver.bits
        kind = torch.float64 if self.real else torch.int32
        channels, height, width = geometry(receiver.shape)
        room = (self.batch, height * width, receiver.width)
        v = torch.zeros(room, dtype=kind)
        if bool(self.site.initial.any()):
            initial = self.site.initial.double().expand(receiver.shape).reshape(channels, -1)
            v[:, :, :channels] = (initial.T * self.quantum).to(kind)
        self.state = {"v": v, "sent": torch.zeros(room, dtype=kind)}
        if self.law == LAWS[GradedNeuron]:
            self.state["fired"] = torch.zeros(room, dtype=kind)
        self.resting, self.stride = self._resting(kind, room)
        if self.real:  # the synaptic current starts at the value at rest
            self.state["current"] = torch.zeros(room, dtype=torch.float64) + self.resting.reshape(
                room if self.stride else (1, 1, -1)
            )

    def _is_integer(self) -> bool:
        """Whether membrane, drive and everything sent are whole numbers of lattice units within 32 bits."""
        bits = self.receiver.bits
        if self.beta != 1 or self.alpha or self.receiver.drive.constant:
            return False
        if fraction_bits(self.site.initial, bits) is None or fraction_bits(self.base, bits) is None:
            return False
        step = self.receiver.bound + float(self.base.abs().max())
        most = float(self.site.initial.abs().max()) + max(step, 1.0) * (self.most_steps + 1)
        return most * 2.0**bits < 2**31

    def _resting(self, kind: torch.dtype, room: tuple[int, ...]) -> tuple[Tensor, int]:
        """The drive without spikes in the membrane's unit, and its stride from place to place."""
        channels = geometry(self.receiver.shape)[0]
        if self.base.ndim == 1:
            flat = torch.zeros(room[2], dtype=torch.float64)
            flat[:channels] = self.base * self.quantum
            return flat.to(kind), 0
        full = torch.zeros(room, dtype=torch.float64)
        full[:, :, :channels] = self.base.reshape(self.batch, channels, -1).transpose(1, 2) * self.quantum
        return full.to(kind), room[2]

    def run(self, planes: Mapping[tuple[str, str | None], Planes], steps: int) -> Planes:
        """The spikes of a block of steps."""
        receiver, signed = self.receiver, getattr(self.site.neuron, "takes_back", False)
        _, height, width = geometry(receiver.shape)
        levels = [len(self.values) - 1 - k for k in range(len(self.values))]
        count = len(levels) * (2 if signed else 1)
        words = receiver.width // 32
        out = torch.empty((count, self.batch, height * width, steps, words), dtype=torch.int32)
        for part in receiver.parts:
            layer = receiver.layer(part, planes, self.batch, steps)
            layer.law, layer.real, layer.values, layer.takes_back = self.law, self.real, len(self.values), signed
            at = part.first * self.state["v"].element_size()
            layer.base, layer.base_place = self.resting.data_ptr() + at, self.stride
            layer.unit, layer.alpha, layer.beta = 2.0**-receiver.bits, self.alpha, self.beta
            threshold = self.site.neuron.v_threshold * self.quantum
            layer.threshold, layer.quantum = threshold if self.real else math.ceil(threshold), self.quantum
            for name, tensor in self.state.items():
                setattr(layer, name, tensor.data_ptr() + at)
            layer.out, layer.out_plane = out.data_ptr(), out.stride(0)
            layer.out_words, layer.out_word = words, part.first // 32
            _run(layer)
        both = (*levels, *levels) if signed else tuple(levels)
        negative = tuple(i >= len(levels) for i in range(count))
        return Planes(out, both, negative, min(self.values), receiver.shape)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples."""
        everyone = self.emitted()
        self.batch = len(index)
        self.state = {name: value[index] for name, value in self.state.items()}
        self.resting = self.resting[index] if self.stride else self.resting
        self.left = everyone - (self.emitted() - self.left)

    def counts(self) -> Tensor:
        """Sum of the values sent by every neuron, (batch, *shape) in float32, which holds it exactly."""
        worth = 1.0 if self.law != LAWS[GradedNeuron] else 1 / self.quantum
        return self._image(self.state["sent"].float()) * worth

    def emitted(self) -> Tensor:
        """Number of spikes, summed over all samples that there were: (*shape) in float64."""
        spikes = self.state["fired" if "fired" in self.state else "sent"]
        return self._image(spikes.double().sum(0, keepdim=True))[0] + self.left

    def _image(self, values: Tensor) -> Tensor:
        """Values of the neurons of each place, (n, places, width), in the shape of the population."""
        channels = geometry(self.receiver.shape)[0]
        return values[..., :channels].transpose(1, 2).reshape(len(values), *self.receiver.shape)


def _run(layer: Layer) -> None:
    library = kernel()
    assert library is not None  # there is a receiver
    library.events_run(ctypes.byref(layer))
