"""Files that are written whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import torch
from torch import nn

from zoo.errors import CheckpointError

__all__ = ["export_module", "write_atomically"]


def export_module(module: nn.Module, path: Path | str, sample_shape: tuple[int, ...] = ()) -> None:
    """Write the whole `module`, atomically: by `torch.export` to a file called .pt2, else by `torch.save`.

    Parameters
    ----------
    sample_shape : tuple of int
        Shape of one sample, for torch.export.

    Raises
    ------
    CheckpointError
        A class of this project's own: no one could read it back without executing a pickle.
    """
    buffer = io.BytesIO()
    if Path(path).suffix == ".pt2":
        batch = {0: torch.export.Dim("batch")}
        program = torch.export.export(module, (torch.zeros(2, *sample_shape),), dynamic_shapes=(batch,))
        torch.export.save(program, buffer)
    elif own := sorted({type(m).__name__ for m in module.modules() if not type(m).__module__.startswith("torch.nn")}):
        raise CheckpointError(
            f"{path}: the network has classes of its own ({', '.join(own)}), which torch.save would write as a pickle "
            "that executes code; expected a file called .pt2, for torch.export: change the suffix"
        )
    else:
        torch.save(module, buffer)
    write_atomically(path, buffer.getvalue())


def write_atomically(path: Path | str, content: bytes) -> None:
    """Write `content` to a neighbour of `path` and rename it, so that no reader sees half a file.

    Raises
    ------
    CheckpointError
        The file cannot be written there.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); name a file in a folder you own"
        ) from error
