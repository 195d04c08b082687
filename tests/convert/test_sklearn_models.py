"""scikit-learn's MLPs: in memory, as skops, and as pickles, which are refused without being executed."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from convert import from_estimator, identify
from convert.errors import (
    ConvertError,
    CorruptFileError,
    InputShapeError,
    LoadError,
    NoNeuronError,
    NonFiniteWeightError,
    UnsafeFileError,
    UnsupportedOpError,
)
from convert.graph import ir
from convert.graph.semantics import run
from convert.reading.models import open_model

rng = np.random.default_rng(0)
X = rng.normal(1.0, 2.0, (80, 5))
THREE = (X[:, 0] + X[:, 1] > 2).astype(int) + (X[:, 2] > 1)
TARGETS = np.stack([X[:, 0] * X[:, 1], X[:, 2]], axis=1)


def fitted(kind, y, *scalers, **options):
    network = kind(hidden_layer_sizes=(7, 6), max_iter=5, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (make_pipeline(*scalers, network) if scalers else network).fit(X, y)


def outputs(estimator):
    return run(from_estimator(estimator).traced((5,)).graph, torch.from_numpy(X).float()).numpy()


SCALERS = {"none": (), "standard": (StandardScaler(),), "min max": (MinMaxScaler((-1, 2)),),
           "both": (MinMaxScaler(), StandardScaler()), "no mean": (StandardScaler(with_mean=False),),
           "no deviation": (StandardScaler(with_std=False),),
           "neither": (StandardScaler(with_mean=False, with_std=False),)}  # fmt: skip


@pytest.mark.parametrize("scalers", SCALERS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_classes_and_probabilities_are_those_of_the_estimator(scalers, activation):
    estimator = fitted(MLPClassifier, THREE, *SCALERS[scalers], activation=activation)
    logits = outputs(estimator)
    assert np.array_equal(logits.argmax(1), estimator.predict(X))
    probabilities = torch.softmax(torch.from_numpy(logits), 1).numpy()
    np.testing.assert_allclose(probabilities, estimator.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("targets", [TARGETS, TARGETS[:, 0]], ids=["two", "one"])
def test_a_regressors_outputs_are_its_predictions(targets):
    estimator = fitted(MLPRegressor, targets, StandardScaler())
    np.testing.assert_allclose(outputs(estimator).squeeze(), estimator.predict(X), atol=1e-5)


def test_two_classes_from_one_logit():
    estimator = fitted(MLPClassifier, np.where(THREE > 0, "yes", "no"))
    logit = outputs(estimator)
    assert logit.shape == (80, 1)
    assert np.array_equal(np.where(logit[:, 0] > 0, "yes", "no"), estimator.predict(X))
    traced = from_estimator(estimator).traced((5,))
    assert traced.coverage[-1].fate == "dropped"
    assert "predicts class yes where its output is above 0, else class no" in traced.notes[0]


def test_several_labels():
    labels = np.stack([THREE > 0, X[:, 3] > 1], axis=1).astype(int)
    estimator = fitted(MLPClassifier, labels)
    assert np.array_equal((outputs(estimator) > 0).astype(int), estimator.predict(X))
    assert "each label whose output is above 0" in from_estimator(estimator).traced((5,)).notes[0]


def test_classes_that_are_not_their_numbers_are_noted():
    assert "(0: 10, 1: 20, 2: 30)" in from_estimator(fitted(MLPClassifier, 10 * THREE + 10)).traced((5,)).notes[0]
    assert from_estimator(fitted(MLPClassifier, THREE)).traced((5,)).notes == ()


def test_scalers_leave_no_operation_behind():
    traced = from_estimator(fitted(MLPClassifier, THREE, StandardScaler())).traced((5,))
    assert [type(node.op) for node in traced.graph] == [ir.Input, *[ir.Linear, ir.Relu] * 2, ir.Linear]
    assert traced.coverage[0].becomes == "folded into the weights of the first layer"


def test_model_describes_itself():
    model = from_estimator(fitted(MLPClassifier, THREE), "name", "where")
    assert (model.name, model.origin, model.parameters, model.sample_shape) == ("name", "where", 42 + 48 + 21, (5,))
    assert model.sha256 == from_estimator(fitted(MLPClassifier, THREE)).sha256
    with pytest.raises(InputShapeError, match=r"\(5,\), got \(6,\)"):
        model.traced((6,))


def test_refusals_in_memory():
    with pytest.raises(NoNeuronError):
        from_estimator(fitted(MLPRegressor, TARGETS, activation="identity")).traced((5,))
    with pytest.raises(UnsupportedOpError, match="clip=True"):
        from_estimator(fitted(MLPClassifier, THREE, MinMaxScaler(clip=True)))
    with pytest.raises(UnsupportedOpError, match=r"(?s)2 step.*pca: PCA.*randomforest"):
        from_estimator(make_pipeline(PCA(), RandomForestClassifier()))
    with pytest.raises(LoadError, match="not fitted"):
        from_estimator(MLPClassifier())
    with pytest.raises(LoadError, match="not fitted"):
        from_estimator(make_pipeline(StandardScaler(), fitted(MLPClassifier, THREE)))
    with pytest.raises(UnsupportedOpError, match="Mine"):
        from_estimator(type("Mine", (MLPClassifier,), {})())
    with pytest.raises(UnsupportedOpError, match=r"builtins\.int"):
        from_estimator(3)
    with pytest.raises(LoadError, match="without steps"):
        from_estimator(Pipeline(3))


def test_logistic_layers_become_sigmoids():
    traced = from_estimator(fitted(MLPClassifier, THREE, activation="logistic")).traced((5,))
    assert [site.op.name for site in traced.graph.sites()] == ["sigmoid", "sigmoid"]


def test_arrays_that_do_not_fit():
    estimator = fitted(MLPClassifier, THREE)
    estimator.coefs_[1] = estimator.coefs_[1].T
    with pytest.raises(LoadError, match="do not fit together"):
        from_estimator(estimator)
    estimator.coefs_[1] = "text"
    with pytest.raises(LoadError, match=r"coefs_\[1\]"):
        from_estimator(estimator)
    estimator = fitted(MLPClassifier, THREE, StandardScaler())
    estimator[0].scale_[2] = 0
    with pytest.raises(NonFiniteWeightError, match="layer0"):
        from_estimator(estimator, origin="where").traced((5,))


# skops


def saved(estimator, path: Path) -> Path:
    io_ = pytest.importorskip("skops.io")
    path.write_bytes(io_.dumps(estimator))
    return path


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", ["classifier", "regressor", "pipeline", "labels as objects"])
def test_skops_gives_the_same_network(kind, solver, tmp_path):
    y = {"regressor": TARGETS, "labels as objects": np.where(THREE > 0, "yes", "no").astype(object)}.get(kind, THREE)
    scalers = (MinMaxScaler(), StandardScaler()) if kind == "pipeline" else ()
    estimator = fitted(MLPRegressor if kind == "regressor" else MLPClassifier, y, *scalers, solver=solver)
    opened = open_model(saved(estimator, tmp_path / "told.pt"))
    assert (opened.format, opened.name, opened.sample_shape) == ("scikit-learn (skops)", "told", (5,))
    x = torch.from_numpy(X).float()
    assert np.array_equal(run(opened.traced((5,)).graph, x).numpy(), outputs(estimator))


def test_skops_with_other_types_is_refused_and_lists_them(tmp_path):
    with pytest.raises(UnsafeFileError, match=r"sklearn\.decomposition\._pca\.PCA"):
        open_model(saved(make_pipeline(PCA(), fitted(MLPClassifier, THREE)), tmp_path / "m"))
    estimator = fitted(MLPClassifier, THREE)
    estimator.callback = os.system
    with pytest.raises(UnsafeFileError, match=r"posix\.system|nt\.system|os\.system"):
        open_model(saved(estimator, tmp_path / "m"))


def rewritten(path: Path, change) -> Path:
    """The archive with its members changed by `change`, checksums anew."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def outcome(path: Path) -> str:
    try:
        graph = open_model(path).traced((5,)).graph
    except ConvertError as error:
        assert str(path) in str(error)
        return type(error).__name__
    assert torch.isfinite(run(graph, torch.zeros(1, 5))).all()
    return "loaded"


