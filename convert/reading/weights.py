"""Weights without a network: finding them in a file, and making them float32.

A training script leaves a bare state_dict, or a table with a state_dict somewhere in it and prefixes in front of
every name. Nothing here guesses: two candidates are an error that names both, unless one has a usual name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from convert.errors import CorruptFileError, IncompleteModelError, LoadError
from convert.reading.sources import Source

__all__ = [
    "Weights",
    "find_weights",
    "is_plain",
    "load_safetensors",
    "rounding_notes",
    "state_of",
    "strip_prefixes",
    "way_out",
]

_USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "params", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_DEPTH = 3


@dataclass(frozen=True, eq=False)
class Weights:
    """Named tensors of one network.

    Parameters
    ----------
    tensors : dict
        Float tensors are float32.
    ordered : bool
        Whether the names stand in the order of the layers; safetensors sorts them.
    notes : tuple of str
    described : str
        What the file holds, for a message.
    """

    tensors: dict[str, Tensor]
    ordered: bool
    notes: tuple[str, ...] = ()
    described: str = "weights"


def find_weights(content: Mapping[Any, Any], source: Source) -> Weights:
    """The state_dict in what `torch.load` returned.

    Raises
    ------
    IncompleteModelError
        None, or several that could be meant.
    CorruptFileError
        Tensors that the file cannot hold.
    """
    found = dict(_candidates(content, "", _DEPTH))
    if not found:
        raise IncompleteModelError(
            f"{source.path}: holds a table ({_listed(content)}) without weights; expected a state_dict or a checkpoint "
            "that contains one: torch.save(model.state_dict(), 'weights.pt'), "
            "or the whole: torch.save(model, 'model.pt')"
        )
    name = _chosen(found)
    if name is None:
        raise IncompleteModelError(
            f"{source.path}: holds several sets of weights ({', '.join(found)}); expected one: save the one that is "
            "meant with torch.save(checkpoint['NAME'], 'weights.pt')"
        )
    others = [other for other in found if other != name]
    notes = (f"The file holds several sets of weights; used {name}, not {', '.join(others)}.",) if others else ()
    weights = _checked({k: v for k, v in found[name].items() if isinstance(v, Tensor)}, source, True, notes)
    what = "a state_dict" if found[name] is content else "a checkpoint"
    return replace(weights, described=f"{what} ({_listed(content)})")


def load_safetensors(source: Source) -> Weights:
    """The tensors of a safetensors file.

    Raises
    ------
    CorruptFileError
    """
    try:
        with safetensors.safe_open(source.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # its own error type, and whatever torch says about sizes
        raise CorruptFileError(
            f"{source.path}: damaged safetensors file ({str(error)[:200]}); copy or save it again"
        ) from error
    return replace(_checked(tensors, source, False, ()), described=f"safetensors ({_listed(tensors)})")


def _candidates(content: Mapping[Any, Any], path: str, depth: int) -> list[tuple[str, Mapping[str, Any]]]:
    """Tables of named tensors, outermost first."""
    values = [v for k, v in content.items() if not str(k).endswith("_extra_state")]
    if values and all(isinstance(k, str) for k in content) and all(isinstance(v, Tensor) for v in values):
        return [(path or "the file", content)]
    if depth == 0:
        return []
    inner = [(f"{path}.{k}" if path else str(k), v) for k, v in content.items()
             if isinstance(v, Mapping) and not re.search("optim|sched|scaler", str(k))]  # fmt: skip
    return [found for name, value in inner for found in _candidates(value, name, depth - 1)]


def _chosen(found: Mapping[str, object]) -> str | None:
    if len(found) == 1:
        return next(iter(found))
    usual = [name for want in _USUAL for name in found if name == want or name.endswith(f".{want}")]
    return usual[0] if usual else None


def _listed(content: Mapping[Any, Any]) -> str:
    keys = [str(key) for key in content]
    return f"{len(keys)} entries: {', '.join(keys[:4]) or 'none'}{', ...' if len(keys) > 4 else ''}"


def _checked(tensors: dict[str, Tensor], source: Source, ordered: bool, notes: tuple[str, ...]) -> Weights:
    """Plain dense tensors that the file has the bytes for; floats become float32."""
    size, values = source.path.stat().st_size, 0
    for name, tensor in tensors.items():
        if not is_plain(tensor):
            raise LoadError(
                f"{source.path}: {name} is a {tensor.layout} {tensor.dtype} tensor on {tensor.device}; expected plain "
                "dense weights: save model.float().state_dict()"
            )
        values += tensor.numel()
        if values > size:
            raise CorruptFileError(
                f"{source.path}: {name} of shape {tuple(tensor.shape)} declares more values than the file can hold; "
                "expected what torch.save writes: save it again"
            )
    plain = {name: tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
             for name, tensor in tensors.items()}  # fmt: skip
    return Weights(plain, ordered, (*notes, *rounding_notes(tensors)))


def is_plain(tensor: Tensor) -> bool:
    """Whether it holds real numbers, all of them, in memory."""
    odd = tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex()
    return not odd and tensor.device.type == "cpu"


def rounding_notes(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """One sentence where a conversion to float32 rounds; float16 and bfloat16 convert exactly."""
    wide = [t for t in tensors.values() if t.dtype == torch.float64]
    if not any(bool((t.float().double() != t).any()) for t in wide):
        return ()
    return (f"{len(wide)} float64 tensor(s) were rounded to float32, to a relative precision of 6e-8.",)


def strip_prefixes(tensors: dict[str, Tensor], expected: set[str] | None = None) -> dict[str, Tensor]:
    """The same tensors without the prefixes that wrappers put in front of every name.

    Parameters
    ----------
    expected : set of str, optional
        Names that the network itself uses; a prefix that it has too stays.

    >>> list(strip_prefixes({"module.0.weight": torch.ones(1), "module.0.bias": torch.ones(1)}))
    ['0.weight', '0.bias']
    """
    while True:
        found = [p for p in _PREFIXES if tensors and all(name.startswith(p) for name in tensors)]
        found = [p for p in found if not expected or not any(name.startswith(p) for name in expected)]
        if not found:
            break
        tensors = {name.removeprefix(found[0]): value for name, value in tensors.items()}
    inner = {name.replace("_orig_mod.", ""): value for name, value in tensors.items()}
    return inner if len(inner) == len(tensors) else tensors


def way_out(path: Path) -> str:
    """What to type for a file of weights."""
    return (
        "Ways out:\n"
        f"  python -m convert {path} --arch net.py:Net         where net.py holds the network's class Net\n"
        f"  python -m convert {path} --activation relu         where it is a plain stack of linear layers\n"
        "  torch.save(model, 'model.pt')                     in the training script, for networks of torch.nn layers"
    )


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module's state_dict, without extra state."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
