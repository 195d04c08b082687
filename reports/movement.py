"""Which layer moved: the largest change of work between two runs, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.fields import number, text
from reports.quantities import count

__all__ = ["WORK", "Move", "moved_most", "moves"]

WORK = (("synops", "SynOps"), ("spikes", "spikes"), ("encoder_macs", "MACs on analog input"), ("ann_macs", "MACs"))
"""Columns of the layer table that say how much a layer does, and what people call them."""

Layers = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Move:
    """The layer whose own change of `work` is the largest; `part` is its share of all changes, taken without sign."""

    layer: str
    work: str
    before: float
    after: float
    part: float

    def __str__(self) -> str:
        """The move as a sentence."""
        relative = f" ({100 * (self.after - self.before) / self.before:+.1f} %)" if self.before else ""
        said = f"{count(self.before)} -> {count(self.after)}{relative}, {100 * self.part:.0f} % of all change"
        return f"Layer {self.layer} moved most in {self.work}: {said}."


def moves(base: Layers, head: Layers) -> tuple[Move, ...]:
    """The largest move of SynOps and of spikes (of MACs where neither moved); none where no layer moved."""
    found: list[Move] = []
    for key, name in WORK:
        if len(found) == 2:
            break
        before, after = ({text(row, "name"): number(row, key) or 0.0 for row in layers} for layers in (base, head))
        change = {layer: after.get(layer, 0.0) - before.get(layer, 0.0) for layer in (*before, *after)}
        total = sum(map(abs, change.values()))
        if total:
            layer = max(change, key=lambda which: abs(change[which]))
            part = abs(change[layer]) / total
            found.append(Move(layer, name, before.get(layer, 0.0), after.get(layer, 0.0), part))
    return tuple(found)


def moved_most(base: Layers, head: Layers) -> tuple[str, ...]:
    """`moves` in sentences."""
    return tuple(map(str, moves(base, head)))
