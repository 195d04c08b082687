"""skops files: a schema that names types, checked in full before skops makes anything of it.

skops refuses types that it does not trust. It trusts far more than an MLP needs, so the schema is walked first:
every pair of loader and type must be one of those that a fitted MLP with scalers consists of, every array must have
the size that it declares, and only then is the file handed to skops, with the two optimisers as the only types that
are trusted beyond its own list.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from convert.errors import CorruptFileError, LoadError, UnsafeFileError
from convert.reading.sources import Source

__all__ = ["load_estimator"]

_OPTIMISERS = tuple(
    f"sklearn.neural_network._stochastic_optimizers.{name}" for name in ("AdamOptimizer", "SGDOptimizer")
)
_TYPES: dict[str, tuple[str, ...]] = {
    "ObjectNode": (
        "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
        "sklearn.neural_network._multilayer_perceptron.MLPRegressor",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.MinMaxScaler",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._label.LabelBinarizer",
        *_OPTIMISERS,
    ),
    "NdArrayNode": tuple(f"numpy.{n}" for n in ("ndarray", "float64", "float32", "int64", "int32", "bool", "bool_")),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "TypeNode": ("builtins.str", "builtins.int"),
    "JsonNode": ("builtins.str",),
}
"""Loader of skops -> the types that it may make."""
_GROWTH = 20
"""Compressed members may unpack to so many times the file's size."""


def load_estimator(source: Source) -> Any:
    """The estimator in the file.

    Raises
    ------
    UnsafeFileError
        Types beyond those of an MLP with scalers, all of them listed.
    CorruptFileError
        Truncated or damaged.
    LoadError
        skops is not installed.
    """
    try:
        import skops.io
    except ImportError as error:
        raise LoadError(
            f"{source.path}: a skops file; reading it needs the skops package ({error}); "
            "install it with: pip install 'ann2spike[skops]'"
        ) from error
    content = source.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise CorruptFileError(f"{source.path}: changed while it was read; expected a finished file: try again")
    try:
        _refuse_foreign(source, content)
        _refuse_foreign_names(source, skops.io.get_untrusted_types(data=content), _OPTIMISERS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another version of scikit-learn; what is read of it is checked
            return skops.io.loads(content, trusted=list(_OPTIMISERS))
    except LoadError:
        raise
    except Exception as error:  # skops, zipfile and numpy raise many types on a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CorruptFileError(
            f"{source.path}: truncated or damaged ({reason[:200]}); expected what skops.io.dump writes: save it again"
        ) from error


def _refuse_foreign(source: Source, content: bytes) -> None:
    """Walk the archive without making anything of it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > _GROWTH * len(content) + (1 << 20):
            raise UnsafeFileError(
                f"{source.path}: unpacks to more than {_GROWTH} times its size; refused: save it with skops.io.dump"
            )
        nodes = list(_nodes(json.loads(archive.read("schema.json"))))
        names = {f"{node.get('__module__')}.{node.get('__class__')}" for node in nodes if not _known(node)}
        _refuse_foreign_names(source, sorted(names), ())
        _refuse_tangles(source, nodes)
        for member in {node["file"] for node in nodes if "file" in node}:
            _refuse_false_size(source, member, archive.read(member))


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Everything in the schema that a loader would be asked to make."""
    stack = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "__loader__" in value or "__class__" in value:
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _known(node: dict[str, Any]) -> bool:
    return f"{node.get('__module__')}.{node.get('__class__')}" in _TYPES.get(str(node.get("__loader__")), ())


def _refuse_foreign_names(source: Source, names: list[str], allowed: tuple[str, ...]) -> None:
    if foreign := [name for name in names if name not in allowed]:
        raise UnsafeFileError(
            f"{source.path}: asks for {', '.join(foreign[:20])}{', ...' if len(foreign) > 20 else ''}; expected an "
            "MLPClassifier or MLPRegressor, alone or behind StandardScaler and MinMaxScaler in a Pipeline; nothing was "
            "loaded: save that part alone with skops.io.dump"
        )


def _refuse_tangles(source: Source, nodes: list[dict[str, Any]]) -> None:
    """One id means one thing, a member is read once, and arrays of objects are flat: so nothing can multiply."""
    meanings: dict[Any, tuple[Any, ...]] = {}
    readers: dict[str, Any] = {}
    for node in nodes:
        number, member = node.get("__id__"), node.get("file")
        meaning = (node.get("__loader__"), node.get("__module__"), node.get("__class__"), member)
        tangled = number is not None and meanings.setdefault(number, meaning) != meaning
        tangled |= member is not None and (number is None or readers.setdefault(member, number) != number)
        items = node.get("content") if node.get("type") == "json" else []
        tangled |= not isinstance(items, list) or any(item.get("__loader__") != "JsonNode" for item in items)
        if tangled:
            raise CorruptFileError(
                f"{source.path}: its schema uses one part as several ({meaning[2]}); expected what skops.io.dump "
                "writes: save it again"
            )


def _refuse_false_size(source: Source, member: str, content: bytes) -> None:
    """An array must declare as many values as its member holds."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    values = math.prod(shape)
    if values * dtype.itemsize != len(content) - stream.tell() or values > len(content) or dtype.kind not in "fiubU":
        raise CorruptFileError(
            f"{source.path}: {member} declares {shape} values of {dtype} in {len(content):,} bytes; expected what "
            "skops.io.dump writes: save it again"
        )
