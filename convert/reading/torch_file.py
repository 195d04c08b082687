"""Files that `torch.save` wrote, read without executing anything they name.

A pickle is a program. This one is run by torch's restricted unpickler (`weights_only=True`), and every
`torch.nn` class that it asks for is answered with an inert stand-in that only records its state. Only when
the whole file has been read, and every record has been found to hold nothing but plain values, tensors and
other records, are real modules made from it. A file that asks for anything else is refused with the list of
what it asked for - unless the user names the network's code: then its classes get stand-ins as well, which
give their weights and nothing else.
"""

from __future__ import annotations

import inspect
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, _weights_only_unpickler, nn

from convert.errors import CorruptFileError, IncompleteModelError, LoadError, UnknownFormatError, UnsafeFileError
from convert.reading.archive import refuse_hostile_archive
from convert.reading.sources import Source
from convert.reading.weights import Weights, find_weights, rounding_notes, way_out

__all__ = ["load", "load_module"]

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)

_OTHERS = {"torchscript": "TorchScript", "pt2": "torch.export"}

_StandIn = Callable[..., Any] | tuple[Callable[..., Any], str]


class _Record:
    """Stand-in for an instance of a class that the file names."""

    real: type[nn.Module] | None = None

    def __new__(cls, *args: object) -> _Record:
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
        (type(c.__name__, (_Record,), {"real": c}), f"{c.__module__}.{c.__name__}")
        for c in classes
        if c.__module__.startswith("torch.nn.modules.")
    ]


def load(source: Source, weights_only: bool = False) -> tuple[nn.Module | Weights, tuple[str, ...]]:
    """What the file holds, in evaluation mode and on the CPU: a module, or weights without one; and notes.

    Parameters
    ----------
    weights_only : bool
        The user says what the network is: take the weights of any class, and nothing else.

    Raises
    ------
    UnsafeFileError
        The pickle names something other than tensors and `torch.nn` layers; all such names are listed.
    IncompleteModelError
        Neither a module nor weights.
    CorruptFileError
        Truncated or damaged.
    LoadError
        Something else than a module.
    """
    path = source.path
    if zipfile.is_zipfile(path):
        refuse_hostile_archive(path, str(path))
    foreign: list[_StandIn] = [(type(n, (_Record,), {}), n) for n in _unsafe_globals(path)] if weights_only else []
    content = _unpickle(path, _stand_ins() + foreign)
    if isinstance(content, dict):
        whole = [value for value in content.values() if isinstance(value, _Record) and "_modules" in _state(value)]
        content = whole[0] if len(whole) == 1 else content
    if isinstance(content, _Record) and weights_only:
        content = dict(_tensors_of(content, "", set()))
    if isinstance(content, dict):
        weights = find_weights(content, source)
        return weights, weights.notes
    if not isinstance(content, _Record):
        raise LoadError(
            f"{path}: holds a {type(content).__name__}; expected an nn.Module made of torch.nn classes, "
            "saved with torch.save(model, path)"
        )
    try:
        module = _Rebuilder(path).module(content, "model")
        notes = rounding_notes(module.state_dict())
        return module.float().eval().requires_grad_(False), notes
    except RecursionError as error:
        raise CorruptFileError(
            f"{path}: layers nested too deep, or a value that contains itself; expected what torch.save "
            "writes: save it again"
        ) from error


def load_module(source: Source) -> nn.Module:
    """The module in the file; see `load`.

    Raises
    ------
    LoadError
    """
    if source.kind != "torch-pickle":
        raise UnknownFormatError(
            f"{source.path}: a {_OTHERS.get(source.kind, source.kind)} file; expected one written by "
            "torch.save(model, path): open_model() reads the others"
        )
    content, _ = load(source)
    if isinstance(content, Weights):
        raise IncompleteModelError(
            f"{source.path}: holds {content.described}: weights without a network; expected a whole module.\n"
            f"{way_out(source.path)}"
        )
    return content


def _state(record: _Record) -> dict[Any, Any]:
    state = getattr(record, "state", None)
    return state if isinstance(state, dict) else {}


