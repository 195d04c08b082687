"""What became of every operation of the user's model, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from convert.errors import NoNeuronError, UnsupportedOpError
from convert.graph import ir

__all__ = ["Coverage", "Fate", "check", "describe_node"]

Fate = Literal["converted", "exact linear", "approximated", "dropped", "refused"]


@dataclass(frozen=True)
class Coverage:
    """One row: an operation of the model and what became of it.

    Parameters
    ----------
    place : str
        Where it stands in the user's model.
    op : str
        The operation as torch names it.
    fate : {"converted", "exact linear", "approximated", "dropped", "refused"}
    becomes : str
        What it is in the spiking network.
    why : str
        For a refusal: what to change. For an approximation: what is approximated.
    """

    place: str
    op: str
    fate: Fate
    becomes: str
    why: str = ""

    def as_record(self) -> dict[str, str]:
        """The row as plain JSON."""
        return asdict(self)


_BECOMES: dict[type, tuple[Fate, str]] = {
    ir.Linear: ("exact linear", "synapses"),
    ir.Conv: ("exact linear", "synapses"),
    ir.BatchNorm: ("exact linear", "folded into weights, or a gain of its own"),
    ir.Affine: ("exact linear", "gain and offset"),
    ir.Relu: ("converted", "spiking neurons"),
    ir.Clamp: ("converted", "spiking neurons that saturate"),
    ir.Tanh: ("converted", "signed spiking neurons with a growing quantum"),
    ir.AvgPool: ("exact linear", "sum of spikes; its factor goes into the next weights"),
    ir.AdaptiveAvgPool: ("exact linear", "weighted sum of spikes"),
    ir.MaxPool: ("converted", "maximum of the accumulated drive, before the neuron"),
    ir.Add: ("exact linear", "sum of currents"),
    ir.Concat: ("exact linear", "wiring"),
    ir.Reshape: ("exact linear", "wiring"),
    ir.Identity: ("dropped", "nothing at inference"),
    ir.Input: ("converted", "input current"),
}


def describe_node(place: str, torch_name: str, op: ir.Op) -> Coverage:
    """The row of an operation that has a meaning."""
    fate, becomes = _BECOMES[type(op)]
    return Coverage(place, torch_name, fate, becomes)


def check(rows: Sequence[Coverage], origin: str, has_neurons: bool) -> None:
    """Refuse a model with unsupported operations, all at once, or without neurons.

    Raises
    ------
    UnsupportedOpError, NoNeuronError
    """
    if refused := [row for row in rows if row.fate == "refused"]:
        lines = [f"  {row.place}: {row.op}: {row.why}" for row in refused]
        raise UnsupportedOpError(f"{origin}: {len(refused)} operation(s) cannot be converted:\n" + "\n".join(lines))
    if not has_neurons:
        names = sorted({row.op for row in rows}) or ["none"]
        raise NoNeuronError(
            f"{origin}: no activation found, so no neuron would be made (operations: {', '.join(names)}); "
            "expected at least one ReLU, ReLU6, hard tanh or tanh"
        )
