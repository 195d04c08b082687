"""Files that `torch.save` wrote, read without executing anything they name.

A pickle is a program. This one is run by torch's restricted unpickler (`weights_only=True`), and every
`torch.nn` class that it asks for is answered with an inert stand-in that only records its state. Only when
the whole file has been read, and every record has been found to hold nothing but plain values, tensors and
other records, are real modules made from it. A file that asks for anything else is refused with the list of
what it asked for - unless the user names the network's code: then its classes get stand-ins as well, which
give their weights and nothing else.
"""

from __future__ import annotations

import zipfile
from typing import Any

from torch import nn

from convert.errors import CorruptFileError, IncompleteModelError, LoadError, UnknownFormatError
from convert.reading.archive import refuse_hostile_archive
from convert.reading.rebuilding import rebuilt
from convert.reading.records import Record, read_records, state_of_record, tensors_of
from convert.reading.sources import Source
from convert.reading.weights import Weights, find_weights, rounding_notes, way_out

__all__ = ["load", "load_module"]

_OTHERS = {"torchscript": "TorchScript", "pt2": "torch.export"}


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
    content: Any = read_records(path, any_class=weights_only)
    if isinstance(content, dict):
        whole = [
            value for value in content.values() if isinstance(value, Record) and "_modules" in state_of_record(value)
        ]
        content = whole[0] if len(whole) == 1 else content
    if isinstance(content, Record) and weights_only:
        content = tensors_of(content, path)
    if isinstance(content, dict):
        weights = find_weights(content, source)
        return weights, weights.notes
    if not isinstance(content, Record):
        raise LoadError(
            f"{path}: holds a {type(content).__name__}; expected an nn.Module made of torch.nn classes, "
            "saved with torch.save(model, path)"
        )
    try:
        module = rebuilt(content, path)
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
