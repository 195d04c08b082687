"""Runs a NIR graph as NIR defines its nodes, knowing nothing about who wrote it: the judge of our exports.

The differential equations are solved exactly over a step of `dt_s` for inputs that are constant in it, in float64.
A neuron integrates, then compares (z = v > v_threshold), then resets to v_reset where it fired. Edges that
enter one node add up. An edge that closes a cycle (in a depth-first walk from the inputs) brings the value of the step
before. Potentials start at the node's metadata `v_init` where there is one, else at zero; the metadata `decays` holds
what is left of a synaptic current in each step, instead of exp(-dt / tau).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convert.errors import UnsupportedOpError

__all__ = ["NirExecutor"]

State = dict[str, Tensor]
Step = Callable[[Any, Tensor, State, float], Tensor]


def _t(array: Any) -> Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float64))


def _relax(v: Tensor, towards: Tensor, gain_r: Tensor, current: Tensor, decay: Tensor) -> Tensor:
    """The solution of tau dv/dt = (towards - v) + R I after dt, with decay = exp(-dt / tau)."""
    return decay * v + (1 - decay) * towards + ((1 - decay) * gain_r) * current


def _li(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    state["v"] = _relax(state["v"], _t(node.v_leak), _t(node.r), x, _synaptic_decay(node, state, _t(node.tau), dt_s))
    return state["v"]


def _synaptic_decay(node: Any, state: State, tau: Tensor, dt_s: float) -> Tensor:
    """exp(-dt / tau), or what the node's metadata say of this step."""
    table = _given(node, "decays")
    if table is None:
        return torch.exp(-dt_s / tau)
    step = int(state.get("steps", torch.zeros(())))
    state["steps"] = torch.tensor(step + 1.0)
    return table[min(step, len(table) - 1)]


def _given(node: Any, name: str) -> Tensor | None:
    """A number, or several, of the node's metadata."""
    metadata = getattr(node, "metadata", None)  # older versions of nir have none
    given = metadata.get(name) if isinstance(metadata, Mapping) else None
    return None if given is None else _t(given)


