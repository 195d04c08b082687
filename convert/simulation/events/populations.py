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
from functools import cached_property

import torch
from torch import Tensor

from convert.lattice import fraction_bits
from convert.network import Site
from convert.neurons.adaptive import AdaptiveNeuron
from convert.neurons.graded import GradedNeuron, halving
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron, decay
from convert.neurons.synapse import Synapse
from convert.simulation.events.library import Layer, Source, kernel, team
from convert.simulation.events.planes import Planes, geometry, words_of
from convert.simulation.events.weights import Part, listed_level
from convert.simulation.events.wiring import Connection, Drive

__all__ = ["LAWS", "Neurons", "Population", "Receiver", "law_of"]

LAWS = {LeakyNeuron: 1, HardResetNeuron: 2, GradedNeuron: 3, AdaptiveNeuron: 4}
"""Neurons that the kernel knows -> `Law` of events.cpp."""

_DRIVE = 0

_NO_TALLY = (-1, torch.empty(0), torch.empty(0))

_APART = 16
"""Rows that are added in the time that one more level costs at one place in one step, about."""


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

    def window(self) -> dict[str, tuple[int, int]]:
        """Of the max pooling: the kernel's names -> (height, width)."""
        op = self.drive.maximum
        assert op is not None  # the caller has asked
        found = {"pool": op.kernel, "pool_stride": op.stride, "pool_dilation": op.dilation, "pool_pad": op.padding}
        first = {"pool_pad": 0}  # of an image of one line
        return {k: (v[0], v[1]) if len(v) == 2 else (first.get(k, 1), v[0]) for k, v in found.items()}

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

    def _rare(self, spikes: Planes, plane: int, connection: Connection) -> bool:
        """Whether it costs less to list the spikes of a plane as often as they are worth than to add them apart."""
        level = spikes.levels[plane]
        inputs = connection.weight.shape[1:].numel()
        return level == 0 or (2**level - 1) * inputs * spikes.density(plane) < _APART

    def layer(self, part: Part, planes: Mapping[tuple[str, str | None], Planes], batch: int, steps: int) -> Layer:
        """The kernel's argument for `part`, as far as it does not depend on the neurons."""
        _, height, width = geometry(self.shape)
        found: list[Source] = []
        for i, c in enumerate(self.drive.connections):
            spikes = planes[c.source, c.pool]
            in_h, in_w = geometry(spikes.shape)[1:]
            for p, (level, negative) in enumerate(zip(spikes.levels, spikes.negative, strict=True)):
                listed = level <= listed_level(c) and self._rare(spikes, p, c)
                found.append(
                    Source(
                        spikes.bits[p].data_ptr(), in_h, in_w, spikes.bits.shape[-1], *part.words[i],
                        *c.weight.shape[2:], *c.stride, *c.padding, *c.dilation, part.rows[i],
                        0 if listed else level, int(negative), 2**level if listed else 1,
                    )
                )  # fmt: skip
        found.sort(key=lambda s: (-s.level, s.negative, s.row))
        layer = Layer(
            first=0, last=batch * height, out_h=height, out_w=width, steps=steps, neurons=part.neurons,
            width=self.width, source_count=len(found), rows=part.weight.shape[1] - 1, weight=part.weight.data_ptr(),
            weight_bytes=part.weight.element_size(), together=part.together, tile=part.tile,
        )  # fmt: skip
        layer.sources = (Source * len(found))(*found)
        layer.line_h, layer.line_w = height, width
        if self.drive.maximum is not None:
            layer.line_h, layer.line_w = geometry(self.drive.before)[1:]
            for name, sizes in self.window().items():
                setattr(layer, f"{name}_h", sizes[0])
                setattr(layer, f"{name}_w", sizes[1])
        return layer


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of a site in the kernel's terms, as far as they do not depend on samples."""

    receiver: Receiver
    site: Site
    dt_s: float
    synapse: Synapse
    starts: dict[torch.dtype, Tensor] = field(default_factory=dict)

    @cached_property
    def law(self) -> int:
        """The kernel's number for it."""
        return LAWS[type(self.site.neuron)]

    @cached_property
    def decays(self) -> tuple[float, float]:
        """Alpha of the synapse once many steps have passed, beta of the membrane."""
        return self.synapse.alpha, decay(self.dt_s, self.site.neuron.tau_mem_s)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Magnitudes of a spike, in quanta."""
        neuron = self.site.neuron
        return neuron.values if isinstance(neuron, GradedNeuron) else (1.0,)

    @cached_property
    def signed(self) -> bool:
        """Whether spikes can be negative."""
        return self.law == LAWS[AdaptiveNeuron] or getattr(self.site.neuron, "takes_back", False)

    @cached_property
    def quanta(self) -> Tensor:
        """The table of an adaptive neuron, in float64."""
        neuron = self.site.neuron
        return torch.tensor(neuron.quanta if isinstance(neuron, AdaptiveNeuron) else (), dtype=torch.float64)

    def gains(self, start: int, stop: int) -> Tensor:
        """Weight of the newest spike in an adaptive neuron's rate, in each of the steps start + 1 .. stop."""
        neuron = self.site.neuron
        steps = range(start + 1, stop + 1)
        gains = [neuron.gain(t, self.dt_s) for t in steps] if isinstance(neuron, AdaptiveNeuron) else []
        return torch.tensor(gains, dtype=torch.float64)

    def alphas(self, start: int, stop: int) -> Tensor:
        """Alpha of the synapse in each of the steps start + 1 .. stop."""
        return torch.tensor([self.synapse.decay(t) for t in range(start + 1, stop + 1)], dtype=torch.float64)

    @cached_property
    def room(self) -> tuple[int, int]:
        """(places, width) of the state of one sample."""
        _, height, width = geometry(self.receiver.shape)
        return height * width, self.receiver.width

    @cached_property
    def initial(self) -> Tensor | None:
        """The membrane at the start, (places, width) in quanta; None where it is zero."""
        if not bool(self.site.initial.any()):
            return None
        channels = geometry(self.receiver.shape)[0]
        start = torch.zeros(self.room, dtype=torch.float64)
        start[:, :channels] = self.site.initial.double().expand(self.receiver.shape).reshape(channels, -1).T
        return start

    def start(self, quantum: float, kind: torch.dtype) -> Tensor | None:
        """The same in the membrane's unit and type."""
        if self.initial is None:
            return None
        if kind not in self.starts:  # which says the unit
            self.starts[kind] = (self.initial * quantum).to(kind)
        return self.starts[kind]

    @cached_property
    def bias(self) -> Tensor:
        """The drive without spikes and constant inputs, (width,) in quanta."""
        flat = torch.zeros(self.receiver.width, dtype=torch.float64)
        flat[: len(self.receiver.drive.bias)] = self.receiver.drive.bias
        return flat

    @cached_property
    def most_steps(self) -> int:
        """Steps for which membrane, drive and all that is sent are whole numbers of lattice units within 32 bits."""
        receiver, (alpha, beta) = self.receiver, self.decays
        on_lattice = (fraction_bits(t, receiver.bits) is not None for t in (self.site.initial, receiver.drive.bias))
        if not self.site.neuron.on_lattice or beta != 1 or alpha or receiver.drive.constant or not all(on_lattice):
            return 0
        step = max(receiver.bound + float(receiver.drive.bias.abs().max()), 1.0)
        return int((2.0 ** (31 - receiver.bits) - float(self.site.initial.abs().max())) / step) - 2

    def bytes_per_sample(self, steps: int) -> int:
        """Of the state, and of the spikes of a block of `steps`, with what they are pooled to."""
        arrays = 2 + 2 * (self.law >= LAWS[GradedNeuron]) + 2 * (self.decays != (0.0, 1.0)) + 2  # what comes out, too
        if self.receiver.drive.maximum is not None:
            arrays += 2 * math.prod(self.receiver.window()["pool"])
        planes = len(self.values) * (2 if self.signed else 1) * 3
        return math.prod(self.room) * ((4 if self.most_steps else 8) * arrays + planes * steps // 8)


@dataclass(eq=False)
class Population:
    """Neurons on one batch: their state, and one block of steps after the other.

    Parameters
    ----------
    base : Tensor, optional
        Drive without spikes, (batch, *shape) in quanta, where samples have their own.
    steps : int
        Of the whole run.
    """

    neurons: Neurons
    base: Tensor | None
    batch: int
    steps: int
    state: dict[str, Tensor] = field(init=False)
    left: Tensor = field(init=False)
    done: int = 0
    tallied: tuple[int, Tensor, Tensor] = field(init=False)
    """The step after which it was made, and what `_tally` gives."""

    def __post_init__(self) -> None:
        """Choose the membrane's type, and start."""
        neurons, receiver = self.neurons, self.neurons.receiver
        self.receiver = receiver
        self.left = torch.zeros((), dtype=torch.float64)
        self.tallied = _NO_TALLY
        self.real = self.steps > neurons.most_steps
        self.quantum = 1.0 if self.real else 2.0**receiver.bits
        kind = torch.float64 if self.real else torch.int32
        room = (self.batch, *neurons.room)
        self.start = neurons.start(self.quantum, kind)
        names = ["v", "sent"]  # which the kernel begins itself
        if neurons.law in (LAWS[GradedNeuron], LAWS[AdaptiveNeuron]):
            names.append("fired")
        if neurons.law == LAWS[AdaptiveNeuron]:
            names.append("rate")
        self.state = {name: torch.empty(room, dtype=kind) for name in names}
        self.resting, self.stride = self._resting(kind)
        if receiver.drive.maximum is not None:
            window = math.prod(receiver.window()["pool"])
            self.state["sums"] = torch.zeros((*room[:2], window, room[2]), dtype=kind)
            if neurons.decays[0]:
                self.state["currents"] = torch.zeros((*room[:2], window, room[2]), dtype=kind) + self.resting
        if self.real and neurons.decays != (0.0, 1.0):  # the synaptic current starts at the value at rest
            self.state["current"] = torch.zeros(room, dtype=torch.float64) + self.resting

    def _resting(self, kind: torch.dtype) -> tuple[Tensor, int]:
        """The drive without spikes in the membrane's unit, and its stride from place to place."""
        if self.base is None:
            return (self.neurons.bias * self.quantum).to(kind), 0
        channels = geometry(self.receiver.shape)[0]
        image = self.base.reshape(self.batch, channels, -1).transpose(1, 2)
        resting = torch.empty((*image.shape[:2], self.receiver.width), dtype=kind)
        resting[..., :channels] = image
        resting[..., channels:] = 0
        return resting, self.receiver.width

    def run(self, planes: Mapping[tuple[str, str | None], Planes], steps: int) -> Planes:
        """The spikes of a block of steps."""
        receiver, neurons, signed = self.receiver, self.neurons, self.neurons.signed
        quanta, gains = neurons.quanta, neurons.gains(self.done, self.done + steps)
        alphas = neurons.alphas(self.done, self.done + steps)
        _, height, width = geometry(receiver.shape)
        levels = range(len(neurons.values))[::-1]
        count = len(levels) * (2 if signed else 1)
        words = receiver.width // 32
        out = torch.empty((count, self.batch, height * width, steps, words), dtype=torch.int32)
        for part in receiver.parts:
            layer = receiver.layer(part, planes, self.batch, steps)
            layer.law, layer.real, layer.values, layer.takes_back = neurons.law, self.real, len(levels), signed
            at = part.first * self.state["v"].element_size()
            layer.base, layer.base_place = self.resting.data_ptr() + at, self.stride
            layer.unit, (layer.alpha, layer.beta) = 2.0**-receiver.bits, neurons.decays
            layer.alphas = alphas.data_ptr()
            threshold = neurons.site.neuron.v_threshold * self.quantum
            layer.threshold, layer.quantum = threshold if self.real else math.ceil(threshold), self.quantum
            layer.fresh = not self.done
            layer.start = None if self.start is None else self.start.data_ptr() + at
            for name, tensor in self.state.items():
                setattr(layer, name, tensor.data_ptr() + at)
            layer.quanta, layer.gains, layer.entries = quanta.data_ptr(), gains.data_ptr(), len(quanta)
            layer.out, layer.out_plane = out.data_ptr(), out.stride(0)
            layer.out_words, layer.out_word = words, part.first // 32
            _run(layer)
        both = (*levels, *levels) if signed else tuple(levels)
        self.done += steps
        negative = tuple(i >= len(levels) for i in range(count))
        return Planes(out, both, negative, min(neurons.values), receiver.shape)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples; the others have left."""
        self.batch = len(index)
        self.state = {name: value[index] for name, value in self.state.items()}
        self.resting = self.resting[index] if self.stride else self.resting
        self.tallied = _NO_TALLY

    def leave(self, index: Tensor, kept: Tensor, block: Planes, counted: bool) -> Tensor | None:
        """Some samples leave in the midst of the last block; what they sent until then stays in the numbers of spikes.

        Parameters
        ----------
        index : Tensor (n,) of int64
        kept : Tensor (n,) of int64
            Steps of the block until then.
        block : Planes
            Its spikes, as `run` gave them.
        counted : bool

        Returns
        -------
        Tensor (n, *shape) or None
            As `counts`, if `counted`.
        """
        sent, numbers = self._tally(index, counted)
        block.take_back(index, kept, sent, numbers)
        self.left = self.left + self._image(numbers[None])[0]
        return None if sent is None else self._image(sent)

    def counts(self) -> Tensor:
        """Sum of the values sent by every neuron, (batch, *shape) in float32, which holds it exactly."""
        return self._image(self._all()[0])

    def emitted(self) -> Tensor:
        """Number of spikes, summed over all samples that there were: (*shape) in float64."""
        return self._image(self._all()[1][None])[0] + self.left

    def _all(self) -> tuple[Tensor, Tensor]:
        """`_tally` of all samples after the last step, made once."""
        if self.tallied[0] != self.done:
            sent, numbers = self._tally(None, True)
            assert sent is not None  # it was asked for
            self.tallied = self.done, sent, numbers
        return self.tallied[1:]

    def _tally(self, index: Tensor | None, counted: bool) -> tuple[Tensor | None, Tensor]:
        """Of some samples: what each has sent, in quanta, if that is asked for, and the numbers of spikes of all."""
        sent, library = self.state["sent"], kernel()
        assert library is not None  # there is a receiver
        n = len(sent) if index is None else len(index)
        which = None if index is None else index.data_ptr()
        unit = 1 / self.quantum if self.neurons.law == LAWS[GradedNeuron] else 1.0
        values = torch.empty((n, *sent.shape[1:]), dtype=torch.float32) if counted else None
        numbers = torch.empty(sent.shape[1:], dtype=torch.float64)
        size = numbers.numel()

        def tally(state: Tensor, scaled: Tensor | None) -> None:
            library.events_tally(state.data_ptr(), self.real, which, n, size, unit,
                                 None if scaled is None else scaled.data_ptr(), numbers.data_ptr())  # fmt: skip

        if counted or "fired" not in self.state:
            tally(sent, values)
        if "fired" in self.state:  # values are no numbers of spikes
            tally(self.state["fired"], None)
        return values, numbers

    def _image(self, values: Tensor) -> Tensor:
        """Values of the neurons of each place, (n, places, width), in the shape of the population."""
        channels = geometry(self.receiver.shape)[0]
        return values[..., :channels].transpose(1, 2).reshape(len(values), *self.receiver.shape)


def _run(layer: Layer) -> None:
    library = kernel()
    assert library is not None  # there is a receiver
    library.events_run(ctypes.byref(layer), torch.get_num_threads(), team())
