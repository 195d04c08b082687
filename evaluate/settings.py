"""What a conversion says about its costs beside the counts: bits to compare with, model time, kinds of spikes."""

from __future__ import annotations

from collections.abc import Sequence

from convert import Conversion
from convert.neurons.counting import CountingNeuron
from convert.neurons.radix import RadixNeuron
from evaluate.assumptions import payload_bits
from evaluate.energy import matched_bits
from evaluate.pricing import Setting

__all__ = ["activation_bits", "no_break_even", "setting_of"]


def setting_of(conversion: Conversion, steps: Sequence[int]) -> Setting:
    """What the costs of `conversion` at the recorded `steps` depend on beside the counts."""
    network = conversion.snn
    return Setting(
        steps=tuple(steps),
        bits=tuple(activation_bits(conversion, t) for t in steps),
        inference_s=tuple((t + network.look_ahead_steps()) * network.dt_s for t in steps),
        payload_bits=payload_bits(network),
        look_ahead=network.look_ahead,
        has_ann=conversion.ann is not None,
        hybrid=bool(network.hybrid()),
        no_break_even=no_break_even(conversion),
        populations=len(network.sites),
        depth=network.depth(),
        readout_delay=network.readout_delay,
        sequential=network.code == "radix",
    )


def activation_bits(conversion: Conversion, steps: int) -> int:
    """Bits of an activation of the quantised ANN that tells as many values apart as the spikes of a neuron do.

    In a rate code ``ceil(log2(T + 1))``, with the payload of T spikes in place of T where spikes carry one. The counts
    of an exact or a radix code have as many values as their neuron has levels, however long the run.
    """
    neurons = [site.neuron for site in conversion.snn.sites.values()]
    levels = [n.span if isinstance(n, CountingNeuron) else n.highest
              for n in neurons if isinstance(n, CountingNeuron | RadixNeuron)]  # fmt: skip
    return matched_bits(max(levels, default=steps * max(1, 2 ** payload_bits(conversion.snn) - 1)))


def no_break_even(conversion: Conversion) -> str:
    """Why the break-even of a rate code does not hold for this network; empty where it does."""
    network = conversion.snn
    if network.hybrid():
        return "a hybrid network computes in floating point in every step, which no number of spikes stands for"
    if network.look_ahead:
        return "a network that looks ahead spikes and updates before its first step, so its cost is not a rate times T"
    return {
        "exact": "the spikes of an exact code are signed corrections until rest, not a rate times T",
        "radix": "a spike of a radix code is a binary digit, not a unit of a rate",
        "differential": "the spikes of a differential code are corrections, which do not grow in proportion to T",
    }.get(network.code, "")
