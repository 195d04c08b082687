"""Which layer moved: the largest change of work between two runs, layer by layer."""

from __future__ import annotations

from evaluate.records import Run
from reports.fields import number, text
from reports.quantities import count

__all__ = ["moved_most"]

_WORK = (("synops", "SynOps"), ("spikes", "spikes"), ("encoder_macs", "MACs on analog input"), ("ann_macs", "MACs"))


def moved_most(base: Run, head: Run) -> tuple[str, ...]:
    """One sentence for spikes and one for SynOps (MACs where neither moved); none where no layer moved.

    The layer is the one whose own change is the largest; its part is that of all changes, taken without sign.
    """
    said: list[str] = []
    for key, name in _WORK:
        if len(said) == 2:
            break
        before, after = ({text(row, "name"): number(row, key) or 0.0 for row in run.layers} for run in (base, head))
        moves = {layer: after.get(layer, 0.0) - before.get(layer, 0.0) for layer in (*before, *after)}
        total = sum(map(abs, moves.values()))
        if not total:
            continue
        layer = max(moves, key=lambda which: abs(moves[which]))
        old, new = before.get(layer, 0.0), after.get(layer, 0.0)
        relative = f" ({100 * (new - old) / old:+.1f} %)" if old else ""
        part = f"{100 * abs(moves[layer]) / total:.0f} % of all change"
        said.append(f"Layer {layer} moved most in {name}: {count(old)} -> {count(new)}{relative}, {part}.")
    return tuple(said)
