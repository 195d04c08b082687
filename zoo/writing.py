"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from zoo.errors import CheckpointError

__all__ = ["write_atomically"]


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
