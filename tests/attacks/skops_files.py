"""skops files that try to harm: schemas that ask for too much, arrays that are pickles, archives that explode."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.attacks.builders import Builder, bytes_of, members_of, packed
from tests.attacks.torch_files import Calls, touch

Schema = dict[str, Any]
Members = dict[str, bytes]


def estimator() -> Any:
    """A small honest pipeline of five inputs."""
    rng = np.random.default_rng(0)
    x = rng.normal(1.0, 2.0, (80, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = MLPClassifier(hidden_layer_sizes=(7, 6), max_iter=5, random_state=0)
        return make_pipeline(StandardScaler(), network).fit(x, (x[:, 0] > 1).astype(int) + (x[:, 2] > 1))


def honest(path: Path) -> Path:
    """The pipeline as skops writes it."""
    path.write_bytes(skops.io.dumps(estimator()))
    return path


def rewritten(path: Path, change: Callable[[Members], Any]) -> Path:
    """The archive with its members changed by `change`, checksums anew."""
    members = members_of(path)
    change(members)
    return packed(path, members)


def in_schema(change: Callable[[Schema], Any]) -> Callable[[Members], None]:
    """A change of the schema."""

    def apply(members: Members) -> None:
        schema = json.loads(members["schema.json"])
        change(schema)
        members["schema.json"] = json.dumps(schema).encode()

    return apply


def _method(schema: Schema) -> None:
    attributes = schema["content"]["content"]
    attributes["memory"] = {"__class__": "Pipeline", "__module__": "sklearn.pipeline", "__loader__": "MethodNode",
                            "content": {"func": "fit", "obj": attributes["steps"]}}  # fmt: skip


def _function(schema: Schema) -> None:
    schema["content"]["content"]["memory"] = {
        "__class__": "call", "__module__": "operator", "__loader__": "OperatorFuncNode",
        "attrs": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": []},
    }  # fmt: skip


def _old_protocol(schema: Schema) -> None:
    schema["protocol"] = 0
    _method(schema)


def _renamed(schema: Schema) -> None:
    schema["__class__"], schema["__module__"] = "system", "os"


def _itself(schema: Schema) -> None:
    schema.setdefault("__id__", 1)
    cycle = {key: schema[key] for key in ("__class__", "__module__", "__loader__", "__id__")}
    schema["content"]["content"]["memory"] = cycle


def _tangled(schema: Schema) -> None:
    """An array of objects whose item is, by its id, a list."""
    items = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "1", "__id__": 77}
    schema["content"]["content"]["memory"] = {
        "__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "json", "content": [items],
        "shape": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [], "__id__": 77},
    }  # fmt: skip


def _missing_member(schema: Schema) -> None:
    text = json.dumps(schema)
    name = text.split('"file": "')[1].split('"')[0]
    schema.update(json.loads(text.replace(name, "../../etc/passwd")))


SCHEMAS: dict[str, Callable[[Schema], Any]] = {
    "a method": _method, "a function": _function, "the loaders of an older protocol": _old_protocol,
    "another class": _renamed, "itself": _itself, "one id for two things": _tangled,
    "a member outside": _missing_member, "nothing": lambda schema: schema.clear(),
}  # fmt: skip


def grown(shape: tuple[int, ...]) -> Callable[[Members], None]:
    """An array that declares `shape` and holds two values."""

    def change(members: Members) -> None:
        name = next(name for name in members if name.endswith(".npy"))
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
        members[name] = header.getvalue() + bytes(16)

    return change


def pickled_arrays(canary: Path) -> Callable[[Members], None]:
    """Arrays of objects, which numpy would unpickle."""

    def change(members: Members) -> None:
        for name in [name for name in members if name.endswith(".npy")]:
            stream = io.BytesIO()
            np.save(stream, np.array([Calls(os.system, touch(canary))], dtype=object), allow_pickle=True)
            members[name] = stream.getvalue()

    return change


def exploding(path: Path) -> Path:
    """One more member, which unpacks a thousandfold."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(30_000_000))
    return path


def _changed(change: Callable[[Path], Callable[[Members], Any]]) -> Builder:
    def build(folder: Path, canary: Path) -> list[str]:
        return [rewritten(honest(folder / "m.skops"), change(canary)).name]

    return build


def _armed(canary: Path) -> bytes:
    model = estimator()
    model.bomb = Calls(os.system, touch(canary))
    return pickle.dumps(model)


ESTIMATORS: dict[str, Builder] = {
    **{f"skops: {name}": _changed(lambda canary, change=change: in_schema(change)) for name, change in SCHEMAS.items()},
    "skops: pickled arrays": _changed(pickled_arrays),
    "skops: 2^40 declared values": _changed(lambda canary: grown((2**40,))),
    "skops: a member that explodes": lambda folder, canary: [exploding(honest(folder / "m.skops")).name],
    "an armed estimator": bytes_of("m.joblib", _armed),
    "an armed estimator, compressed": bytes_of("m.joblib", lambda canary: zlib.compress(_armed(canary))),
}
