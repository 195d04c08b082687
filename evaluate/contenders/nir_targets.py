"""Simulators that import NIR, each run step by step with its own importer.

A target is asked twice: to run the file *as written*, and *restated*: in its importer's conventions of time and gain
(`nir_restated.py`), started at the initial potentials and with the soft reset and single spike per step that the
file's metadata state, where its neurons have such options.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn

from evaluate.contenders.nir_restated import Clock, restated

__all__ = ["TARGETS", "Target", "run_target"]

Trains = dict[str, Tensor]
Loaded = tuple[nn.Module, Any]


@dataclass(frozen=True)
class Target:
    """A simulator.

    Parameters
    ----------
    name : str
        Of its distribution.
    load : callable
        (NIR graph, batch, dt in s, initial potentials of the populations or None: as written) -> module for one
        step, and its first state.
    clock : Clock
        What its importer assumes.
    whole_trains : bool
        Its modules take (batch, time, features) and forget all but one sample's state between calls.
    """

    name: str
    load: Callable[[Any, int, float, Trains | None], Loaded]
    clock: Clock
    whole_trains: bool = False

    def version(self) -> str | None:
        """Its version, None where it is not installed."""
        try:
            return importlib.metadata.version(self.name)
        except importlib.metadata.PackageNotFoundError:
            return None


def _snntorch(graph: Any, batch: int, dt_s: float, starts: Trains | None) -> Loaded:
    from snntorch.import_nir import import_from_nir

    module: nn.Module = import_from_nir(graph)
    for name, start in (starts or {}).items():
        neuron: Any = module.get_submodule(name)
        neuron.reset_mechanism_val, neuron.state_function = torch.tensor(0), neuron._base_sub
        neuron.mem = start.expand(batch, -1) * neuron.threshold  # it rescales thresholds
    return module, None


def _norse(graph: Any, batch: int, dt_s: float, starts: Trains | None) -> Loaded:
    import norse.torch
    from nirtorch.graph_executor import GraphExecutorState
    from norse.torch.functional.iaf import IAFFeedForwardState
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState
    from norse.torch.functional.reset import reset_subtract, reset_value

    reset = reset_value if starts is None else reset_subtract
    module: nn.Module = norse.torch.from_nir(graph, ignore_warnings=True, reset_method=reset, dt=dt_s)
    state = None if starts is None else GraphExecutorState()
    for name, start in (starts or {}).items():
        cell: Any = module.get_submodule(name)
        inner = getattr(cell, "lif", cell)
        kind = LIFBoxFeedForwardState if hasattr(inner.p, "reset_method") else IAFFeedForwardState
        if kind is LIFBoxFeedForwardState:
            inner.p = inner.p._replace(reset_method=reset)
        first = kind(v=start.expand(batch, -1))
        state.state[name] = (first,) if inner is cell else ((None, first),)  # type: ignore[union-attr]
    return module, state


def _sinabs(graph: Any, batch: int, dt_s: float, starts: Trains | None) -> Loaded:
    from sinabs.activation import SingleSpike
    from sinabs.nir import from_nir

    module: nn.Module = from_nir(graph, batch_size=batch)
    for name, start in (starts or {}).items():
        layer: Any = module.get_submodule(name)
        layer.spike_fn, layer.min_v_mem = SingleSpike, None
        layer.init_state_with_shape((batch, start.numel()))
        layer.v_mem = start.expand(batch, -1).clone()
    return module, None


def _rockpool(graph: Any, batch: int, dt_s: float, starts: Trains | None) -> Loaded:
    from rockpool.nn.modules.torch.nir import from_nir

    module: nn.Module = from_nir(graph)
    for name, start in (starts or {}).items():
        layer: Any = module.get_submodule(name)
        layer.vmem, layer.max_spikes_per_dt = start.clone(), torch.tensor(1.0)
    return module, None


TARGETS = (
    Target("snntorch", _snntorch, Clock(1e-4, True, "tau", ("LIF", "CubaLIF"))),
    Target("norse", _norse, Clock(1e-3, True, "one", ("LIF", "CubaLIF"))),  # its IF has no soft reset
    Target("sinabs", _sinabs, Clock(1.0, False, "one", ("IF", "LIF"))),
    Target("rockpool", _rockpool, Clock(1e-3, False, "tau", ("CubaLIF",), synapse_first=True), whole_trains=True),
)
"""Every simulator with a NIR importer that we know of."""


@torch.no_grad()
def run_target(
    target: Target, graph: Any, x: Tensor, names: Sequence[str], dt_s: float, adapted: bool
) -> tuple[Tensor, Trains]:
    """Output and spike trains of the named populations, (steps, batch, *shape), for an input (steps, batch, *shape).

    Raises
    ------
    Exception
        Whatever the simulator raises: the caller makes a verdict of it.
    """
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        given = restated(graph, target.clock, dt_s) if adapted else graph
        starts = {name: _start(graph.nodes[name]) for name in names} if adapted else None
        module, state = target.load(given, x.shape[1], dt_s, starts)
        trains, outputs = _recorded(module, names), []
        for part in x.float().transpose(0, 1)[None] if target.whole_trains else x.float():
            out, state = module(part, state)
            outputs.append(out)
    joined = {name: torch.stack(values) for name, values in trains.items()} | {"": torch.stack(outputs)}
    if target.whole_trains:
        joined = {name: value[0].transpose(0, 1) for name, value in joined.items()}
    return joined.pop(""), joined


def _start(node: Any) -> Tensor:
    """Its initial potential: a row, zero where the file has none."""
    metadata = getattr(node, "metadata", {})
    return torch.as_tensor(metadata.get("v_init", 0 * node.v_threshold)).float().reshape(-1)


def _recorded(module: nn.Module, names: Sequence[str]) -> dict[str, list[Tensor]]:
    """Lists that fill with the outputs of the named submodules.

    Raises
    ------
    LookupError
        A population that the importer left out.
    """
    parts = dict(module.named_children())
    if lost := [name for name in names if name not in parts]:
        raise LookupError(f"the importer left out {', '.join(lost)}")
    trains: dict[str, list[Tensor]] = {name: [] for name in names}
    for name in names:

        def keep(module: nn.Module, given: Any, out: Any, name: str = name) -> None:
            first = out[0] if isinstance(out, tuple) else out
            trains[name].append(first.detach().clone())

        parts[name].register_forward_hook(keep)
    return trains