@pytest.fixture
def skops_file(tmp_path):
    return saved(fitted(MLPClassifier, THREE, StandardScaler()), tmp_path / "m.skops")


def in_schema(change):
    def apply(members):
        schema = json.loads(members["schema.json"])
        change(schema)
        members["schema.json"] = json.dumps(schema).encode()

    return apply


def _method(schema):
    attributes = schema["content"]["content"]
    attributes["memory"] = {"__class__": "Pipeline", "__module__": "sklearn.pipeline", "__loader__": "MethodNode",
                            "content": {"func": "fit", "obj": attributes["steps"]}}  # fmt: skip


def _function(schema):
    schema["content"]["content"]["memory"] = {
        "__class__": "call", "__module__": "operator", "__loader__": "OperatorFuncNode",
        "attrs": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": []},
    }  # fmt: skip


def _old_protocol(schema):
    schema["protocol"] = 0
    _method(schema)


def _renamed(schema):
    schema["__class__"], schema["__module__"] = "system", "os"


def _itself(schema):
    schema.setdefault("__id__", 1)
    cycle = {key: schema[key] for key in ("__class__", "__module__", "__loader__", "__id__")}
    schema["content"]["content"]["memory"] = cycle


def _tangled(schema):
    """An array of objects whose item is, by its id, a list."""
    items = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "1", "__id__": 77}
    schema["content"]["content"]["memory"] = {
        "__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "json", "content": [items],
        "shape": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [], "__id__": 77},
    }  # fmt: skip


