"""Zip archives as torch writes them: members stored, each name once, nothing outside the archive."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from convert.errors import CorruptFileError, UnsafeFileError

__all__ = ["members", "refuse_hostile_archive"]

_PACKED = 2**24
_PIECE = 2**20

_BROKEN = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, KeyError)


@contextmanager
def _opened(content: Path | bytes, origin: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(io.BytesIO(content) if isinstance(content, bytes) else content) as archive:
            yield archive
    except (UnsafeFileError, CorruptFileError):
        raise
    except _BROKEN as error:
        raise CorruptFileError(
            f"{origin}: truncated or damaged ({error}); expected a complete zip archive: copy or save it again"
        ) from error


def refuse_hostile_archive(content: Path | bytes, origin: str, packed: str = "") -> None:
    """Refuse an archive that torch did not write, before any member is read.

    A compressed member could grow without bound, a name could lead out of the archive, and a repeated name means
    one thing to one reader and another to the next. Then every member is read once, for its checksum.

    Parameters
    ----------
    packed : str, optional
        A folder whose members torch does compress; they may hold `_PACKED` bytes together.

    Raises
    ------
    UnsafeFileError, CorruptFileError
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    with _opened(content, origin) as archive:
        infos = listed = archive.infolist()
    seen: set[str] = set()
    folded = [m for m in infos if packed and f"/{packed}/" in m.filename and m.compress_type == zipfile.ZIP_DEFLATED]
    if sum(m.file_size for m in folded) <= _PACKED:
        infos = [m for m in infos if m not in folded]
    seen.update(m.filename for m in folded)
    for member in infos:
        fault = _fault(member, seen)
        if fault:
            raise UnsafeFileError(
                f"{origin}: member {member.filename!r} {fault}; torch writes members uncompressed, under plain names, "
                "each once, so this file was made by something else; refused: save the model again with torch"
            )
        seen.add(member.filename)
    if sum(member.file_size for member in infos) > size:
        raise CorruptFileError(f"{origin}: its members declare more bytes than the file has; save the model again")
    _refuse_changed(content, origin, listed)


def _refuse_changed(content: Path | bytes, origin: str, infos: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a member whose content is not what its checksum says, which torch itself does not look at."""
    with _opened(content, origin) as archive:
        for member in infos:
            if not member.CRC:  # torch.serialization.set_crc32_options(False) records none
                continue
            with archive.open(member) as stream:
                try:
                    while stream.read(_PIECE):
                        pass
                except (zipfile.BadZipFile, zlib.error) as error:
                    raise CorruptFileError(
                        f"{origin}: member {member.filename!r} is damaged: its content does not have the checksum that "
                        "was written with it; expected an unchanged file: copy or save it again"
                    ) from error


def _fault(member: zipfile.ZipInfo, seen: set[str]) -> str:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        return "is compressed"
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] if path.parts else True:
        return "has a name that leads out of the archive"
    return "appears twice" if member.filename in seen else ""


def members(path: Path) -> dict[str, bytes]:
    """The members of a torch archive by name, without the folder that torch puts around them all.

    Raises
    ------
    UnsafeFileError, CorruptFileError
    """
    refuse_hostile_archive(path, str(path))
    with _opened(path, str(path)) as archive:
        content = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    roots = {name.partition("/")[0] for name in content}
    if len(roots) == 1 and all("/" in name for name in content):
        content = {name.partition("/")[2]: value for name, value in content.items()}
    return content