def _i(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    state["v"] = state["v"] + (_t(node.r) * dt_s) * x
    return state["v"]


def _fire(node: Any, state: State) -> Tensor:
    spikes = (state["v"] > _t(node.v_threshold)).double()
    reset = getattr(node, "v_reset", 0.0)  # absent means zero
    state["v"] = torch.where(spikes > 0, _t(reset).expand_as(spikes), state["v"])
    return spikes


def _lif(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    _li(node, x, state, dt_s)
    return _fire(node, state)


def _if(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    _i(node, x, state, dt_s)
    return _fire(node, state)


def _cuba_li(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    zero = torch.zeros((), dtype=torch.float64)
    decay = _synaptic_decay(node, state, _t(node.tau_syn), dt_s)
    state["i"] = _relax(state.get("i", zero), zero, _t(node.w_in), x, decay)
    state["v"] = _relax(state["v"], _t(node.v_leak), _t(node.r), state["i"], torch.exp(-dt_s / _t(node.tau_mem)))
    return state["v"]


def _cuba_lif(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    _cuba_li(node, x, state, dt_s)
    return _fire(node, state)


def _conv(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    conv: Callable[..., Tensor] = F.conv1d if node.weight.ndim == 3 else F.conv2d
    stride, padding, dilation = (_plain(value) for value in (node.stride, node.padding, node.dilation))
    return conv(x, _t(node.weight), _t(node.bias), stride, padding, dilation, int(node.groups))


def _plain(value: Any) -> Any:
    value = value.decode() if isinstance(value, bytes) else value
    return value if isinstance(value, str) else [int(v) for v in np.atleast_1d(value)]


def _pool(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    divisor = 1 if type(node).__name__ == "SumPool2d" else None
    sizes = [_plain(value) for value in (node.kernel_size, node.stride, node.padding)]
    return F.avg_pool2d(x, sizes[0], sizes[1], sizes[2], divisor_override=divisor)


def _flatten(node: Any, x: Tensor, state: State, dt_s: float) -> Tensor:
    first, last = int(node.start_dim), int(node.end_dim)
    return x.flatten(first + 1 if first >= 0 else first, last + 1 if last >= 0 else last)


STEPS: dict[str, Step] = {
    "Input": lambda node, x, state, dt_s: x,
    "Output": lambda node, x, state, dt_s: x,
    "Affine": lambda node, x, state, dt_s: F.linear(x, _t(node.weight), _t(node.bias)),
    "Linear": lambda node, x, state, dt_s: F.linear(x, _t(node.weight)),
    "Scale": lambda node, x, state, dt_s: x * _t(node.scale),
    "Threshold": lambda node, x, state, dt_s: (x > _t(node.threshold)).double(),
    "Conv1d": _conv, "Conv2d": _conv, "SumPool2d": _pool, "AvgPool2d": _pool, "Flatten": _flatten,
    "LI": _li, "I": _i, "LIF": _lif, "IF": _if, "CubaLI": _cuba_li, "CubaLIF": _cuba_lif,
}  # fmt: skip
"""NIR node type -> its output in one step, as NIR defines it."""


class NirExecutor:
    """A NIR graph with one input and one output, ready to run.

    Parameters
    ----------
    graph : nir.NIRGraph
    dt_s : float
        Length of a step in the unit of the graph's time constants.

    Raises
    ------
    UnsupportedOpError
        Node types without a step here.
    """

    def __init__(self, graph: Any, dt_s: float) -> None:
        """Order the nodes."""
        unknown = sorted({type(node).__name__ for node in graph.nodes.values()} - set(STEPS))
        if unknown:
            raise UnsupportedOpError(f"NIR graph: nodes of type {', '.join(unknown)}; known: {', '.join(STEPS)}")
        self.nodes, self.dt_s = dict(graph.nodes), dt_s
        edges = [(str(a), str(b)) for a, b in graph.edges]
        self.order, late = _ordered(list(self.nodes), edges, _named(graph, "Input"))
        self.early = {name: [a for a, b in edges if b == name and (a, b) not in late] for name in self.nodes}
        self.late = {name: [a for a, b in edges if b == name and (a, b) in late] for name in self.nodes}
        self.output = _named(graph, "Output")[0]

    @torch.no_grad()
    def run(self, x: Tensor, record: Sequence[str] = ()) -> dict[str, Tensor]:
        """Output and the values of the recorded nodes, each (steps, batch, *shape), for an input of that form."""
        states = {name: self._start(name) for name in self.nodes}
        before: dict[str, Tensor] = {}
        kept: dict[str, list[Tensor]] = {name: [] for name in (*record, self.output)}
        for t in range(len(x)):
            now: dict[str, Tensor] = {}
            for name in self.order:
                arriving = [now[a] for a in self.early[name]] + [before[a] for a in self.late[name] if a in before]
                total = torch.stack(torch.broadcast_tensors(*arriving)).sum(0) if arriving else x[t].double()
                now[name] = STEPS[type(self.nodes[name]).__name__](self.nodes[name], total, states[name], self.dt_s)
            before = now
            for name, values in kept.items():
                values.append(now[name])
        return {name: torch.stack(values) for name, values in kept.items()}

    def _start(self, name: str) -> State:
        given = _given(self.nodes[name], "v_init")
        return {"v": torch.zeros((), dtype=torch.float64) if given is None else given}


def _named(graph: Any, kind: str) -> list[str]:
    found = [name for name, node in graph.nodes.items() if type(node).__name__ == kind]
    if len(found) != 1:
        raise UnsupportedOpError(f"NIR graph: {len(found)} nodes of type {kind}; expected one")
    return found


def _ordered(
    names: list[str], edges: list[tuple[str, str]], roots: list[str]
) -> tuple[list[str], set[tuple[str, str]]]:
    """A topological order, and the edges that close cycles in a depth-first walk from `roots`."""
    following: dict[str, list[str]] = {name: [b for a, b in edges if a == name] for name in names}
    done: list[str] = []
    entered: set[str] = set()
    late: set[tuple[str, str]] = set()
    for root in [*roots, *names]:
        path = [] if root in entered else [(root, iter(following[root]))]
        entered.add(root)
        on_path = {root}
        while path:
            name, rest = path[-1]
            step = next(rest, None)
            if step is None:
                done.append(name)
                on_path.discard(name)
                path.pop()
            elif step in on_path:
                late.add((name, step))
            elif step not in entered:
                entered.add(step)
                on_path.add(step)
                path.append((step, iter(following[step])))
    return done[::-1], late
