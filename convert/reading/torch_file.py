"""Files that hold a whole `nn.Module`, read without executing anything they name.

A pickle is a program. This one is run by torch's restricted unpickler (`weights_only=True`), and every
`torch.nn` class that it asks for is answered with an inert stand-in that only records its state. Only when
the whole file has been read, and every record has been found to hold nothing but plain values, tensors and
other records, are real modules made from it. A file that asks for anything else is refused with the list of
what it asked for.
"""

from __future__ import annotations

import inspect
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convert.errors import CorruptFileError, IncompleteModelError, LoadError, UnsafeFileError
from convert.reading.sources import Source

__all__ = ["load_module"]

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)


class _Record:
    """Stand-in for an instance of a `torch.nn` class."""

    real: type[nn.Module]

    def __new__(cls, *args: object) -> _Record:
        """Refuse to be called with arguments: an instance is restored from its state, never constructed."""
        if args:
            raise UnsafeFileError(f"the file tries to call {cls.real.__name__}(...)")
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Keep the state as it is."""
        self.state = state


def _stand_ins() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """A recorder for each layer class of `torch.nn`, with the name by which a pickle asks for it."""
    classes = [c for _, c in inspect.getmembers(nn, inspect.isclass) if issubclass(c, nn.Module)]
    return [
        (type(c.__name__, (_Record,), {"real": c}), f"{c.__module__}.{c.__name__}")
        for c in classes
        if c.__module__.startswith("torch.nn.modules.")
    ]


def load_module(source: Source) -> nn.Module:
    """The module in the file, in evaluation mode, on the CPU.

    Raises
    ------
    UnsafeFileError
        The pickle names something other than tensors and `torch.nn` layers; all such names are listed.
    IncompleteModelError
        The file holds weights only (a state_dict or a training checkpoint).
    CorruptFileError
        Truncated or damaged.
    LoadError
        Something else than a module.
    """
    _refuse_bombs(source.path)
    content = _unpickle(source.path)
    if isinstance(content, dict):
        raise _without_network(source.path, content)
    if not isinstance(content, _Record):
        raise LoadError(
            f"{source.path}: holds a {type(content).__name__}; expected an nn.Module made of torch.nn classes, "
            "saved with torch.save(model, path)"
        )
    try:
        module = _Rebuilder(source.path).module(content, "model")
        return module.float().eval().requires_grad_(False)
    except RecursionError as error:
        raise CorruptFileError(
            f"{source.path}: layers nested too deep, or a value that contains itself; expected what torch.save "
            "writes: save it again"
        ) from error


def _unpickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_stand_ins()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{path}: {error}; refused, nothing was executed; save the model again") from error
    except pickle.UnpicklingError as error:
        raise _refusal(path, error) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError,
            AssertionError, OverflowError, MemoryError, RecursionError, UnicodeError) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorruptFileError(
            f"{path}: truncated or damaged ({reason}); expected a file written by torch.save: save it again"
        ) from error


def _refusal(path: Path, error: pickle.UnpicklingError) -> LoadError:
    # torch wraps the reason in advice, and the advice is to read the file without protection
    reason = (str(error.__context__ or "").strip().splitlines() or ["unreadable"])[0]
    wanted = _unsafe_globals(path) or re.findall(r"GLOBAL (\S+)", reason)
    if not wanted:
        if reason.startswith("Only persistent_load of storage"):
            reason = "an nn.Module in the format of torch before 1.6, which cannot be read without running it"
        return CorruptFileError(
            f"{path}: damaged or outdated pickle ({reason[:200]}); save the model again with torch.save"
        )
    return UnsafeFileError(
        f"{path}: this pickle asks for {', '.join(wanted)}, which would run code; nothing was executed.\n"
        "expected an nn.Module made of torch.nn classes. Ways out, in the script that has the class:\n"
        "  build the network from torch.nn layers (nn.Sequential(...)) and torch.save(model, 'model.pt')"
    )


def _unsafe_globals(path: Path) -> list[str]:
    """What the pickle asks for beyond tensors and layers, found without running it."""
    allowed = {entry[1] for entry in _stand_ins() if isinstance(entry, tuple)}
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a damaged pickle; the caller reports that instead
        return []
    return sorted(set(wanted) - allowed)


def _refuse_bombs(path: Path) -> None:
    """torch.save stores members uncompressed; a compressed one could grow without bound."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        packed = [m.filename for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise UnsafeFileError(
            f"{path}: member {packed[0]} is compressed; torch.save writes members uncompressed, so this file was "
            "made by something else; refused: save the model again with torch.save"
        )


def _without_network(path: Path, content: dict[Any, Any]) -> LoadError:
    keys = [str(key) for key in content]
    listed = ", ".join(keys[:4]) + (", ..." if len(keys) > 4 else "")
    what = "a state_dict" if all(isinstance(v, Tensor) for v in content.values()) else "a checkpoint"
    return IncompleteModelError(
        f"{path}: holds {what} ({len(keys)} entries: {listed}): weights without the network they belong to.\n"
        "expected the whole module. Way out, in the script that has the network:\n"
        "  model.load_state_dict(torch.load('weights.pt')); torch.save(model, 'model.pt')"
    )


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
