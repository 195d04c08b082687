"""What became of every operation of the user's model, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from convert.errors import NoNeuronError, UnsupportedOpError
from convert.graph import ir
from convert.neurons.pieces import pieces
from convert.reading.refusals import SUPPORTED

__all__ = ["Coverage", "Fate", "check", "describe_node", "refuse_hybrid", "say_what_is_analog"]

Fate = Literal["converted", "exact linear", "approximated", "hybrid", "dropped", "refused", "not reached"]


@dataclass(frozen=True)
class Coverage:
    """One row: an operation of the model and what became of it.

    Parameters
    ----------
    place : str
        Where it stands in the user's model.
    op : str
        The operation as torch names it.
    fate : {"converted", "exact linear", "approximated", "hybrid", "dropped", "refused", "not reached"}
        "hybrid" is a floating-point function at run time; the user has to allow it.
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
    ir.LeakyRelu: ("converted", "signed spiking neurons that keep their count on two slopes"),
    ir.Curve: ("approximated", "signed spiking neurons that keep their count on the curve"),
    ir.AvgPool: ("exact linear", "sum of spikes; its factor goes into the next weights"),
    ir.AdaptiveAvgPool: ("exact linear", "weighted sum of spikes"),
    ir.MaxPool: ("converted", "maximum of the accumulated drive, before the neuron (of spikes after a falling curve)"),
    ir.Add: ("exact linear", "sum of currents"),
    ir.Concat: ("exact linear", "wiring"),
    ir.Reshape: ("exact linear", "wiring"),
    ir.Pad: ("exact linear", "wiring; a border of zeros never fires"),
    ir.Permute: ("exact linear", "wiring"),
    ir.Staircase: ("converted", "spiking neurons with the threshold that the network was trained with"),
    ir.Softmax: ("hybrid", "softmax of running means, in floating point at each step"),
    ir.LayerNorm: ("hybrid", "layer norm of running means, in floating point at each step"),
    ir.MatMul: ("hybrid", "product of running means, in floating point at each step"),
    ir.Identity: ("dropped", "nothing at inference"),
    ir.Input: ("converted", "input current"),
}


def describe_node(place: str, torch_name: str, op: ir.Op) -> Coverage:
    """The row of an operation that has a meaning."""
    fate, becomes = _BECOMES[type(op)]
    return Coverage(place, torch_name, fate, becomes, _table(op) if isinstance(op, ir.Curve) else "")


def _table(op: ir.Curve) -> str:
    """What is approximated in a curve."""
    made = pieces(op.name, op.parameters)
    if not made.error:
        return f"a table of {len(made.rises)} straight pieces, which is exact"
    moved = "; its constant 1/2 goes into the next bias" if op.name == "sigmoid" else ""
    return f"a table of {len(made.rises)} straight pieces, off by at most {made.error:.1g}{moved}"


_ONCE = "acts on the analog input: computed once for a sample, not on spikes (on spikes with --input poisson)"
_PARTLY = "a part of its input is analog: computed on values, not only on spikes"
_FLOATING = "reads floating-point values of a hybrid operation: multiplied at every step, not on spikes"
_READOUT = "synapses of the read-out, which is a sum and not a neuron"


_COMPUTES = (*ir.WEIGHTED, *ir.RUNNING, ir.AvgPool, ir.AdaptiveAvgPool, ir.MaxPool, ir.Add, ir.Affine)


def say_what_is_analog(rows: list[Coverage], graph: ir.Graph, row_of: Mapping[str, int]) -> None:
    """Name in `rows` the operations that no spike reaches, and those behind which there is no neuron."""
    analog, mixed, floating = {graph.input.name}, set[str](), set[str]()
    needed: set[str] = set()
    for node in reversed(graph.nodes):
        if isinstance(node.op, ir.ACTIVATIONS) or node.name in needed:
            needed |= set(node.inputs)
    for node in graph.nodes[1:]:
        fires = isinstance(node.op, ir.ACTIVATIONS)
        if not fires and all(name in analog for name in node.inputs):
            analog.add(node.name)
        elif not fires and any(name in analog | mixed for name in node.inputs):
            mixed.add(node.name)
        at = row_of.get(node.name)
        if at is not None and isinstance(node.op, _COMPUTES):
            reads = any(name in floating for name in node.inputs)
            why = _ONCE if node.name in analog else _FLOATING if reads else _PARTLY if node.name in mixed else ""
            _say(rows, at, node, why, node.name in needed)
        moves = isinstance(node.op, ir.RUNNING) or any(name in floating for name in node.inputs)
        if not fires and node.name not in analog and moves:
            floating.add(node.name)


def _say(rows: list[Coverage], at: int, node: ir.Node, why: str, needed: bool) -> None:
    """Put `why`, if there is something to say, into the row of `node`; one that no neuron needs is the read-out's."""
    becomes = rows[at].becomes if needed or not isinstance(node.op, ir.WEIGHTED) else _READOUT
    rows[at] = replace(rows[at], becomes=becomes, why=why or rows[at].why)


def check(rows: Sequence[Coverage], origin: str, has_neurons: bool) -> None:
    """Refuse a model with unsupported operations, all at once, or without neurons.

    Raises
    ------
    UnsupportedOpError, NoNeuronError
    """
    if refused := [row for row in rows if row.fate == "refused"]:
        lines = [f"  {row.place}: {row.op}: {row.why}" for row in refused]
        message = f"{origin}: {len(refused)} operation(s) cannot be converted:\n" + "\n".join(lines) + f"\n{SUPPORTED}"
        raise UnsupportedOpError(message, tuple(rows))
    if not has_neurons:
        names = sorted({row.op for row in rows}) or ["none"]
        raise NoNeuronError(
            f"{origin}: no activation found, so no neuron would be made (operations: {', '.join(names)}); "
            "expected at least one activation, such as ReLU, tanh, sigmoid or GELU",
            tuple(rows),
        )


def refuse_hybrid(rows: Sequence[Coverage], origin: str) -> None:
    """Refuse a model that needs floating-point functions at run time, which the user has not allowed.

    Raises
    ------
    UnsupportedOpError
        All such operations at once.
    """
    if floating := [row for row in rows if row.fate == "hybrid"]:
        lines = [f"  {row.place}: got {row.op}: {row.becomes}" for row in floating]
        lines = [f"{origin}: {len(floating)} operation(s) have no neuron and no synapse:", *lines]
        way_out = "replace them, or pass --hybrid to keep them as floating-point functions of running means"
        lines.append(f"expected what becomes spikes, such as batch_norm in the place of layer_norm; {way_out}")
        raise UnsupportedOpError("\n".join(lines), tuple(rows))