def _missing_member(schema):
    text = json.dumps(schema)
    name = text.split('"file": "')[1].split('"')[0]
    schema.update(json.loads(text.replace(name, "../../etc/passwd")))


SCHEMAS = {"a method": _method, "a function": _function, "the loaders of an older protocol": _old_protocol,
           "another class": _renamed, "itself": _itself, "one id for two things": _tangled,
           "a member outside": _missing_member, "nothing": lambda schema: schema.clear()}  # fmt: skip


@pytest.mark.parametrize("case", SCHEMAS)
def test_schemas_that_ask_for_more(case, skops_file):
    assert outcome(rewritten(skops_file, in_schema(SCHEMAS[case]))) in ("UnsafeFileError", "CorruptFileError")


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"[" * 100_000, b'"\xff"', b"{" + b'"a":{' * 50_000])
def test_schemas_that_are_none(content, skops_file):
    assert outcome(rewritten(skops_file, lambda m: m.update({"schema.json": content}))) == "CorruptFileError"


@pytest.mark.parametrize("shape", [(2**40,), (2**31, 2**31), (-1,), (0, 2**62), (10,)])
def test_arrays_that_declare_what_they_do_not_hold(shape, skops_file):
    def grow(members):
        name = next(name for name in members if name.endswith(".npy"))
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
        members[name] = header.getvalue() + b"\0" * 16

    assert outcome(rewritten(skops_file, grow)) == "CorruptFileError"


def test_pickled_arrays_in_skops(skops_file, tmp_path):
    sentinel = tmp_path / "ran"

    def objects(members):
        for name in [name for name in members if name.endswith(".npy")]:
            stream = io.BytesIO()
            np.save(stream, np.array([Bomb(sentinel)], dtype=object), allow_pickle=True)
            members[name] = stream.getvalue()

    assert outcome(rewritten(skops_file, objects)) == "CorruptFileError"
    assert not sentinel.exists()


