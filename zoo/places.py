"""Where data sets are looked for, and what is said when one is not there.

The roots, in this order: the folder of ``--data-dir``, ``$ANN2SPIKE_DATA``, ``./data`` (torchvision's usual root),
``~/.cache/ann2spike`` (``$XDG_CACHE_HOME``), ``/usr/share/datasets`` (Debian's packages). In each root a data set lies
in a folder of its own name, or where torchvision puts it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from zoo.errors import DatasetError, MissingDatasetError

__all__ = ["find", "roots"]


def roots(data_dir: str | Path | None = None) -> tuple[Path, ...]:
    """The folders that hold data sets, best first.

    Raises
    ------
    DatasetError
        `data_dir` is not a folder.
    """
    if data_dir is not None and not Path(data_dir).is_dir():
        raise DatasetError(f"--data-dir: {data_dir} is not a folder; expected one that holds data sets: check the path")
    own, cache = os.environ.get("ANN2SPIKE_DATA"), os.environ.get("XDG_CACHE_HOME")
    return (
        *((Path(data_dir),) if data_dir is not None else ()),
        *((Path(own),) if own else ()),
        Path("data"),
        (Path(cache) if cache else Path("~/.cache").expanduser()) / "ann2spike",
        Path("/usr/share/datasets"),
    )


def find(
    spec: str,
    title: str,
    layouts: Sequence[str],
    lacks: Callable[[Path], Sequence[str]],
    get_it: str,
    folder: str = "",
    data_dir: str | Path | None = None,
) -> Path:
    """The first place that has every file.

    Parameters
    ----------
    layouts : sequence of str
        Folders below a root, or below `folder`, where the data set may lie.
    lacks : callable
        What is missing in a place, by name; nothing when all is there.
    get_it : str
        How to obtain the data set.
    folder : str
        Where the user says it is, instead of the roots.

    Raises
    ------
    MissingDatasetError
        No place has all of it; the message lists the places.
    """
    starts = (Path(folder),) if folder else roots(data_dir)
    within = ("", *layouts) if folder else tuple(layouts)
    for place in (start / part for start in starts for part in within):
        if place.is_dir() and not lacks(place):
            return place
    looked = "\n".join(f"  {line}" for start in starts for line in _absences(start, within, lacks))
    raise MissingDatasetError(
        f"{spec}: {title} is not on this machine; looked for {_listed(within)} in\n{looked}\n{get_it}"
    )


def _absences(start: Path, within: Sequence[str], lacks: Callable[[Path], Sequence[str]]) -> list[str]:
    """Why nothing below `start` will do, in as few lines as that takes."""
    if not start.is_dir():
        return [f"{start}: no such folder"]
    there = [start / part for part in dict.fromkeys(within) if (start / part).is_dir()]
    return [f"{place}: lacks {', '.join(lacks(place))}" for place in there] or [f"{start}: none of them"]


def _listed(within: Sequence[str]) -> str:
    return ", ".join(f"{part}/" if part else "its files" for part in dict.fromkeys(within))