def _tensors_of(record: _Record, prefix: str, above: set[int]) -> Iterator[tuple[str, Tensor]]:
    """The state_dict of a module that is only known by its records."""
    state = _state(record)
    transient = state.get("_non_persistent_buffers_set") or ()
    for table in ("_parameters", "_buffers"):
        for name, value in (state.get(table) or {}).items():
            if isinstance(value, Tensor) and (table == "_parameters" or name not in transient):
                yield f"{prefix}{name}", value
    for name, child in (state.get("_modules") or {}).items():
        if isinstance(child, _Record) and id(child) not in above:
            yield from _tensors_of(child, f"{prefix}{name}.", above | {id(record)})


def _unpickle(path: Path, stand_ins: list[_StandIn]) -> Any:
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


class _Rebuilder:
    """Real modules from records, after checking every value in them."""

    def __init__(self, path: Path) -> None:
        """Tensors may hold no more numbers than the file has bytes."""
        self.path = path
        self.budget = path.stat().st_size
        self.made: dict[int, nn.Module] = {}
        self.open: set[int] = set()
        self.seen: set[int] = set()

    def module(self, record: _Record, place: str) -> nn.Module:
        """The module that `record` describes; one record gives one module, however often it is used."""
        if id(record) in self.made:
            return self.made[id(record)]
        if id(record) in self.open:
            raise self._damaged(place, "contains itself")
        self.open.add(id(record))
        state = getattr(record, "state", None)
        if not isinstance(state, dict):
            raise self._damaged(place, "has no state")
        values = {key: self._member(key, value, f"{place}.{key}") for key, value in state.items()}
        if missing := {"_modules", "_parameters", "_buffers"} - values.keys():
            raise self._damaged(place, f"lacks {', '.join(sorted(missing))}")
        assert record.real is not None  # the only stand-ins without one are those of `weights_only`
        module: nn.Module = record.real.__new__(record.real)
        module.__setstate__(values)  # the layer's own, which completes what older versions did not save
        self.made[id(record)] = module
        return module

    def _member(self, key: Any, value: Any, place: str) -> Any:
        if not isinstance(key, str):
            raise self._damaged(place, "has a member without a name")
        if key == "_modules":
            return {k: self._child(v, f"{place[: -len('._modules')]}.{k}") for k, v in self._items(value, place)}
        if key in ("_parameters", "_buffers"):
            return {k: self._tensor(v, f"{place}.{k}") for k, v in self._items(value, place)}
        if callable(getattr(nn.Module, key, None)):
            raise UnsafeFileError(f"{self.path}: {place} replaces a method; refused: save the model again")
        return self._plain(value, place)

    def _child(self, value: Any, place: str) -> nn.Module | None:
        if value is None:
            return None
        if not isinstance(value, _Record):
            raise self._damaged(place, f"is a {type(value).__name__}, not a layer")
        return self.module(value, place)

    def _tensor(self, value: Any, place: str) -> Tensor | None:
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise self._damaged(place, f"is a {type(value).__name__}, not a tensor")
        if id(value) not in self.seen:  # a weight that several layers share is one tensor
            self.seen.add(id(value))
            self.budget -= value.numel()
        if self.budget < 0:
            raise self._damaged(place, f"declares {value.numel():,} values, more than the file can hold")
        return value

    def _plain(self, value: Any, place: str) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, (tuple, list)):
            return type(value)(self._plain(item, place) for item in value)
        if isinstance(value, (dict, set)) and not value:
            return value
        raise UnsafeFileError(
            f"{self.path}: {place} holds {type(value).__name__}; expected plain values and tensors (hooks and "
            "custom attributes cannot be trusted); remove it and save the model again"
        )

    def _items(self, value: Any, place: str) -> Iterator[tuple[str, Any]]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self._damaged(place, "is not a table of names")
        yield from value.items()

    def _damaged(self, place: str, what: str) -> CorruptFileError:
        return CorruptFileError(f"{self.path}: {place} {what}; expected what torch.save writes: save it again")
