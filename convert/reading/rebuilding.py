"""rebuilt(): real modules of `torch.nn` from the records of a file, after every value in them has been checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convert.errors import CorruptFileError, UnsafeFileError, UnsupportedOpError
from convert.reading.records import MOST_LAYERS, Record
from convert.reading.refusals import reason
from convert.reading.weights import is_plain

__all__ = ["rebuilt"]

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)


def rebuilt(record: Record, path: Path) -> nn.Module:
    """The module that `record` describes.

    Raises
    ------
    UnsafeFileError, CorruptFileError
    """
    return _Rebuilder(path).module(record, "model")


class _Rebuilder:
    """Real modules from records, after checking every value in them."""

    def __init__(self, path: Path) -> None:
        """Tensors may hold no more numbers than the file has bytes."""
        self.path = path
        self.budget = path.stat().st_size
        self.made: dict[int, nn.Module] = {}
        self.open: set[int] = set()
        self.layers: dict[int, int] = {}
        """Record -> layers in it, each as often as it is used."""
        self.seen: set[int] = set()

    def module(self, record: Record, place: str) -> nn.Module:
        """The module that `record` describes; one record gives one module, however often it is used."""
        if id(record) in self.made:
            return self.made[id(record)]
        if id(record) in self.open:
            raise self._damaged(place, "contains itself")
        if record.real is not None and issubclass(record.real, nn.RNNBase):
            raise UnsupportedOpError(
                f"{self.path}: {place}: {record.real.__name__}: {reason(record.real.__name__.lower())}"
            )
        self.open.add(id(record))
        state = getattr(record, "state", None)
        if not isinstance(state, dict):
            raise self._damaged(place, "has no state")
        values = {key: self._member(key, value, f"{place}.{key}") for key, value in state.items()}
        if missing := {"_modules", "_parameters", "_buffers"} - values.keys():
            raise self._damaged(place, f"lacks {', '.join(sorted(missing))}")
        assert record.real is not None  # the only stand-ins without one are those of `weights_only`
        module: nn.Module = record.real.__new__(record.real)
        try:
            module.__setstate__(values)  # the layer's own, which completes what older versions did not save
        except Exception as error:
            raise self._damaged(place, f"is no complete {record.real.__name__} ({error})") from error
        self.made[id(record)] = module
        children = [child for child in state["_modules"].values() if child is not None]
        self.layers[id(record)] = 1 + sum(self.layers[id(child)] for child in children)
        if self.layers[id(record)] > MOST_LAYERS:
            raise self._damaged(place, f"has more than {MOST_LAYERS:,} layers, counted as often as they are used")
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
        if not isinstance(value, Record):
            raise self._damaged(place, f"is a {type(value).__name__}, not a layer")
        return self.module(value, place)

    def _tensor(self, value: Any, place: str) -> Tensor | None:
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise self._damaged(place, f"is a {type(value).__name__}, not a tensor")
        if not is_plain(value):
            raise self._damaged(place, f"is a {value.layout} {value.dtype} tensor on {value.device}, not plain weights")
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