def test_skops_that_explodes(skops_file):
    with zipfile.ZipFile(skops_file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", b"\0" * 30_000_000)
    assert outcome(skops_file) == "UnsafeFileError"


def test_skops_truncated_and_flipped(skops_file):
    content, generator = skops_file.read_bytes(), random.Random(0)
    for n in range(0, len(content), len(content) // 25):
        skops_file.write_bytes(content[:n])
        assert outcome(skops_file) in ("CorruptFileError", "UnknownFormatError")
    for _ in range(60):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        skops_file.write_bytes(flipped)
        outcome(skops_file)


def test_skops_flipped_under_valid_checksums(skops_file):
    generator, content = random.Random(1), skops_file.read_bytes()

    def flip(members):
        name = generator.choice(sorted(members))
        changed = bytearray(members[name])
        changed[generator.randrange(min(len(changed), 3000))] ^= 1 << generator.randrange(8)
        members[name] = bytes(changed)

    for _ in range(140):
        skops_file.write_bytes(content)
        outcome(rewritten(skops_file, flip))


def test_without_the_skops_package(skops_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skops.io", None)
    with pytest.raises(LoadError, match=r"pip install 'ann2spike\[skops\]'"):
        open_model(skops_file)


# Pickles


class Bomb:
    """Unpickling it writes the sentinel file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"echo ran > {self.sentinel}",)


WRITERS = {
    "joblib": lambda model, path: joblib.dump(model, path),
    "joblib zlib": lambda model, path: joblib.dump(model, path, compress=True),
    "joblib gzip": lambda model, path: joblib.dump(model, path, compress=("gzip", 3)),
    "joblib bz2": lambda model, path: joblib.dump(model, path, compress=("bz2", 3)),
    "joblib xz": lambda model, path: joblib.dump(model, path, compress=("xz", 3)),
    "joblib lzma": lambda model, path: joblib.dump(model, path, compress=("lzma", 3)),
    **{f"pickle {n}": lambda model, path, n=n: path.write_bytes(pickle.dumps(model, n)) for n in range(6)},
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_pickled_estimator_is_refused_with_the_way_out(writer, tmp_path):
    path, sentinel = tmp_path / "model.joblib", tmp_path / "ran"
    estimator = fitted(MLPClassifier, THREE)
    estimator.bomb = Bomb(sentinel)
    WRITERS[writer](estimator, path)
    with pytest.raises(UnsafeFileError, match=r"(?s)MLPClassifier.*skops\.io\.dump\(model, 'model\.skops'\)"):
        open_model(path)
    assert not sentinel.exists()


def test_a_bomb_alone_never_runs(tmp_path):
    path, sentinel = tmp_path / "model.joblib", tmp_path / "ran"
    for packed in (lambda b: b, zlib.compress, gzip.compress, bz2.compress, lzma.compress):
        for protocol in range(6):
            path.write_bytes(packed(pickle.dumps(Bomb(sentinel), protocol)))
            with pytest.raises(LoadError):
                open_model(path)
    assert not sentinel.exists()


def test_compressed_heads_are_unpacked_no_further_than_needed(tmp_path):
    path = tmp_path / "bomb"
    for packed in (zlib.compress, gzip.compress, bz2.compress, lzma.compress):
        path.write_bytes(packed(b"\x80\x04" + b"\0" * 50_000_000))
        begin = time.perf_counter()
        with pytest.raises(LoadError):
            open_model(path)
        assert time.perf_counter() - begin < 60  # it does not hang
    path.write_bytes(b"\x78\x9c" + b"garbage" * 10)
    with pytest.raises(LoadError):
        open_model(path)


def test_torch_pickles_are_still_torch_pickles(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()), path, _use_new_zipfile_serialization=False)
    assert identify(path).kind == "torch-pickle"


def test_corrupt_is_the_word_for_a_damaged_skops(skops_file):
    with pytest.raises(CorruptFileError, match=r"skops\.io\.dump"):
        open_model(rewritten(skops_file, lambda members: members.pop(next(iter(members)))))
