"""identify(): the hash of all that determines the numbers of a case; the same hash means the same numbers.

Weights, data and the code of the network are told by their content, so a file that was changed makes another case.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import zoo
from convert.reading.sources import identify as source_at
from evaluate.environment import code_version
from evaluate.inputs import Wanted, hashes
from evaluate.options import Options
from evaluate.records import Run

__all__ = ["differences", "identify"]

_CODE = code_version()
"""As it was when this process imported it."""

_hashes = cache(hashes)


def identify(options: Options) -> dict[str, Any]:
    """What determines the numbers of the case, plain JSON.

    Returns
    -------
    dict
        ``model``, ``data``, ``calibration``, ``arch``: hashes, None where there is nothing; ``asked``: all options in
        their resolved form; ``code``: see `evaluate.environment.code_version`.

    Raises
    ------
    ConvertError, zoo.ZooError
        A file cannot be read.
    """
    request = options.request()
    weights, data, converted = _weights(request.model)
    wanted = Wanted(request.data or data, request.calibration, request.limit, request.calibration_samples,
                    request.seed, *request.config.input_range)  # fmt: skip
    asked = {name: value for name, value in asdict(request).items() if name not in ("command", "memory_mb", "config")}
    identity = {"model": weights, **_hashes(wanted, converted), "arch": _code(options.arch),
            "asked": asked | {"config": request.config.as_record()}, "code": _CODE}  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def differences(identity: dict[str, Any], run: Run) -> list[str]:
    """What `run` had that `identity` has not: it was made of other files than were asked for."""
    return [
        f"{part}: got sha256 {found}, expected {identity[part]}"
        for part in ("model", "data", "calibration")
        if identity[part] is not None and (found := run.case[part].get("sha256")) != identity[part]
    ]


def _weights(name: str) -> tuple[str, str | None, bool]:
    """The hash of the model, the data that it names, and whether it is one to convert."""
    if name.startswith("zoo:"):
        network = zoo.load(name.removeprefix("zoo:"))
        return network.sha256, network.data, True
    source = source_at(Path(name))
    if source.kind == "zoo-checkpoint":
        network = zoo.load_checkpoint(source.path)
        return network.sha256, network.data, True
    return source.sha256, None, source.kind != "snn"


def _code(arch: str | None) -> str | None:
    """The hash of the file that holds the network's code; a module is told by its name alone."""
    file = Path((arch or "").partition(":")[0])
    return hashlib.sha256(file.read_bytes()).hexdigest() if arch and file.is_file() else None
