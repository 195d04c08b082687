"""Storages of a TorchScript archive: each must have the bytes that the pickle declares, since libtorch does not look.

The pickle is run with an inert answer to everything that it names, so that nothing but the declarations come out.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

from convert.errors import CorruptFileError

__all__ = ["refuse_short_storages"]

_ITEM_BYTES = {"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
               "Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16}  # fmt: skip


class _Inert:
    """Whatever the pickle asks for; it takes everything and does nothing."""

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Keep nothing."""

    def __setitem__(self, key: object, value: object) -> None:
        """Keep nothing."""

    def append(self, value: object) -> None:
        """Keep nothing."""

    def extend(self, values: object) -> None:
        """Keep nothing."""


class _Declarations(pickle.Unpickler):
    """Collects what is declared about storages."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.found: list[tuple[str, str, int]] = []

    def find_class(self, module: str, name: str) -> Any:
        """A class of its own for each name, so that storages can be told apart; never the one that is named."""
        return type(name, (_Inert,), {})

    def persistent_load(self, pid: Any) -> _Inert:
        """Keep the type, the key and the number of values."""
        _, kind, key, _, count = pid
        self.found.append((kind.__name__, str(key), int(count)))
        return _Inert()


def refuse_short_storages(path: Path) -> None:
    """Refuse a script with a tensor of more values than its member has.

    Raises
    ------
    CorruptFileError
    """
    with zipfile.ZipFile(path) as archive:
        sizes = {name.partition("/")[2]: archive.getinfo(name).file_size for name in archive.namelist()}
        pickles = {n: archive.read(n) for n in archive.namelist() if n.endswith(("/data.pkl", "/constants.pkl"))}
    for name, content in pickles.items():
        folder = name.rpartition("/")[2].removesuffix(".pkl")
        declared = _Declarations(content)
        try:
            declared.load()
        except Exception as error:  # a damaged pickle fails in as many ways as it has instructions
            raise CorruptFileError(f"{path}: member {name!r} is damaged ({error}); save the script again") from error
        for kind, key, count in declared.found:
            needed = count * _ITEM_BYTES.get(kind.removesuffix("Storage"), 1)
            if sizes.get(f"{folder}/{key}", 0) < needed:
                raise CorruptFileError(
                    f"{path}: member '{folder}/{key}' has {sizes.get(f'{folder}/{key}', 0):,} bytes; expected "
                    f"{needed:,}, as its tensor declares: save the script again"
                )
