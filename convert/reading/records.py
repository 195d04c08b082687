"""Records: what a pickle of `torch.save` says, without executing anything that it names.

torch's restricted unpickler (`weights_only=True`) runs the pickle; every class of `torch.nn` that it asks for is
answered with an inert stand-in that only keeps its state.
"""

from __future__ import annotations

import inspect
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, _weights_only_unpickler, nn

from convert.errors import CorruptFileError, LoadError, UnsafeFileError
from convert.reading.growth import refuse_growing_pickle

__all__ = ["MOST_LAYERS", "Record", "read_records", "state_of_record", "tensors_of"]

MOST_LAYERS = 10_000
"""Layers of a network, counted as often as they are used: thirty containers, each twice in the next, make a billion."""

_StandIn = Callable[..., Any] | tuple[Callable[..., Any], str]


class Record:
    """Stand-in for an instance of a class that the file names."""

    real: type[nn.Module] | None = None

    def __new__(cls, *args: object) -> Record:
        """Refuse to be called with arguments: an instance is restored from its state, never constructed."""
        if args:
            raise UnsafeFileError(f"the file tries to call {cls.__name__}(...)")
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Keep the state as it is."""
        self.state = state


def _stand_ins() -> list[_StandIn]:
    """A recorder for each layer class of `torch.nn`, with the name by which a pickle asks for it."""
    classes = [c for _, c in inspect.getmembers(nn, inspect.isclass) if issubclass(c, nn.Module)]
    return [
        (type(c.__name__, (Record,), {"real": c}), f"{c.__module__}.{c.__name__}")
        for c in classes
        if c.__module__.startswith("torch.nn.modules.")
    ]


def state_of_record(record: Record) -> dict[Any, Any]:
    """What the file says about the instance; nothing if that is no table."""
    state = getattr(record, "state", None)
    return state if isinstance(state, dict) else {}


def tensors_of(record: Record, path: Path) -> dict[str, Tensor]:
    """The state_dict of a module that is only known by its records.

    Raises
    ------
    CorruptFileError
        Layers inside layers without end.
    """
    found: dict[str, Tensor] = {}
    waiting, visited = [(record, "")], 0
    while waiting:
        here, prefix = waiting.pop()
        visited += 1
        if visited > MOST_LAYERS:
            raise CorruptFileError(
                f"{path}: more than {MOST_LAYERS:,} layers, or a layer that contains itself; expected what torch.save "
                "writes: save it again"
            )
        state = state_of_record(here)
        transient = state.get("_non_persistent_buffers_set") or ()
        for table in ("_parameters", "_buffers"):
            for name, value in _items(state.get(table)):
                if isinstance(value, Tensor) and (table == "_parameters" or name not in transient):
                    found[f"{prefix}{name}"] = value
        children = [(child, f"{prefix}{name}.") for name, child in _items(state.get("_modules"))]
        waiting += [(child, name) for child, name in reversed(children) if isinstance(child, Record)]
    return found


def _items(table: Any) -> list[tuple[Any, Any]]:
    return list(table.items()) if isinstance(table, dict) else []


def read_records(path: Path, any_class: bool) -> Any:
    """What the file holds, with a `Record` in the place of each module.

    Parameters
    ----------
    any_class : bool
        Stand-ins for the classes of others as well; they give their tensors and nothing else.

    Raises
    ------
    UnsafeFileError
        The pickle names something else; all such names are listed.
    CorruptFileError
    """
    foreign: list[_StandIn] = [(type(n, (Record,), {}), n) for n in _unsafe_globals(path)] if any_class else []
    stand_ins = _stand_ins() + foreign
    refuse_growing_pickle(path, str(path))
    try:
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{path}: {error}; refused, nothing was executed; save the model again") from error
    except pickle.UnpicklingError as error:
        raise _refusal(path, error) from error
    except Exception as error:  # a damaged pickle program fails in as many ways as it has instructions
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, MemoryError) or "allocate" in reason:
            reason = "it asks for more memory than there is"
        raise CorruptFileError(
            f"{path}: truncated or damaged ({reason[:200]}); expected a file written by torch.save: save it again"
        ) from error


def _refusal(path: Path, error: pickle.UnpicklingError) -> LoadError:
    # torch wraps the reason in advice, and the advice is to read the file without protection
    reason = (str(error.__context__ or "").strip().splitlines() or ["unreadable"])[0]
    if reason.startswith("Only persistent_load of storage"):
        return UnsafeFileError(
            f"{path}: a whole module in the format of torch before 1.6, which carries its classes as code; nothing was "
            "executed. expected its weights, or a file of today, from the script that has the model:\n"
            "  torch.save(model.state_dict(), 'weights.pt')      then --arch net.py:Net\n"
            "  torch.save(model, 'model.pt')                     for networks of torch.nn layers"
        )
    wanted = _unsafe_globals(path) or re.findall(r"GLOBAL (\S+)", reason)
    if not wanted:
        return CorruptFileError(f"{path}: damaged pickle ({reason[:200]}); save the model again with torch.save")
    return UnsafeFileError(
        f"{path}: this pickle asks for {', '.join(wanted)}, which would run code; nothing was executed.\n"
        "expected an nn.Module made of torch.nn classes (nn.Sequential(...)). Two ways out:\n"
        f"  python -m convert {path} --arch net.py:Net         where net.py holds the class of the network\n"
        "  torch.export.save(torch.export.export(model.eval(), (x,)), 'model.pt2')     in the script that has the model"
    )


def _unsafe_globals(path: Path) -> list[str]:
    """What the pickle asks for beyond tensors and layers, found without running it."""
    known = {entry[1] for entry in _stand_ins() if isinstance(entry, tuple)}
    try:
        if zipfile.is_zipfile(path):
            wanted = set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        else:
            wanted = _globals_of_old_file(path) - set(_weights_only_unpickler._get_allowed_globals())
    except Exception:  # a damaged pickle; the caller reports that instead
        return []
    return sorted(wanted - known)


def _globals_of_old_file(path: Path) -> set[str]:
    """The names in the four pickles that stand one after the other in a file from before torch 1.6."""
    found: set[str] = set()
    with path.open("rb") as file:
        for _ in range(4):
            found |= {str(arg).replace(" ", ".", 1) for op, arg, _ in pickletools.genops(file) if op.name == "GLOBAL"}
    return {name.replace("__builtin__.", "builtins.") for name in found}
